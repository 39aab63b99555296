"""Gathering: where an entry of the journal costs money however small it is, small writes wait for each other a moment.

A write that comes alone is committed at once; one that comes soon after a commit waits for the rest of the wait, unless
enough has come for a unit's worth.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

ENOUGH_BYTES = 4_096
"""batches of this size are an entry of about one unit: less costs as much, more is not worth waiting for"""


class Gathering:
    """When the next commit may begin. Used by the journal's thread.

    Args:
        wait_s: least time from the beginning of a commit to that of the next one; 0 = none.
        clock: seconds that ascend.
    """

    def __init__(self, wait_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._wait_s = wait_s
        self._clock = clock
        self._latest_s = float("-inf")

    def wait(self, changed: threading.Condition, enough: Callable[[], bool]) -> None:
        """Return when the next commit may begin.

        Args:
            changed: held, and notified when something came.
            enough: whether there is no reason to wait any longer.
        """
        while not enough() and (left_s := self._latest_s + self._wait_s - self._clock()) > 0:
            changed.wait(left_s)
        self._latest_s = self._clock()
