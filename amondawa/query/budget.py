"""What a query may use, and how it is ended."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from amondawa.errors import Cancelled, LimitExceeded
from amondawa.model.rollup import RollupUse

_numbers = itertools.count(1)


class Budget:
    """Limits of one request's queries, counted while they run; any thread may cancel it.

    Args:
        points, series: most data points and series that may be read.
        seconds: longest run.
        now_ms: the wall clock.
    """

    def __init__(self, label: str, points: int, series: int, seconds: float, now_ms: Callable[[], int]) -> None:
        self.number = next(_numbers)
        self.label = label
        self.domain = ""
        """whose data the request reads"""
        self.points = 0
        self.series = 0
        self.rows_read = 0
        self.bytes_read = 0
        self.rollups: list[RollupUse] = []
        """how rolled-up data served the queries"""
        self.started_ms = now_ms()
        self._limits = (points, series, seconds)
        self._deadline = time.monotonic() + seconds
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """End the query at its next check."""
        self._cancelled.set()

    def check(self) -> None:
        """Raise when the query must end.

        Raises:
            Cancelled: it was ended.
            LimitExceeded: it ran too long.
        """
        if self._cancelled.is_set():
            raise Cancelled("the query was ended")
        if time.monotonic() > self._deadline:
            raise LimitExceeded(
                f"the query ran longer than its limit of {self._limits[2]:g} seconds: "
                "ask for a shorter time range or fewer series"
            )

    def use_series(self, count: int) -> None:
        """Count series. Raises LimitExceeded."""
        self.series += count
        if self.series > self._limits[1]:
            raise LimitExceeded(
                f"the query matches {self.series} series, more than the limit of {self._limits[1]}: add tag filters"
            )

    def use_points(self, count: int) -> None:
        """Count points. Raises LimitExceeded or Cancelled."""
        self.points += count
        if self.points > self._limits[0]:
            raise LimitExceeded(
                f"the query reads more than the limit of {self._limits[0]} data points: "
                "ask for a shorter time range or fewer series"
            )
        self.check()


class RunningQueries:
    """The queries in flight."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, Budget] = {}

    @contextmanager
    def hold(self, budget: Budget) -> Iterator[None]:
        """List a query while it runs."""
        with self._lock:
            self._running[budget.number] = budget
        try:
            yield
        finally:
            with self._lock:
                del self._running[budget.number]

    def list(self) -> list[dict[str, object]]:
        """Describe the queries in flight, oldest first."""
        with self._lock:
            budgets = [self._running[number] for number in sorted(self._running)]
        return [
            {
                "id": b.number,
                "domain": b.domain,
                "label": b.label,
                "started_ms": b.started_ms,
                "points": b.points,
                "series": b.series,
            }
            for b in budgets
        ]

    def end(self, number: int) -> bool:
        """End a query; say whether it was running."""
        with self._lock:
            budget = self._running.get(number)
        if budget is not None:
            budget.cancel()
        return budget is not None
