"""Ranks of series by their values, as OpenTSDB's highestMax and highestCurrent take them. Source: suite query_gexp.

The series are walked together, those without a point at a time interpolated. A series' rank is read from a list that holds
the values of the series taking part at that time, one behind the other, and 0 in what is left of it. So once a series has
ended the values of those behind it count for the place before them. That is how the original ranks, and which series it
answers with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amondawa.aggregate.combine import LEAST_DOUBLE, LEAST_LONG, Combination, combine
from amondawa.aggregate.members import Bools
from amondawa.model.points import Float64s, Int64s, Points

LAST_MS = 2**63 - 1


class _Lists:
    """The lists of one walk over some series: `places` values at each time.

    Attributes:
        largest_long, largest_double, last_long, last_double: float64[places]; the last two are None until there are any.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self.largest_long = np.full(places, float(LEAST_LONG))
        # The largest double begins at the least positive one, so negative ones never rank by themselves.
        self.largest_double = np.full(places, LEAST_DOUBLE)
        self.last_long: Float64s | None = None
        self.last_double: Float64s | None = None

    def longs(self, values: Int64s, present: Bools) -> Int64s:
        """Take integers, shape [members, times]; the result has no meaning."""
        if values.shape[1]:
            moved = self._moved(values.astype(np.float64), present)
            self.largest_long = np.maximum(self.largest_long, moved.max(axis=1))
            self.last_long = moved[:, -1]
        return np.zeros(values.shape[1], np.int64)

    def doubles(self, values: Float64s, present: Bools) -> Float64s:
        """Take doubles, shape [members, times]; the result has no meaning."""
        if values.shape[1]:
            moved = self._moved(values, present)
            self.largest_double = np.maximum(self.largest_double, moved.max(axis=1))
            self.last_double = moved[:, -1]
        return np.zeros(values.shape[1])

    def _moved(self, values: Float64s, present: Bools) -> Float64s:
        """Move the values of those present to the front of each column, float64[places, times]."""
        order = np.argsort(~present, axis=0, kind="stable")
        front = np.take_along_axis(np.where(present, values, 0.0), order, axis=0)
        return np.vstack([front, np.zeros((self._places - len(front), front.shape[1]))])


def _walked(series: Sequence[Points], start_ms: int, end_ms: int) -> _Lists:
    """Walk the times of an inclusive range; a series with points behind it has not ended."""
    lists = _Lists(len(series))
    begun = [one.between(start_ms, LAST_MS) for one in series]
    combine(begun, Combination(lists.doubles, lists.longs), end_ms=end_ms)
    return lists


def largest(series: Sequence[Points], start_ms: int, end_ms: int) -> list[float]:
    """Return the rank of each series by its largest value in an inclusive range; NaN ranks highest."""
    lists = _walked(series, start_ms, end_ms)
    if lists.last_double is None:
        return [float(rank) for rank in lists.largest_long]
    longs = lists.largest_long if lists.last_long is not None else np.full(len(series), -np.inf)
    return [float(rank) for rank in np.maximum(longs, lists.largest_double)]


def latest(series: Sequence[Points], start_ms: int, end_ms: int) -> list[float]:
    """Return the rank of each series by its value at the last time of any series in a range; NaN ranks highest."""
    lists = _walked(series, start_ms, end_ms)
    found = [last for last in (lists.last_long, lists.last_double) if last is not None]
    return [float(rank) for rank in np.maximum.reduce(found)] if found else [0.0] * len(series)


def highest(ranks: Sequence[float], count: int) -> list[int]:
    """Return the indices of the `count` highest ranks, highest first; of equals the earlier one, NaN before numbers."""
    order = sorted(range(len(ranks)), key=lambda at: (ranks[at] == ranks[at], -ranks[at]))
    return order[:count]
