"""Points over HTTP: the short way and the exact way must agree, and answers must be the original's."""

from __future__ import annotations

import contextlib
import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.kernels.lines import Loader
from amondawa.model.points import WriteBatch
from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.incoming import parse_points
from amondawa.protocols.opentsdb.put_columns import SeriesCache, Unusual, parse_columns
from amondawa.protocols.opentsdb.put_points import Columns, collect_number, collect_points
from amondawa.protocols.opentsdb.uid import Uids
from amondawa.settings import Settings
from tests.naive import NaiveGateway
from tests.protocols.opentsdb.served import START_S, Served

COMPILED = Loader("amondawa.kernels.points_compiled")
ABSENT = Loader("amondawa.kernels.nosuch")
LOADERS = [pytest.param(COMPILED, id="compiled"), pytest.param(ABSENT, id="msgspec")]
GOOD = {"metric": "m", "timestamp": START_S, "value": 1, "tags": {"host": "a"}}


def made() -> tuple[Scope, Uids]:
    gateway = NaiveGateway()
    return Scope(gateway, Settings()), Uids(gateway, "d")


def rows(scope: Scope, batch: WriteBatch) -> list[tuple[Any, ...]]:
    """Return a batch as comparable rows."""
    refs, times, kinds, bits = batch.refs.tolist(), batch.times_ms.tolist(), batch.kinds.tolist(), batch.bits.tolist()
    return [(scope.gateway.series_of(r), t, k, b) for r, t, k, b in zip(refs, times, kinds, bits, strict=True)]


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    assert COMPILED.load()
    assert not ABSENT.load()


async def exactly(body: bytes) -> tuple[list[tuple[Any, ...]], int]:
    """Return what the exact way stores, and how many points it refuses."""
    scope, uids = made()
    columns = Columns()
    _, refused = await collect_points(scope, uids, parse_points(body), columns, collect_number)
    return rows(scope, columns.batch()), len(refused)


# any JSON that comes near a point, mostly right ------------------------------------------------------------------

NAMES = st.sampled_from(["m", "sys.cpu", "a/b-c_d", "ünï", "b ad", "", "x!"])
NUMBERS = st.one_of(
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["1", "-2", "+3", "1.5", "1e3", "abc", "", " 5", " 5.0", "1.5f", "NaN", "1e999", "0x1p3", "007"]),
    st.booleans(),
    st.none(),
)
TIMES = st.one_of(
    st.integers(-2, 2**34), st.integers(10**12, 10**14), st.sampled_from([str(START_S), "", "x", 1.5, None, True])
)
TAGS = st.one_of(
    st.dictionaries(st.sampled_from(["host", "dc", "b ad", "k" * 3]), NAMES, max_size=3),
    st.sampled_from([None, {}, {f"k{n}": "v" for n in range(9)}, {"host": 1}, {"host": None}, [], "x"]),
)
POINTS = st.fixed_dictionaries(
    {}, optional={"metric": NAMES, "timestamp": TIMES, "value": NUMBERS, "tags": TAGS, "extra": st.integers()}
)
RIGHT = st.fixed_dictionaries(
    {
        "metric": st.sampled_from(["m", "sys.cpu", "ünï"]),
        "timestamp": st.integers(1, 9_999_999_999_999),
        "value": st.one_of(
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.sampled_from(["2", "+7", "1.5E-2", "-9223372036854775808"]),
        ),
        "tags": st.dictionaries(st.sampled_from(["host", "dc"]), st.sampled_from(["a", "b"]), min_size=1),
    }
)
BODIES = st.one_of(
    POINTS, RIGHT, st.lists(RIGHT, max_size=5), st.lists(st.one_of(RIGHT, RIGHT, POINTS, st.none()), max_size=5)
)


@settings(max_examples=300, deadline=None)
@given(BODIES, st.sampled_from([None, 2]), st.sampled_from([(",", ":"), (", ", ": ")]), st.sampled_from(LOADERS))
async def test_the_short_way_takes_only_what_the_exact_way_stores_alike(
    body: Any, indent: int | None, signs: tuple[str, str], loader: Any
):
    data = json.dumps(body, ensure_ascii=indent is None, indent=indent, separators=signs).encode()
    scope, uids = made()
    cache = SeriesCache(scope, uids, loader=loader.values[0])
    for _ in range(2):  # unknown series first, known ones then
        try:
            batch = parse_columns(data, cache)
        except Unusual:
            return
        assert (rows(scope, batch), 0) == await exactly(data)


@pytest.mark.parametrize("loader", LOADERS)
@settings(max_examples=100, deadline=None)
@given(body=st.lists(RIGHT, min_size=1, max_size=8))
async def test_the_short_way_takes_every_body_that_is_right(loader: Loader, body: list[Any]):
    scope, uids = made()
    cache = SeriesCache(scope, uids, loader=loader)
    data = json.dumps(body).encode()
    first = rows(scope, parse_columns(data, cache))
    assert first == rows(scope, parse_columns(data, cache))
    assert len(first) == len(body)


@pytest.mark.parametrize(
    "text",
    [
        '{"metric":"m","timestamp":5,"value":1,"tags":{"a":"b"}}',
        '{"value" : 1.5e3 ,\n"tags" : {"a" : "b"} , "timestamp" : 1356998400123 , "metric" : "m"}',
        '{"metric":"m","timestamp":5,"value":0.30000000000000004,"tags":{"a":"b"}}',
        '{"metric":"m","timestamp":5,"value":-9223372036854775808,"tags":{"a":"b"}}',
        '{"metric":"m","timestamp":5,"value":-0.0,"tags":{"a":"b"}}',
        '{"metric":"\u00fcn\u00ef","timestamp":5,"value":1E-7,"tags":{"a":"\u00fc"}}',
    ],
)
async def test_the_compiled_reader_takes_the_usual_spelling(text: str):
    scope, uids = made()
    cache = SeriesCache(scope, uids, loader=COMPILED)
    data = f"[{text}, {text}]".encode()
    assert cache.table is not None
    assert cache.table.scan_points(data) is not None
    assert (rows(scope, parse_columns(data, cache)), 0) == await exactly(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[{}]",
        '{"metric":"m","timestamp":5,"value":1,"tags":{"a":"b"}}',
        '[{"metric":"m","timestamp":5,"value":1}]',
        '[{"metric":"m","timestamp":5,"value":1,"tags":{"a":"b"},}]',
        '[{"metric":"m","timestamp":5,"value":1,"tags":{"a":"b"}},]',
        '[{"metric":"m","timestamp":5,"value":1,"tags":{"a":"b"}}',
        '[{"metric":"m","timestamp":5,"value":1,"tags":{"a":"b"}}] x',
        '[{"metric":"m","timestamp":5,"value":1,"tags":{"a":{}}}]',
        '[{"metric":"m","timestamp":5,"value":1,"value":2,"tags":{"a":"b"}}]',
        '[{"metric":"m","timestamp":5,"valve":1,"tags":{"a":"b"}}]',
        '[{"metric":"m\\n","timestamp":5,"value":1,"tags":{"a":"b"}}]',
        '[{"metric":"m","timestamp":0,"value":1,"tags":{"a":"b"}}]',
        '[{"metric":"m","timestamp":-5,"value":1,"tags":{"a":"b"}}]',
        '[{"metric":"m","timestamp":5.5,"value":1,"tags":{"a":"b"}}]',
        '[{"metric":"m","timestamp":13569984000000,"value":1,"tags":{"a":"b"}}]',
        *(
            f'[{{"metric":"m","timestamp":5,"value":{value},"tags":{{"a":"b"}}}}]'
            for value in ('"1"', "01", "+1", ".5", "5.", "1e", "1e+", "-", "true", "null", "1 2", "0x1")
        ),
    ],
)
def test_the_compiled_reader_leaves_anything_unusual_alone(text: str):
    scope, uids = made()
    table = SeriesCache(scope, uids, loader=COMPILED).table
    assert table is not None
    assert table.scan_points(text.encode()) is None


def test_every_cut_of_a_body_is_unusual_to_the_compiled_reader():
    scope, uids = made()
    table = SeriesCache(scope, uids, loader=COMPILED).table
    assert table is not None
    body = b' [ {"metric" : "m", "timestamp" : 5, "value" : -1.5e-3, "tags" : {"a" : "b"}} ]'
    assert table.scan_points(body) is not None
    for end in range(len(body)):
        assert table.scan_points(body[:end]) is None


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(BODIES.map(lambda body: json.dumps(body).encode()), st.binary(max_size=60)),
    st.data(),
    st.sampled_from(LOADERS),
)
async def test_no_bytes_break_either_way(body: bytes, data: st.DataObject, loader: Any):
    cut = body[: data.draw(st.integers(0, len(body)))]
    scope, uids = made()
    with contextlib.suppress(Unusual):
        parse_columns(cut, SeriesCache(scope, uids, loader=loader.values[0]))
    try:
        await exactly(cut)
    except TsdbError as error:
        assert error.status == (400 if cut.strip() or not cut else 500)


async def test_a_blank_body_is_an_internal_error(tsdb: Served):
    status, answer = await tsdb.ask("POST", "/api/put", b"  ")
    assert (status, answer["error"]["message"]) == (500, "String index out of range: 0")


async def test_a_bare_nan_is_read_and_then_is_no_number(tsdb: Served):
    body = b'{"metric":"m","timestamp":5,"value":NaN,"tags":{"a":"b"}}'
    status, answer = await tsdb.ask("POST", "/api/put?details", body)
    [refused] = answer["errors"]
    assert (status, refused["error"]) == (400, "Unable to parse value to a number")
    assert refused["datapoint"]["value"] == "NaN"


@pytest.mark.parametrize("loader", LOADERS)
def test_a_full_cache_forgets_and_finds_the_same_series_again(loader: Loader):
    scope, uids = made()
    cache = SeriesCache(scope, uids, limit=2, loader=loader)
    body = json.dumps([{**GOOD, "tags": {"host": f"h{n}"}} for n in range(7)]).encode()
    first = parse_columns(body, cache).refs.tolist()
    assert parse_columns(body, cache).refs.tolist() == first
    assert len(set(first)) == 7


@pytest.mark.parametrize("loader", LOADERS)
async def test_a_cache_forgets_after_a_rename(loader: Loader):
    scope, uids = made()
    cache = SeriesCache(scope, uids, loader=loader)
    body = json.dumps([GOOD]).encode()
    (before,) = parse_columns(body, cache).refs.tolist()
    assert await uids.rename("metric", GOOD["metric"], "elsewhere")
    (after,) = parse_columns(body, cache).refs.tolist()
    assert before != after


# answers -----------------------------------------------------------------------------------------------------------


async def test_a_good_point_without_flags_gets_204(tsdb: Served):
    status, body, headers = await tsdb.raw("POST", "/api/put", GOOD)
    assert (status, body) == (204, b"")
    assert headers["Content-Type"] == "application/json; charset=UTF-8"


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        ("summary", {"success": 1, "failed": 0}),
        ("details", {"success": 1, "failed": 0, "errors": []}),
        ("details=false", {"success": 1, "failed": 0, "errors": []}),
        ("sync_timeout=10&summary", {"success": 1, "timeouts": 0, "failed": 0}),
        ("sync_timeout=0&summary", {"success": 1, "failed": 0}),
    ],
)
async def test_flags_choose_the_answer_by_being_there(tsdb: Served, flags: str, answer: dict[str, Any]):
    assert await tsdb.ask("POST", f"/api/put?{flags}", GOOD) == (200, answer)


async def test_a_timeout_that_is_no_number_is_an_internal_error(tsdb: Served):
    status, answer = await tsdb.ask("POST", "/api/put?sync_timeout=abc", GOOD)
    assert (status, answer["error"]["message"]) == (500, 'For input string: "abc"')


REFUSED = [
    ({"metric": ""}, "Metric name was empty"),
    ({"metric": None}, "Metric name was empty"),
    ({"timestamp": 0}, "Invalid timestamp"),
    ({"timestamp": -1}, "Invalid timestamp"),
    ({"value": ""}, "Empty value"),
    ({"value": None}, "Empty value"),
    ({"tags": {}}, "Missing tags"),
    ({"tags": None}, "Missing tags"),
    ({"value": "abc"}, "Unable to parse value to a number"),
    ({"value": True}, "Unable to parse value to a number"),
    ({"value": "true"}, "Unable to parse value to a number"),
    ({"value": 2**63}, "Unable to parse value to a number"),
    ({"value": "1e999"}, f"value is NaN or Infinite: Infinity for metric=m timestamp={START_S}"),
    ({"metric": "a b", "value": "x"}, "Unable to parse value to a number"),
    ({"metric": "a b"}, 'Invalid metric name ("a b"): illegal character:  '),
    ({"tags": {"k": "v v"}}, 'Invalid tag value with key [k] ("v v"): illegal character:  '),
    ({"tags": {"k": None}}, "Invalid tag value with key [k]: null"),
    (
        {"timestamp": 13569984000000, "value": 300},
        "bad timestamp=13569984000000 when trying to add value=[1, 44]/1 to metric=m, tags={host=a}",
    ),
    (
        {"timestamp": 13569984000000, "value": 2.5},
        "bad timestamp=13569984000000 when trying to add value=[64, 32, 0, 0]/11 to metric=m, tags={host=a}",
    ),
]


@pytest.mark.parametrize(("change", "text"), REFUSED)
async def test_a_point_that_is_not_right_is_refused_in_the_originals_words(
    tsdb: Served, change: dict[str, Any], text: str
):
    status, answer = await tsdb.ask("POST", "/api/put?details", [GOOD, {**GOOD, **change}])
    assert (status, answer["success"], answer["failed"]) == (400, 1, 1)
    assert answer["errors"][0]["error"] == text


async def test_an_echo_has_the_value_as_text_and_leaves_out_what_was_absent(tsdb: Served):
    body = b'[{"metric":"a b","timestamp":"5","value":1.50,"tags":{"host":1}},{"value":1}]'
    _, answer = await tsdb.ask("POST", "/api/put?details", body)
    assert [one["datapoint"] for one in answer["errors"]] == [
        {"metric": "a b", "timestamp": 5, "value": "1.50", "tags": {"host": "1"}},
        {"timestamp": 0, "value": "1"},
    ]


async def test_half_a_surrogate_pair_is_refused_and_repeated_as_a_question_mark(tsdb: Served):
    body = b'{"metric":"m\\ud800","timestamp":5,"value":"1.50","tags":{"\\udc00":"\\ud83d\\ude00"}}'
    _, answer = await tsdb.ask("POST", "/api/put?details", body)
    point = {"metric": "m?", "timestamp": 5, "value": "1.50", "tags": {"?": "\U0001f600"}}
    assert answer["errors"][0]["datapoint"] == point


async def test_without_flags_any_refused_point_gives_the_general_error(tsdb: Served):
    status, answer = await tsdb.ask("POST", "/api/put", {**GOOD, "value": "x"})
    assert status == 400
    assert answer["error"]["message"] == "One or more data points had errors"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Missing request content"),
        (b"[]", "No datapoints found in content"),
        (b"5", "The JSON must start as an object or an array"),
        (b"{", "Unable to parse the given JSON"),
        (b"[[]]", "Unable to parse the given JSON"),
        (b'[{"tags":[]}]', "Unable to parse the given JSON"),
        (b'[{"timestamp":true}]', "Unable to parse the given JSON"),
        (b'[{"timestamp":1e30}]', "Unable to parse the given JSON"),
        (b'[{"metric":{}}]', "Unable to parse the given JSON"),
        (b'[{"timestamp":NaN}]', "Unable to parse the given JSON"),
        (b"\xff\xfe[]", "The JSON must start as an object or an array"),
        (b"[" * 50_000, "Unable to parse the given JSON"),
    ],
)
async def test_a_body_without_points_is_refused(tsdb: Served, body: bytes, message: str):
    status, answer = await tsdb.ask("POST", "/api/put?details", body)
    assert (status, answer["error"]["message"]) == (400, message)


async def test_what_follows_the_json_is_not_looked_at(tsdb: Served):
    assert await tsdb.ask("POST", "/api/put", json.dumps(GOOD).encode() + b" rest") == (204, "")


async def test_gzip_is_unpacked_and_bad_gzip_refused(tsdb: Served):
    packed = gzip.compress(json.dumps([GOOD]).encode())
    assert await tsdb.ask("POST", "/api/put", packed, Content_Encoding="gzip") == (204, "")
    assert (await tsdb.ask("POST", "/api/put", packed[:-9], Content_Encoding="gzip"))[0] == 400


async def test_a_body_past_the_limit_gets_413_packed_or_not(tsdb: Served):
    long = json.dumps([GOOD] * 5000).encode()
    assert (await tsdb.ask("POST", "/api/put", long))[0] == 413
    status, answer = await tsdb.ask("POST", "/api/put", gzip.compress(long), Content_Encoding="gzip")
    assert status == 413
    assert "100000 bytes" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("content_type", "host", "value"),
    [
        ("text/plain; charset=ISO-8859-1", b"\xe4", "ä"),
        ("application/json;CHARSET=latin1", b"\xe4", "ä"),
        ("application/json; charset=UTF-8", "ä".encode(), "ä"),
        ("application/json; charset=nosuch", "ä".encode(), "ä"),
        ("charset=ISO-8859-1", "ä".encode(), "ä"),
    ],
)
async def test_a_body_is_read_in_the_charset_that_its_content_type_names(
    tsdb: Served, content_type: str, host: bytes, value: str
):
    body = b'{"metric":"m","timestamp":1356998400,"value":1,"tags":{"host":"%b"}}' % host
    assert (await tsdb.ask("POST", "/api/put", body, Content_Type=content_type))[0] == 204
    assert await tsdb.ask("GET", "/api/suggest?type=tagv") == (200, [value])


async def test_bytes_that_are_no_text_are_characters_that_no_name_may_hold(tsdb: Served):
    body = b'{"metric":"m","timestamp":1356998400,"value":1,"tags":{"host":"\xe4"}}'
    status, answer = await tsdb.ask("POST", "/api/put?details", body)
    error = 'Invalid tag value with key [host] ("\ufffd"): illegal character: \ufffd'
    assert (status, answer["errors"][0]["error"]) == (400, error)
