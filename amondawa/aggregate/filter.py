"""Dropping points by their value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from amondawa.aggregate.group import utf16_order
from amondawa.aggregate.stages import AGGREGATORS
from amondawa.aggregate.streams import NULL_TEXT, highest_kind, total_order
from amondawa.errors import ComputeError
from amondawa.model.points import Kind, Points
from amondawa.model.query import Clock
from amondawa.model.result import Frame

Mask = npt.NDArray[np.bool_]


class Comparison(Enum):
    """How a value compares with the threshold: less, equal and greater, each drops the point or not."""

    LT = (True, False, False)
    LTE = (True, True, False)
    GT = (False, False, True)
    GTE = (False, True, True)
    EQUAL = (False, True, False)
    NE = (True, False, True)

    def holds(self, less: Mask, equal: Mask) -> Mask:
        """Return where the comparison holds, bool[n]."""
        if_less, if_equal, if_greater = self.value
        return np.where(less, if_less, np.where(equal, if_equal, if_greater))


@AGGREGATORS.register("filter")
@dataclass(frozen=True, slots=True)
class Filter:
    """Drop the points for which "value OP threshold" holds, and those of another kind than the threshold.

    Doubles compare as Java's Double.compareTo does (-0.0 is less than 0.0), texts by UTF-16 code units.

    Attributes:
        filter_op: the comparison.
        threshold: a number, or a text; None, which is neither, drops every point.
    """

    filter_op: Comparison = Comparison.EQUAL
    threshold: float | str | None = 0.0

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames with the points that are left, kinds and times unchanged.

        Raises:
            ComputeError: a number is compared with a null.
        """
        out = []
        for frame in frames:
            clock.check()
            parts = tuple(part.take(self._kept(part)) for part in frame.parts)
            out.append(Frame(frame.metric, frame.members, parts, frame.groups))
        return out

    def _kept(self, points: Points) -> Mask:
        if self.threshold is None:
            return np.zeros(len(points), np.bool_)
        if isinstance(self.threshold, str):
            return self._kept_texts(points, utf16_order(self.threshold))
        return self._kept_numbers(points, float(self.threshold))

    def _kept_numbers(self, points: Points, threshold: float) -> Mask:
        if highest_kind(points) == Kind.NULL:
            raise ComputeError(NULL_TEXT)
        keys = total_order(points.numbers())
        limit = total_order(np.array([threshold]))[0]
        return ~self.filter_op.holds(keys < limit, keys == limit) & (points.kinds <= Kind.DOUBLE)

    def _kept_texts(self, points: Points, threshold: bytes) -> Mask:
        kept = np.zeros(len(points), np.bool_)
        where = np.flatnonzero(points.kinds == Kind.TEXT)
        keys = [utf16_order(points.texts[at].decode()) for at in points.bits[where].tolist()]
        less = np.array([key < threshold for key in keys], np.bool_)
        equal = np.array([key == threshold for key in keys], np.bool_)
        kept[where] = ~self.filter_op.holds(less, equal)
        return kept
