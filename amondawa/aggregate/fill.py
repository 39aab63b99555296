"""Downsampling of each series to a grid of its own accord, with or without values for empty buckets.

This is the step before grouping: one value a bucket, stamped with the bucket's start, always a double.
Source: suites query_downsample, query_calendar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial

import numpy as np

from amondawa.aggregate import members
from amondawa.aggregate.buckets import Indexes, Runs, cut
from amondawa.aggregate.combine import QUANTILES
from amondawa.aggregate.gaps import BUCKET_LIMIT
from amondawa.aggregate.grid import Grid
from amondawa.aggregate.reduce import MAX, MIN, SUM
from amondawa.aggregate.registry import Registry
from amondawa.errors import BadRequest, LimitExceeded
from amondawa.model.points import Float64s, Int64s, Points
from amondawa.model.query import Clock
from amondawa.model.result import Frame


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Runs of points as the functions need them; none is empty.

    Attributes:
        firsts: intp[m], index of each run's first point.
        lasts: intp[m], index of its last one.
        lengths: int64[m], its number of points.
    """

    firsts: Indexes
    lasts: Indexes
    lengths: Int64s

    @classmethod
    def of(cls, runs: Runs) -> Spans:
        """Work the columns out once."""
        return cls(runs.firsts, runs.lasts, runs.lengths)


RunFunction = Callable[[Float64s, Spans], Float64s]
"""(values float64[n] without NaN, runs) -> one value a run, float64[m]"""

RUN_FUNCTIONS: Registry[RunFunction] = Registry("downsampling function")


class Fill(Enum):
    """What an empty bucket gives."""

    NONE = "none"
    NAN = "nan"
    NULL = "null"
    ZERO = "zero"
    SCALAR = "scalar"
    """nothing: no value goes with it, so empty buckets are refused"""

    @property
    def value_of_empty(self) -> float:
        """The value put into empty buckets; NULL is NaN until it is written out."""
        return 0.0 if self is Fill.ZERO else float("nan")


class EmptyBucket(BadRequest):
    """A bucket without points where the fill cannot stand one."""


@dataclass(frozen=True, slots=True)
class Downsampling:
    """How a series is downsampled.

    Attributes:
        grid: the buckets.
        function: name of the function, see RUN_FUNCTIONS.
        fill: what empty buckets give.
    """

    grid: Grid
    function: str
    fill: Fill = Fill.NONE


# functions of runs ----------------------------------------------------------------------------------------------------


def _register(names: tuple[str, ...], function: RunFunction) -> None:
    for name in names:
        RUN_FUNCTIONS.register(name)(function)


def _sum(values: Float64s, runs: Spans) -> Float64s:
    return SUM.run(values, runs.firsts)


def _mean(values: Float64s, runs: Spans) -> Float64s:
    return SUM.run(values, runs.firsts) / runs.lengths


def _deviation(values: Float64s, runs: Spans) -> Float64s:
    away = values - np.repeat(_mean(values, runs), runs.lengths)
    return np.sqrt(SUM.run(away * away, runs.firsts) / runs.lengths)


def _difference(values: Float64s, runs: Spans) -> Float64s:
    return np.asarray(values[runs.lasts] - values[runs.firsts])


def _ranked(values: Float64s, runs: Spans) -> Float64s:
    """Sort the values inside each run."""
    lengths = runs.lengths
    return np.asarray(values[np.lexsort((values, np.repeat(np.arange(len(lengths)), lengths)))])


def _median(values: Float64s, runs: Spans) -> Float64s:
    return np.asarray(_ranked(values, runs)[runs.firsts + runs.lengths // 2])


def _quantile(values: Float64s, runs: Spans, share: float) -> Float64s:
    ranked, lengths = _ranked(values, runs), runs.lengths
    position = members.position_classic(lengths, share)
    lower = np.clip(np.floor(position).astype(np.int64) - 1, 0, lengths - 1)
    upper = np.minimum(lower + 1, lengths - 1)
    part = np.where((position < 1) | (position >= lengths), 0.0, position - np.floor(position))
    low = ranked[runs.firsts + lower]
    return np.asarray(low + part * (ranked[runs.firsts + upper] - low))


_register(("sum", "zimsum", "pfsum"), _sum)
_register(("min", "mimmin"), lambda values, runs: MIN.run(values, runs.firsts))
_register(("max", "mimmax"), lambda values, runs: MAX.run(values, runs.firsts))
_register(("avg",), _mean)
_register(("dev",), _deviation)
_register(("diff",), _difference)
_register(("count",), lambda values, runs: runs.lengths.astype(np.float64))
_register(("first",), lambda values, runs: np.asarray(values[runs.firsts]))
_register(("last",), lambda values, runs: np.asarray(values[runs.lasts]))
_register(("mult",), lambda values, runs: np.multiply.reduceat(values, runs.firsts))
_register(("squareSum",), lambda values, runs: SUM.run(values * values, runs.firsts))
_register(("median",), _median)
for _name, _percent in QUANTILES.items():
    # Doubles are always placed the classic way, whatever the name promises: downsampling knows doubles only.
    _register((_name,), partial(_quantile, share=_percent / 100))

# the stage ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DownsampleSeries:
    """Downsample the one stream of every frame.

    Attributes:
        how: grid, function and fill.
        first_ms, end_ms: the range that was read, end exclusive. A bucket that begins before it is left out; with a fill the
            buckets up to the one that holds its end are there, whether the series has points in them or not.
    """

    how: Downsampling
    first_ms: int
    end_ms: int

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return frames of doubles; a frame without points stays so unless there is a fill.

        Raises:
            BadRequest: no such function.
            EmptyBucket: a bucket is empty and the fill is SCALAR.
            LimitExceeded: more buckets to fill than BUCKET_LIMIT, over all series.
        """
        reducer = _Reducer(self, len(frames))
        out = []
        for frame in frames:
            clock.check()
            out.append(frame.with_points(reducer.reduce(frame.points)))
        return out


class _Reducer:
    """Downsamples streams; what it found out for one stream serves the next one when that has the same times."""

    def __init__(self, stage: DownsampleSeries, series: int) -> None:
        function = RUN_FUNCTIONS.find(stage.how.function)
        if function is None:
            raise BadRequest(f"no such downsampling function: {stage.how.function}", value=stage.how.function)
        grid = stage.how.grid
        self._stage = stage
        self._function = function
        self._first_ms, self._last_ms = (
            (grid.ceiling(stage.first_ms), stage.end_ms - 1)
            if grid.whole is None
            else (grid.whole[0], grid.whole[1] - 1)
        )
        self._times = np.zeros(0, np.int64)
        self._runs: Spans | None = None
        self._stamps = self._times
        self._filled = self._filled_edges(series)

    def _filled_edges(self, series: int) -> Int64s | None:
        """Return the starts of all buckets when empty ones are filled."""
        how, grid, end_ms = self._stage.how, self._stage.how.grid, self._stage.end_ms
        if how.fill is Fill.NONE or grid.whole is not None:
            return None
        # Estimated first: calendar buckets cannot be counted without making them.
        self._refuse_many((end_ms - self._first_ms) // grid.step_ms, series)
        edges = grid.starts(self._stage.first_ms, end_ms)
        self._refuse_many(len(edges), series)
        return edges[edges >= self._first_ms]

    @staticmethod
    def _refuse_many(buckets: int, series: int) -> None:
        if buckets * max(series, 1) > BUCKET_LIMIT:
            raise LimitExceeded(
                f"{buckets} buckets of {series} series would be filled, the limit is {BUCKET_LIMIT} in all: use longer "
                "buckets, a shorter range, fewer series or no fill policy"
            )

    def reduce(self, points: Points) -> Points:
        """Downsample one ascending stream of LONG and DOUBLE points."""
        points = points.between(self._first_ms, self._last_ms)
        values = points.numbers()
        nan = np.isnan(values)
        if nan.any():
            points, values = points.take(~nan), values[~nan]
        if len(points) == 0:
            return self._fill(np.zeros(0, np.int64), np.zeros(0))
        runs = self._cut(points.times_ms)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._fill(self._stamps, self._function(values, runs))

    def _cut(self, times_ms: Int64s) -> Spans:
        """Return the runs of a stream, and set the starts of their buckets."""
        if self._runs is not None and np.array_equal(times_ms, self._times):
            return self._runs
        grid = self._stage.how.grid
        if grid.whole is not None:
            runs = Runs(np.zeros(1, np.intp), np.zeros(1, np.int64), len(times_ms))
            self._stamps = np.array([grid.whole[0]], np.int64)
        else:
            buckets = grid.buckets_at(int(times_ms[0]))
            runs = cut(times_ms, buckets)
            self._stamps = buckets.edges(runs.numbers)
        spans = Spans.of(runs)
        self._times, self._runs = times_ms, spans
        return spans

    def _fill(self, stamps: Int64s, values: Float64s) -> Points:
        """Put values where a bucket of the range begins; calendar buckets of a series may begin elsewhere, and are lost."""
        if self._filled is None:
            return Points.doubles(stamps, values)
        filled = np.full(len(self._filled), self._stage.how.fill.value_of_empty)
        where = np.searchsorted(self._filled, stamps)
        known = where < len(filled)
        known[known] = self._filled[where[known]] == stamps[known]
        filled[where[known]] = values[known]
        if self._stage.how.fill is Fill.SCALAR and np.count_nonzero(known) < len(filled):
            raise EmptyBucket("unhandled fill policy")
        return Points.doubles(self._filled, filled)
