"""The registry of aggregators, and the two shapes that most of them have besides buckets: streams and single values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from amondawa.aggregate.merge import merged
from amondawa.aggregate.registry import Registry
from amondawa.aggregate.streams import holds_numbers
from amondawa.model.points import Float64s, Points
from amondawa.model.query import Clock, Stage
from amondawa.model.result import Frame

AGGREGATORS: Final[Registry[type[Stage]]] = Registry("aggregator")
"""Aggregators by the name that queries use; importing `aggregate.aggregators` fills it."""


@dataclass(frozen=True, slots=True)
class StreamStage(ABC):
    """A stage that computes on every frame's merged numbers, in the order of the stream; texts pass through."""

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames with new points.

        Raises:
            ComputeError: a null among the numbers, or points that the stage cannot compute with.
        """
        out = []
        for frame in frames:
            clock.check()
            out.append(frame.with_points(self.compute(merged(frame))) if holds_numbers(frame) else frame)
        return out

    @abstractmethod
    def compute(self, points: Points) -> Points:
        """Return what the stage makes of one stream of numbers."""


@dataclass(frozen=True, slots=True)
class ValueStage(ABC):
    """A stage that maps values one by one; texts pass through.

    A frame's streams need not be merged for it, unless it turns the order of values round: points of one time were in the
    order of the values that they had.
    """

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames with every value mapped to a double, times unchanged.

        Raises:
            ComputeError: a null among the numbers.
        """
        out = []
        for frame in frames:
            clock.check()
            out.append(self._map_frame(frame) if holds_numbers(frame) else frame)
        return out

    @property
    def keeps_order(self) -> bool:
        """Whether a larger value never becomes the smaller one, so that merging the results orders equal times as before."""
        return True

    def _map_frame(self, frame: Frame) -> Frame:
        given = frame.parts if self.keeps_order or len(frame.parts) < 2 else (merged(frame),)
        parts = tuple(Points.doubles(part.times_ms, self.map_values(part.numbers())) for part in given)
        return Frame(frame.metric, frame.members, parts, frame.groups)

    @abstractmethod
    def map_values(self, values: Float64s) -> Float64s:
        """Return the new values, float64[n]; the given ones are not changed."""
