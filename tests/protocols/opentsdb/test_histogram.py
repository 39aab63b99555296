"""Histograms and rollups over HTTP, and the stored form of histograms."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.errors import BadRequest
from amondawa.model.points import Kind
from amondawa.model.query import Query, Selection
from amondawa.protocols.opentsdb.histogram import simple_histogram
from amondawa.protocols.opentsdb.histogram_blob import (
    Histogram,
    decode_histogram,
    encode_histogram,
    simple_codec,
)
from amondawa.settings import Settings
from tests.protocols.opentsdb.served import START_S, Served, serve

GOOD: dict[str, Any] = {"metric": "m", "timestamp": START_S, "buckets": {"0,1": 1, "1,5": 10}, "tags": {"host": "a"}}
COUNTS = st.integers(-(2**63), 2**63 - 1)
BOUNDS = st.floats(width=32, allow_nan=False)


@given(st.lists(st.tuples(BOUNDS, BOUNDS, COUNTS), max_size=5), COUNTS, COUNTS)
def test_a_histogram_survives_its_stored_form(buckets: list[tuple[float, float, int]], under: int, over: int):
    one = Histogram(tuple(buckets), under, over)
    assert decode_histogram(encode_histogram(one, 42)) == one


def test_the_ninth_byte_of_a_count_is_its_last_and_holds_eight_bits():
    assert encode_histogram(Histogram((), -1, 0), 42) == b"\x2a\0\0" + b"\xff" * 9 + b"\0"
    assert decode_histogram(b"\x2a\0\0" + b"\xff" * 9 + b"\x05") == Histogram((), -1, 5)


def test_every_cut_of_the_stored_form_is_refused():
    blob = encode_histogram(Histogram(((0.0, 1.0, 300),), 1, 2), 42)
    for end in range(len(blob)):
        with pytest.raises(BadRequest):
            decode_histogram(blob[:end])


@pytest.mark.parametrize(
    ("setting", "codec"),
    [
        ("42:SimpleHistogramDecoder", 42),
        ("1:x.Y, 7:net.opentsdb.core.SimpleHistogramDecoder", 7),
        ("", None),
        ("x", None),
    ],
)
def test_the_codec_is_found_in_the_setting(setting: str, codec: int | None):
    assert simple_codec(setting) == codec


def test_buckets_are_named_by_their_bounds_and_sorted():
    one = simple_histogram({"1,5": 2, "0.1,1": 3}, 1, 0)
    assert [count for _, _, count in one.buckets] == [3, 2]
    assert one.buckets[0][0] == pytest.approx(0.1)


async def test_a_histogram_is_stored_as_one_opaque_value(tsdb: Served):
    assert await tsdb.ask("POST", "/api/histogram", GOOD) == (204, "")
    raw = encode_histogram(Histogram(((0.0, 1.0, 7),)), 42)[1:]
    packed = {**GOOD, "timestamp": START_S + 1, "buckets": None, "id": 42, "value": base64.b64encode(raw).decode()}
    assert await tsdb.ask("POST", "/api/histogram?summary", packed) == (200, {"success": 1, "failed": 0})
    query = Query(Selection("default", "m"), 0, 10**15)
    (frame,) = await tsdb.scope.gateway.query([query], lambda results: results[0].frames)
    assert frame.points.kinds.tolist() == [Kind.BLOB] * 2
    decoded = [decode_histogram(frame.points.value_at(at)) for at in range(2)]
    assert [one.buckets for one in decoded] == [((0.0, 1.0, 1), (1.0, 5.0, 10)), ((0.0, 1.0, 7),)]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"metric": ""}, "Metric name was empty"),
        ({"timestamp": 0}, "Invalid timestamp"),
        ({"tags": None}, "Missing tags"),
        ({"buckets": {}}, "Histogram buckets cannot be null or empty if 'value' is empty."),
        ({"buckets": {"0-1": 5}}, "Unable to parse bucket bounds: 0-1"),
        ({"buckets": {"0,x": 5}}, "Unable to parse value to a number"),
        ({"value": "AAAA", "id": 300}, "Invalid type. Must be from 0 to 255."),
        ({"value": "AAAA", "id": 9}, "No codec found mapped to ID 9"),
        ({"value": "AAAA", "id": 42}, "Byte array shorter than 6 bytes detected: [0, 0, 0]"),
        ({"value": "a/+b", "id": 42}, 'Byte array shorter than 6 bytes detected: "k\\xFF\\x9B"'),
        ({"value": "!aGVs_bG8=", "id": 42}, 'Byte array shorter than 6 bytes detected: "hello"'),
        ({"value": "aGV", "id": 42}, 'Byte array shorter than 6 bytes detected: ""'),
        ({"value": "AAEAAAAA", "id": 42}, "Unexpected exception"),
        ({"metric": "a b"}, 'Invalid metric name ("a b"): illegal character:  '),
    ],
)
async def test_a_histogram_that_is_not_right_is_refused(tsdb: Served, change: dict[str, Any], text: str):
    status, answer = await tsdb.ask("POST", "/api/histogram?details", {**GOOD, **change})
    assert (status, answer["errors"][0]["error"]) == (400, text)
    assert answer["errors"][0]["datapoint"]["underflow"] == 0


async def test_histograms_need_a_codec():
    tsdb = await serve(settings=Settings())
    _, answer = await tsdb.ask("POST", "/api/histogram?details", GOOD)
    assert answer["errors"][0]["error"] == "No histogram codec is configured"
    await tsdb.client.close()


ROLLUP = {"metric": "m", "timestamp": START_S, "value": 1, "tags": {"a": "b"}, "interval": "1h", "aggregator": "sum"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, "No rollup or aggregations were configured"),
        ({"metric": ""}, "Metric name was empty"),
        ({"interval": None}, "Missing interval"),
        ({"aggregator": ""}, "Missing aggregator"),
        ({"aggregator": "foo"}, "No rollup or aggregations were configured"),
        ({"timestamp": 10_000_000_000_000}, "No rollup or aggregations were configured"),
        ({"value": "x"}, "Unable to parse value to a number"),
    ],
)
async def test_rollups_are_refused_as_where_none_are_configured(tsdb: Served, change: dict[str, Any], text: str):
    status, answer = await tsdb.ask("POST", "/api/rollup?details", {**ROLLUP, **change})
    assert (status, answer["errors"][0]["error"]) == (400, text)
