"""Combination across series against a walk that follows OpenTSDB's rules one point at a time."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.aggregate import combine as combine_module
from amondawa.aggregate.combine import COMBINATIONS, Combination, Gap, combine
from amondawa.model.points import Kind, Points

Stream = list[tuple[int, int | float]]


def points_of(stream: Stream) -> Points:
    kinds = np.array([Kind.LONG if isinstance(value, int) else Kind.DOUBLE for _, value in stream], np.uint8)
    bits = [value if isinstance(value, int) else int(np.float64(value).view(np.int64)) for _, value in stream]
    return Points(np.array([time for time, _ in stream], np.int64), kinds, np.array(bits, np.int64))


def pairs(points: Points) -> Stream:
    return [(int(time), points.value_at(at)) for at, time in enumerate(points.times_ms)]


def how(name: str) -> Combination:
    found = COMBINATIONS.find(name)
    assert found is not None
    return found


def walk(streams: Sequence[Stream], name: str) -> Stream:
    """Combine a time at a time."""
    rule = how(name)
    out: Stream = []
    for time in sorted({time for stream in streams for time, _ in stream}):
        integer = not any(_float_at(stream, time) for stream in streams)
        values = [value for stream in streams if (value := _value_at(stream, time, rule.gap, integer)) is not None]
        present = np.ones((len(values), 1), bool)
        if integer:
            out.append((time, int(rule.longs(np.array(values, np.int64)[:, None], present)[0])))
        else:
            out.append((time, float(rule.floats(np.array(values, np.float64)[:, None], present)[0])))
    return out


def _float_at(stream: Stream, time: int) -> bool:
    """Whether the current or the next value of a stream is a float."""
    before = [value for at, value in stream if at <= time]
    after = [value for at, value in stream if at > time]
    ended = stream[-1][0] < time
    current = [] if ended else before[-1:]
    return any(isinstance(value, float) for value in current + after[:1])


def _value_at(stream: Stream, time: int, gap: Gap, integer: bool) -> int | float | None:
    if not stream[0][0] <= time <= stream[-1][0]:
        return None
    x0, y0 = next((at, value) for at, value in reversed(stream) if at <= time)
    if x0 == time or gap is Gap.PREVIOUS:
        return y0
    if gap is Gap.ZERO:
        return 0
    if gap is Gap.LEAST:
        return -(2**63) if integer else 5e-324
    if gap is Gap.SKIP:
        return None
    x1, y1 = next((at, value) for at, value in stream if at > time)
    if integer:
        rise = (time - x0) * (int(y1) - int(y0))
        return int(y0) + int(math.copysign(abs(rise) // (x1 - x0), rise))
    return y0 + (time - x0) * (y1 - y0) / (x1 - x0)


VALUES = st.integers(-1000, 1000) | st.floats(-1000, 1000).map(lambda x: round(x, 3))
STREAM = st.dictionaries(st.integers(0, 40), VALUES, min_size=1, max_size=12).map(lambda d: sorted(d.items()))


@settings(max_examples=200)
@given(st.lists(STREAM, min_size=1, max_size=5), st.sampled_from(sorted(COMBINATIONS.names())))
def test_any_group_combines_as_the_walk_does(streams: list[Stream], name: str):
    if name == "none":
        streams = streams[:1]
    got = pairs(combine([points_of(stream) for stream in streams], how(name)))
    expected = walk(streams, name)
    assert [time for time, _ in got] == [time for time, _ in expected]
    for (_, value), (_, wanted) in zip(got, expected, strict=True):
        assert type(value) is type(wanted)
        assert value == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(st.lists(STREAM, min_size=2, max_size=4))
def test_blocks_of_times_change_nothing(streams: list[Stream]):
    points = [points_of(stream) for stream in streams]
    whole = pairs(combine(points, how("sum")))
    size = combine_module.BLOCK_CELLS
    combine_module.BLOCK_CELLS = 2 * len(points)
    try:
        # the order of additions may differ, and with it the last bit
        assert pairs(combine(points, how("sum"))) == [
            (time, pytest.approx(value, rel=1e-12, abs=1e-9)) for time, value in whole
        ]
    finally:
        combine_module.BLOCK_CELLS = size


@given(STREAM, st.integers(1, 4))
def test_streams_on_one_grid_combine_as_any_others(stream: Stream, copies: int):
    streams = [[(time, value) for time, value in stream] for _ in range(copies)]
    assert pairs(combine([points_of(one) for one in streams], how("sum"))) == [
        (time, pytest.approx(value)) for time, value in walk(streams, "sum")
    ]


def test_no_value_is_made_up_before_a_series_starts_or_after_it_ends():
    a: Stream = [(0, 1), (120, 3), (180, 4)]
    b: Stream = [(60, 10), (240, 40), (300, 50)]
    got = pairs(combine([points_of(a), points_of(b)], how("sum")))
    assert got == [(0, 1), (60, 12), (120, 23), (180, 34), (240, 40), (300, 50)]


def test_an_integer_before_a_float_is_a_float_even_alone():
    got = pairs(combine([points_of([(0, 2), (10, 3.5), (20, 4), (30, 5)])], how("none")))
    assert [(value, type(value)) for _, value in got] == [(2.0, float), (3.5, float), (4, int), (5, int)]


def test_integers_interpolate_to_whole_numbers():
    a: Stream = [(0, 0), (20, 5)]
    b: Stream = [(0, 0), (10, 1), (20, 2)]
    assert pairs(combine([points_of(a), points_of(b)], how("sum"))) == [(0, 0), (10, 3), (20, 7)]


def test_held_streams_keep_their_value_and_hide_their_first_time():
    a = Points.doubles(np.array([0, 20, 40]), np.array([0.5, 1.0, 2.0]))
    b = Points.doubles(np.array([10, 30]), np.array([0.25, 4.0]))
    assert pairs(combine([a, b], how("sum"), held=True)) == [(20, 1.25), (30, 5.0), (40, 2.0)]


def test_a_held_stream_of_one_point_takes_no_part():
    a = Points.doubles(np.array([0, 20]), np.array([0.5, 1.0]))
    b = Points.doubles(np.array([10]), np.array([7.0]))
    assert pairs(combine([a, b], how("sum"), held=True)) == [(20, 1.0)]


def test_a_group_without_points_gives_none():
    assert len(combine([Points.empty(), Points.empty()], how("sum"))) == 0
    assert len(combine([], how("sum"))) == 0


def test_large_integers_stay_exact():
    values = [9007199254740993, 4611686018427387904, -4611686018427387907]
    got = pairs(combine([points_of(list(enumerate(values)))], how("max")))
    assert [value for _, value in got] == values


def test_in_a_gap_mimmax_takes_the_least_positive_double_among_floats_and_nothing_among_integers():
    a: Stream = [(0, -1.5), (20, -2.5)]
    assert pairs(combine([points_of(a), points_of([(10, -7.5)])], how("mimmax"))) == [
        (0, -1.5),
        (10, 5e-324),
        (20, -2.5),
    ]
    whole: Stream = [(0, -1), (20, -2)]
    assert pairs(combine([points_of(whole), points_of([(10, -7)])], how("mimmax"))) == [(0, -1), (10, -7), (20, -2)]
