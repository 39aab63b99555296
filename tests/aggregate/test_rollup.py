"""Rolling points up: every column is what the points themselves give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.aggregate.rollup import Column, interleaved, join, may_be_rolled_up, points_of, raw_points, roll_up
from amondawa.model.points import Kind, Points
from amondawa.model.rollup import Rollup

STEP_MS = 1_000
VALUES = st.one_of(st.integers(-1_000, 1_000), st.integers(-8_000, 8_000).map(lambda n: n / 8))
STREAMS = st.dictionaries(st.integers(-20_000, 20_000), VALUES, min_size=1, max_size=60)


def stream(values: dict[int, float]) -> Points:
    """Return points of longs and doubles, ascending."""
    times = sorted(values)
    kinds = [Kind.LONG if isinstance(values[time], int) else Kind.DOUBLE for time in times]
    bits = [values[time] if isinstance(values[time], int) else _bits(values[time]) for time in times]
    return Points(np.array(times, np.int64), np.array(kinds, np.uint8), np.array(bits, np.int64))


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))


def shown(rollup: Rollup) -> list[tuple[object, ...]]:
    """Return intervals as tuples."""
    first, last = rollup.firsts, rollup.lasts
    return [
        (
            int(rollup.numbers[at]),
            int(rollup.counts[at]),
            float(rollup.sums[at]),
            float(rollup.least[at]),
            float(rollup.most[at]),
            (int(first.times_ms[at]), first.value_at(at), int(first.kinds[at])),
            (int(last.times_ms[at]), last.value_at(at), int(last.kinds[at])),
        )
        for at in range(len(rollup))
    ]


def by_hand(values: dict[int, float], step_ms: int = STEP_MS) -> list[tuple[object, ...]]:
    """Return what `shown` should give."""
    out = []
    for number in sorted({time // step_ms for time in values}):
        times = sorted(time for time in values if time // step_ms == number)
        own = [values[time] for time in times]
        ends = [(t, values[t], Kind.LONG if isinstance(values[t], int) else Kind.DOUBLE) for t in (times[0], times[-1])]
        out.append((number, len(own), float(sum(own)), float(min(own)), float(max(own)), *ends))
    return out


@settings(deadline=None)
@given(STREAMS)
def test_an_interval_holds_count_sum_extremes_and_both_ends(values: dict[int, float]) -> None:
    assert shown(roll_up(stream(values), STEP_MS)) == by_hand(values)


@settings(deadline=None)
@given(STREAMS, STREAMS, st.sampled_from([STEP_MS, 4 * STEP_MS]))
def test_joined_parts_are_what_all_points_together_give(
    one: dict[int, float], other: dict[int, float], step_ms: int
) -> None:
    other = {time: value for time, value in other.items() if time not in one} or {30_000: 1}
    joined = join([roll_up(stream(one), STEP_MS), roll_up(stream(other), STEP_MS)], step_ms)
    assert shown(joined) == by_hand({**one, **other}, step_ms)


@settings(deadline=None)
@given(STREAMS, st.integers(-20_000, 20_000), st.integers(-20_000, 20_000))
def test_adjoining_ranges_hold_every_interval_once(values: dict[int, float], one: int, other: int) -> None:
    rollup = roll_up(stream(values), STEP_MS)
    low, high = sorted((one, other))
    ranges = ((-(2**62), low - 1), (low, high), (high + 1, 2**62))
    parts = [part for start, end in ranges for part in shown(rollup.inside(start, end)[0])]
    assert parts == shown(rollup)


@settings(deadline=None)
@given(STREAMS, st.integers(-20_000, 20_000), st.integers(0, 10_000))
def test_a_range_cuts_when_it_holds_some_points_of_an_interval_and_not_all(
    values: dict[int, float], start: int, length: int
) -> None:
    _, cut = roll_up(stream(values), STEP_MS).inside(start, start + length)
    inside = {time for time in values if start <= time <= start + length}
    partly = any(
        len({t in inside for t in (times[0], times[-1])}) == 2 or (times[0] < start and times[-1] > start + length)
        for times in ([t for t in sorted(values) if t // STEP_MS == n] for n in {t // STEP_MS for t in values})
    )
    assert cut == partly


def test_what_cannot_be_put_together_stays() -> None:
    nan = _bits(float("nan"))
    points = Points(
        np.array([1, 2, 3, 3, 4, 5, 6], np.int64),
        np.array([0, 1, 0, 1, 1, 2, 0], np.uint8),
        np.array([7, nan, 1, _bits(1.0), _bits(2.0), 0, 9], np.int64),
        [b"text"],
        np.array([0, 0, 0, 0, 0, 0, 99], np.int64),
    )
    assert may_be_rolled_up(points).tolist() == [True, False, False, False, True, False, False]


def test_a_lone_point_keeps_its_kind_among_the_means() -> None:
    rollup = roll_up(stream({0: 7, 1_000: 1, 1_500: 2}), STEP_MS)
    means = points_of(rollup, Column.MEAN)
    assert [means.value_at(at) for at in range(2)] == [7, 1.5]
    assert [type(means.value_at(at)) for at in range(2)] == [int, float]


@pytest.mark.parametrize("column", [one for one in Column if one is not Column.COUNT])
def test_points_stand_for_themselves_in_every_column_but_the_count(column: Column) -> None:
    points = stream({1: 5, 2: 2.5})
    assert raw_points(points, column) is points


def test_in_the_count_each_number_is_one_and_a_text_stays_text() -> None:
    points = Points(np.arange(3), np.array([0, 2, 1], np.uint8), np.array([5, 0, _bits(2.5)], np.int64), [b"x"])
    counted = raw_points(points, Column.COUNT)
    assert [counted.value_at(at) for at in range(3)] == [1, "x", 1]


def test_points_of_one_time_stay_beside_one_another() -> None:
    joined = interleaved([stream({1: 1, 3: 3}), stream({1: 10, 2: 2})])
    assert [(int(t), joined.value_at(at)) for at, t in enumerate(joined.times_ms)] == [(1, 1), (1, 10), (2, 2), (3, 3)]
