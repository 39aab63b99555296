"""The journal: what makes a write durable. One thread commits; whatever waits shares one commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from amondawa.errors import AmondawaError, StoreError
from amondawa.index.registry import SeriesRegistry
from amondawa.ingest import entry
from amondawa.ingest.fairness import FairQueue, Shares
from amondawa.ingest.receipts import with_receipts
from amondawa.ingest.run import join_batches
from amondawa.ingest.stamps import StampClock
from amondawa.model.company import Company
from amondawa.model.points import Int32s, Points, WriteBatch
from amondawa.model.receipt import Receipt, take_receipt
from amondawa.store import keys
from amondawa.store.base import BlockStore
from amondawa.store.payer import paid_by

GROUP_POINTS = 131_072
"""A commit takes at most about this many points, so that an acknowledgement never waits long for others."""
SHARED_POINTS = 16_384
"""The same while several domains write: nobody waits long for a commit of somebody else's."""
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
    done: asyncio.Future[None]
    receipt: Receipt | None = None


@dataclass(slots=True, eq=False)
class _Delete:
    record: entry.DeleteEntry
    done: asyncio.Future[None]
    applied: Callable[[], None]


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
    """

    def __init__(
        self,
        store: BlockStore,
        registry: SeriesRegistry,
        segment: int,
        taken: Callable[[WriteBatch], None],
        clock: StampClock | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._registry = registry
        self._taken = taken
        self.segment = segment
        self._sequence = 0
        self._named = np.zeros(1024, np.bool_)
        self._loop = asyncio.get_running_loop()
        self._queue: FairQueue[_Operation] = FairQueue()
        self._company = Company()
        self.pending = Shares(PENDING_BYTES)
        self._wakeup = threading.Condition()
        self._stopping = False
        self.entries = 0
        self.bytes_written = 0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    # event loop side --------------------------------------------------------------------------------------------------

    def append(self, batch: WriteBatch) -> asyncio.Future[None]:
        """Queue a batch; the future is done when it is durable and taken, or carries the error that kept it out."""
        done = self._loop.create_future()
        domain, size_bytes = self._registry.metric_of(int(batch.refs[0])).domain, batch.memory_bytes
        self.pending.add(domain, size_bytes)
        self._put(domain, _Write(batch, domain, size_bytes, done, take_receipt()), len(batch))
        return done

    def note(self, receipts: bytes) -> asyncio.Future[None]:
        """Queue receipts that belong to no write; the future is as that of `append`."""
        done = self._loop.create_future()
        self._put(_GATEWAY, _Write(_NO_POINTS, _GATEWAY, 0, done, Receipt(receipts, taken=True)), 1)
        return done

    @property
    def pending_bytes(self) -> int:
        """Bytes of all batches that wait for their commit."""
        return self.pending.total

    def delete(self, record: entry.DeleteEntry, applied: Callable[[], None]) -> asyncio.Future[None]:
        """Queue a delete; `applied` is called on the event loop at its place in the order."""
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

    async def stop(self) -> None:
        """Commit what is queued and end the thread."""
        with self._wakeup:
            self._stopping = True
            self._wakeup.notify()
        await asyncio.to_thread(self._thread.join)

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
                group = self._queue.take(SHARED_POINTS if self._company.shared else GROUP_POINTS)
            try:
                self._commit(group)
            except AmondawaError as error:
                self._loop.call_soon_threadsafe(self._refuse, group, error)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any fault of a store
                failure = StoreError(f"journal: {type(error).__name__}: {error}")
                self._loop.call_soon_threadsafe(self._refuse, group, failure)

    def _commit(self, group: list[_Operation]) -> None:
        first = group[0]
        if isinstance(first, _Rotate):
            if self._clock is not None:
                self._append(entry.encode_mark(entry.MarkEntry(next_segment=first.segment)))
            self.segment, self._sequence = first.segment, 0
            self._named[:] = False
            self._loop.call_soon_threadsafe(self._apply, first)
        elif isinstance(first, _Delete):
            with paid_by({_domain_of(first.record): 1.0}):
                self._append(entry.encode_delete(first.record))
            self._loop.call_soon_threadsafe(self._apply, first)
        elif isinstance(first, _Mark):
            self._append(entry.encode_mark(first.record))
            self._loop.call_soon_threadsafe(self._apply, first)
        else:
            writes = [one for one in group if isinstance(one, _Write)]
            batch = join_batches([one.batch for one in writes])
            new_refs = self._unnamed(batch.refs)
            new_keys = [self._registry.key_of(ref) for ref in new_refs.tolist()]
            stamp = self._clock.next() if self._clock is not None else 0
            receipts = b"".join([one.receipt.data for one in writes if one.receipt is not None])
            payload = with_receipts(entry.encode_points(batch, new_refs, new_keys, stamp), receipts)
            with paid_by(_points_by_domain(writes)):
                self._append(payload)
            self._named[new_refs] = True
            if stamp:
                batch = replace(batch, stamps=entry.same_stamp(stamp, len(batch)))
            self._loop.call_soon_threadsafe(self._take, writes, batch)

    def _append(self, payload: bytes) -> None:
        self._store.journal_append(self.segment, self._sequence, payload)
        self._sequence += 1
        self.entries += 1
        self.bytes_written += len(payload)

    def _unnamed(self, refs: Int32s) -> Int32s:
        """Return the distinct refs that this segment has not named yet."""
        top = int(refs.max()) + 1 if len(refs) else 0
        if top > len(self._named):
            grown = np.zeros(max(top, 2 * len(self._named)), np.bool_)
            grown[: len(self._named)] = self._named
            self._named = grown
        return np.unique(refs[~self._named[refs]])

    # back on the event loop -------------------------------------------------------------------------------------------

    def _take(self, writes: Sequence[_Write], batch: WriteBatch) -> None:
        self._taken(batch)
        for one in writes:
            self.pending.add(one.domain, -one.size_bytes)
            if one.receipt is not None:
                one.receipt.durable = True
            if not one.done.done():
                one.done.set_result(None)

    def _apply(self, operation: _Delete | _Rotate | _Mark) -> None:
        try:
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
