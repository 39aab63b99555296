"""Queries over rolled-up data: what of it stands for the points in a query's first aggregation, and whether that is exact.

A sum is the sum of the intervals' sums, a mean their sums over their counts, and so on: the stages run as they are over one
column of the rolled-up data, or over two that are then divided. That is exact when every interval lies in one bucket and in
the query's range. Where no column serves (percentiles, rates, no aggregation at all), one point stands for each interval's
points: their mean, at the time of the first of them. See docs/rollup-blocks.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from amondawa.aggregate.across_series import OnlyKinds
from amondawa.aggregate.buckets import Buckets, origin_buckets
from amondawa.aggregate.downsample import Average, Count, First, Last, Maximum, Minimum, RangeStage, Sum
from amondawa.aggregate.fill import DownsampleSeries, Fill
from amondawa.aggregate.group import GroupSeries
from amondawa.aggregate.merge import merged
from amondawa.aggregate.rollup import Column, interleaved, points_of, raw_points
from amondawa.aggregate.streams import holds_numbers
from amondawa.model.points import Int64s, Kind, Points
from amondawa.model.query import Clock, Identity, Query, Stage
from amondawa.model.result import Frame
from amondawa.model.rollup import Rollup, RollupUse
from amondawa.model.series import Series
from amondawa.store import rows

_RANGE_COLUMNS: Final[dict[type, tuple[Column, ...]]] = {
    Sum: (Column.SUM,),
    Minimum: (Column.LEAST,),
    Maximum: (Column.MOST,),
    First: (Column.FIRST,),
    Last: (Column.LAST,),
    Count: (Column.COUNT,),
    Average: (Column.SUM, Column.COUNT),
}
_FUNCTION_COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    **dict.fromkeys(("sum", "zimsum", "pfsum"), (Column.SUM,)),
    **dict.fromkeys(("min", "mimmin"), (Column.LEAST,)),
    **dict.fromkeys(("max", "mimmax"), (Column.MOST,)),
    "first": (Column.FIRST,),
    "last": (Column.LAST,),
    "count": (Column.COUNT,),
    "avg": (Column.SUM, Column.COUNT),
}


@dataclass(frozen=True, slots=True, eq=False)
class RolledSeries:
    """What was read of one series.

    Attributes:
        series: which.
        points: its points in range that are not rolled up, ascending unless there is nothing else.
        rollups: its rolled-up data in range.
        is_cut: the range holds some points of an interval and not all.
    """

    series: Series
    points: Points
    rollups: tuple[Rollup, ...] = ()
    is_cut: bool = False

    @property
    def sample_size(self) -> int:
        """How many points it stands for."""
        return len(self.points) + sum(one.points for one in self.rollups)

    def column(self, column: Column) -> Points:
        """Return the series as one ascending stream of a column."""
        parts = [points_of(one, column) for one in self.rollups]
        return interleaved([raw_points(self.points, column), *parts]) if parts else raw_points(self.points, column)


@dataclass(frozen=True, slots=True)
class RollupPlan:
    """How rolled-up data serve a query.

    Attributes:
        query: which.
        at: place of the aggregation among the query's stages.
        columns: those that it needs; none = no column serves it.
    """

    query: Query
    at: int = 0
    columns: tuple[Column, ...] = ()

    @classmethod
    def of(cls, query: Query) -> RollupPlan:
        """Find a query's first aggregation; what stands before it must not look at values or times."""
        if query.limit or query.descending:
            return cls(query)
        for at, stage in enumerate(query.stages):
            if isinstance(stage, RangeStage):
                return cls(query, at, _RANGE_COLUMNS.get(type(stage), ()))
            if isinstance(stage, DownsampleSeries):
                return cls(query, at, _FUNCTION_COLUMNS.get(stage.how.function, ()))
            if not isinstance(stage, GroupSeries | OnlyKinds):
                break
        return cls(query)

    @property
    def stage(self) -> Stage:
        """The aggregation."""
        return self.query.stages[self.at]

    def serves(self, row: Sequence[Rollup]) -> bool:
        """Say whether a row's copies give the exact answer, so that its points need not be read.

        Where buckets count from each series' own first point that cannot be told from one row.
        """
        if not self.columns or not row:
            return False
        stage = self.stage
        if isinstance(stage, DownsampleSeries) and stage.how.grid.calendar and stage.how.grid.count != 1:
            return False
        query = self.query
        if any(one.inside(query.start_ms, query.end_ms)[1] for one in row):
            return False
        return _fits(row, self._number(int(row[0].firsts.times_ms[0])))

    def is_exact(self, read: RolledSeries) -> bool:
        """Say whether the columns give what the points themselves would have given."""
        if all((one.counts == 1).all() for one in read.rollups):
            return not read.is_cut
        if not self.columns or read.is_cut:
            return False
        first_ms = min(int(times[0]) for times in _times(read) if len(times))
        return _fits(read.rollups, self._number(first_ms))

    def _number(self, first_ms: int) -> Callable[[Int64s], Int64s]:
        """Return what numbers the buckets of times, for a series that begins at a moment."""
        stage, query = self.stage, self.query
        if isinstance(stage, RangeStage):
            start_ms = query.start_ms if query.clock_start_ms is None else query.clock_start_ms
            buckets: Buckets = origin_buckets(stage.origin_ms(start_ms), stage.sampling, stage.zone)
            return buckets.numbers
        assert isinstance(stage, DownsampleSeries)
        grid = stage.how.grid
        if grid.whole is not None:
            start, end = grid.whole
            return lambda times: np.asarray((times >= start).astype(np.int64) + (times >= end))
        own = stage.how.fill is Fill.NONE
        return grid.buckets_at(max(first_ms, grid.ceiling(stage.first_ms)) if own else stage.first_ms).numbers

    # the stages -------------------------------------------------------------------------------------------------------

    def run(self, read: Sequence[RolledSeries], clock: Clock) -> tuple[list[Frame], RollupUse | None]:
        """Run a query's stages over series of which some may be rolled up.

        Returns:
            the frames, and how rolled-up data served them (None: there are none).
        """
        rolled = [each for each in read if each.rollups]
        if not rolled:
            metric = self.query.selection.metric
            frames = [Frame(metric, (each.series,), (each.points,)) for each in read]
            return _through(self.query.stages, frames, clock), None
        steps = {one.step_ms for each in rolled for one in each.rollups}
        use = RollupUse(tuple(sorted(steps)), all(map(self.is_exact, rolled)))
        read = [each for each in read if each.sample_size]
        if not self.columns:
            return _through(self.query.stages, self._likely(read), clock), use
        before, after = self.query.stages[: self.at], self.query.stages[self.at + 1 :]
        grouped = [_through(before, self._frames(read, column), clock) for column in self.columns]
        if len(self.columns) > 1:
            frames = self._averaged(grouped[0], grouped[1], clock)
        elif self.columns[0] is Column.COUNT:
            frames = self._counted(grouped[0], clock)
        else:
            frames = self.stage.apply(grouped[0], clock)
        return _through(after, frames, clock), use

    def _frames(self, read: Sequence[RolledSeries], column: Column) -> list[Frame]:
        metric = self.query.selection.metric
        return [Frame(metric, (each.series,), (each.column(column),)) for each in read]

    def _averaged(self, sums: list[Frame], counts: list[Frame], clock: Clock) -> list[Frame]:
        """Divide the sums of the buckets by their counts; texts pass through."""
        fill = self.stage.how.fill if isinstance(self.stage, DownsampleSeries) else Fill.NONE
        add = _summing(self.stage, Fill.SCALAR if fill is Fill.SCALAR else Fill.NAN)
        parts = zip(add.apply(sums, clock), add.apply(counts, clock), strict=True)
        return [self._divided(total, count, fill) for total, count in parts]

    @staticmethod
    def _divided(total: Frame, count: Frame, fill: Fill) -> Frame:
        if not holds_numbers(total) or not any(map(len, total.parts)):
            return total
        stream, counts = merged(total), merged(count).numbers()
        with np.errstate(invalid="ignore", over="ignore"):
            values = stream.numbers() / counts
        if fill is Fill.ZERO:
            values = np.where(np.isnan(counts), fill.value_of_empty, values)
        return total.with_points(Points.doubles(stream.times_ms, values))

    def _counted(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Add the counts up; frames of texts are counted as they are."""
        if isinstance(self.stage, DownsampleSeries):
            return _summing(self.stage, self.stage.how.fill).apply(frames, clock)
        add = _summing(self.stage, Fill.NONE)
        return [
            self._whole_numbers(add.apply([frame], clock)[0])
            if holds_numbers(frame)
            else self.stage.apply([frame], clock)[0]
            for frame in frames
        ]

    @staticmethod
    def _whole_numbers(frame: Frame) -> Frame:
        points = merged(frame) if frame.parts else Points.empty()
        if not len(points):
            return frame.with_points(Points.empty())
        return frame.with_points(Points.longs(points.times_ms, points.numbers().astype(np.int64)))

    # without a column -------------------------------------------------------------------------------------------------

    def _likely(self, read: Sequence[RolledSeries]) -> list[Frame]:
        """Return a point an interval; where a query asks for the newest or the oldest point alone, just that."""
        query = self.query
        column = Column.MEAN
        if query.limit == 1 and not query.stages:
            column = Column.LAST if query.descending else Column.FIRST
        metric = query.selection.metric
        return [Frame(metric, (each.series,), (_ordered(each.column(column), query),)) for each in read]


def _ordered(points: Points, query: Query) -> Points:
    """Make a stream unique, put it into the asked order and cut it to its limit."""
    points = rows.in_order(points)
    if query.identity is Identity.TIME:
        points = rows.latest_only(points)
    if query.descending:
        points = points.take(slice(None, None, -1))
    if not query.limit or len(points) <= query.limit:
        return points
    if query.identity is Identity.TIME:
        return points.take(slice(0, query.limit))
    kept = np.zeros(len(points), np.bool_)
    for kind in Kind:
        kept[np.flatnonzero(points.kinds == kind)[: query.limit]] = True
    return points.take(kept)


def _summing(stage: Stage, fill: Fill) -> Stage:
    """Return the stage that adds up in the buckets of another; where that fills empty ones they are filled as said."""
    if isinstance(stage, DownsampleSeries):
        filled = Fill.NONE if stage.how.fill is Fill.NONE else fill
        return replace(stage, how=replace(stage.how, function="sum", fill=filled))
    return Sum(**{field.name: getattr(stage, field.name) for field in fields(RangeStage)})


def _through(stages: Sequence[Stage], frames: list[Frame], clock: Clock) -> list[Frame]:
    for stage in stages:
        clock.check()
        frames = stage.apply(frames, clock)
    return frames


def _fits(rollups: Sequence[Rollup], number: Callable[[Int64s], Int64s]) -> bool:
    """Say whether every interval lies in one bucket."""
    return all(np.array_equal(number(one.firsts.times_ms), number(one.lasts.times_ms)) for one in rollups)


def _times(read: RolledSeries) -> Iterator[Int64s]:
    yield read.points.times_ms
    for one in read.rollups:
        yield one.firsts.times_ms
