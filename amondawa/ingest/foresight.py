"""Foresight: which rows are stored is read ahead for what is being written, so that it is known should the store go away.

A flush asks for the same a little later, so that this costs nothing more. The row that follows is asked for with the present
one: it may begin while the store is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from amondawa.errors import AmondawaError
from amondawa.index.blocks import OpenBlocks
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NameTable, RowDirectory
from amondawa.ingest.head import Head

INTERVAL_S = 5.0
MOST_METRICS = 500
"""metrics that one look asks for, so that many new ones do not crowd out everything else"""

log = structlog.get_logger()


class Foresight:
    """Looks at intervals for metrics that are new in the head. Lives on the event loop, reads in a thread of its own.

    Args:
        domain: whose names are read whether anything is written or not.
        outage: why the store is away; empty = it is not.
        now_ms: the wall clock.
    """

    def __init__(
        self,
        registry: SeriesRegistry,
        directory: RowDirectory,
        names: NameTable,
        blocks: OpenBlocks,
        head: Head,
        domain: str,
        outage: Callable[[], str],
        now_ms: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._directory = directory
        self._names = names
        self._blocks = blocks
        self._head = head
        self._domain = domain
        self._outage = outage
        self._now_ms = now_ms
        self._base_s: int | None = None
        self._known: set[tuple[str, str]] = set()
        self._pool = ThreadPoolExecutor(1, "foresight")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._repeat())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    async def _repeat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                if not self._outage():
                    await loop.run_in_executor(self._pool, self.look)
            except AmondawaError as error:
                log.warning("what is stored could not be read ahead", error=str(error))
            await asyncio.sleep(INTERVAL_S)

    def look(self) -> None:
        """Read what is stored of the metrics in the head, for the present row and the next (worker thread).

        Raises:
            Unavailable, StoreError: what is left is for the next look.
        """
        width_s = self._blocks.plan.column_height_s
        base_s = self._now_ms() // 1000 // width_s * width_s
        if base_s != self._base_s:
            self._base_s, self._known = base_s, set()
        end_s = base_s + 2 * width_s - 1
        found = self._registry.by_metric(self._head.view().refs())
        for domain in {self._domain, *(domain for domain, _ in found)}:
            for block in self._blocks.overlapping(base_s, end_s):
                self._names.of_block(domain, block)
        for domain, metric in [name for name in found if name not in self._known][:MOST_METRICS]:
            self._directory.rows(self._registry.metric_or_new(domain, metric), base_s, end_s)
            self._known.add((domain, metric))
