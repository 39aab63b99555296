"""What this gateway does about the others on one store: hears of their deletes and flushes, and brings home what one left.

docs/architecture.md, "Several gateways on one table space", says why each step is where it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import structlog

from amondawa.errors import AmondawaError
from amondawa.index.blocks import OpenBlocks
from amondawa.index.columns import MetricSeries
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NameTable, RowDirectory
from amondawa.ingest import entry
from amondawa.ingest.erase import Eraser
from amondawa.ingest.flush import SLICE_POINTS, Flusher
from amondawa.ingest.follow import Tail
from amondawa.ingest.generation import Generation
from amondawa.ingest.head import Head
from amondawa.ingest.journal import Journal
from amondawa.ingest.recovery import targets, tombstone_of
from amondawa.ingest.run import Tombstone, slices_of
from amondawa.ingest.stamps import StampClock
from amondawa.model.points import Int32s, WriteBatch
from amondawa.store import keys
from amondawa.store.shared import Shard, SharedJournals

LATE_S = 10.0
"""Points may arrive this much later than a delete that hides them."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Caches:
    """What of the store is held in memory, to be put right when another gateway changes the store.

    Attributes:
        changed: forgets rows by (ref, base time).
        forget_series: forgets all rows of some series.
    """

    registry: SeriesRegistry
    blocks: OpenBlocks
    directory: RowDirectory
    names: NameTable
    changed: Callable[[list[tuple[int, int]]], None]
    forget_series: Callable[[set[int]], None]

    def note_rows(self, batch: WriteBatch) -> None:
        """Note that another gateway stored points: cached rows are out of date, and rows and names not known are read anew.

        They are not taken for written: it may have left out points that were overwritten meanwhile.
        """
        height = self.blocks.plan.column_height_s
        numbers = keys.row_numbers(batch.times_ms, height)
        for number in np.unique(numbers).tolist():
            base_s = number * height
            refs = np.unique(batch.refs[numbers == number])
            block = self.blocks.known(base_s)
            if block is not None:
                for (domain, name), own in self.registry.by_metric(refs).items():
                    metric = self.registry.metric_or_new(domain, name)
                    self.directory.doubt(metric, block, base_s, own)
                    self.names.doubt(domain, name, block, self.registry.pairs_of(metric, own))
            self.changed([(ref, base_s) for ref in refs.tolist()])

    def forget(self, metric: MetricSeries) -> None:
        """Forget what is known of a metric's rows and its domain's names."""
        self.directory.forget_metric(metric)
        self.names.forget_domain(metric.domain)
        self.forget_series(set(metric.refs.tolist()))

    def forget_everything(self) -> None:
        """Forget all rows and names."""
        blocks = self.blocks.listed()
        self.directory.forget(blocks)
        self.names.forget(blocks)
        self.changed([])


class Neighbours:
    """News and Heir, see there; their methods are called in the thread that follows the others' journals.

    Args:
        worker: where flushes and deletes run, one at a time under `maintenance`.
        next_number: gives numbers for chunks, see Writer.
        journal: the own journal.
        clock: gives stamps.
        hurry: has a flush that goes on end as fast as it can.
        hear: returns when everything is known that other gateways acknowledged before.
    """

    def __init__(
        self,
        journals: SharedJournals,
        caches: Caches,
        head: Head,
        flusher: Flusher,
        eraser: Eraser,
        worker: ThreadPoolExecutor,
        maintenance: asyncio.Lock,
        next_number: Callable[[int], int],
        journal: Callable[[], Journal],
        clock: StampClock,
        hurry: Callable[[], None],
        hear: Callable[[], None],
    ) -> None:
        self._hear = hear
        self._clock = clock
        self._journals = journals
        self._caches = caches
        self._head = head
        self._flusher = flusher
        self._eraser = eraser
        self._worker = worker
        self._maintenance = maintenance
        self._next_number = next_number
        self._journal = journal
        self._hurry = hurry
        self._loop = asyncio.get_running_loop()
        self._deletes: list[entry.DeleteEntry] = []
        self._late: list[tuple[float, Tombstone]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._adopting: set[str] = set()
        self.adopted = 0

    # news -------------------------------------------------------------------------------------------------------------

    def released(self, generation: Generation) -> None:
        """See News: its rows are known before its points leave the head."""
        for batch in slices_of(generation.runs(), SLICE_POINTS, self._head.cache):
            self._caches.note_rows(batch)
        self._head.release(generation)

    def deleted(self, record: entry.DeleteEntry) -> None:
        """See News."""
        chosen = self.hidden(record)
        for metric, _ in chosen:
            self._flusher.doubt(metric.metric_key)
            self._caches.forget(metric)
        self._spawn(lambda: self._second(record, chosen))

    def hidden(self, record: entry.DeleteEntry) -> list[tuple[MetricSeries, Int32s]]:
        """See News: also points that arrive late. Returns the metrics and their series (refs ascending)."""
        chosen = list(targets(record, self._caches.registry, self._caches.directory))
        self.remember(record)
        new = [tombstone_of(record, refs) for _, refs in chosen]
        now = time.monotonic()
        self._late = [(since, one) for since, one in self._late if now - since < LATE_S] + [(now, one) for one in new]
        self._head.delete_late(new, [one for _, one in self._late])
        return chosen

    def remember(self, record: entry.DeleteEntry) -> None:
        """Keep a delete in mind for as long as a gateway may have flushed half of what it hid."""
        oldest_us = self._head.oldest_ms * 1000
        self._deletes = [one for one in self._deletes if one.stamp >= oldest_us and one.stamp != record.stamp]
        self._deletes.append(record)

    def changed(self, metric_keys: Sequence[bytes]) -> None:
        """See News: what the flusher took for granted meanwhile is written again, and what was cached is forgotten."""
        if not metric_keys:
            self._caches.forget_everything()
            return
        metrics = [self._caches.registry.metric_or_new(*keys.parse_metric_key(key)) for key in metric_keys]
        for metric in metrics:
            self._caches.forget(metric)
        self._spawn(lambda: self._settle(metrics))

    def _spawn(self, work: Callable[[], object]) -> None:
        """Have a coroutine run on the event loop."""

        def begin() -> None:
            task = asyncio.ensure_future(self._try(work))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._loop.call_soon_threadsafe(begin)

    async def _try(self, work: Callable[[], object]) -> None:
        try:
            await work()  # type: ignore[misc]
        except AmondawaError as error:
            log.warning("what another gateway left or asked for is not done here yet", error=str(error))

    async def _second(self, record: entry.DeleteEntry, chosen: list[tuple[MetricSeries, Int32s]]) -> None:
        """Keep a delete of another gateway in the own journal where it hid own points, and in chunks flushed meanwhile."""
        self._hurry()
        async with self._maintenance:
            view = self._head.own_view()
            if any(len(view.among(refs)) for _, refs in chosen):
                await self._journal().delete(replace(record, followed=True), _already_hidden)
            if self._flusher.finished_us >= record.stamp:
                await self._loop.run_in_executor(self._worker, self._erase_flushed, record, chosen)

    def _erase_flushed(self, record: entry.DeleteEntry, chosen: list[tuple[MetricSeries, Int32s]]) -> None:
        """Carry a delete out in what was flushed before it was heard of (worker thread).

        Chunks that are younger than the delete may hold older points too: its entry was on its way when they were frozen.
        """
        numbers = self._flusher.recent_numbers(record.stamp)
        for metric, refs in chosen:
            self._flusher.settle(metric, ended=False)
            self._eraser.erase(metric, refs, record.start_ms, record.end_ms, record.stamp)
            if numbers:
                later = self._head.later_times(refs, record.start_ms, record.end_ms, record.stamp)
                self._eraser.erase_flushed(metric, refs, record.start_ms, record.end_ms, numbers, later)

    async def _settle(self, metrics: Sequence[MetricSeries]) -> None:
        self._hurry()
        async with self._maintenance:
            for metric in metrics:
                await self._loop.run_in_executor(self._worker, partial(self._flusher.settle, metric, ended=True))

    # heir -------------------------------------------------------------------------------------------------------------

    def adopt(self, tail: Tail, shard: Shard) -> None:
        """See Heir."""
        if tail.name not in self._adopting:
            self._adopting.add(tail.name)
            self._spawn(lambda: self._adopt(tail, shard))

    async def _adopt(self, tail: Tail, shard: Shard) -> None:
        try:
            self._hurry()
            async with self._maintenance:
                await self._loop.run_in_executor(self._worker, self._bring_home, tail, shard)
        finally:
            self._adopting.discard(tail.name)

    def _bring_home(self, tail: Tail, shard: Shard) -> None:
        """Flush what a gateway that is gone had not stored, tell the others, drop its segments (worker thread)."""
        if not self._journals.claim(shard):
            return
        try:
            tail.look(sure=True)
            copies = tail.copies
            points = sum(copy.points for copy in copies)
            given = [(copy, self._next_number(copy.number)) for copy in copies]
            self._hear()  # what others overwrote before the numbers were given may be in chunks of lower ones
            for copy, number in given:
                self._flusher.flush(copy, self._head, number)
            changed = self._erase_again(tail, 1000 * min((copy.number for copy in copies), default=0))
            segment, sequence = tail.position
            numbers = [copy.number for copy in copies]
            mark = entry.MarkEntry(released=numbers, changed=changed, stamp=self._clock.next())
            self._journals.append(tail.name, segment, sequence, entry.encode_mark(mark))
            for number in numbers:
                tail.released(number)
                self._journals.drop(tail.name, number)
            self.adopted += 1
            log.info("brought home what a gateway left", gateway=tail.name, segments=len(numbers), points=points)
        finally:
            self._journals.free(tail.name)

    def _erase_again(self, tail: Tail, since_us: int) -> list[bytes]:
        """Carry deletes out that a gateway may have left half done, or whose points it may have been flushing when it went.

        Returns:
            the keys of the metrics.
        """
        caches = self._caches
        changed: set[bytes] = set()
        own = [one for records in tail.deletes.values() for one in records]
        for record in {
            one.stamp: one for one in (*self._deletes, *own) if one in own or one.stamp >= since_us
        }.values():
            for metric, refs in targets(record, caches.registry, caches.directory):
                caches.forget(metric)
                self._eraser.erase(metric, refs, record.start_ms, record.end_ms, record.stamp)
                changed.add(metric.metric_key)
        return sorted(changed)

    async def stop(self) -> None:
        """Wait for what was begun."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _already_hidden(_record: entry.DeleteEntry) -> None:
    """The points were hidden when the delete was heard of."""
