"""Functions from series to series, as graphite-like expressions use them. Source: suite query_gexp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amondawa.errors import LimitExceeded
from amondawa.model.points import Float64s, Int64s, Kind, Points

ALIGNED_CELLS = 1 << 25
"""most values that series may make on a common grid"""
MAX_LONG = 2**63 - 1
WINDOW_CELLS = 1 << 24
"""windows of more values in all are summed from running sums, which is faster and a little less exact"""


def scale(points: Points, factor: float) -> Points:
    """Multiply; integers stay integers when the factor is whole, and wrap in 64 bits."""
    if points.only(Kind.DOUBLE) or not float(factor).is_integer():
        return Points.doubles(points.times_ms, points.numbers() * factor)
    longs = points.bits * np.int64(max(-MAX_LONG, min(MAX_LONG, int(factor))))
    return _merged(points, longs, points.numbers() * factor)


def absolute(points: Points) -> Points:
    """Drop the signs."""
    return _merged(points, np.abs(points.bits), np.abs(points.numbers()))


def _merged(points: Points, longs: Int64s, doubles: Float64s) -> Points:
    """Take `longs` where the points are integers, `doubles` elsewhere."""
    if points.only(Kind.LONG):
        return Points.longs(points.times_ms, longs)
    if points.only(Kind.DOUBLE):
        return Points.doubles(points.times_ms, doubles)
    bits = np.where(points.kinds == Kind.LONG, longs, doubles.view(np.int64))
    return Points(points.times_ms, points.kinds, bits)


def shift(points: Points, by_ms: int) -> Points:
    """Move all points in time."""
    return Points(points.times_ms + by_ms, points.kinds, points.bits)


def moving_average(points: Points, count: int) -> Points:
    """Average the last `count` numbers (NaN left out) up to each point; 0 until there are that many."""
    values = points.numbers()
    known = ~np.isnan(values)
    numbers = values[known]
    ends = np.cumsum(known)
    full = ends >= count
    means = np.zeros(len(values))
    means[full] = window_sums(numbers, ends[full] - count, ends[full]) / count
    return Points.doubles(points.times_ms, means)


def moving_average_over(points: Points, window_ms: int) -> Points:
    """Average the numbers less than a window's length before each point; 0 until a point lies before the window."""
    values = points.numbers()
    known = ~np.isnan(values)
    before = np.searchsorted(points.times_ms, points.times_ms - window_ms, "right")
    ends = np.cumsum(known)
    starts = np.append(0, ends)[before]
    counts = ends - starts
    full = (before > 0) & (counts > 0)
    means = np.zeros(len(values))
    means[full] = window_sums(values[known], starts[full], ends[full]) / counts[full]
    return Points.doubles(points.times_ms, means)


def window_sums(values: Float64s, starts: Int64s, ends: Int64s) -> Float64s:
    """Return the sum of each window values[start:end], float64[m]; no window is empty."""
    if len(starts) == 0:
        return np.zeros(0)
    if int((ends - starts).sum()) > WINDOW_CELLS:
        running = np.append(0.0, np.cumsum(values))
        return np.asarray(running[ends] - running[starts])
    bounds = np.column_stack((starts, ends)).ravel()
    return np.asarray(np.add.reduceat(np.append(values, 0.0), bounds)[::2])


def aligned(streams: Sequence[Points], fills: Sequence[float]) -> tuple[Int64s, list[Float64s]]:
    """Bring streams to the union of their times.

    Args:
        streams: ascending, without equal times.
        fills: for each stream, what it gives where it has no point or NaN.

    Returns:
        The times, and a float64 column of that length for each stream.

    Raises:
        LimitExceeded: more than ALIGNED_CELLS values.
    """
    times = np.unique(np.concatenate([stream.times_ms for stream in streams])) if streams else np.zeros(0, np.int64)
    if len(times) * len(streams) > ALIGNED_CELLS:
        raise LimitExceeded(
            f"{len(streams)} series at {len(times)} different times are more than {ALIGNED_CELLS} values: "
            "downsample them, or ask for a shorter range or fewer series"
        )
    columns = []
    for stream, fill in zip(streams, fills, strict=True):
        column = np.full(len(times), fill)
        values = stream.numbers()
        column[np.searchsorted(times, stream.times_ms)] = np.where(np.isnan(values), fill, values)
        columns.append(column)
    return times, columns
