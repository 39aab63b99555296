"""Change from point to point: rate, sampler and difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amondawa.aggregate.stages import AGGREGATORS, StreamStage
from amondawa.errors import ComputeError
from amondawa.model.points import Float64s, Int64s, Points
from amondawa.model.timespan import UTC_ZONE, Span, Unit, Zone, shift


@AGGREGATORS.register("diff")
@dataclass(frozen=True, slots=True)
class Difference(StreamStage):
    """Each point's value less that of the point before, a double; the first point gives nothing."""

    def compute(self, points: Points) -> Points:
        """Return n - 1 doubles."""
        return Points.doubles(points.times_ms[1:], np.diff(points.numbers()))


def _elapsed_ms(times_ms: Int64s, name: str) -> Float64s:
    """Return the time from each point to the next, float64[n - 1] ms; negative in a descending stream.

    Raises:
        ComputeError: two points have one time; the words are KairosDB's.
    """
    steps = np.diff(times_ms)
    if len(steps) and not steps.all():
        raise ComputeError(
            f"The {name} aggregator cannot compute rate for data points with the same time stamp.  "
            f"You must precede {name} with another aggregator."
        )
    return steps.astype(np.float64)


def _span_lengths_ms(times_ms: Int64s, span: Span, zone: Zone) -> Float64s | float:
    """Return how long a span is from each moment on, ms; days and longer by the zone's calendar."""
    if span.unit.fixed_ms is not None:
        return float(span.value * span.unit.fixed_ms)
    return (shift(times_ms, span.value, span.unit, zone) - times_ms).astype(np.float64)


@AGGREGATORS.register("rate")
@dataclass(frozen=True, slots=True)
class Rate(StreamStage):
    """Change of value per span of time between each point and the one before, a double at the later one's time.

    Attributes:
        sampling: the span; a day or longer counts by its length from the earlier point in the zone.
        zone: whose calendar.
    """

    sampling: Span = Span(1, Unit.MILLISECONDS)
    zone: Zone = UTC_ZONE

    def compute(self, points: Points) -> Points:
        """Return n - 1 doubles."""
        elapsed = _elapsed_ms(points.times_ms, "rate")
        lengths = _span_lengths_ms(points.times_ms[:-1], self.sampling, self.zone)
        return Points.doubles(points.times_ms[1:], np.diff(points.numbers()) / elapsed * lengths)


@AGGREGATORS.register("sampler")
@dataclass(frozen=True, slots=True)
class Sampler(StreamStage):
    """Each point's value per unit of the time since the point before, a double; the first point gives nothing.

    Attributes:
        unit: a day or longer counts by its length from the earlier point in the zone.
        zone: whose calendar.
    """

    unit: Unit = Unit.MILLISECONDS
    zone: Zone = UTC_ZONE

    def compute(self, points: Points) -> Points:
        """Return n - 1 doubles."""
        elapsed = _elapsed_ms(points.times_ms, "sampler")
        lengths = _span_lengths_ms(points.times_ms[:-1], Span(1, self.unit), self.zone)
        return Points.doubles(points.times_ms[1:], points.numbers()[1:] / elapsed * lengths)
