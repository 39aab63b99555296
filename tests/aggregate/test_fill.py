"""Downsampling of each series against a walk over buckets."""

import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.aggregate.combine import COMBINATIONS
from amondawa.aggregate.fill import RUN_FUNCTIONS, DownsampleSeries, Downsampling, EmptyBucket, Fill
from amondawa.aggregate.grid import Grid
from amondawa.errors import BadRequest, LimitExceeded
from amondawa.model.points import Points
from amondawa.model.result import Frame
from amondawa.model.series import Series
from amondawa.model.timespan import DAY_MS, HOUR_MS, MINUTE_MS, Unit
from tests.naive import NaiveClock

T = 1356998400000
CLOCK = NaiveClock(T, T + 3_600_000, T)
MINUTE = Grid(1, Unit.MINUTES, MINUTE_MS)


def downsample(points: Points, how: Downsampling, first_ms: int = T, end_ms: int = T + 3_600_000) -> dict[int, float]:
    frame = Frame("m", (Series("d", "m", ()),), (points,))
    [got] = DownsampleSeries(how, first_ms, end_ms).apply([frame], CLOCK)
    return dict(zip(got.points.times_ms.tolist(), got.points.numbers().tolist(), strict=True))


def classic(percent: float) -> Callable[[list[float]], float]:
    def estimate(values: list[float]) -> float:
        ranked = sorted(values)
        position = percent / 100 * (len(ranked) + 1)
        if position < 1:
            return ranked[0]
        if position >= len(ranked):
            return ranked[-1]
        low = ranked[int(position) - 1]
        return low + (position - int(position)) * (ranked[int(position)] - low)

    return estimate


NAIVE: dict[str, Callable[[list[float]], float]] = {
    "sum": math.fsum,
    "min": min,
    "max": max,
    "avg": statistics.fmean,
    "count": lambda values: float(len(values)),
    "dev": statistics.pstdev,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "diff": lambda values: values[-1] - values[0],
    "mult": math.prod,
    "squareSum": lambda values: math.fsum(value * value for value in values),
    "median": lambda values: sorted(values)[len(values) // 2],
    "p50": classic(50),
    "ep75r7": classic(75),
    "p999": classic(99.9),
}

STREAM = st.dictionaries(st.integers(0, 600), st.floats(-100, 100), max_size=25).map(lambda d: sorted(d.items()))


@given(STREAM, st.sampled_from(sorted(NAIVE)), st.integers(1, 200), st.integers(0, 100))
def test_each_bucket_holds_what_the_walk_says(stream: list[tuple[int, float]], name: str, step_s: int, first_s: int):
    first_ms, end_ms = T + first_s * 1000, T + 700_000
    points = Points.doubles(np.array([T + t * 1000 for t, _ in stream], np.int64), np.array([v for _, v in stream]))
    got = downsample(points, Downsampling(Grid(step_s, Unit.SECONDS, step_s * 1000), name), first_ms, end_ms)
    buckets: dict[int, list[float]] = {}
    for t, value in stream:
        start_ms = (T + t * 1000) // (step_s * 1000) * step_s * 1000
        if start_ms >= first_ms:
            buckets.setdefault(start_ms, []).append(value)
    assert got == {start_ms: pytest.approx(NAIVE[name](values), abs=1e-6) for start_ms, values in buckets.items()}


@given(STREAM, st.sampled_from([Fill.NAN, Fill.NULL, Fill.ZERO]))
def test_a_fill_gives_every_bucket_of_the_range(stream: list[tuple[int, float]], fill: Fill):
    points = Points.doubles(np.array([T + t * 1000 for t, _ in stream], np.int64), np.array([v for _, v in stream]))
    filled = downsample(points, Downsampling(MINUTE, "sum", fill))
    bare = downsample(points, Downsampling(MINUTE, "sum"))
    assert list(filled) == [T + minute * MINUTE_MS for minute in range(60)]
    for start_ms, value in filled.items():
        if start_ms in bare:
            assert value == bare[start_ms]
        else:
            assert value == 0.0 if fill is Fill.ZERO else math.isnan(value)


def test_a_scalar_fill_has_no_value_for_an_empty_bucket():
    every_minute = Points.doubles(T + np.arange(60, dtype=np.int64) * MINUTE_MS, np.ones(60))
    scalar = Downsampling(MINUTE, "sum", Fill.SCALAR)
    assert len(downsample(every_minute, scalar)) == 60
    with pytest.raises(EmptyBucket, match="unhandled fill policy"):
        downsample(every_minute.take(slice(1, None)), scalar)
    whole = Downsampling(Grid(1, Unit.MILLISECONDS, 1, whole=(T, T + 3_600_000)), "sum", Fill.SCALAR)
    assert downsample(every_minute, whole) == {T: 60.0}


def test_every_aggregator_but_none_downsamples():
    assert set(RUN_FUNCTIONS.names()) == set(COMBINATIONS.names()) - {"none"}


def test_one_bucket_for_everything_ends_before_the_last_moment():
    points = Points.doubles(T + np.array([0, 1000, 2000, 3000], np.int64), np.array([1.0, 2.0, 4.0, 8.0]))
    grid = Grid(1, Unit.MILLISECONDS, 1, whole=(T + 1000, T + 3000))
    assert downsample(points, Downsampling(grid, "sum")) == {T + 1000: 6.0}


def test_nan_values_are_left_out_before_reducing():
    points = Points.doubles(T + np.array([0, 1000, 70_000], np.int64), np.array([1.0, math.nan, math.nan]))
    assert downsample(points, Downsampling(MINUTE, "count")) == {T: 1.0}


def test_series_with_equal_times_share_their_cut_but_not_their_values():
    times = T + np.arange(5, dtype=np.int64) * 20_000
    frames = [Frame("m", (), (Points.doubles(times.copy(), np.full(5, value)),)) for value in (1.0, 2.0)]
    stage = DownsampleSeries(Downsampling(MINUTE, "sum"), T, T + 3_600_000)
    first, second = stage.apply(frames, CLOCK)
    assert first.points.numbers().tolist() == [3.0, 2.0]
    assert second.points.numbers().tolist() == [6.0, 4.0]
    assert first.points.times_ms is second.points.times_ms


def test_too_many_filled_buckets_are_refused():
    frame = Frame("m", (), (Points.empty(),))
    stage = DownsampleSeries(Downsampling(Grid(1, Unit.MILLISECONDS, 1), "sum", Fill.ZERO), 0, T)
    with pytest.raises(LimitExceeded, match="longer buckets"):
        stage.apply([frame], CLOCK)
    stage = DownsampleSeries(Downsampling(Grid(1, Unit.SECONDS, 1000), "sum", Fill.ZERO), T, T + 3_600_000_000)
    assert len(stage.apply([frame], CLOCK)[0].points) == 3_600_000
    with pytest.raises(LimitExceeded, match="3600000 buckets of 3 series"):
        stage.apply([frame] * 3, CLOCK)


def test_too_many_calendar_buckets_are_refused_before_they_are_made():
    frame = Frame("m", (), (Points.empty(),))
    grid = Grid(1, Unit.DAYS, 86_400_000, calendar=True)
    with pytest.raises(LimitExceeded, match="buckets of 1 series"):
        DownsampleSeries(Downsampling(grid, "sum", Fill.ZERO), 0, 2**62).apply([frame], CLOCK)


def test_an_unknown_function_is_refused():
    with pytest.raises(BadRequest, match="no such downsampling function: foo"):
        downsample(Points.empty(), Downsampling(MINUTE, "foo"))


def test_a_filled_calendar_bucket_takes_only_values_of_a_series_that_counts_from_the_same_start():
    grid = Grid(10, Unit.HOURS, 10 * HOUR_MS, calendar=True)
    march = T + 59 * DAY_MS
    points = Points.doubles(np.array([march, march + 12 * HOUR_MS], np.int64), np.array([1.0, 2.0]))
    filled = downsample(points, Downsampling(grid, "sum", Fill.ZERO), march - DAY_MS, march + 2 * DAY_MS)
    assert set(filled.values()) == {0.0}
    assert downsample(points, Downsampling(grid, "sum"), march - DAY_MS, march + 2 * DAY_MS) == {
        march: 1.0,
        march + 10 * HOUR_MS: 2.0,
    }
