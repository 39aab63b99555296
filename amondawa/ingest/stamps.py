"""Stamps: when a write was committed, so that the last write wins whichever gateway took it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FURTHEST_US = 600_000_000
"""A stamp this far ahead of the own clock is not followed: one gateway with a wrong clock must not take all with it."""


class StampClock:
    """Microseconds since 1970 that never stand still or go back, also behind what was seen of others; safe in any thread.

    Args:
        now_us: the wall clock.
    """

    def __init__(self, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._now_us = now_us
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        """Return a stamp above all that were returned or observed."""
        with self._lock:
            self._last = max(self._last + 1, self._now_us())
            return self._last

    def observe(self, stamp: int) -> None:
        """Keep coming stamps above one that another gateway gave: what is written after it was seen is later."""
        with self._lock:
            if self._last < stamp <= self._now_us() + FURTHEST_US:
                self._last = stamp
