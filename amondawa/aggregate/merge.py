"""Merging the streams of a frame's series into one, in order of time, equal times by numeric value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from amondawa.aggregate.buckets import ascends
from amondawa.aggregate.reduce import by_length
from amondawa.aggregate.streams import total_order
from amondawa.model.points import Float64s, Int64s, Points
from amondawa.model.query import Clock
from amondawa.model.result import Frame


def merge_points(parts: Sequence[Points], descending: bool = False) -> Points:
    """Merge time-ordered streams into one.

    Args:
        parts: each ascending in time, or each descending when `descending`.
        descending: the direction of time; the result is then the exact reverse of the ascending merge.

    Returns:
        All points ordered by time, then numeric value (-0.0 before 0.0); texts of one time in the order of the parts.
    """
    if descending:
        return _reversed(merge_points([_reversed(part) for part in parts]))
    points = Points.concat(parts)
    if _strictly_ascends(points.times_ms):
        return points
    if not ascends(points.times_ms):
        points = points.take(_time_order(points.times_ms, [len(part) for part in parts if len(part)]))
    return _settle_ties(points)


def _reversed(points: Points) -> Points:
    return points.take(slice(None, None, -1))


def _time_order(times_ms: Int64s, lengths: list[int]) -> npt.NDArray[np.intp]:
    """Return the stable order by time of streams laid end to end; streams that share all their times need no sort."""
    if lengths.count(lengths[0]) == len(lengths):
        grid = times_ms.reshape(len(lengths), lengths[0])
        if (grid == grid[0]).all() and ascends(grid[0]):
            return np.arange(len(times_ms)).reshape(grid.shape).T.reshape(-1)
    return np.argsort(times_ms, kind="stable")


def _strictly_ascends(times_ms: Int64s) -> bool:
    return bool((times_ms[1:] > times_ms[:-1]).all())


def _settle_ties(points: Points) -> Points:
    """Bring points of equal times into the order of their values; times must ascend."""
    same = points.times_ms[1:] == points.times_ms[:-1]
    if not same.any():
        return points
    values = points.numbers()
    disordered = same & (values[1:] <= values[:-1])
    if not disordered.any():
        return points
    return points.take(_tie_order(values, same))


def _tie_order(values: Float64s, same: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return the index order that sorts each group of equal times by value and leaves all else in place.

    `same` says of each point but the first whether its time is that of the point before. Groups of one size are sorted
    together, as the rows of a matrix.
    """
    firsts = np.flatnonzero(np.concatenate(([True], ~same)))
    sizes = np.diff(firsts, append=len(values))
    keys = total_order(values)
    order = np.arange(len(values))
    tied = np.flatnonzero(sizes > 1)
    for alike in by_length(sizes[tied]):
        chosen = tied[alike]
        rows = firsts[chosen, None] + np.arange(sizes[chosen[0]])
        order[rows] = np.take_along_axis(rows, np.argsort(keys[rows], axis=1, kind="stable"), axis=1)
    return order


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge the streams of every frame that still has several; to be asked last, before the points are shown."""

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames with at most one part each; frames of one part are left as they are."""
        out = []
        for frame in frames:
            clock.check()
            out.append(frame if len(frame.parts) < 2 else frame.with_points(merged(frame)))
        return out


def merged(frame: Frame) -> Points:
    """Return the points of a frame as one ascending stream, merging its parts when there are several.

    Frames of several parts always ascend: a descending query merges where it groups.
    """
    return frame.parts[0] if len(frame.parts) == 1 else merge_points(frame.parts)
