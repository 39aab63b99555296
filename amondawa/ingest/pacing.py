"""Pacing: rows end for all series and in all gateways at one moment, and their flush must be no storm on the tables.

Where writes are billed, and so limited by partition, the flush after the end of a row begins at a moment of this gateway's
own and is spread: a bounded number of write units a second, rising while DynamoDB may still have to split what is new.
Within that time each series has a turn of its own, drawn anew for every flush: neither the series of one metric nor the
same series of several gateways are written one behind the other.
Nothing waits for it: the points are durable in the journal and answer from memory. Whoever does need the flush to end (a
delete, a full memory, the stop of the gateway) has it hurry.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from amondawa.model.points import Int64s
from amondawa.store.base import Item
from amondawa.store.limits import item_bytes

CLOSED_GRACE_MS = 300_000
"""How long after the end of a row late points are waited for before it is flushed."""
JITTER_MS = 1_800_000
JITTER_SHARE = 16
"""A gateway adds a time of its own below JITTER_MS, and below this part of a row's width."""
LEAST_UNITS_S = 250.0
"""write units a second of a paced flush: a quarter of what one partition of DynamoDB stands"""
SPREAD_S = 3_600.0
"""a flush that would take longer than this at the least rate goes faster, so that it takes about as long"""
RAMP_S = 300.0
RAMP_FROM = 0.25
"""the rate rises to the full one within this time, from this share of it"""
PACED_ROWS = 64
"""rows that a paced flush writes at a time"""
UNIT_BYTES = 1_024
_POINT_BYTES = 1.5
_ROW_UNITS = 3.0
"""what a flush is expected to cost: the bytes of its points, and for each series an index entry and what is rounded up"""
_LONGEST_PAUSE_S = 1.0
One = TypeVar("One")


class Pacing:
    """When the flush of closed rows begins, and how fast it goes; safe in any thread.

    Args:
        billed: the store bills writes. Otherwise rows are flushed as soon as they are over, and as fast as it goes.
        clock: seconds that ascend.
        draw: a random number from 0 to 1.
    """

    def __init__(
        self,
        *,
        billed: bool = False,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._billed = billed
        self._jitter = draw() if billed else 0.0
        self._turns = np.random.default_rng(int(draw() * 2**53))
        self.clock = clock
        self._hurried = threading.Event()
        self.pause: Callable[[float], object] = self._hurried.wait
        """waits for some seconds, or until the flush must hurry"""
        self._lock = threading.Lock()
        self._rate = LEAST_UNITS_S
        self._began_s: float | None = None
        self._spent = 0.0

    # when -------------------------------------------------------------------------------------------------------------

    def row_is_over(self, opened_ms: int, now_ms: int, width_ms: int) -> bool:
        """Say whether the row of a time (ms) has ended long enough ago to be flushed by this gateway."""
        jitter_ms = int(self._jitter * min(JITTER_MS, width_ms // JITTER_SHARE))
        return (now_ms - CLOSED_GRACE_MS - jitter_ms) // width_ms > opened_ms // width_ms

    # how fast ---------------------------------------------------------------------------------------------------------

    @property
    def is_pacing(self) -> bool:
        """Whether a flush goes on that nobody has hurried."""
        return self._began_s is not None and not self._hurried.is_set()

    def begin(self) -> None:
        """Pace the flush that follows."""
        if self._billed:
            with self._lock:
                self._hurried.clear()
                self._rate, self._spent, self._began_s = LEAST_UNITS_S, 0.0, self.clock()

    def end(self) -> None:
        """Pace nothing any more."""
        self._began_s = None

    def hurry(self) -> None:
        """Have the flush that goes on end as fast as it can."""
        self._hurried.set()

    def expect(self, points: int, series: int) -> None:
        """Choose the rate by what is about to be written."""
        units = points * _POINT_BYTES / UNIT_BYTES + series * _ROW_UNITS
        self._rate = max(LEAST_UNITS_S, units / SPREAD_S)

    def turns(self, series: int) -> Int64s:
        """Return the order in which so many series are written: drawn while the flush is paced, else as they come."""
        return self._turns.permutation(series) if self.is_pacing else np.arange(series)

    def in_turn(self, parts: Sequence[One]) -> list[One]:
        """Return some parts of a flush in the order of their turns."""
        return [parts[place] for place in self.turns(len(parts)).tolist()]

    def rows_at_once(self, most: int) -> int:
        """Return how many rows may be written before the next `wait`; `most` when nothing is paced."""
        return min(most, PACED_ROWS) if self.is_pacing else most

    def spent(self, items: Iterable[Item]) -> None:
        """Count what was written."""
        units = sum(-(-item_bytes(item) // UNIT_BYTES) for item in items)
        with self._lock:
            self._spent += units

    def wait(self) -> None:
        """Return when more may be written."""
        while self.is_pacing:
            with self._lock:
                ahead = self._spent - self._earned()
            if ahead <= 0:
                return
            risen = min(1.0, RAMP_FROM + (1 - RAMP_FROM) * self._passed_s() / RAMP_S)
            self.pause(min(ahead / (self._rate * risen), _LONGEST_PAUSE_S))

    def _passed_s(self) -> float:
        return self.clock() - (self._began_s or 0.0)

    def _earned(self) -> float:
        """Return the units that may have been written by now: the rate, which rises in a line, over the time so far."""
        passed_s = self._passed_s()
        rising_s = min(passed_s, RAMP_S)
        share = RAMP_FROM * passed_s + (1 - RAMP_FROM) * (rising_s * rising_s / (2 * RAMP_S) + passed_s - rising_s)
        return self._rate * share
