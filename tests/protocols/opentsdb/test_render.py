import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.errors import LimitExceeded
from amondawa.model.points import Kind, Points
from amondawa.model.result import Frame
from amondawa.model.series import Series
from amondawa.protocols.opentsdb import render
from amondawa.protocols.opentsdb.render import (
    common_tags,
    float_texts,
    java_double,
    number_texts,
    render_points,
    tags_of,
)
from amondawa.protocols.opentsdb.uid import Uids
from tests.naive import NaiveGateway

T = 1_356_998_400_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, b"3.0"),
        (-0.0, b"-0.0"),
        (0.15000000000000002, b"0.15000000000000002"),
        (0.001, b"0.001"),
        (9999999.0, b"9999999.0"),
        (1e7, b"1.0E7"),
        (16777217.0, b"1.6777217E7"),
        (-12345678.5, b"-1.23456785E7"),
        (0.00099, b"9.9E-4"),
        (1e-300, b"1.0E-300"),
        (1.7976931348623157e308, b"1.7976931348623157E308"),
        (9.223372036854776e17, b"9.223372036854776E17"),
        (5e-324, b"5E-324".replace(b"5E", b"5.0E")),
        (math.nan, b'"NaN"'),
        (math.inf, b'"Infinity"'),
        (-math.inf, b'"-Infinity"'),
    ],
)
def test_doubles_look_as_java_prints_them(value: float, text: bytes):
    assert java_double(value) == text
    assert float_texts(np.array([value])) == [text]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_printed_doubles_read_back_exactly(values: list[float]):
    assert [float(text) for text in float_texts(np.array(values, np.float64))] == values


def test_each_value_prints_by_its_kind():
    bits = np.array([7, np.float64(7).view(np.int64), -(2**63)])
    points = Points(np.arange(3), np.array([Kind.LONG, Kind.DOUBLE, Kind.LONG], np.uint8), bits)
    assert number_texts(points) == [b"7", b"7.0", b"-9223372036854775808"]
    assert number_texts(Points.longs(np.arange(2), np.array([1, 2]))) == [b"1", b"2"]
    assert number_texts(Points.empty()) == []


def test_nan_is_a_text_or_null():
    points = Points.doubles(np.array([T]), np.array([math.nan]))
    assert render_points(points, ms=False, arrays=False) == b'{"1356998400":"NaN"}'
    assert render_points(points, ms=False, arrays=True, nan=b"null") == b"[[1356998400,null]]"


def test_points_are_keyed_by_seconds_or_milliseconds():
    points = Points.longs(np.array([T, T + 1500]), np.array([1, 2]))
    assert json.loads(render_points(points, ms=False, arrays=False)) == {"1356998400": 1, "1356998401": 2}
    assert json.loads(render_points(points, ms=True, arrays=False)) == {"1356998400000": 1, "1356998401500": 2}
    assert json.loads(render_points(points, ms=True, arrays=True)) == [[T, 1], [T + 1500, 2]]


def test_of_points_in_one_second_an_object_keeps_the_last():
    points = Points.longs(T + np.array([0, 250, 750, 1000]), np.array([1, 2, 3, 4]))
    assert render_points(points, ms=False, arrays=False) == b'{"1356998400":3,"1356998401":4}'
    assert json.loads(render_points(points, ms=False, arrays=True)) == [
        [1356998400, 1],
        [1356998400, 2],
        [1356998400, 3],
        [1356998401, 4],
    ]


def test_no_points_are_an_empty_object_or_array():
    assert render_points(Points.empty(), ms=False, arrays=False) == b"{}"
    assert render_points(Points.empty(), ms=False, arrays=True) == b"[]"


def test_slices_of_points_change_nothing(monkeypatch: pytest.MonkeyPatch):
    points = Points.longs(T + np.arange(7) * 1000, np.arange(7))
    whole = [render_points(points, ms=False, arrays=arrays) for arrays in (False, True)]
    monkeypatch.setattr(render, "SLICE_POINTS", 3)
    assert [render_points(points, ms=False, arrays=arrays) for arrays in (False, True)] == whole


def test_an_answer_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(render, "ANSWER_BYTES", 10)
    pieces = render.Pieces()
    pieces.add(b"0123456789")
    with pytest.raises(LimitExceeded, match="larger than the limit of 10 bytes"):
        pieces.add(b"x")


def test_tags_that_members_differ_in_stand_in_the_order_of_their_ids():
    uids = Uids(NaiveGateway(), "d")
    uids.register("m", [("host", "a")])
    rows = (uids.register("m", [("host", host), ("dc", host), ("rack", "1")]) for host in "ab")
    members = tuple(Series("d", metric, tags) for metric, tags in rows)
    assert tags_of(Frame("m", members, ()), uids) == ({"rack": "1"}, ["host", "dc"])
    assert list(tags_of(Frame("m", members[:1], ()), uids)[0]) == ["host", "rack", "dc"]


def test_a_tag_that_only_some_members_have_is_common_when_those_agree():
    members = [
        Series.of("d", "m", {"host": "a", "dc": "x", "rack": "1"}),
        Series.of("d", "m", {"host": "b", "dc": "x"}),
        Series.of("d", "m", {"host": "b", "dc": "x", "rack": "1"}),
    ]
    assert common_tags(members) == ({"dc": "x", "rack": "1"}, ["host"])
    assert common_tags(members[:1]) == ({"host": "a", "dc": "x", "rack": "1"}, [])
