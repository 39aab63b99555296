"""Deletes: hidden in the head at their place in the journal, then removed from the chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from amondawa.index.columns import MetricSeries
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import RowDirectory
from amondawa.ingest import entry
from amondawa.ingest.erase import Eraser
from amondawa.ingest.head import Head
from amondawa.ingest.journal import Journal
from amondawa.ingest.recovery import targets, tombstone_of
from amondawa.model.points import Int32s


class Deleter:
    """Carries out deletes, one at a time and never beside a flush. Lives on the event loop.

    Args:
        worker: the thread of flushes and deletes.
        maintenance: held by whoever uses it.
        journal: the own journal.
        forget: forgets what is known of a metric's stored rows, where other gateways may have written some; else None. They
            then also hear when the chunks have changed.
        remember: is told of every delete.
    """

    def __init__(
        self,
        registry: SeriesRegistry,
        directory: RowDirectory,
        head: Head,
        eraser: Eraser,
        worker: ThreadPoolExecutor,
        maintenance: asyncio.Lock,
        journal: Callable[[], Journal],
        forget: Callable[[MetricSeries], None] | None,
        remember: Callable[[entry.DeleteEntry], None],
    ) -> None:
        self._remember = remember
        self._registry = registry
        self._directory = directory
        self._head = head
        self._eraser = eraser
        self._worker = worker
        self._maintenance = maintenance
        self._journal = journal
        self._forget = forget

    async def delete(self, record: entry.DeleteEntry) -> tuple[int, set[int]]:
        """Carry out a delete; return how many points went and the refs that lost any. Durable on return."""
        loop = asyncio.get_running_loop()
        async with self._maintenance:
            chosen = await loop.run_in_executor(self._worker, self._targets, record)
            before: list[tuple[int, set[int]]] = []
            stamped = record

            def apply(durable: entry.DeleteEntry) -> None:
                nonlocal stamped
                stamped = durable
                before.append(self._delete_in_head(chosen, durable))

            await self._journal().delete(record, apply)
            self._remember(stamped)
            count, touched = before[0]
            if self._forget is not None:
                for metric, _ in chosen:
                    self._forget(metric)
                chosen = await loop.run_in_executor(self._worker, self._targets, record)
            for metric, refs in chosen:
                erased, hit = await loop.run_in_executor(
                    self._worker, self._eraser.erase, metric, refs, record.start_ms, record.end_ms, stamped.stamp
                )
                count += erased
                touched |= hit
        if self._forget is not None and chosen:
            await self._journal().mark(entry.MarkEntry(changed=[metric.metric_key for metric, _ in chosen]))
        return count, touched

    def _targets(self, record: entry.DeleteEntry) -> list[tuple[MetricSeries, Int32s]]:
        return list(targets(record, self._registry, self._directory))

    def _delete_in_head(
        self, chosen: list[tuple[MetricSeries, Int32s]], record: entry.DeleteEntry
    ) -> tuple[int, set[int]]:
        view = self._head.view()  # what is in chunks is counted there
        count = 0
        touched: set[int] = set()
        for _, refs in chosen:
            for ref, parts in view.parts_of(view.among(refs)).items():
                lost = sum(
                    int(((part.times_ms >= record.start_ms) & (part.times_ms <= record.end_ms)).sum()) for part in parts
                )
                if lost:
                    count += lost
                    touched.add(ref)
            self._head.delete(tombstone_of(record, refs))
        return count, touched
