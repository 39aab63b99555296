"""The writer: journal, head, flush and deletes put together, with limits and back-pressure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from amondawa.errors import AmondawaError, Overloaded, Unavailable
from amondawa.index.blocks import OpenBlocks
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NameTable, RowDirectory
from amondawa.ingest import entry
from amondawa.ingest.deletes import Deleter
from amondawa.ingest.erase import Eraser
from amondawa.ingest.fairness import cut
from amondawa.ingest.fellowship import Fellowship
from amondawa.ingest.flush import Flusher
from amondawa.ingest.flush_loop import FlushLoop
from amondawa.ingest.generation import Generation
from amondawa.ingest.head import Head
from amondawa.ingest.journal import PENDING_BYTES, Journal
from amondawa.ingest.neighbours import Caches
from amondawa.ingest.numbers import Numbers
from amondawa.ingest.pacing import Pacing
from amondawa.ingest.receipts import ReceiptBook
from amondawa.ingest.recovery import Recovery
from amondawa.ingest.room import Room
from amondawa.ingest.spooling import Spooling
from amondawa.ingest.stamps import StampClock
from amondawa.ingest.sweep import Sweeper
from amondawa.ingest.turns import Turns
from amondawa.model.acknowledgement import Ack
from amondawa.model.points import WriteBatch
from amondawa.store.base import BlockStore
from amondawa.store.retention import Retention

T = TypeVar("T")
SETTLE_S = 3_600
"""Where several gateways share a store, rows are swept this long after the last of them must have flushed."""

log = structlog.get_logger()


class Writer:
    """All writes of one gateway. Methods run on the event loop unless they say otherwise.

    Args:
        changed: called (in a worker thread) with names of rows that changed in the store.
        forget_series: called (in any thread) with series of which any stored rows may have changed.
        now_ms: the wall clock.
        retention: how long points of a metric are kept.
        open_spooling: returns what takes entries while the store is away, opened; None = they are refused then.
        spool_head_bytes: memory for points while there are any in the spool, when that is more than the limit.
    """

    def __init__(
        self,
        store: BlockStore,
        registry: SeriesRegistry,
        blocks: OpenBlocks,
        directory: RowDirectory,
        names: NameTable,
        *,
        head_limit_bytes: int,
        flush_age_s: int,
        changed: Callable[[list[tuple[int, int]]], None],
        forget_series: Callable[[set[int]], None],
        now_ms: Callable[[], int],
        retention: Retention = Retention(),  # noqa: B008 - nothing in it changes but what it has looked up
        open_spooling: Callable[[], Spooling | None] = lambda: None,
        spool_head_bytes: int = 0,
        commit_wait_s: float = 0.0,
    ) -> None:
        self._store = store
        self._registry = registry
        self._caches = Caches(registry, blocks, directory, names, changed, forget_series)
        self._blocks = blocks
        self._open_spooling = open_spooling
        self.spooling: Spooling | None = None
        self._room = Room(head_limit_bytes, spool_head_bytes, lambda: self.memory_bytes, lambda: self.is_spooling)
        self._commit_wait_s = commit_wait_s if store.bills_writes else 0.0
        self._flush_age_ms = flush_age_s * 1000
        self._now_ms = now_ms
        self._turns = Turns(store, now_ms)
        self._eraser = Eraser(store, registry, blocks, directory, names, changed, self._turns)
        settle_s = flush_age_s + SETTLE_S if store.bills_writes else 0  # an embedded store has one gateway
        self._pacing = Pacing(billed=store.bills_writes)
        self._flusher = Flusher(store, registry, blocks, directory, names, changed, now_ms, settle_s, self._pacing)
        self._sweeper = Sweeper(store, registry, blocks, directory, names, self._eraser, retention, settle_s)
        self._worker = ThreadPoolExecutor(1, "flush")
        self._packer = ThreadPoolExecutor(1, "pack")
        self._maintenance = asyncio.Lock()
        self._flushes = FlushLoop(self._flush_is_due, self._flush_paced)
        self._packing = self._accepting = False
        self.head = Head(Generation(0, [], now_ms()))
        self.journal: Journal | None = None
        self._clock = StampClock() if store.shared is not None else None
        self._numbers = Numbers(store, now_ms, self._clock)
        self.fellowship = self._new_fellowship()
        self._deleter = self._new_deleter(directory)
        self.receipts = ReceiptBook()
        self.points_written = self.points_recovered = 0

    def _new_fellowship(self) -> Fellowship:
        return Fellowship(
            self._store,
            self._caches,
            self.head,
            self._flusher,
            self._eraser,
            self._worker,
            self._maintenance,
            self._numbers,
            self._clock,
            self._pacing.hurry,
        )

    def _new_deleter(self, directory: RowDirectory) -> Deleter:
        return Deleter(
            self._registry,
            directory,
            self.head,
            self._eraser,
            self._worker,
            self._maintenance,
            self._own_journal,
            self._caches.forget if self._store.shared is not None else None,
            self.fellowship.remember,
        )

    # life -------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the journal back, and those of other gateways, and begin to accept writes."""
        number, recovery = await asyncio.get_running_loop().run_in_executor(self._worker, self._recover)
        wait_s = self._commit_wait_s
        self.journal = Journal(self._store, self._registry, number, self._taken, self._clock, self.spooling, wait_s)
        await self.fellowship.join(recovery, self.journal)
        self._accepting = True
        self._flushes.start()

    def _recover(self) -> tuple[int, Recovery]:
        """Rebuild the head (worker thread); return the number of the segment to write next, and what was read."""
        segments = self._store.journal_segments()
        number = self._numbers.next(segments[-1] if segments else 0)
        generation = Generation(number, [*segments, number], self._now_ms())
        recovery = Recovery(self._store, self._registry, self._caches.directory, self.head.cache, self._eraser.erase)
        for segment in segments:
            recovery.replay(segment, generation)
        self.spooling = self._open_spooling()
        if self.spooling is not None:
            recovery.replay_spool(self.spooling.spool.replay(), generation)
        self.points_recovered = recovery.points
        self.receipts.recovered = recovery.receipts
        self.head.active = generation
        if self._clock is not None:
            self._clock.observe(recovery.last_stamp)
            self._flusher.note_finished()
        self._room.recover(generation.memory_bytes)
        if recovery.entries:
            log.info("journal recovered", segments=len(segments), entries=recovery.entries, points=recovery.points)
        return number, recovery

    def _own_journal(self) -> Journal:
        if self.journal is None:
            raise Unavailable("the gateway is starting")
        return self.journal

    async def stop(self, deadline_s: float) -> None:
        """Refuse writes, make what waits durable, flush as far as the deadline allows (the rest stays in the journal)."""
        end = time.monotonic() + deadline_s
        self._accepting = False
        self._sweeper.stop()
        await self._flushes.stop()
        if self.journal is not None:
            try:
                async with asyncio.timeout(max(0.1, end - time.monotonic())):
                    await self.flush(end)
            except (TimeoutError, AmondawaError) as error:
                log.warning("flush at stop did not finish; the journal keeps the rest", error=str(error))
            await self.fellowship.leave()
            await self.journal.stop()
        self._worker.shutdown(wait=True)
        self._packer.shutdown(wait=True)

    # writes -----------------------------------------------------------------------------------------------------------

    @property
    def is_spooling(self) -> bool:
        """Whether writes go to the spool."""
        return self.spooling is not None and self.spooling.active

    @property
    def memory_bytes(self) -> int:
        """Bytes of points not yet in chunks."""
        return self.head.memory_bytes + (self.journal.pending_bytes if self.journal else 0)

    @property
    def congested(self) -> bool:
        """Whether writers that can wait should."""
        pending = self.journal.pending_bytes if self.journal else 0
        return not self._accepting or pending > PENDING_BYTES // 2 or self._room.is_short

    def congested_for(self, domain: str) -> bool:
        """Whether writers of a domain that can wait should: sooner for one that takes more than its share."""
        if not self._accepting or self.journal is None:
            return True
        return self.journal.pending.full_for(domain, PENDING_BYTES // 2) or self._room.is_short_for(domain)

    async def write(self, batch: WriteBatch) -> Ack:
        """Make a batch durable and visible; say where it is durable.

        Raises:
            Overloaded: the memory budget is used up.
            StorageFull: there is no room for the journal, or the spool is full.
            Unavailable: not started, or stopping, or the store is away and nothing is spooled.
        """
        if not len(batch):
            return Ack.STORED
        if not self._accepting or self.journal is None:
            raise Unavailable("the gateway is starting or stopping")
        domain = self._registry.metric_of(int(batch.refs[0])).domain
        if self.journal.pending.full_for(domain) or self._room.is_full_for(domain):
            self._flushes.want()
            raise Overloaded("too many points wait to be stored; slow down")
        self._room.add(domain, batch.memory_bytes)
        if not self.journal.shared:
            return await self.journal.append(batch)
        acks = await asyncio.gather(*[self.journal.append(piece) for piece in cut(batch)])
        return Ack.SPOOLED if Ack.SPOOLED in acks else Ack.STORED

    async def note(self, receipt: bytes) -> None:
        """Make a receipt durable that no write carries. Raises StorageFull, Unavailable."""
        if self.journal is None:
            raise Unavailable("the gateway is starting or stopping")
        await self.journal.note(receipt)

    def _taken(self, batch: WriteBatch) -> None:
        active = self.head.active
        self.head.append(batch)
        self.points_written += len(batch)
        if active.wants_packing and not self._packing:
            self._packing = True
            asyncio.get_running_loop().run_in_executor(self._packer, self._pack, active)
        share = self._room.share_bytes(self.fellowship.others)
        if active.memory_bytes > share:
            self._flushes.want()
        if self.head.frozen and active.memory_bytes > share // 2:
            self._pacing.hurry()

    def _pack(self, generation: Generation) -> None:
        try:
            generation.pack(self.head.cache)
        finally:
            self._packing = False

    # deletes ----------------------------------------------------------------------------------------------------------

    async def delete(self, record: entry.DeleteEntry) -> tuple[int, set[int]]:
        """Carry out a delete; return how many points went and the refs that lost any. Durable on return."""
        if not self._accepting or self.journal is None:
            raise Unavailable("the gateway is starting or stopping")
        self._pacing.hurry()
        return await self._deleter.delete(record)

    # flush ------------------------------------------------------------------------------------------------------------

    def _flush_is_due(self) -> bool:
        if self._room.is_tight:
            self.head.forget_kept()
        active, spooling = self.head.active, self.spooling
        if self.head.frozen:
            return True
        if not active.points or self.is_spooling:
            return False  # what is in the spool is stored first: a generation is flushed whole
        if spooling is not None and spooling.is_late and self.head.in_company:
            return True
        now = self._now_ms()
        width_ms = self._blocks.plan.column_height_s * 1000
        row_closed = self._pacing.row_is_over(active.opened_ms, now, width_ms)
        old = now - active.opened_ms >= self._flush_age_ms
        return row_closed or old or active.memory_bytes > self._room.share_bytes(self.fellowship.others)

    async def flush(self, until: float | None = None) -> None:
        """Write everything that is in the head now as chunks.

        Args:
            until: give up at this time.monotonic() (what is left stays in the journal).

        Raises:
            StorageFull, StoreError: it stays in the head and in the journal.
        """
        self._pacing.hurry()
        await self._flush(until)

    async def _flush_paced(self) -> None:
        """As `flush`, without a storm on the tables, unless memory runs out."""
        if self._room.is_half_empty:
            self._pacing.begin()
        try:
            await self._flush(None)
        finally:
            self._pacing.end()

    async def _flush(self, until: float | None) -> None:
        loop = asyncio.get_running_loop()
        async with self._maintenance:
            if not self.head.frozen and self.head.active.points:
                await self._freeze()
            if self.head.frozen:  # what others overwrote or deleted until the freeze must be known, see `overwritten`
                await self.fellowship.hear()
            for generation in self.head.frozen:
                await loop.run_in_executor(self._worker, self._flush_one, generation, until)
                await self.fellowship.tell(entry.MarkEntry(released=generation.segments))
                await loop.run_in_executor(self._worker, self._release, generation)

    async def _freeze(self) -> None:
        loop = asyncio.get_running_loop()
        number = await loop.run_in_executor(self._worker, self._numbers.next, self.head.active.number)
        successor = Generation(number, [number], self._now_ms())
        frozen = self.head.active
        await self._own_journal().rotate(number, lambda: self._swap(successor))
        frozen.chunk_number = await self.fellowship.frozen_number(number)
        living = self.receipts.living()
        if living:  # the segments that hold them are about to go
            await self._own_journal().note(living)

    def _swap(self, successor: Generation) -> None:
        self.head.freeze(successor)
        self._room.begin_anew()
        if self.spooling is not None:
            self.spooling.is_late = False

    def _flush_one(self, generation: Generation, until: float | None) -> None:
        """Write one generation as chunks (worker thread)."""
        started = time.monotonic()
        self._flusher.flush(generation, self.head, generation.chunk_number, until)
        log.info("flushed", points=generation.points, seconds=round(time.monotonic() - started, 3))

    def _release(self, generation: Generation) -> None:
        """Let a generation that is in chunks go, with its segments (worker thread)."""
        self.head.release(generation)
        for segment in generation.segments:
            self._store.journal_drop(segment)
        self._store.tidy()

    async def sweep(self) -> int:
        """Remove what has expired or is past its retention; return how many points went. See Sweeper.sweep.

        While a paced flush goes on it is left for the next time.
        """
        if self._pacing.is_pacing:
            return 0
        async with self._maintenance:
            sweep, now_ms = self._sweeper.sweep, self._now_ms()
            swept = await asyncio.get_running_loop().run_in_executor(self._worker, sweep, now_ms)
        changed = self._sweeper.take_changed()
        if changed:
            await self.fellowship.tell(entry.MarkEntry(changed=changed))
        return swept

    @property
    def is_flushing(self) -> bool:
        """Whether a generation is being written, or waits to be written again."""
        return bool(self.head.frozen)

    async def exclusively(self, work: Callable[[], T]) -> T:
        """Run work in the worker thread while nothing is flushed, deleted or swept.

        Raises:
            Unavailable: a flush that failed half-way is still to be repeated.
        """
        async with self._maintenance:
            if self.is_flushing:
                raise Unavailable("points wait to be flushed again")
            return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges of the write path."""
        return {
            "points_written": self.points_written,
            "points_recovered": self.points_recovered,
            "points_swept": self._sweeper.points_swept,
            "flush_failures": self._flushes.failures,
            "head_points": self.head.points,
            "head_bytes": self.head.memory_bytes,
            **self._flusher.statistics(),
            **self.fellowship.statistics(),
            **(self.spooling.statistics() if self.spooling else {}),
            **(self.journal.statistics() if self.journal else {}),
        }
