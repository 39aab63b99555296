"""Stages that turn each value into another, or drop points at the ends of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from amondawa.aggregate.merge import merged
from amondawa.aggregate.stages import AGGREGATORS, StreamStage, ValueStage
from amondawa.errors import ComputeError
from amondawa.model.points import Float64s, Points
from amondawa.model.query import Clock
from amondawa.model.result import Frame

_FEW: Final = 16
"""Windows up to this size are added up point by point."""


@AGGREGATORS.register("div")
@dataclass(frozen=True, slots=True)
class Divide(ValueStage):
    """Each value divided by a number that is not zero."""

    divisor: float

    @property
    def keeps_order(self) -> bool:
        """Whether the divisor is positive."""
        return self.divisor > 0

    def map_values(self, values: Float64s) -> Float64s:
        """Return the quotients."""
        return values / self.divisor


@AGGREGATORS.register("scale")
@dataclass(frozen=True, slots=True)
class Scale(ValueStage):
    """Each value times a factor."""

    factor: float = 0.0

    @property
    def keeps_order(self) -> bool:
        """Whether the factor is positive."""
        return self.factor > 0

    def map_values(self, values: Float64s) -> Float64s:
        """Return the products."""
        return values * self.factor


class Boundary(Enum):
    """What a value equal to a threshold is."""

    SUPERIOR = "superior"
    """not yet past it"""
    INFERIOR = "inferior"
    """past it"""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A mark on the scale of values."""

    value: float
    boundary: Boundary = Boundary.SUPERIOR


@AGGREGATORS.register("score")
@dataclass(frozen=True, slots=True)
class Score(ValueStage):
    """How many of the thresholds a value has passed, or how many it has not.

    Attributes:
        thresholds: in any order.
        descending: count those not passed.
    """

    thresholds: tuple[Threshold, ...]
    descending: bool = False

    @property
    def keeps_order(self) -> bool:
        """Whether scores grow with values."""
        return not self.descending

    def map_values(self, values: Float64s) -> Float64s:
        """Return the scores, whole numbers as doubles."""
        superior = np.sort([mark.value for mark in self.thresholds if mark.boundary is Boundary.SUPERIOR])
        inferior = np.sort([mark.value for mark in self.thresholds if mark.boundary is Boundary.INFERIOR])
        passed = np.searchsorted(superior, values, "left") + np.searchsorted(inferior, values, "right")
        return (len(self.thresholds) - passed if self.descending else passed).astype(np.float64)


@AGGREGATORS.register("sma")
@dataclass(frozen=True, slots=True)
class MovingAverage(StreamStage):
    """The mean of each point and the size - 1 before it, a double; the first size - 1 points give nothing."""

    size: int

    def compute(self, points: Points) -> Points:
        """Return n - size + 1 doubles.

        Raises:
            ComputeError: the size is not positive.
        """
        if self.size <= 0:
            raise ComputeError(f"sma needs a size of at least 1, not {self.size}")
        if len(points) < self.size:
            return Points.empty()
        sums = _window_sums(points.numbers(), self.size)
        return Points.doubles(points.times_ms[self.size - 1 :], sums / self.size)


def _window_sums(values: Float64s, size: int) -> Float64s:
    """Return the sum of each full window, float64[n - size + 1].

    Long windows are a block's tail plus the next block's head: linear work, and no difference of large running sums.
    """
    count = len(values) - size + 1
    if size <= _FEW:
        sums = values[:count].copy()
        for at in range(1, size):
            sums += values[at : at + count]
        return sums
    blocks = np.zeros((-(-len(values) // size), size))
    blocks.reshape(-1)[: len(values)] = values
    heads = np.cumsum(blocks, axis=1).reshape(-1)
    tails = np.cumsum(blocks[:, ::-1], axis=1)[:, ::-1].reshape(-1)
    starts = np.arange(count)
    ends = starts + size - 1
    return np.where(starts % size == 0, heads[ends], tails[starts] + heads[ends])


class Ends(Enum):
    """Which ends of a stream to cut."""

    FIRST = "first"
    LAST = "last"
    BOTH = "both"


@AGGREGATORS.register("trim")
@dataclass(frozen=True, slots=True)
class Trim:
    """Drop the first point, the last, or both, of any kind; None drops nothing."""

    trim: Ends | None = None

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames without the points at their ends."""
        if self.trim is None:
            return frames
        start = 0 if self.trim is Ends.LAST else 1
        out = []
        for frame in frames:
            clock.check()
            points = merged(frame)
            end = len(points) - (0 if self.trim is Ends.FIRST else 1)
            out.append(frame.with_points(points.take(slice(start, max(end, start)))))
        return out
