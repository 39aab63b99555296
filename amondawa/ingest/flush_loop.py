"""The loop that flushes when it is time, and tries again when a flush failed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from amondawa.errors import AmondawaError

LOOK_S = 1.0
LONGEST_PAUSE_S = 30.0

log = structlog.get_logger()


class FlushLoop:
    """Asks every second, and whenever somebody wants it, whether a flush is due. Lives on the event loop.

    Attributes:
        failures: flushes that failed.
        last_error: why the last of them did.
    """

    def __init__(self, is_due: Callable[[], bool], flush: Callable[[], Awaitable[None]]) -> None:
        self._is_due = is_due
        self._flush = flush
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.failures = 0
        self.last_error = ""

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; a flush that goes on is abandoned where it waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def want(self) -> None:
        """Have it asked at once."""
        self._wanted.set()

    async def _run(self) -> None:
        """After a failure wait longer and longer."""
        pause = LOOK_S
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), LOOK_S)
            self._wanted.clear()
            if not self._is_due():
                continue
            try:
                await self._flush()
                pause = LOOK_S
            except AmondawaError as error:
                self.failures += 1
                self.last_error = str(error)
                log.warning("flush failed, will be tried again", error=str(error), pause_s=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
                self._wanted.set()
