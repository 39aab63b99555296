"""Filter, trim, limit and every grouping equal loops over points."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.aggregate.filter import Comparison, Filter
from amondawa.aggregate.group import BinGrouping, GroupPoints, GroupSeries, Limit, TimeGrouping, ValueGrouping
from amondawa.aggregate.merge import Merge
from amondawa.aggregate.transform import Ends, Trim
from amondawa.model.query import Stage
from amondawa.model.result import Frame
from amondawa.model.timespan import Span, Unit
from tests.aggregate import naive
from tests.aggregate.frames import Clock, Pairs, Value, frame_of, pairs_of, series_frame

START = 1_330_387_200_000  # 28 February of a leap year
DAY = 86_400_000
MS_OF = {
    "MILLISECONDS": 1, "SECONDS": 1000, "MINUTES": 60_000, "HOURS": 3_600_000, "DAYS": DAY, "WEEKS": 7 * DAY,
    "YEARS": 364 * DAY,
}  # fmt: skip

numbers = st.one_of(
    st.integers(-30, 30),
    st.floats(-30, 30).map(lambda value: round(value, 1)),
    st.sampled_from([0, 0.0, -0.0, 9, -9, 9.5, -9.5, 2**40, 1e300]),
)
texts = st.text(st.sampled_from("aAzé\ue000\U0001f600"), max_size=3)
times = st.one_of(st.integers(START, START + 50), st.integers(START, START + 900 * DAY))
small = settings(max_examples=120, deadline=None)


@st.composite
def streams(draw: st.DrawFn, values: st.SearchStrategy[Any] = numbers) -> Pairs:
    """A stream as the store gives it: ascending, no time twice."""
    return [(time, draw(values)) for time in sorted(draw(st.sets(times, max_size=12)))]


def shown(frames: list[Frame]) -> list[tuple[list[dict[str, Any]], Pairs]]:
    return [(list(frame.groups), pairs_of(frame.points)) for frame in Merge().apply(frames, Clock())]


def run(stage: Stage, *parts: Pairs, start_ms: int = START) -> list[tuple[list[dict[str, Any]], Pairs]]:
    return shown(stage.apply([frame_of(*parts)], Clock(start_ms, 2**61)))


def same(first: object, second: object) -> bool:
    return repr(first) == repr(second)  # tells 0.0 from -0.0 and 1 from 1.0


# filter, trim, limit ----------------------------------------------------------------------------------------------


def compare(first: float, second: float) -> int:
    """Java's Double.compare."""
    if first == second:
        return int(math.copysign(1, first) - math.copysign(1, second)) if first == 0 else 0
    return -1 if first < second else 1


def compare_texts(first: str, second: str) -> int:
    """Java's String.compareTo, a code unit at a time."""
    for one, other in zip(units(first), units(second), strict=False):
        if one != other:
            return -1 if one < other else 1
    return len(units(first)) - len(units(second))


def units(text: str) -> list[int]:
    raw = text.encode("utf-16-be")
    return [raw[at] * 256 + raw[at + 1] for at in range(0, len(raw), 2)]


HOLDS: dict[Comparison, Callable[[int], bool]] = {
    Comparison.LT: lambda order: order < 0,
    Comparison.LTE: lambda order: order <= 0,
    Comparison.GT: lambda order: order > 0,
    Comparison.GTE: lambda order: order >= 0,
    Comparison.EQUAL: lambda order: order == 0,
    Comparison.NE: lambda order: order != 0,
}


def kept(value: Value, operator: Comparison, threshold: float | str) -> bool:
    if isinstance(value, str) and isinstance(threshold, str):
        return not HOLDS[operator](compare_texts(value, threshold))
    if isinstance(value, (int, float)) and isinstance(threshold, (int, float)):
        return not HOLDS[operator](compare(float(value), float(threshold)))
    return False


@small
@given(st.sampled_from(Comparison), st.one_of(numbers.map(float), texts), st.data())
def test_filter(operator: Comparison, threshold: float | str, data: st.DataObject) -> None:
    values = data.draw(st.sampled_from([numbers, texts]))
    points = data.draw(streams(values))
    ((_, got),) = run(Filter(operator, threshold), points)
    assert same(got, [(time, value) for time, value in points if kept(value, operator, threshold)])


@small
@given(st.sampled_from([None, *Ends]), st.lists(streams(), min_size=1, max_size=3))
def test_trim(ends: Ends | None, parts: list[Pairs]) -> None:
    ((_, got),) = run(Trim(ends), *parts)
    points = naive.merge(parts)
    if ends in (Ends.FIRST, Ends.BOTH):
        points = points[1:]
    if ends in (Ends.LAST, Ends.BOTH):
        points = points[:-1]
    assert same(got, points)


@small
@given(st.integers(-1, 15), st.lists(streams(), min_size=1, max_size=3))
def test_limit(limit: int, parts: list[Pairs]) -> None:
    ((_, got),) = run(Limit(limit), *parts)
    points = naive.merge(parts)
    assert same(got, points[:limit] if limit > 0 else points)


# groupings of points ----------------------------------------------------------------------------------------------


def value_group(value: Value, size: int) -> int:
    if isinstance(value, str):
        return -1
    assert isinstance(value, (int, float))
    whole = int(max(-(2.0**31), min(value, 2.0**31 - 1))) if isinstance(value, float) else value
    quotient = abs(whole) // size * (1 if whole >= 0 else -1)
    return (quotient + 2**31) % 2**32 - 2**31 if isinstance(value, int) else quotient


def bin_group(value: Value, bins: tuple[float, ...]) -> int:
    if isinstance(value, str):
        return -1
    assert isinstance(value, (int, float))
    if value < bins[0]:
        return 0
    for at in range(len(bins) - 1):
        if bins[at] <= value < bins[at + 1]:
            return at + 1
    return len(bins)


def month(time_ms: int) -> int:
    shown_at = datetime.fromtimestamp(time_ms // 1000, UTC)
    return shown_at.year * 12 + shown_at.month


def time_group(time_ms: int, start_ms: int, size: int, unit: str, count: int) -> int:
    turns = month(time_ms) - month(start_ms) if unit == "MONTHS" else (time_ms - start_ms) // (size * MS_OF[unit])
    return turns % count


def split(points: Pairs, *rules: Callable[[int, Value], dict[str, Any]]) -> list[tuple[list[dict[str, Any]], Pairs]]:
    groups: dict[str, tuple[list[dict[str, Any]], Pairs]] = {}
    for time, value in points:
        described = [rule(time, value) for rule in rules]
        groups.setdefault(repr(described), (described, []))[1].append((time, value))
    return list(groups.values())


def by_value(size: int) -> Callable[[int, Value], dict[str, Any]]:
    return lambda _, value: {"name": "value", "range_size": size, "group": {"group_number": value_group(value, size)}}


def by_bin(bins: tuple[float, ...]) -> Callable[[int, Value], dict[str, Any]]:
    return lambda _, value: {"name": "bin", "bins": list(bins), "group": {"bin_number": bin_group(value, bins)}}


def by_time(size: int, unit: str, count: int, start_ms: int) -> Callable[[int, Value], dict[str, Any]]:
    return lambda time, _: {
        "name": "time",
        "range_size": {"value": size, "unit": unit},
        "group_count": count,
        "group": {"group_number": time_group(time, start_ms, size, unit, count)},
    }


some_bins = st.lists(st.floats(-20, 20).map(lambda edge: round(edge, 0)), min_size=1, max_size=5).map(tuple)
some_streams = st.one_of(st.lists(streams(), min_size=1, max_size=3), st.lists(streams(texts), min_size=1, max_size=1))
spans = st.tuples(st.integers(1, 400), st.sampled_from([*MS_OF, "MONTHS"]))


@small
@given(some_streams, st.integers(1, 20))
def test_value_grouping(parts: list[Pairs], size: int) -> None:
    points = parts[0] if len(parts) == 1 else naive.merge(parts)
    assert same(run(GroupPoints((ValueGrouping(size),)), *parts), split(points, by_value(size)))


@small
@given(some_streams, some_bins)
def test_bin_grouping(parts: list[Pairs], bins: tuple[float, ...]) -> None:
    points = parts[0] if len(parts) == 1 else naive.merge(parts)
    assert same(run(GroupPoints((BinGrouping(bins),)), *parts), split(points, by_bin(bins)))


@small
@given(some_streams, spans, st.integers(1, 50), st.integers(0, 40 * DAY))
def test_time_grouping(parts: list[Pairs], span: tuple[int, str], count: int, early_ms: int) -> None:
    points = parts[0] if len(parts) == 1 else naive.merge(parts)
    start = START - early_ms
    rule = TimeGrouping(Span(span[0], Unit[span[1]]), count)
    assert same(run(GroupPoints((rule,)), *parts, start_ms=start), split(points, by_time(*span, count, start)))


@small
@given(st.lists(streams(), min_size=1, max_size=3), st.permutations([0, 1, 2]), some_bins, spans)
def test_groupings_together(
    parts: list[Pairs], order: list[int], bins: tuple[float, ...], span: tuple[int, str]
) -> None:
    stages = [ValueGrouping(7), BinGrouping(bins), TimeGrouping(Span(span[0], Unit[span[1]]), 5)]
    rules = [by_value(7), by_bin(bins), by_time(*span, 5, START)]
    wanted = split(naive.merge(parts), *(rules[at] for at in order))
    assert same(run(GroupPoints(tuple(stages[at] for at in order)), *parts), wanted)


# grouping of series -----------------------------------------------------------------------------------------------

tag_sets = st.fixed_dictionaries({}, optional={name: st.sampled_from(["", "x", "y", "r2", "r10"]) for name in "abc"})
mixed = st.one_of(numbers, texts)


def naive_groups(
    series: list[tuple[dict[str, str], Pairs]], names: tuple[str, ...] | None, descending: bool
) -> list[tuple[list[dict[str, Any]], Pairs]]:
    out = []
    for type_name, is_text in (("number", False), ("text", True)):
        groups: dict[str, tuple[list[dict[str, Any]], list[Pairs]]] = {}
        for tags, points in series:
            own = [point for point in points if isinstance(point[1], str) is is_text]
            if own:
                key = "".join(name + tags.get(name, "") for name in names or ())
                group = {name: tags.get(name, "") for name in names or ()}
                described = [] if names is None else [{"name": "tag", "tags": list(names), "group": group}]
                members = groups.get(key, (described, []))[1]
                groups[key] = (described, [*members, own])  # the last series describes its group
        for key in sorted(groups):
            described, members = groups[key]
            every = [point for own in members for point in (own[::-1] if descending else own)]
            merge = sorted(every, key=cmp_to_key(_by_time(is_text)))
            out.append(([*described, {"name": "type", "type": type_name}], merge[::-1] if descending else merge))
    return out


def _by_time(is_text: bool) -> Callable[[Any, Any], int]:
    def order(first: Any, second: Any) -> int:
        if first[0] != second[0] or is_text:
            return int(first[0]) - int(second[0])
        return compare(float(first[1]), float(second[1]))

    return order


@pytest.mark.parametrize("descending", [False, True])
@small
@given(
    st.lists(st.tuples(tag_sets, streams(mixed)), min_size=1, max_size=5), st.sampled_from([None, "a", "b", "ab", "ca"])
)
def test_grouping_of_series(descending: bool, series: list[tuple[dict[str, str], Pairs]], names: str | None) -> None:
    tags = None if names is None else tuple(names)
    frames = [series_frame(own, points[::-1] if descending else points) for own, points in series]
    got = [entry for entry in shown(GroupSeries("m", tags, descending).apply(frames, Clock())) if entry[0]]
    wanted = naive_groups(series, tags, descending)
    assert [groups for groups, _ in got] == [groups for groups, _ in wanted]
    for (_, one), (_, other) in zip(got, wanted, strict=True):
        assert [time for time, _ in one] == [time for time, _ in other]
        assert sorted(map(repr, one)) == sorted(map(repr, other))
        if all(not isinstance(value, str) for _, value in one):
            assert [float(value) for _, value in one] == [float(value) for _, value in other]  # type: ignore[arg-type]
