import contextlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.errors import BadRequest
from amondawa.model.points import WriteBatch
from amondawa.model.series import Tags
from amondawa.protocols.native.errors import Invalid
from amondawa.protocols.native.points import _explained, build_batch, parse_series, series_at

TEXT_LIMIT = 100


def parse(data: Any) -> Any:
    return parse_series(json.dumps(data).encode(), TEXT_LIMIT)


def errors(data: Any) -> Any:
    with pytest.raises(Invalid) as caught:
        parse(data)
    return caught.value.errors


def point(**changes: Any) -> dict[str, Any]:
    return {"name": "m", "tags": {"a": "b"}, "timestamp": 1, "value": 2} | changes


def without(*names: str, **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in point(**changes).items() if key not in names}


def batch_of(data: Any, now_ms: int = 1_000) -> tuple[WriteBatch, list[tuple[str, Tags]]]:
    known: list[tuple[str, Tags]] = []

    def resolve(name: str, tags: Tags) -> int:
        if (name, tags) not in known:
            known.append((name, tags))
        return known.index((name, tags))

    return build_batch(parse(data), resolve, now_ms), known


# what is wrong, and where ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (without("name"), {"name": ["is missing"]}),
        (point(name=""), {"name": ['must not be empty (was "")']}),
        (point(name=7), {"name": ["must be a text (was 7)"]}),
        (point(name=None), {"name": ["must not be null (was null)"]}),
        (point(tags=[]), {"tags": ["must be an object of tag names and values (was [])"]}),
        (point(tags={"a": 1}), {"tags": {"a": ["must be a text (was 1)"]}}),
        (point(tags={"a": ""}), {"tags": {"a": ['must not be empty (was "")']}}),
        (point(tags={"": "b"}), {"tags": {"": ['belongs to a tag without a name (was "b")']}}),
        (point(timestamp="1"), {"timestamp": ['must be a whole number (was "1")']}),
        (point(timestamp=1.5), {"timestamp": ["must be a whole number (was 1.5)"]}),
        (point(timestamp=True), {"timestamp": ["must be a whole number (was true)"]}),
        (point(value=None), {"value": ["must not be null (was null)"]}),
        (point(value=[1]), {"value": ["must be a number or a text (was [1])"]}),
        (point(value={"a": "x" * 200}), {"value": ['must be a number or a text (was {"a": "' + "x" * 93 + "…)"]}),
        (point(value=False), {"value": ["must be a number or a text (was false)"]}),
        (point(value="x" * 101), {"value": ["must not be longer than 100 bytes (was " + '"' + "x" * 99 + "…)"]}),
        (point(value="é" * 51), {"value": ['must not be longer than 100 bytes (was "' + "é" * 51 + '")']}),
        (point(ttl=-1), {"ttl": ["must be 0 to 9223372036854775 seconds (was -1)"]}),
        (point(ttl=10**20), {"ttl": [f"must be 0 to 9223372036854775 seconds (was {10**20})"]}),
        (point(colour="red"), {"colour": ['is not a field of this object (was "red")']}),
        (without("timestamp"), {"timestamp": ["is missing beside value"]}),
        (without("value"), {"value": ["is missing beside timestamp"]}),
        (without("value", "timestamp"), {"datapoints": ["is missing, and so are timestamp and value"]}),
        (point(datapoints=[[1, 2]]), {"datapoints": ["must not stand beside timestamp and value (was [[1, 2]])"]}),
        (5, ["must be an object (was 5)"]),
        ([1], ["must be an object (was [1])"]),
    ],
)
def test_a_wrong_series_is_told_by_its_address_and_value(series: Any, expected: Any):
    assert errors([point(), series]) == {"1": expected}


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ([], ["must be a pair [ms, value] (was [])"]),
        ([1], ["must be a pair [ms, value] (was [1])"]),
        ([1, 2, 3], ["must be a pair [ms, value] (was [1, 2, 3])"]),
        (7, ["must be a pair [ms, value] (was 7)"]),
        (["1", 2], {"0": ['the time must be a whole number of milliseconds (was "1")']}),
        ([1.0, 2], {"0": ["the time must be a whole number of milliseconds (was 1.0)"]}),
        ([1, None], {"1": ["must be a number or a text (was null)"]}),
        ([1, {}], {"1": ["must be a number or a text (was {})"]}),
    ],
)
def test_a_wrong_point_is_told_by_its_index(bad: Any, expected: Any):
    series = without("timestamp", "value", datapoints=[[1, 2], bad, [3, 4]])
    assert errors([series]) == {"0": {"datapoints": {"1": expected}}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'[{"name": "m", "timestamp": 1, "value": 1e400}]', {"value": ["must fit a double (was Infinity)"]}),
        (
            b'[{"name": "m", "datapoints": [[1, 2], [3, -1e400]]}]',
            {"datapoints": {"1": {"1": ["must fit a double (was -Infinity)"]}}},
        ),
        (b'[{"name": "m", "timestamp": 1e400, "value": 1}]', {"timestamp": ["must be a whole number (was Infinity)"]}),
    ],
)
def test_a_number_past_the_range_of_doubles_is_told_by_its_address(body: bytes, expected: Any):
    with pytest.raises(Invalid) as caught:
        parse_series(body, TEXT_LIMIT)
    assert caught.value.errors == {"0": expected}


def test_all_faults_are_told_at_once():
    found = errors([point(name=""), point(), point(value=None, ttl=-1)])
    assert {key: set(value) for key, value in found.items()} == {"0": {"name"}, "2": {"value", "ttl"}}


def test_of_very_many_faults_the_first_are_told():
    series = without("timestamp", "value", datapoints=[[None, 1]] * 1_000)
    assert len(errors([series])["0"]["datapoints"]) == 20
    assert len(errors([point(name="")] * 1_000)) == 100


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_whole_number_past_64_bits_is_refused_wherever_it_stands(number: int):
    body = json.dumps([point(value=number)]).encode()
    with pytest.raises(BadRequest):
        parse_series(body, TEXT_LIMIT)
    with pytest.raises(BadRequest):
        parse([point(timestamp=number)])
    with pytest.raises(BadRequest):
        parse([without("timestamp", "value", datapoints=[[number, 1]])])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b'{"name":"m","timestamp":1,"value":1},{"name":"m","timestamp":2,"value":1}',
        b'[{"name":',
        b"\xff",
        b'"x"',
        b"5",
        b"null",
        b"[" * 100_000,
        b'[{"a":' * 50_000,
    ],
)
def test_bytes_that_are_no_array_of_series_are_refused(body: bytes):
    with pytest.raises(BadRequest):
        parse_series(body, TEXT_LIMIT)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_json_is_taken_or_refused_in_order(data: Any):
    with contextlib.suppress(BadRequest):
        parse(data)


# what is right --------------------------------------------------------------------------------------------------------


def test_longs_doubles_and_texts_keep_their_kind_and_order():
    series = without("timestamp", "value", datapoints=[[3, 1], [1, 2.5], [2, "é"], [2, -(2**63)], [9, 1.0], [0, ""]])
    batch, _ = batch_of([series])
    points = batch.points()
    assert points.times_ms.tolist() == [3, 1, 2, 2, 9, 0]
    values = [points.value_at(index) for index in range(len(points))]
    assert values == [1, 2.5, "é", -(2**63), 1.0, ""]
    assert [type(value) for value in values] == [int, float, str, int, float, str]


def test_series_of_a_batch_keep_their_points_apart():
    batch, known = batch_of(
        [point(value=1), point(name="n", value=2), without("timestamp", "value", datapoints=[[5, 6], [7, 8]])]
    )
    assert known == [("m", (("a", "b"),)), ("n", (("a", "b"),))]
    assert batch.refs.tolist() == [0, 1, 0, 0]
    assert batch.bits.tolist() == [1, 2, 6, 8]
    assert batch.refs.dtype == np.int32


def test_tags_are_sorted_and_may_be_absent():
    _, known = batch_of([point(tags={"z": "1", "a": "2"}), without("tags", name="bare")])
    assert known == [("m", (("a", "2"), ("z", "1"))), ("bare", ())]


def test_one_series_needs_no_array_around_it():
    assert len(parse(point())) == 1


def test_nothing_is_a_batch_of_nothing():
    batch, _ = batch_of([])
    assert len(batch) == 0
    assert len(batch_of([without("timestamp", "value", datapoints=[])])[0]) == 0


def test_a_ttl_counts_from_now():
    batch, _ = batch_of([point(ttl=60), point()], now_ms=5_000)
    assert batch.expires_ms is not None
    assert batch.expires_ms.tolist() == [65_000, 0]
    assert batch_of([point()])[0].expires_ms is None


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
        ),
        max_size=30,
    )
)
def test_what_is_sent_is_what_is_written(points: list[tuple[int, Any]]):
    batch, _ = batch_of([without("timestamp", "value", datapoints=points)])
    columns = batch.points()
    got = [(int(columns.times_ms[i]), columns.value_at(i)) for i in range(len(columns))]
    assert got == points
    assert [math.copysign(1, a) for _, a in got if isinstance(a, float)] == [
        math.copysign(1, b) for _, b in points if isinstance(b, float)
    ]


def test_a_points_place_in_the_batch_leads_back_to_its_series():
    series = parse(
        [
            point(),
            without("timestamp", "value", datapoints=[]),
            without("timestamp", "value", datapoints=[[1, 2], [3, 4]]),
        ]
    )
    assert [series_at(series, place) for place in range(3)] == [(0, 0), (2, 0), (2, 1)]


LONGS = st.integers(-(2**63) - 2, 2**63 + 1) | st.integers(-5, 5)
VALUES = LONGS | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9) | st.none() | st.booleans()
NAMES = st.text(max_size=3) | st.integers()
SERIES = st.fixed_dictionaries(
    {"name": NAMES, "tags": st.dictionaries(st.text(max_size=2), NAMES, max_size=2)},
    optional={
        "timestamp": LONGS | st.floats(0, 9),
        "value": VALUES,
        "datapoints": st.lists(st.lists(VALUES, max_size=3) | st.tuples(LONGS, VALUES), max_size=3),
        "ttl": LONGS,
        "more": VALUES,
    },
)


@given(st.lists(SERIES, max_size=3))
def test_the_compiled_reader_takes_what_the_schema_takes_and_as_it_does(series: list[dict[str, Any]]):
    body = json.dumps(series).encode()
    readings = []
    for read in (parse_series, _explained):
        try:
            readings.append([(one, [type(value) for value in one.values]) for one in read(body, 20)])
        except Invalid as error:
            readings.append(error.errors)
    assert repr(readings[0]) == repr(readings[1])
