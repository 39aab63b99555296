"""Turns of the event loop: how much of each one domain may have while another is at work, too.

Reading lines and bodies happens on the event loop, which everybody shares. A domain alone is never held up. In company
each may begin so much work in one turn, and what it begins beyond that is paid off over the next turns. A turn lasts longer
than the work of one domain in it: between two the loop looks at every connection, and the threads that commit and compute
for others have the interpreter, so that nobody waits for more than a turn of each other domain.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from amondawa.model.company import Company

TURN_S = 0.001
"""how long a turn lasts while several domains wait for the next one: they share the loop among themselves"""
QUIET_TURN_S = 0.003
"""how long while one domain alone waits: the room between its turns is for those that ask for little (bench/fairness.py)"""
TURN_BYTES = 64 * 1024
"""what a domain may begin in one turn: the put lines of one slice, some 0.4 ms"""
REQUEST_BYTES = 32 * 1024
"""what an HTTP request takes beside its body, in bytes of put lines that take as long"""
BODY_WEIGHT = 4
"""a byte of a JSON body takes as long as so many of put lines"""
MOST_BYTES = 16 * TURN_BYTES
"""what a single piece of work is counted at: larger bodies are read in a worker thread"""
SHORT_S = 0.0005
"""how long a thread keeps the interpreter in company while others want it"""
LOOK_S = 0.25
"""how often it is looked whether there is company"""


def request_bytes(body_bytes: int) -> int:
    """Return what an HTTP request is counted at, by the size of its body."""
    return REQUEST_BYTES + BODY_WEIGHT * body_bytes


@dataclass(slots=True)
class _Account:
    """What one domain may begin in this turn (below 0 = it owes), and what waits."""

    credit: int = TURN_BYTES
    waiting: deque[tuple[asyncio.Future[None], int]] = field(default_factory=deque)


class Turns:
    """Gives out the turns. Used on one event loop only.

    Args:
        clock: seconds, ascending.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._company = Company(clock)
        self._long_s = sys.getswitchinterval()
        self._accounts: dict[str, _Account] = {}
        self._scheduled = False

    async def take(self, domain: str, size_bytes: int) -> None:
        """Return when a domain may begin work of a size."""
        self._company.enter(domain)
        if not self._company.shared and not self._accounts:
            return
        account = self._accounts.get(domain)
        if account is None:
            account = self._accounts[domain] = _Account()
        size_bytes = min(size_bytes, MOST_BYTES)
        self._schedule()
        if account.credit > 0 and not account.waiting:
            account.credit -= size_bytes
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        account.waiting.append((future, size_bytes))
        await future

    @contextlib.asynccontextmanager
    async def kept_short(self) -> AsyncIterator[None]:
        """While inside, have threads change places more often in company.

        A thread that computes for a loud domain otherwise keeps the interpreter for 5 ms each time that the event loop, the
        journal or a quiet domain's query wants it. It costs throughput, so that a domain alone has the long interval.
        """
        task = asyncio.create_task(self._keep_short(), name="turns")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            sys.setswitchinterval(self._long_s)

    async def _keep_short(self) -> None:
        while True:
            sys.setswitchinterval(SHORT_S if self._company.shared else self._long_s)
            await asyncio.sleep(LOOK_S)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(self.turn_s, self._next_turn)

    @property
    def turn_s(self) -> float:
        """How long the present turn lasts."""
        waiting = sum(bool(account.waiting) for account in self._accounts.values())
        return TURN_S if waiting > 1 else QUIET_TURN_S

    def _next_turn(self) -> None:
        """Begin a turn."""
        self._scheduled = False
        for domain, account in list(self._accounts.items()):
            account.credit = min(TURN_BYTES, account.credit + TURN_BYTES)
            while account.waiting and account.credit > 0:
                future, size_bytes = account.waiting.popleft()
                if not future.done():  # whose client has gone
                    future.set_result(None)
                    account.credit -= size_bytes
            if account.credit == TURN_BYTES and not account.waiting:
                del self._accounts[domain]
        if self._accounts:
            self._schedule()
