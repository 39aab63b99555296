"""What stages ask of the points of a frame: whether they are numbers, and in which order their values stand."""

from __future__ import annotations

import numpy as np

from amondawa.errors import ComputeError
from amondawa.model.points import Float64s, Int64s, Kind, Points
from amondawa.model.result import Frame

NULL_TEXT = "No aggregator can be chained after org.kairosdb.core.aggregator.DataGapsMarkingAggregator"
"""KairosDB's words when arithmetic meets the null of an empty bucket."""

_MAGNITUDE = np.int64(2**63 - 1)


def highest_kind(points: Points) -> int:
    """Return the highest Kind among the points; LONG for none."""
    kinds = points.kinds
    if len(kinds) == 0:
        return Kind.LONG
    return int(kinds[0]) if kinds.strides == (0,) else int(kinds.max())


def holds_numbers(frame: Frame, takes_nulls: bool = False) -> bool:
    """Say whether a frame is for stages that compute with numbers: it holds no text and no blob.

    Raises:
        ComputeError: it is, but a null of an empty bucket is among its points, and the stage does not take them.
    """
    kinds = [highest_kind(part) for part in frame.parts]
    highest = max(kinds, default=Kind.LONG)
    if highest <= Kind.DOUBLE:
        return True
    if highest < Kind.NULL or any(_holds_text(part) for part in frame.parts):
        return False
    if takes_nulls:
        return True
    raise ComputeError(NULL_TEXT)


def _holds_text(points: Points) -> bool:
    return bool(((points.kinds == Kind.TEXT) | (points.kinds == Kind.BLOB)).any())


def total_order(values: Float64s) -> Int64s:
    """Return keys whose integer order is that of the doubles, with -0.0 before 0.0 and NaN last, int64[n]."""
    bits = np.ascontiguousarray(values).view(np.int64)
    return bits ^ ((bits >> np.int64(63)) & _MAGNITUDE)
