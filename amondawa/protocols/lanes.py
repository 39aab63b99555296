"""Lanes: whose query has the next worker thread.

A query cannot be put aside once it runs, so what keeps a thread free for others is a bound on how many one domain has at
a time; and a thread that becomes free goes to the waiting domain that has the fewest, the one that waited longest first.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable

from amondawa.model.company import Company


class Lanes:
    """Gives worker threads to queries. Used on one event loop only.

    Args:
        threads: how many there are.
        clock: seconds, ascending.
    """

    def __init__(self, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._threads = threads
        self._company = Company(clock)
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @contextlib.asynccontextmanager
    async def lane(self, domain: str) -> AsyncIterator[None]:
        """Hold a thread for a domain while inside; wait for one first."""
        self._company.enter(domain)
        if domain in self._waiting or not self._may_run(domain):
            await self._wait(domain)
        else:
            self._running[domain] += 1
        try:
            yield
        finally:
            self._release(domain)

    @property
    def most(self) -> int:
        """How many threads one domain may have: half of them, and half of that while others are at work."""
        return max(1, self._threads // (4 if self._company.shared else 2))

    def _may_run(self, domain: str) -> bool:
        return self._running.total() < self._threads and self._running[domain] < self.most

    async def _wait(self, domain: str) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(domain, deque()).append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # it had the thread already
                self._release(domain)
            raise

    def _release(self, domain: str) -> None:
        """Give a thread back and hand on what is free."""
        self._running[domain] -= 1
        if not self._running[domain]:
            del self._running[domain]
        self._hand_on()

    def _hand_on(self) -> None:
        while True:
            able = [domain for domain in self._waiting if self._may_run(domain)]
            if not able:
                return
            chosen = min(able, key=self._running.__getitem__)  # of equals the one that came into the line first
            waiting = self._waiting.pop(chosen)
            future = waiting.popleft()
            if waiting:
                self._waiting[chosen] = waiting  # behind the others
            if not future.done():  # whose client has gone
                self._running[chosen] += 1
                future.set_result(None)
