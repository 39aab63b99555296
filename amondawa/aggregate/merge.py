"""Merging the streams of a frame's series into one, in order of time, equal times by numeric value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from amondawa.aggregate.buckets import ascends
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
        points = points.take(np.argsort(points.times_ms, kind="stable"))
    return _settle_ties(points)


def _reversed(points: Points) -> Points:
    return points.take(slice(None, None, -1))


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
    return points.take(_tie_order(points.times_ms, values, same))


def _tie_order(times_ms: Int64s, values: Float64s, same: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return the index order that sorts each group of equal times by value and leaves all else in place."""
    tied = np.zeros(len(times_ms), np.bool_)
    tied[1:] = same
    tied[:-1] |= same
    where = np.flatnonzero(tied)
    order = np.arange(len(times_ms))
    order[where] = where[np.lexsort((total_order(values[where]), times_ms[where]))]
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
