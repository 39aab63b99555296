from __future__ import annotations

import json
import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.errors import LimitExceeded
from amondawa.model.points import Kind, Points
from amondawa.model.result import Frame, Result
from amondawa.model.series import Series
from amondawa.protocols.kairosdb import render
from amondawa.protocols.kairosdb.queries import MetricRequest, Piece
from amondawa.protocols.kairosdb.render import double_text, quote, render_query, render_tags, tags_json, values_json
from tests.aggregate.frames import points_of

PRINTED = [
    (3.0, b"3"),
    (2.50, b"2.5"),
    (-0.0, b"-0"),
    (9999999.0, b"9999999"),
    (10000000.0, b"1.0E7"),
    (-123456789012.0, b"-1.23456789012E11"),
    (0.001, b"0.001"),
    (0.0009, b"9.0E-4"),
    (0.00012345, b"1.2345E-4"),
    (1e23, b"1.0E23"),
    (1.7976931348623157e308, b"1.7976931348623157E308"),
    (5e-324, b"4.9E-324"),
    (math.nan, b"null"),
    (math.inf, b"null"),
]


@pytest.mark.parametrize(("value", "text"), PRINTED)
def test_doubles_print_as_java_prints_them_cut(value: float, text: bytes) -> None:
    assert double_text(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_printed_doubles_read_back_to_the_bit(value: float) -> None:
    assert np.float64(float(double_text(value))).tobytes() == np.float64(value).tobytes()


DOUBLES = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e6, 1e6) | st.integers(-1000, 1000).map(float)


@given(st.lists(DOUBLES, max_size=20))
def test_the_bulk_of_doubles_prints_as_each_one_does(values: list[float]) -> None:
    times = np.arange(len(values), dtype=np.int64) * 1000 - 3
    text = b"".join(values_json(Points.doubles(times, np.array(values, np.float64))))
    expected = b",".join(b"[%d,%b]" % (time, double_text(value)) for time, value in zip(times, values, strict=True))
    assert text == expected


def test_long_results_are_rendered_in_slices_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_SLICE_POINTS", 2)
    assert b"".join(values_json(Points.longs(np.arange(5), np.arange(5)))) == b"[0,0],[1,1],[2,2],[3,3],[4,4]"


def test_an_answer_past_its_limit_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "ANSWER_BYTES", 100)
    with pytest.raises(LimitExceeded, match="shorter range"):
        render_query([Result([frame(Points.longs(np.arange(50), np.arange(50)))], 1, 1)], [MetricRequest("m")])


def test_times_beyond_doubles_print_exactly() -> None:
    times = np.array([2**53 + 1, -(2**63)], np.int64)
    assert (
        b"".join(values_json(Points.doubles(times, np.array([1.5, 2.0]))))
        == b"[9007199254740993,1.5],[-9223372036854775808,2]"
    )


def test_longs_doubles_and_nulls_mix() -> None:
    kinds = np.array([Kind.LONG, Kind.DOUBLE, Kind.NULL], np.uint8)
    bits = np.array([7, np.float64(2.5).view(np.int64), 0], np.int64)
    assert b"".join(values_json(Points(np.arange(3), kinds, bits))) == b"[0,7],[1,2.5],[2,null]"


def test_texts_mix_with_nulls_and_opaque_bytes() -> None:
    kinds = np.array([Kind.TEXT, Kind.BLOB, Kind.NULL, Kind.DOUBLE], np.uint8)
    bits = np.array([0, 1, 0, np.float64(1e7).view(np.int64)], np.int64)
    points = Points(np.arange(4), kinds, bits, [b"up", b"\x00\x01"])
    assert b"".join(values_json(points)) == b'[0,"up"],[1,"AAE="],[2,null],[3,1.0E7]'


QUOTED = [
    ('a/b </x> é " \\ \t', b'"a/b <\\/x> \xc3\xa9 \\" \\\\ \\t"'),
    ("\u20ac\u2028\u0085", b'"\\u20ac\\u2028\\u0085"'),
    ("\u2602\u65e5", '"\u2602\u65e5"'.encode()),
    ("\x01\x7f", b'"\\u0001\x7f"'),
]


@pytest.mark.parametrize(("text", "json_text"), QUOTED)
def test_texts_are_escaped_as_the_original_does(text: str, json_text: bytes) -> None:
    assert quote(text) == json_text


@given(st.text())
def test_escaped_texts_read_back(text: str) -> None:
    assert json.loads(quote(text)) == text


def frame(points: Points, *groups: dict[str, object]) -> Frame:
    members = (Series.of("d", "m", {"host": "d"}), Series.of("d", "m", {"host": "a", "dc": "x"}))
    return Frame("m", members, (points,), groups)


def test_an_answer_has_its_keys_in_order_and_no_blanks() -> None:
    one = frame(Points.longs(np.array([5]), np.array([1])), {"name": "type", "type": "number"})
    assert render_query([Result([one], 1, 2)], [MetricRequest("m")]) == (
        b'{"queries":[{"sample_size":1,"results":[{"name":"m","group_by":[{"name":"type","type":"number"}],'
        b'"tags":{"dc":["x"],"host":["a","d"]},"values":[[5,1]]}]}]}'
    )


def test_nothing_found_is_one_result_without_groups() -> None:
    nothing = Result([Frame("m", (), ())], 0, 0)
    assert render_query([nothing], [MetricRequest("m")]) == (
        b'{"queries":[{"sample_size":0,"results":[{"name":"m","tags":{},"values":[]}]}]}'
    )


def test_excluded_tags_are_left_out() -> None:
    assert b"tags" not in render_query([Result([frame(Points.empty())], 0, 0)], [MetricRequest("m", exclude_tags=True)])


def test_tags_after_a_grouping_of_points_stand_in_hash_order() -> None:
    one = frame(Points.empty(), {"name": "bin", "bins": [5.0, 2.5, 1e7], "group": {"bin_number": 0}})
    answer = render_query([Result([one], 0, 2)], [MetricRequest("m", groupings=(Piece("bin", {}),))])
    assert b'"host":["d","a"]' in answer
    assert b'"bins":[5,2.5,1.0E7]' in answer


def test_streams_of_a_frame_are_merged() -> None:
    parts = (Points.longs(np.array([2]), np.array([20])), Points.longs(np.array([1]), np.array([10])))
    answer = render_query([Result([Frame("m", (), parts)], 2, 2)], [MetricRequest("m")])
    assert orjson.loads(answer)["queries"][0]["results"][0]["values"] == [[1, 10], [2, 20]]


def test_tags_alone_have_no_size_and_no_groups() -> None:
    found = [[Series.of("d", "m", {"h": "b"}), Series.of("d", "m", {"h": "a"})], []]
    assert render_tags(found, [MetricRequest("m"), MetricRequest("</n>")]) == (
        b'{"queries":[{"results":[{"name":"m","tags":{"h":["a","b"]},"values":[]}]},'
        b'{"results":[{"name":"<\\/n>","tags":{},"values":[]}]}]}'
    )


def test_tag_values_are_listed_once() -> None:
    assert tags_json([Series.of("d", "m", {"h": "a"})] * 3) == b'{"h":["a"]}'


ANY_NUMBER = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-100, 100),
    st.floats(-100, 100).map(lambda value: round(value, 2)),
    st.floats(),
    st.sampled_from([1e7, 9999999.5, 1e-3, 9e-4, -0.0, 2**53, 2**53 - 1, 10**7, 10**15]),
)


@given(st.lists(st.tuples(st.one_of(st.integers(0, 2**41), st.integers(-(2**62), 2**62)), ANY_NUMBER), max_size=8))
def test_numbers_and_nulls_print_in_bulk_as_they_do_one_by_one(pairs: list[tuple[int, float | None]]) -> None:
    def text(value: float | None) -> bytes:
        if value is None:
            return b"null"
        return double_text(value) if isinstance(value, float) else b"%d" % value

    expected = b",".join(b"[%d,%b]" % (time, text(value)) for time, value in pairs)
    assert b"".join(values_json(points_of(pairs))) == expected
