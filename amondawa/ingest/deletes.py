"""Deletes: hidden in the head at their place in the journal, then removed from the chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from amondawa.errors import AmondawaError
from amondawa.index.columns import MetricSeries
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import RowDirectory
from amondawa.ingest import entry
from amondawa.ingest.erase import Eraser
from amondawa.ingest.head import Head
from amondawa.ingest.journal import Journal
from amondawa.ingest.recovery import targets, tombstone_of
from amondawa.model.points import Int32s

log = structlog.get_logger()


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
        self._late: set[asyncio.Task[None]] = set()
        self._forget = forget

    async def delete(self, record: entry.DeleteEntry) -> tuple[int, set[int]]:
        """Carry out a delete; return how many points went and the refs that lost any. Durable on return.

        Raises:
            Unavailable: it is not known whether it is in the journal. When it turns out that it is, it is carried out then.
        """
        loop = asyncio.get_running_loop()
        refused = False
        async with self._maintenance:
            chosen = await loop.run_in_executor(self._worker, self._targets, record)
            hidden: list[tuple[entry.DeleteEntry, int, set[int]]] = []

            def apply(durable: entry.DeleteEntry) -> None:
                hidden.append((durable, *self._delete_in_head(chosen, durable)))
                self._remember(durable)
                if refused:
                    late = loop.create_task(self._erase_late(durable, chosen))
                    self._late.add(late)
                    late.add_done_callback(self._late.discard)

            try:
                await self._journal().delete(record, apply)
            except AmondawaError:
                refused = True
                raise
            durable, count, touched = hidden[0]
            erased, hit = await self._erase(durable, chosen)
        await self._tell(chosen)
        return count + erased, touched | hit

    async def _erase(
        self, record: entry.DeleteEntry, chosen: list[tuple[MetricSeries, Int32s]]
    ) -> tuple[int, set[int]]:
        """Remove the points from the chunks; return how many went and the refs that lost any."""
        loop = asyncio.get_running_loop()
        if self._forget is not None:
            for metric, _ in chosen:
                self._forget(metric)
            chosen = await loop.run_in_executor(self._worker, self._targets, record)
        count = 0
        touched: set[int] = set()
        for metric, refs in chosen:
            erased, hit = await loop.run_in_executor(
                self._worker, self._eraser.erase, metric, refs, record.start_ms, record.end_ms, record.stamp
            )
            count += erased
            touched |= hit
        return count, touched

    async def _erase_late(self, record: entry.DeleteEntry, chosen: list[tuple[MetricSeries, Int32s]]) -> None:
        try:
            async with self._maintenance:
                await self._erase(record, chosen)
            await self._tell(chosen)
        except AmondawaError as error:
            log.warning("a delete is not carried out yet; the next start does it", error=str(error))

    async def _tell(self, chosen: list[tuple[MetricSeries, Int32s]]) -> None:
        if self._forget is not None and chosen:
            await self._journal().mark(entry.MarkEntry(changed=[metric.metric_key for metric, _ in chosen]))

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
