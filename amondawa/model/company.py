"""Company: whether several domains are at work at the same time, so that each must leave room for the others."""

from __future__ import annotations

import time
from collections.abc import Callable

SHARED_S = 2.0
"""domains count as at work at the same time when they ask within so long of each other"""


class Company:
    """Whether more than one domain has been at work lately. Constant time and room, whatever the number of domains.

    Args:
        clock: seconds, ascending.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._latest = ""
        self._switched_s = float("-inf")

    def enter(self, domain: str) -> None:
        """Note that a domain is at work."""
        if domain == self._latest:
            return
        if self._latest:
            self._switched_s = self._clock()
        self._latest = domain

    @property
    def shared(self) -> bool:
        """Whether two domains were at work within SHARED_S."""
        return self._clock() - self._switched_s < SHARED_S
