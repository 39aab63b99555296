"""The journal: what makes a write durable. One thread commits; whatever waits shares one commit."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from amondawa.errors import AmondawaError, StoreError
from amondawa.index.registry import SeriesRegistry
from amondawa.ingest import entry
from amondawa.ingest.receipts import with_receipts
from amondawa.ingest.run import join_batches
from amondawa.ingest.stamps import StampClock
from amondawa.model.points import Int32s, WriteBatch
from amondawa.store.base import BlockStore

GROUP_POINTS = 131_072
"""A commit takes at most about this many points, so that an acknowledgement never waits long for others."""


@dataclass(slots=True, eq=False)
class _Write:
    batch: WriteBatch
    size_bytes: int
    done: asyncio.Future[None]
    receipts: bytes = b""


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
        self._queue: deque[_Operation] = deque()
        self._wakeup = threading.Condition()
        self._stopping = False
        self.pending_bytes = 0
        self.entries = 0
        self.bytes_written = 0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    # event loop side --------------------------------------------------------------------------------------------------

    def append(self, batch: WriteBatch) -> asyncio.Future[None]:
        """Queue a batch; the future is done when it is durable and taken, or carries the error that kept it out."""
        done = self._loop.create_future()
        size_bytes = batch.memory_bytes
        self.pending_bytes += size_bytes
        self._put(_Write(batch, size_bytes, done))
        return done

    def delete(self, record: entry.DeleteEntry, applied: Callable[[], None]) -> asyncio.Future[None]:
        """Queue a delete; `applied` is called on the event loop at its place in the order."""
        done = self._loop.create_future()
        self._put(_Delete(record, done, applied))
        return done

    def rotate(self, segment: int, applied: Callable[[], None]) -> asyncio.Future[None]:
        """Begin a new segment; `applied` is called on the event loop at that place in the order."""
        done = self._loop.create_future()
        self._put(_Rotate(segment, done, applied))
        return done

    def mark(self, record: entry.MarkEntry) -> asyncio.Future[None]:
        """Queue a mark for the gateways that follow this journal."""
        done = self._loop.create_future()
        self._put(_Mark(record, done, _nothing))
        return done

    async def stop(self) -> None:
        """Commit what is queued and end the thread."""
        with self._wakeup:
            self._stopping = True
            self._wakeup.notify()
        await asyncio.to_thread(self._thread.join)

    def _put(self, operation: _Operation) -> None:
        with self._wakeup:
            self._queue.append(operation)
            self._wakeup.notify()

    # journal thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wakeup:
                while not self._queue and not self._stopping:
                    self._wakeup.wait()
                if not self._queue:
                    return
                group = self._next_group()
            try:
                self._commit(group)
            except AmondawaError as error:
                self._loop.call_soon_threadsafe(self._refuse, group, error)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any fault of a store
                failure = StoreError(f"journal: {type(error).__name__}: {error}")
                self._loop.call_soon_threadsafe(self._refuse, group, failure)

    def _next_group(self) -> list[_Operation]:
        """Take one delete or rotation, or as many writes as one commit should carry."""
        first = self._queue.popleft()
        group = [first]
        if not isinstance(first, _Write):
            return group
        points = len(first.batch)
        while self._queue and points < GROUP_POINTS:
            operation = self._queue[0]
            if not isinstance(operation, _Write):
                break
            points += len(operation.batch)
            group.append(self._queue.popleft())
        return group

    def _commit(self, group: list[_Operation]) -> None:
        first = group[0]
        if isinstance(first, _Rotate):
            if self._clock is not None:
                self._append(entry.encode_mark(entry.MarkEntry(next_segment=first.segment)))
            self.segment, self._sequence = first.segment, 0
            self._named[:] = False
            self._loop.call_soon_threadsafe(self._apply, first)
        elif isinstance(first, _Delete):
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
            self._append(entry.encode_points(batch, new_refs, new_keys, stamp))
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
            self.pending_bytes -= one.size_bytes
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
                self.pending_bytes -= one.size_bytes
            if not one.done.done():
                one.done.set_exception(error)


def _nothing() -> None:
    """What is to be done once a mark is durable."""
