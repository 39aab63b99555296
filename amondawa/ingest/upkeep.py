"""The upkeep of a gateway's store in the background: maintenance of its blocks, and the sweep, at intervals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from amondawa.errors import AmondawaError, Cancelled
from amondawa.ingest.maintenance import Maintainer, Report

INTERVAL_S = 60.0
SWEEP_INTERVAL_MS = 60_000
BILLED_SWEEP_INTERVAL_MS = 900_000
"""the same where looking whether anything is due costs money"""

log = structlog.get_logger()


class Upkeep:
    """Runs passes until it is stopped; a pass that fails is tried again at the next interval. Lives on the event loop.

    Args:
        maintainer: looks after blocks, in a thread of its own.
        sweep: removes what is due.
        now_ms: the wall clock.
        billed: reads cost money, so that it is looked less often whether anything is to be swept.
    """

    def __init__(
        self,
        maintainer: Maintainer,
        sweep: Callable[[], Awaitable[int]],
        now_ms: Callable[[], int],
        *,
        billed: bool,
    ) -> None:
        self._maintainer = maintainer
        self._sweep = sweep
        self._sweep_interval_ms = BILLED_SWEEP_INTERVAL_MS if billed else SWEEP_INTERVAL_MS
        self._now_ms = now_ms
        self._swept_ms: int | None = None
        self._pool = ThreadPoolExecutor(1, "maintenance")
        self._task: asyncio.Task[None] | None = None
        self.failures = 0

    async def start(self) -> None:
        """Look after the blocks once, then go on in the background."""
        await self._try(self._maintain)
        self._swept_ms = self._now_ms()
        self._task = asyncio.create_task(self._repeat())

    async def stop(self) -> None:
        """End, and let another gateway take over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        await self._try(lambda: asyncio.to_thread(self._maintainer.end, self._now_ms()))

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self._try(self.run)

    async def _try(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except Cancelled:
            log.info("upkeep ended by the stop of the gateway")
        except AmondawaError as error:
            self.failures += 1
            log.warning("upkeep of the store failed, will be tried again", error=str(error))

    async def run(self) -> Report:
        """Make one pass: maintenance, and the sweep when this gateway holds the lease and it is time.

        Raises:
            AmondawaError: the store failed; what is left is for the next pass.
        """
        report = await self._maintain()
        now_ms = self._now_ms()
        if report.held and (self._swept_ms is None or now_ms - self._swept_ms >= self._sweep_interval_ms):
            await self._sweep()
            self._swept_ms = now_ms
        return report

    async def _maintain(self) -> Report:
        loop = asyncio.get_running_loop()
        report = await loop.run_in_executor(self._pool, self._maintainer.run, self._now_ms())
        self.failures += len(report.failed)
        return report
