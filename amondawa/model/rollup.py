"""Rolled-up points: what is kept of the points of old blocks, an interval at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from amondawa.model.points import Float64s, Int64s, Points


@dataclass(frozen=True, slots=True, eq=False)
class Rollup:
    """The numbers of one series, put together by intervals that count from 1970; only intervals with points are there.

    Attributes:
        step_ms: length of an interval.
        counts: int64[n], points in each interval.
        sums, least, most: float64[n], sum, smallest and largest value of each.
        firsts, lasts: the first and the last point of each, ascending.

    Arrays are never written to after construction.
    """

    step_ms: int
    counts: Int64s
    sums: Float64s
    least: Float64s
    most: Float64s
    firsts: Points
    lasts: Points

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def numbers(self) -> Int64s:
        """The number of each interval, int64[n], ascending: it begins at `number * step_ms`."""
        numbers: Int64s = self.firsts.times_ms // self.step_ms
        return numbers

    @property
    def points(self) -> int:
        """How many points were put together."""
        return int(self.counts.sum())

    @property
    def memory_bytes(self) -> int:
        """Bytes that the columns occupy."""
        return 8 * 8 * len(self) + 2 * len(self)

    def take(self, which: slice | npt.NDArray[np.bool_]) -> Rollup:
        """Select intervals by slice or mask."""
        return Rollup(
            self.step_ms,
            self.counts[which],
            self.sums[which],
            self.least[which],
            self.most[which],
            self.firsts.take(which),
            self.lasts.take(which),
        )

    def inside(self, start_ms: int, end_ms: int) -> tuple[Rollup, bool]:
        """Select the intervals whose first point lies in the inclusive range.

        Returns:
            the intervals, and whether the range cuts any of them: whether it holds some of its points and not others.
        """
        firsts, lasts = self.firsts.times_ms, self.lasts.times_ms
        if not len(self) or (start_ms <= int(firsts[0]) and int(lasts[-1]) <= end_ms):
            return self, False
        kept = (firsts >= start_ms) & (firsts <= end_ms)
        ends_inside = (lasts >= start_ms) & (lasts <= end_ms)
        around = (firsts < start_ms) & (lasts > end_ms)
        return self.take(kept), bool(((kept != ends_inside) | around).any())


@dataclass(frozen=True, slots=True)
class RollupUse:
    """How rolled-up data served a query.

    Attributes:
        steps_ms: the intervals that were read, ascending.
        exact: the answer is what the points themselves would have given; else it is the documented approximation.
    """

    steps_ms: tuple[int, ...]
    exact: bool

    def __str__(self) -> str:
        steps = ", ".join(f"{step / 1000:g}s" for step in self.steps_ms)
        return f"{steps}; {'exact' if self.exact else 'approximated'}"


def joined(uses: Iterable[RollupUse]) -> RollupUse | None:
    """Return several uses as one; None when there are none."""
    uses = list(uses)
    if not uses:
        return None
    steps = {step for use in uses for step in use.steps_ms}
    return RollupUse(tuple(sorted(steps)), all(use.exact for use in uses))


_NOTED: ContextVar[list[RollupUse] | None] = ContextVar("amondawa_rollups", default=None)


@contextlib.contextmanager
def noting_uses() -> Iterator[list[RollupUse]]:
    """Collect how rolled-up data serve the queries of the work inside, whoever makes them, so that its answer can say so."""
    uses: list[RollupUse] = []
    token = _NOTED.set(uses)
    try:
        yield uses
    finally:
        _NOTED.reset(token)


def note_uses(uses: Iterable[RollupUse]) -> None:
    """Tell the work at hand how rolled-up data served its queries."""
    noted = _NOTED.get()
    if noted is not None:
        noted.extend(uses)
