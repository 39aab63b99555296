"""Every stage equals a loop over points."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.aggregate.aggregators import AGGREGATORS
from amondawa.aggregate.deviation import DeviationKind
from amondawa.aggregate.merge import merge_points
from amondawa.aggregate.transform import Boundary, Threshold
from amondawa.model.query import Stage
from amondawa.model.timespan import Span, Unit, find_zone
from tests.aggregate import naive
from tests.aggregate.frames import Clock, Pairs, frame_of, pairs_of, points_of

HOUR = 3_600_000
DAY = 24 * HOUR
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe")
# around a clock change of each, around 1970, and the end of a leap February
MOMENTS = (1_362_873_600_000, 1_383_350_400_000, 1_364_688_000_000, 1_382_832_000_000, 0, -5 * DAY, 1_456_704_000_000)

numbers = st.one_of(
    st.integers(-1000, 1000),
    st.floats(-1000, 1000, allow_nan=False).map(lambda value: round(value, 3)),
    st.sampled_from([2**53 + 1, -0.0, 0.0]),
)
steps = st.one_of(st.integers(1, 5_000), st.integers(1, 40 * DAY), st.sampled_from([HOUR, DAY, 0]))
samplings = st.one_of(
    st.tuples(st.integers(1, 50), st.sampled_from(["MILLISECONDS", "SECONDS", "MINUTES", "HOURS"])),
    st.tuples(st.integers(1, 3), st.sampled_from(["DAYS", "WEEKS", "MONTHS", "YEARS"])),
)
small = settings(max_examples=60, deadline=None)


@st.composite
def streams(draw: st.DrawFn, values: st.SearchStrategy[Any] = numbers) -> Pairs:
    """An ascending stream around a moment at which calendars are interesting."""
    time = draw(st.sampled_from(MOMENTS)) + draw(st.integers(-2 * DAY, 2 * DAY))
    out = []
    for step in draw(st.lists(steps, max_size=40)):
        time += step
        out.append((time, draw(values)))
    return out


def apply(stage: Stage, *parts: Pairs, start_ms: int = 0, end_ms: int = 2**61) -> Pairs:
    (frame,) = stage.apply([frame_of(*parts)], Clock(start_ms, end_ms))
    return pairs_of(frame.points)


def assert_same(expected: Pairs, actual: Pairs) -> None:
    assert [time for time, _ in expected] == [time for time, _ in actual]
    for (time, wanted), (_, got) in zip(expected, actual, strict=True):
        assert type(wanted) is type(got), (time, wanted, got)
        if isinstance(wanted, float) and isinstance(got, float):
            same = math.isclose(wanted, got, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(wanted) and math.isnan(got))
            assert same, (time, wanted, got)
        else:
            assert wanted == got, (time, wanted, got)


RANGES: dict[str, tuple[naive.Reduce, dict[str, Any]]] = {
    "avg": (naive.mean, {}),
    "sum": (naive.total, {}),
    "min": (naive.smallest, {}),
    "max": (naive.largest, {}),
    "count": (naive.how_many, {}),
    "first": (naive.first, {}),
    "last": (naive.last, {}),
    "least_squares": (naive.fitted, {}),
    "dev": (naive.deviation("value", 1), {}),
    "dev+": (naive.deviation("pos_sd", 2), {"return_type": DeviationKind.POS_SD, "dev_count": 2}),
    "dev-": (naive.deviation("neg_sd", 3), {"return_type": DeviationKind.NEG_SD, "dev_count": 3}),
    "percentile": (naive.percentile(0.5), {"percentile": 0.5}),
    "percentile9": (naive.percentile(0.9), {"percentile": 0.9}),
    "percentile1": (naive.percentile(1.0), {"percentile": 1.0}),
}


def stage_named(name: str, **options: Any) -> Stage:
    made = AGGREGATORS.find(name.rstrip("+-91"))
    assert made is not None
    return made(**options)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Pairs, int, dict[str, Any], dict[str, Any]]:
    """A stream, a query's start (before, inside or after it) and the options of both implementations."""
    points = draw(streams())
    low, high = (points[0][0], points[-1][0]) if points else (0, 0)
    start = draw(st.one_of(st.just(low), st.integers(low - 3 * DAY, low), st.integers(low, high)))
    value, unit = draw(samplings)
    zone = draw(st.sampled_from(ZONES))
    flags = {name: draw(st.booleans()) for name in ("align_sampling", "align_start_time", "align_end_time")}
    return (
        points,
        start,
        {"value": value, "unit": unit, "zone": zone, **flags},
        flags
        | {
            "sampling": Span(value, Unit[unit]),
            "zone": find_zone(zone),
        },
    )


@pytest.mark.parametrize("name", RANGES)
@small
@given(questions(), st.booleans())
def test_range_aggregator(name: str, question: Any, descending: bool) -> None:
    points, start, slow, fast = question
    reduce, options = RANGES[name]
    if descending:
        points = points[::-1]
    wanted = naive.ranges(points, reduce, start, **slow)
    assert_same(wanted, apply(stage_named(name, **fast, **options), points, start_ms=start))


@pytest.mark.parametrize("name", ["avg", "sum", "min", "max", "count", "first", "last", "dev", "percentile", "diff"])
@small
@given(st.lists(streams(), min_size=2, max_size=4), samplings, st.integers(0, 2 * DAY))
def test_unmerged_streams_give_what_the_merged_one_gives(
    name: str, parts: list[Pairs], sampling: tuple[int, str], late_ms: int
) -> None:
    options = {} if name == "diff" else {"sampling": Span(sampling[0], Unit[sampling[1]])}
    start = min((part[0][0] for part in parts if part), default=0) + late_ms - DAY
    merged = naive.merge(parts)
    stage = stage_named(name, **options)
    assert_same(apply(stage, merged, start_ms=start), apply(stage, *parts, start_ms=start))


@small
@given(st.lists(streams(), min_size=1, max_size=5), st.booleans())
def test_merge(parts: list[Pairs], descending: bool) -> None:
    given_parts = [points_of(part[::-1] if descending else part) for part in parts]
    merged = pairs_of(merge_points(given_parts, descending))
    wanted = naive.merge(parts, descending)
    assert [(t, float(v)) for t, v in merged] == [(t, float(v)) for t, v in wanted]  # type: ignore[arg-type]


@small
@given(streams(), samplings, st.sampled_from(ZONES), st.booleans(), st.integers(-2 * DAY, 3 * DAY))
def test_gaps(points: Pairs, sampling: tuple[int, str], zone: str, align: bool, length_ms: int) -> None:
    value, unit = sampling
    if unit == "MILLISECONDS":
        unit = "HOURS"
    value = max(value, 5) if unit in ("SECONDS", "MINUTES") else value
    points = [p for p in points if p[0] < points[0][0] + 5 * DAY] if unit != "YEARS" else points
    start = points[0][0] if points else 1_362_873_600_000
    end = start + length_ms // (100 if unit == "SECONDS" else 1)
    points = points if unit != "SECONDS" else points[:1]
    stage = stage_named("gaps", sampling=Span(value, Unit[unit]), zone=find_zone(zone), align_sampling=align)
    assert_same(
        naive.gaps(points, start, end, value, unit, zone, align), apply(stage, points, start_ms=start, end_ms=end)
    )


def distinct(points: Pairs) -> Pairs:
    return [p for p, q in zip(points, [None, *points], strict=False) if q is None or q[0] != p[0]]


STREAM_STAGES: dict[str, tuple[dict[str, Any], Callable[[Pairs], Pairs]]] = {
    "diff": ({}, naive.difference),
    "scale": ({"factor": 2.5}, lambda points: [(t, float(v) * 2.5) for t, v in points]),
    "div": ({"divisor": -3.0}, lambda points: [(t, float(v) / -3.0) for t, v in points]),
    "sma": ({"size": 3}, lambda points: naive.moving_average(points, 3)),
    "sma1": ({"size": 1}, lambda points: naive.moving_average(points, 1)),
    "sma9": ({"size": 19}, lambda points: naive.moving_average(points, 19)),
}


@pytest.mark.parametrize("name", STREAM_STAGES)
@small
@given(points=streams(st.integers(-1000, 1000)), descending=st.booleans())
def test_stream_stage(name: str, points: Pairs, descending: bool) -> None:
    options, slow = STREAM_STAGES[name]
    points = points[::-1] if descending else points
    assert_same(slow(points), apply(stage_named(name, **options), points))


@small
@given(streams(), samplings, st.sampled_from(ZONES[:2] + ZONES[3:5]), st.booleans())
def test_rate_and_sampler(points: Pairs, sampling: tuple[int, str], zone: str, descending: bool) -> None:
    value, unit = sampling
    points = distinct(points)[:: -1 if descending else 1]
    where = find_zone(zone)
    rate = stage_named("rate", sampling=Span(value, Unit[unit]), zone=where)
    assert_same(naive.rate(points, value, unit, zone), apply(rate, points))
    assert_same(naive.sampler(points, unit, zone), apply(stage_named("sampler", unit=Unit[unit], zone=where), points))


@small
@given(
    streams(),
    st.lists(st.tuples(st.integers(-3, 3).map(float), st.sampled_from(["superior", "inferior"])), max_size=5),
    st.booleans(),
)
def test_score(points: Pairs, marks: list[tuple[float, str]], descending: bool) -> None:
    thresholds = tuple(Threshold(value, Boundary(side)) for value, side in marks)
    stage = stage_named("score", thresholds=thresholds, descending=descending)
    points = [(t, v % 4 if isinstance(v, int) else v) for t, v in points]
    assert_same(naive.score(points, marks, descending), apply(stage, points))
