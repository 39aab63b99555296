"""Range aggregators: one result (or a few) for each bucket that holds points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from amondawa.aggregate.buckets import Buckets, Runs, aligned_origin, ascends, cut, cut_unmerged, origin_buckets
from amondawa.aggregate.merge import merged
from amondawa.aggregate.reduce import MAX, MIN, SUM, Reduction, place
from amondawa.aggregate.stages import AGGREGATORS
from amondawa.aggregate.streams import highest_kind, holds_numbers
from amondawa.model.points import Float64s, Int64s, Kind, Points, numbers_of
from amondawa.model.query import Clock
from amondawa.model.result import Frame
from amondawa.model.timespan import UTC_ZONE, Span, Unit, Zone

_BATCH_POINTS: Final = 65_536
_ORDERED_POINTS: Final = 65_536
"""So many points of several streams are still added in order of time."""


@dataclass(frozen=True, slots=True)
class RangeStage(ABC):
    """What all range aggregators share: their buckets, and the time that a bucket's result carries.

    Attributes:
        sampling: length of a bucket.
        align_sampling: buckets count from a round moment before the query's start, not from the start itself.
        align_start_time: a result carries its bucket's start; beats `align_end_time`.
        align_end_time: a result carries its bucket's end. With neither it carries the time of the bucket's first point.
        trim: only `gaps` looks at it.
        zone: whose calendar days, weeks, months, years and round moments follow.
    """

    numbers_only: ClassVar[bool] = True
    """pass frames of text through untouched"""
    takes_nulls: ClassVar[bool] = False
    """compute with the nulls of empty buckets"""

    sampling: Span = Span(1, Unit.MILLISECONDS)
    align_sampling: bool = True
    align_start_time: bool = False
    align_end_time: bool = False
    trim: bool = False
    zone: Zone = UTC_ZONE

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Reduce every frame.

        Raises:
            ComputeError: an empty sampling over points, a null among numbers, an origin that clocks skipped.
        """
        origin_ms = self.origin_ms(clock.start_ms)
        out = []
        for frame in frames:
            clock.check()
            if self.numbers_only and not holds_numbers(frame, self.takes_nulls):
                out.append(frame)
            elif any(map(len, frame.parts)):
                out.append(self._reduce(frame, origin_ms))
            else:
                out.append(frame.with_points(Points.empty()))
        return out

    def origin_ms(self, start_ms: int) -> int:
        """Return where bucket 0 begins, for a query that starts at `start_ms`."""
        return aligned_origin(start_ms, self.sampling.unit, self.zone) if self.align_sampling else start_ms

    def stamps(self, first_times_ms: Int64s, numbers: Int64s, buckets: Buckets) -> Int64s:
        """Return the time each result carries, int64[m], from first points' times and bucket numbers."""
        if self.align_start_time:
            return buckets.edges(numbers)
        if self.align_end_time:
            return buckets.edges(numbers + 1)
        return first_times_ms

    def _reduce(self, frame: Frame, origin_ms: int) -> Frame:
        buckets = origin_buckets(origin_ms, self.sampling, self.zone)
        points = merged(frame)
        return frame.with_points(self.reduce_runs(points, cut(points.times_ms, buckets), buckets))

    @abstractmethod
    def reduce_runs(self, points: Points, runs: Runs, buckets: Buckets) -> Points:
        """Return the results of one merged stream, in order."""


@dataclass(frozen=True, slots=True)
class _OrderBlind(RangeStage):
    """A reduction that need not see a bucket's points in order, so that streams need not be merged for it."""

    reduction: ClassVar[Reduction | None] = None
    """what to do with the values; None = they do not matter"""

    @abstractmethod
    def finish(self, stamps_ms: Int64s, values: Float64s, lengths: Int64s) -> Points:
        """Return the results, one a bucket, from their times, reduced values and numbers of points."""

    def reduce_runs(self, points: Points, runs: Runs, buckets: Buckets) -> Points:
        """Return one result a run."""
        stamps = self.stamps(points.times_ms[runs.firsts], runs.numbers, buckets)
        return self.finish(stamps, self._run_values([points], runs), runs.lengths)

    def _run_values(self, parts: list[Points], runs: Runs) -> Float64s:
        """Return one value a run of the streams laid end to end, float64[m]."""
        if self.reduction is None:
            return np.zeros(len(runs.firsts))
        return self.reduction.run(numbers_of(parts), runs.firsts)

    def _reduce(self, frame: Frame, origin_ms: int) -> Frame:
        if self._sees_order(frame.parts) or not _lie_side_by_side(frame.parts, origin_ms):
            return RangeStage._reduce(self, frame, origin_ms)
        buckets = origin_buckets(origin_ms, self.sampling, self.zone)
        partials = [self._partial(parts, buckets) for parts in _batches(frame.parts)]
        numbers, first_times, lengths, values = (np.concatenate(column) for column in zip(*partials, strict=True))
        places = place(numbers)
        if self.reduction is not None:
            values = self.reduction.join(values, places.of_run, len(places.numbers))
        stamps = self.stamps(places.earliest(first_times), places.numbers, buckets)
        return frame.with_points(self.finish(stamps, values, places.total(lengths)))

    def _sees_order(self, parts: tuple[Points, ...]) -> bool:
        """Say whether the streams are to be merged first: the last digits of a sum depend on the order of its terms.

        Where there are very many points, speed counts for more than those digits.
        """
        return len(parts) == 1 or (self.reduction is SUM and sum(map(len, parts)) <= _ORDERED_POINTS)

    def _partial(self, parts: list[Points], buckets: Buckets) -> tuple[Int64s, Int64s, Int64s, Float64s]:
        """Return bucket number, first time, length and value of each run of some streams laid end to end."""
        times = parts[0].times_ms if len(parts) == 1 else np.concatenate([part.times_ms for part in parts])
        runs = cut_unmerged(times, [len(part) for part in parts], buckets)
        return runs.numbers, times[runs.firsts], runs.lengths, self._run_values(parts, runs)


def _lie_side_by_side(parts: tuple[Points, ...], origin_ms: int) -> bool:
    """Say whether every part ascends and none begins before the origin: then a bucket is just its points."""
    return all(len(part) == 0 or (part.times_ms[0] >= origin_ms and ascends(part.times_ms)) for part in parts)


def _batches(parts: tuple[Points, ...]) -> Iterator[list[Points]]:
    """Yield streams together until they have points enough to be worth a call, few enough to stay in the cache."""
    batch: list[Points] = []
    room = _BATCH_POINTS
    for part in parts:
        if len(part):
            batch.append(part)
            room -= len(part)
        if room <= 0:
            yield batch
            batch, room = [], _BATCH_POINTS
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class _Doubles(_OrderBlind):
    """A reduction whose values are the results."""

    def finish(self, stamps_ms: Int64s, values: Float64s, lengths: Int64s) -> Points:
        """Return one double a bucket."""
        return Points.doubles(stamps_ms, values)


@AGGREGATORS.register("avg")
@dataclass(frozen=True, slots=True)
class Average(_OrderBlind):
    """The mean of each bucket, a double. Nulls of empty buckets do not count; where there is nothing else it is NaN."""

    takes_nulls: ClassVar[bool] = True
    reduction: ClassVar[Reduction | None] = SUM

    def finish(self, stamps_ms: Int64s, values: Float64s, lengths: Int64s) -> Points:
        """Return one mean a bucket."""
        return Points.doubles(stamps_ms, (values + 0.0) / lengths)

    def reduce_runs(self, points: Points, runs: Runs, buckets: Buckets) -> Points:
        """Return one mean a run."""
        if highest_kind(points) < Kind.NULL:
            return _OrderBlind.reduce_runs(self, points, runs, buckets)
        known = points.kinds != Kind.NULL
        sums = SUM.run(np.where(known, points.numbers(), 0.0), runs.firsts)
        stamps = self.stamps(points.times_ms[runs.firsts], runs.numbers, buckets)
        with np.errstate(invalid="ignore"):
            return self.finish(stamps, sums, np.add.reduceat(known.astype(np.int64), runs.firsts))


@AGGREGATORS.register("sum")
@dataclass(frozen=True, slots=True)
class Sum(_Doubles):
    """The sum of each bucket, a double; that of -0.0 alone is 0.0, as when one adds to nothing."""

    reduction: ClassVar[Reduction | None] = SUM

    def finish(self, stamps_ms: Int64s, values: Float64s, lengths: Int64s) -> Points:
        """Return one sum a bucket."""
        return Points.doubles(stamps_ms, values + 0.0)


@AGGREGATORS.register("min")
@dataclass(frozen=True, slots=True)
class Minimum(_Doubles):
    """The smallest value of each bucket, a double."""

    reduction: ClassVar[Reduction | None] = MIN


@AGGREGATORS.register("max")
@dataclass(frozen=True, slots=True)
class Maximum(_Doubles):
    """The largest value of each bucket, a double."""

    reduction: ClassVar[Reduction | None] = MAX


@AGGREGATORS.register("count")
@dataclass(frozen=True, slots=True)
class Count(_OrderBlind):
    """The number of points of any kind in each bucket, a long."""

    numbers_only: ClassVar[bool] = False

    def finish(self, stamps_ms: Int64s, values: Float64s, lengths: Int64s) -> Points:
        """Return one count a bucket."""
        return Points.longs(stamps_ms, lengths)


@AGGREGATORS.register("first")
@dataclass(frozen=True, slots=True)
class First(RangeStage):
    """The first point of each bucket, of any kind, as it was, at the result's time."""

    numbers_only: ClassVar[bool] = False

    def reduce_runs(self, points: Points, runs: Runs, buckets: Buckets) -> Points:
        """Return one point a run."""
        chosen = points.take(runs.firsts)
        stamps = self.stamps(chosen.times_ms, runs.numbers, buckets)
        return Points(stamps, chosen.kinds, chosen.bits, chosen.texts)


@AGGREGATORS.register("last")
@dataclass(frozen=True, slots=True)
class Last(RangeStage):
    """The last point of each bucket, of any kind, as it was; it keeps its own time unless times are aligned."""

    numbers_only: ClassVar[bool] = False

    def reduce_runs(self, points: Points, runs: Runs, buckets: Buckets) -> Points:
        """Return one point a run."""
        chosen = points.take(runs.lasts)
        stamps = self.stamps(chosen.times_ms, runs.numbers, buckets)
        return Points(stamps, chosen.kinds, chosen.bits, chosen.texts)
