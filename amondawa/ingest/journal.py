"""The journal: what makes a write durable. One thread commits; whatever waits shares one commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from amondawa.errors import AmondawaError, StoreError, Unavailable
from amondawa.index.registry import SeriesRegistry
from amondawa.ingest import entry
from amondawa.ingest.fairness import SHARED_POINTS, FairQueue, Shares
from amondawa.ingest.gathering import ENOUGH_BYTES, Gathering
from amondawa.ingest.naming import LooseEntry, SeriesNames
from amondawa.ingest.run import join_batches
from amondawa.ingest.spooling import Spooling
from amondawa.ingest.stamps import StampClock
from amondawa.model.acknowledgement import Ack
from amondawa.model.company import Company
from amondawa.model.points import Int32s, Points, WriteBatch
from amondawa.model.receipt import Receipt, take_receipt
from amondawa.store import keys
from amondawa.store.base import BlockStore
from amondawa.store.payer import paid_by

GROUP_POINTS = 131_072
"""A commit takes at most about this many points, so that an acknowledgement never waits long for others."""
PENDING_BYTES = 32 * 1024 * 1024
"""Batches that wait for their commit may occupy this much."""
_GATEWAY = ""
"""the turn of what is no domain's"""
_NO_POINTS = WriteBatch.of(np.empty(0, np.int32), Points.empty())


@dataclass(slots=True, eq=False)
class _Write:
    batch: WriteBatch
    domain: str
    size_bytes: int
    done: asyncio.Future[Ack]
    receipt: Receipt | None = None


@dataclass(slots=True, eq=False)
class _Delete:
    record: entry.DeleteEntry
    done: asyncio.Future[None]
    applied: Callable[[entry.DeleteEntry], None]


@dataclass(slots=True, eq=False)
class _Rotate:
    segment: int
    done: asyncio.Future[None]
    applied: Callable[[], None]


@dataclass(slots=True, eq=False)
class _Mark:
    record: entry.MarkEntry
    done: asyncio.Future[None]
    applied: Callable[[], None]


_Operation = _Write | _Delete | _Rotate | _Mark


class Journal:
    """Appends in the order asked for. Callbacks run on the event loop in the same order as the entries.

    Args:
        store: where entries go.
        registry: to name series.
        segment: number of the first segment to write.
        taken: called on the event loop with every batch that has become durable.
        clock: gives the stamps of entries, where several gateways share the store; None = entries have none.
        spooling: takes entries while the store is away; None = they are refused then.
        wait_s: how long small writes wait for each other, see Gathering.
    """

    def __init__(
        self,
        store: BlockStore,
        registry: SeriesRegistry,
        segment: int,
        taken: Callable[[WriteBatch], None],
        clock: StampClock | None = None,
        spooling: Spooling | None = None,
        wait_s: float = 0.0,
    ) -> None:
        self._store = store
        self._clock = clock
        self._registry = registry
        self._taken = taken
        self.segment = segment
        self._sequence = 0
        self._names = SeriesNames()
        self._spooling = spooling
        self._gathering = Gathering(wait_s)
        self._loop = asyncio.get_running_loop()
        self._queue: FairQueue[_Operation] = FairQueue()
        self._company = Company()
        self.pending = Shares(PENDING_BYTES)
        self._wakeup = threading.Condition()
        self._stopping = False
        self._unsettled: tuple[bytes, Callable[[], None]] | None = None
        self.entries = 0
        self.bytes_written = 0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        if spooling is not None:
            spooling.start(self._store_entry)
        self._thread.start()

    # event loop side --------------------------------------------------------------------------------------------------

    def append(self, batch: WriteBatch) -> asyncio.Future[Ack]:
        """Queue a batch; the future says where it is durable once it is taken, or carries the error that kept it out."""
        done = self._loop.create_future()
        domain, size_bytes = self._registry.metric_of(int(batch.refs[0])).domain, batch.memory_bytes
        self.pending.add(domain, size_bytes)
        self._put(domain, _Write(batch, domain, size_bytes, done, take_receipt()), len(batch))
        return done

    def note(self, receipts: bytes) -> asyncio.Future[Ack]:
        """Queue receipts that belong to no write; the future is as that of `append`."""
        done = self._loop.create_future()
        self._put(_GATEWAY, _Write(_NO_POINTS, _GATEWAY, 0, done, Receipt(receipts, taken=True)), 1)
        return done

    @property
    def shared(self) -> bool:
        """Whether several domains write at the same time: none may then commit much at once."""
        return self._company.shared

    @property
    def pending_bytes(self) -> int:
        """Bytes of all batches that wait for their commit."""
        return self.pending.total

    def delete(self, record: entry.DeleteEntry, applied: Callable[[entry.DeleteEntry], None]) -> asyncio.Future[None]:
        """Queue a delete; `applied` is called with it, stamped, on the event loop at its place in the order."""
        done = self._loop.create_future()
        self._put(_domain_of(record), _Delete(record, done, applied), None)
        return done

    def rotate(self, segment: int, applied: Callable[[], None]) -> asyncio.Future[None]:
        """Begin a new segment; `applied` is called on the event loop at that place in the order."""
        done = self._loop.create_future()
        self._put(_GATEWAY, _Rotate(segment, done, applied), None)
        return done

    def mark(self, record: entry.MarkEntry) -> asyncio.Future[None]:
        """Queue a mark for the gateways that follow this journal."""
        done = self._loop.create_future()
        self._put(_GATEWAY, _Mark(record, done, _nothing), None)
        return done

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges."""
        return {
            "journal_entries": self.entries,
            "journal_bytes_written": self.bytes_written,
            "journal_pending_bytes": self.pending_bytes,
        }

    async def stop(self) -> None:
        """Commit what is queued and end the thread."""
        with self._wakeup:
            self._stopping = True
            self._wakeup.notify()
        await asyncio.to_thread(self._thread.join)
        if self._spooling is not None:
            await asyncio.to_thread(self._spooling.stop)

    def _put(self, domain: str, operation: _Operation, points: int | None) -> None:
        with self._wakeup:
            if domain:
                self._company.enter(domain)
            self._queue.put(domain, operation, points)
            self._wakeup.notify()

    # journal thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wakeup:
                while not self._queue and not self._stopping:
                    self._wakeup.wait()
                if not self._queue:
                    return
                self._gathering.wait(self._wakeup, self._has_enough)
            if self._spooling is not None:
                self._spooling.gather()
            with self._wakeup:
                group = self._queue.take(SHARED_POINTS if self.shared else GROUP_POINTS)
            try:
                self._commit(group)
            except AmondawaError as error:
                self._loop.call_soon_threadsafe(self._refuse, group, error)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any fault of a store
                failure = StoreError(f"journal: {type(error).__name__}: {error}")
                self._loop.call_soon_threadsafe(self._refuse, group, failure)

    def _has_enough(self) -> bool:
        return self._stopping or self.pending.total >= ENOUGH_BYTES

    def _commit(self, group: list[_Operation]) -> None:
        first = group[0]
        if isinstance(first, _Rotate):
            self._require_direct("a segment cannot be ended")
            self._settle()
            if self._clock is not None:
                mark = entry.MarkEntry(next_segment=first.segment, stamp=self._clock.next())
                self._append(entry.encode_mark(mark), lambda: self._rotated(first))
            self._rotated(first)
        elif isinstance(first, _Delete):
            self._require_direct("points cannot be deleted")
            self._settle()
            if self._clock is not None and not first.record.stamp:
                first.record = replace(first.record, stamp=self._clock.next())
            with paid_by({_domain_of(first.record): 1.0}):
                self._append(entry.encode_delete(first.record), lambda: self._on_loop(self._apply, first))
            self._on_loop(self._apply, first)
        elif isinstance(first, _Mark):
            if self._clock is not None:
                first.record = replace(first.record, stamp=self._clock.next())
            self._keep(LooseEntry(first.record))
            self._on_loop(self._apply, first)
        else:
            writes = [one for one in group if isinstance(one, _Write)]
            batch = join_batches([one.batch for one in writes])
            stamp = self._clock.next() if self._clock is not None else 0
            receipts = b"".join([one.receipt.data for one in writes if one.receipt is not None])
            ack = self._keep(LooseEntry(batch, stamp, receipts, _points_by_domain(writes)))
            if stamp:
                batch = replace(batch, stamps=entry.same_stamp(stamp, len(batch)))
            self._on_loop(self._take, writes, batch, ack)

    def _require_direct(self, what: str) -> None:
        if self._spooling is not None:
            self._spooling.require_direct(what)

    def _keep(self, loose: LooseEntry) -> Ack:
        """Make an entry durable, in the store or in the spool."""
        if self._spooling is not None:
            return self._spooling.keep(loose)
        self._store_entry(loose)
        return Ack.STORED

    def _store_entry(self, loose: LooseEntry) -> None:
        """Append an entry to the present segment (journal thread; that of the spool while it is drained)."""
        self._settle()
        payload, new_refs = loose.encode(self._names, self._registry)
        spools = self._spooling is not None and self._spooling.accepts
        with paid_by(loose.payers):
            self._append(payload, None if spools else lambda: self._stored_late(loose, new_refs))
        self._names.add(new_refs)

    def _rotated(self, operation: _Rotate) -> None:
        self.segment, self._sequence = operation.segment, 0
        self._names.clear()
        self._on_loop(self._apply, operation)

    def _stored_late(self, loose: LooseEntry, new_refs: Int32s) -> None:
        """Take points that were refused because it was not known that they are stored."""
        self._names.add(new_refs)
        if isinstance(loose.record, WriteBatch):
            self._on_loop(self._taken, replace(loose.record, stamps=entry.same_stamp(loose.stamp, len(loose.record))))

    def _append(self, payload: bytes, late: Callable[[], None] | None = None) -> None:
        """Append an entry. Where others follow the journal, one of which it is not known whether it is there stays the next.

        It may have been read: no other entry may get its place. `late` does what follows from it then.
        """
        try:
            self._store.journal_append(self.segment, self._sequence, payload)
        except Unavailable:
            if self._clock is not None and late is not None:
                self._unsettled = payload, late
            raise
        self._sequence += 1
        self.entries += 1
        self.bytes_written += len(payload)

    def _settle(self) -> None:
        """Append what may or may not be in the journal before anything else. Raises Unavailable."""
        if self._unsettled is not None:
            payload, late = self._unsettled
            self._append(payload)
            self._unsettled = None
            late()

    def _on_loop(self, call: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)

    # back on the event loop -------------------------------------------------------------------------------------------

    def _take(self, writes: Sequence[_Write], batch: WriteBatch, ack: Ack) -> None:
        self._taken(batch)
        for one in writes:
            self.pending.add(one.domain, -one.size_bytes)
            if one.receipt is not None:
                one.receipt.durable = True
            if not one.done.done():
                one.done.set_result(ack)

    def _apply(self, operation: _Delete | _Rotate | _Mark) -> None:
        try:
            if isinstance(operation, _Delete):
                operation.applied(operation.record)
            else:
                operation.applied()
        except BaseException as error:
            operation.done.set_exception(error)  # whoever waits must not wait for ever
            raise
        if not operation.done.done():
            operation.done.set_result(None)

    def _refuse(self, group: Sequence[_Operation], error: AmondawaError) -> None:
        for one in group:
            if isinstance(one, _Write):
                self.pending.add(one.domain, -one.size_bytes)
            if not one.done.done():
                one.done.set_exception(error)


def _points_by_domain(writes: Sequence[_Write]) -> dict[str, int]:
    points: dict[str, int] = {}
    for one in writes:
        points[one.domain] = points.get(one.domain, 0) + len(one.batch)
    return points


def _domain_of(record: entry.DeleteEntry) -> str:
    """Return whose points a delete removes: it must keep its place among the writes of that domain."""
    if not record.keys:
        return _GATEWAY
    key = record.keys[0]
    return keys.parse_metric_key(key)[0] if record.whole_metric else keys.parse_series_key(key).domain


def _nothing() -> None:
    """What is to be done once a mark is durable."""
