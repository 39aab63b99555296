"""Points of one connection on their way to the gateway: in order, bounded, never dropped.

While one write is on its way to the disk, what arrives is collected and becomes the next write: a fast client needs few
journal entries, a slow one waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import numpy as np

from amondawa.errors import AmondawaError, Unavailable
from amondawa.model.points import WriteBatch, join_texts

QUEUE_BYTES = 4 * 1024 * 1024
"""columns that one connection may have under way"""
SHARED_BYTES = 48 * 1024 * 1024
"""columns that all connections of a dialect may have under way; past it each has one batch at a time"""
WRITE_POINTS = 100_000
"""points of one write"""
BATCH_BYTES = 1_024
"""what a batch takes beside its columns"""
RETRY_S = 0.25

_log = logging.getLogger(__name__)


class LineDoor(Protocol):
    """What of a gateway's door lines need; see GatewayDoor."""

    async def write(self, batch: WriteBatch) -> None:
        """Make a batch durable."""

    @property
    def congested(self) -> bool:
        """Whether to stop reading now."""

    async def wait_until_clear(self) -> None:
        """Return when `congested` is false again."""


class Budget:
    """Bytes that all connections of a dialect have under way."""

    def __init__(self, limit_bytes: int = SHARED_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0


class WriteQueue:
    """Writes batches one after the other.

    Args:
        gateway: where to.
        budget: shared with the other connections.
        settle: awaited before every write.
        refused: takes the error of points that will never be stored.
    """

    def __init__(
        self,
        gateway: LineDoor,
        budget: Budget,
        settle: Callable[[], Awaitable[None]],
        refused: Callable[[AmondawaError], None],
    ) -> None:
        self._gateway = gateway
        self._budget = budget
        self._settle = settle
        self._refused = refused
        self._waiting: list[WriteBatch] = []
        self._bytes = 0
        self._worker: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()

    async def put(self, batch: WriteBatch) -> None:
        """Take a batch; return when there is room for more and the gateway wants more."""
        self._check_worker()
        self._waiting.append(batch)
        self._count(_size_bytes(batch))
        if self._worker is None:
            self._worker = asyncio.ensure_future(self._work())
        while self._full and not self._worker.done():
            self._progress.clear()
            await self._progress.wait()
        if self._gateway.congested:
            await self._gateway.wait_until_clear()

    async def drain(self) -> None:
        """Return when everything taken so far is durable or refused."""
        if self._worker is not None:
            await asyncio.wait({self._worker})
            self._check_worker()

    @property
    def _full(self) -> bool:
        return self._bytes > QUEUE_BYTES or self._budget.used_bytes > self._budget.limit_bytes

    def _count(self, size: int) -> None:
        self._bytes += size
        self._budget.used_bytes += size

    def _check_worker(self) -> None:
        """Forget a worker that has ended; raise what it ended with, if that was a fault of ours."""
        worker = self._worker
        if worker is not None and worker.done():
            self._worker = None
            worker.result()

    async def _work(self) -> None:
        try:
            while self._waiting:
                batches = self._next()
                await self._write(join_batches(batches))
                self._count(-sum(map(_size_bytes, batches)))
                self._progress.set()
        finally:
            self._waiting.clear()
            self._count(-self._bytes)
            self._progress.set()

    def _next(self) -> list[WriteBatch]:
        points = count = 0
        while count < len(self._waiting) and points < WRITE_POINTS:
            points += len(self._waiting[count])
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def _write(self, batch: WriteBatch) -> None:
        """Write a batch, again and again while the gateway says later."""
        while True:
            try:
                await self._settle()
                await self._gateway.write(batch)
                return
            except Unavailable as error:
                _log.warning("telnet points wait: %s", error)
                await self._gateway.wait_until_clear()
                await asyncio.sleep(RETRY_S)
            except AmondawaError as error:
                self._refused(error)
                return


def _size_bytes(batch: WriteBatch) -> int:
    return batch.memory_bytes + BATCH_BYTES


def join_batches(batches: Sequence[WriteBatch]) -> WriteBatch:
    """Put batches one after the other."""
    if len(batches) == 1:
        return batches[0]
    texts, bits = join_texts([(batch.kinds, batch.bits, batch.texts) for batch in batches])
    expires = None
    if any(batch.expires_ms is not None for batch in batches):
        columns = [np.zeros(len(b), np.int64) if b.expires_ms is None else b.expires_ms for b in batches]
        expires = np.concatenate(columns)
    return WriteBatch(
        np.concatenate([batch.refs for batch in batches]),
        np.concatenate([batch.times_ms for batch in batches]),
        np.concatenate([batch.kinds for batch in batches]),
        bits,
        texts,
        expires,
    )
