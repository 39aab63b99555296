from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.model.points import Kind, Points
from amondawa.model.series import Tags
from amondawa.protocols.kairosdb import writes
from amondawa.protocols.kairosdb.ingest import parse_write
from amondawa.protocols.kairosdb.writes import ParsedWrite, RefCache, batch_of, parse_bulk
from amondawa.protocols.kairosdb.writes_lenient import parse_lenient

T = 1_356_998_400_000


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def metric(**fields: Any) -> dict[str, Any]:
    return {"name": "m", "tags": {"host": "a"}, **fields}


def points_of(parsed: ParsedWrite) -> list[tuple[str, int, Kind, Any]]:
    points = Points(parsed.times_ms, parsed.kinds, parsed.bits, parsed.texts)
    names = [name for name, count in zip(parsed.metrics, parsed.counts, strict=True) for _ in range(count)]
    return [
        (names[at], int(points.times_ms[at]), Kind(int(points.kinds[at])), points.value_at(at))
        for at in range(len(points))
    ]


def values(text: str) -> list[tuple[Kind, Any]]:
    parsed = parse_write(f'{{"name":"m","tags":{{"h":"a"}},"datapoints":[[{T},{text}]]}}'.encode())
    assert parsed.errors == []
    assert parsed.failure is None
    return [(kind, value) for _, _, kind, value in points_of(parsed)]


VALUES = [
    ("42", Kind.LONG, 42),
    ("-9223372036854775808", Kind.LONG, -(2**63)),
    ("1e5", Kind.LONG, 100_000),
    ("1e-7", Kind.LONG, 0),
    ("25e-1", Kind.LONG, 2),
    ("1.5e5", Kind.DOUBLE, 150_000.0),
    ("2.0", Kind.DOUBLE, 2.0),
    ("1.0e-7", Kind.DOUBLE, 1e-7),
    ("9223372036854775808", Kind.LONG, -(2**63)),
    ("99999999999999999999", Kind.LONG, 7766279631452241919),
    ("1e999999999", Kind.LONG, 0),
    ("1e99999999999999999999", Kind.LONG, 0),
    ("1e-99999999999999999999", Kind.LONG, 0),
    ("1" * 5000, Kind.LONG, (10**5000 - 1) // 9 % 2**64),
    ("-" + "1" * 5000, Kind.LONG, -((10**5000 - 1) // 9 % 2**64)),
    ("9" * 5000 + '.5,"long"', Kind.LONG, -1),
    ('"' + "0" * 5000 + '7"', Kind.LONG, 7),
    ('"12"', Kind.LONG, 12),
    ('"0042"', Kind.LONG, 42),
    ('"-.5"', Kind.DOUBLE, -0.5),
    ('"3."', Kind.TEXT, "3."),
    ('"1.5e3"', Kind.TEXT, "1.5e3"),
    ('" 5"', Kind.TEXT, " 5"),
    ('"1.2.3"', Kind.TEXT, "1.2.3"),
    ("true", Kind.TEXT, "true"),
    ("NaN", Kind.TEXT, "NaN"),
    ("'up'", Kind.TEXT, "up"),
    ('"grün ☂ \\" \\\\"', Kind.TEXT, 'grün ☂ " \\'),
    ('3.7,"long"', Kind.LONG, 3),
    ('3,"double"', Kind.DOUBLE, 3.0),
    ('"1e3","double"', Kind.DOUBLE, 1000.0),
    ('4.50,"string"', Kind.TEXT, "4.50"),
    ('[5],"long"', Kind.LONG, 5),
    ('1,"double","more"', Kind.DOUBLE, 1.0),
]


@pytest.mark.parametrize(("text", "kind", "value"), VALUES)
def test_values_are_what_kairosdb_takes_them_for(text: str, kind: Kind, value: object) -> None:
    assert values(text) == [(kind, value)]


PLAIN = [
    metric(timestamp=T, value=1),
    [metric(timestamp=T, value=1.5), metric(datapoints=[[T, 1], [T + 1, 2]])],
    metric(timestamp=T, value=1, datapoints=[[T + 1, 2.5]]),
    metric(datapoints=[[T, 1], [T + 1, 2.5], [T + 2, "x"], [T + 3, True], [T + 4, "12.5"]]),
    metric(timestamp=T, value=1, ttl=60, unknown="x", flag=None),
    metric(datapoints=[[T, 1], [T + 1, 2.5]], type="double"),
    metric(datapoints=[[T, 1]], type="long"),
    {"name": 'a "b" \\ é', "tags": {"ü": "\u2028"}, "timestamp": T, "value": "\\"},
    metric(datapoints=[]),
    [],
]


@pytest.mark.parametrize("value", PLAIN)
def test_plain_bodies_are_read_in_bulk(value: Any) -> None:
    assert parse_bulk(body(value)) is not None
    assert parse_bulk(json.dumps(value, ensure_ascii=False).encode()) is not None


UNSURE = [
    b"",
    b"nonsense",
    b'{"name":"m","tags":{"h":"a"},"timestamp":1,"value":1} trailing',
    b'{"name":"m","tags":{"h":"a","h":"b"},"timestamp":1,"value":1}',
    b'{"name":"m","tags":{"h":"a"},"timestamp":1,"value":1e5}',
    b'{"name":"m","tags":{"h":"a"},"timestamp":1,"value":99999999999999999999}',
    b'{"name":"m","tags":{"h":"a"},"timestamp":99999999999999999999,"value":1}',
    b'{"name":"m","tags":{"h":"a"},"timestamp":1.5,"value":1}',
    b'{"name":"m","tags":{"h":"a"},"timestamp":true,"value":1}',
    b'{"name":"m","tags":{"h":""},"timestamp":1,"value":1}',
    b'{"name":"m","tags":{"h":1},"timestamp":1,"value":1}',
    b'{"name":"m","tags":{"":"a"},"timestamp":1,"value":1}',
    b'{"name":"m","tags":{},"timestamp":1,"value":1}',
    b'{"name":"m","tags":{"h":"a"},"value":1}',
    b'{"name":"m","tags":{"h":"a"},"timestamp":1}',
    b'{"name":"m","tags":{"h":"a"},"timestamp":1,"value":[1]}',
    b'{"name":"m","tags":{"h":"a"},"datapoints":[[1,2,"long"]]}',
    b'{"name":"m","tags":{"h":"a"},"datapoints":["ab"]}',
    b'{"name":"m","tags":{"h":"a"},"datapoints":[7]}',
    b'{"name":"m","tags":{"h":"a"},"datapoints":{"1":2}}',
    b'{"name":"m","tags":{"h":"a"},"datapoints":null,"ttl":-1}',
    b'{"name":"m","tags":{"h":"a"},"datapoints":[[1,""]]}',
    b'{"name":"m","tags":{"h":"a"},"datapoints":[[1,"99999999999999999999"]]}',
    b'{"name":"m","tags":{"h":"a"},"time":5,"timestamp":1,"value":1}',
    b'{"name":"m","tags":{"h":"a"},"datapoints":[[1,2.5]],"type":"long"}',
    b'{"name":"m","tags":{"h":"a"},"datapoints":[[1,2]],"type":"string"}',
]


@pytest.mark.parametrize("raw", UNSURE)
def test_what_is_not_certain_is_left_to_the_lenient_reader(raw: bytes) -> None:
    assert parse_bulk(raw) is None


NUMBERS = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["1e5", "-2E3", "1.5e5", "10E-1"])
)
ODD = st.sampled_from(["null", "[]", "{}", "[1]", '""', "true", '"12"', '"x1e5"', '"a\\"b"', "NaN", "'q'"])
TIMES = st.integers(-(10**13), 10**13).map(str) | st.sampled_from(['"5"', "1e3", "null", "2.5"])
VALUE_TEXTS = NUMBERS.map(str) | ODD


@st.composite
def written_metrics(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(['"m"', '"node1e5"', "5", '""', '"é\\u0041"']))
    tags = draw(st.sampled_from(['{"host":"a"}', '{"h":"rack-3e4","g":"b"}', "{}", '{"h":"a","h":"b"}', '{"h":7}']))
    pairs = draw(st.lists(st.tuples(TIMES, VALUE_TEXTS).map(lambda pair: f"[{pair[0]}, {pair[1]}]"), max_size=4))
    fields = [f'"name":{name}', f'"tags":{tags}', f'"datapoints":[{",".join(pairs)}]']
    if draw(st.booleans()):
        fields.append(f'"timestamp":{draw(TIMES)}, "value":{draw(VALUE_TEXTS)}')
    fields += draw(
        st.lists(st.sampled_from(['"ttl":5', '"type":"double"', '"type":"long"', '"x":"y"', '"x":1.5']), max_size=2)
    )
    return "{" + ",".join(fields) + "}"


@settings(max_examples=400)
@given(st.lists(written_metrics(), min_size=1, max_size=3))
def test_the_bulk_path_agrees_with_the_lenient_reader_whenever_it_answers(metrics: list[str]) -> None:
    raw = f"[{', '.join(metrics)}]".encode()
    bulk = parse_bulk(raw)
    if bulk is None:
        return
    slow = parse_lenient(raw)
    assert (slow.errors, slow.failure) == ([], None)
    assert points_of(bulk) == points_of(slow)
    assert (bulk.tags, bulk.counts, bulk.ttls_s or [0] * len(bulk.counts)) == (slow.tags, slow.counts, slow.ttls_s)


ERRORS: list[tuple[str, list[str], int]] = [
    ("", ["Invalid json. No content due to end of input."], 0),
    ("[", ["Invalid json. No content due to end of input."] * 2, 0),
    ("5", ["Use JsonReader.setLenient(true) to accept malformed JSON at line 1 column 1"], 0),
    ("{", ["java.io.EOFException: End of input at line 1 column 2"], 0),
    ("{}", ["metric[0].name may not be null.", "metric[0].tags count must be greater than or equal to 1."], 0),
    (
        '{"name":"m","tags":{"":""},"timestamp":1,"value":1}',
        ["metric[0](name=m).tag[0].name may not be empty.", "metric[0](name=m).tag[0].value may not be empty."],
        0,
    ),
    ('{"name":"m","tags":{"h":null},"timestamp":1,"value":1}', ["metric[0](name=m).tag[h].value may not be null."], 0),
    ('{"name":"m","tags":{"h":"a","h":"b"}}', ["duplicate key: h"], 0),
    ('{"name":"m","tags":[["h","a"]],"timestamp":1,"value":1}', [], 1),
    ('{"name":"m","tags":{"h":"a"},"value":1}', ["metric[0](name=m).timestamp may not be null."], 0),
    ('{"name":"m","tags":{"h":"a"},"timestamp":1}', ["metric[0](name=m).value may not be null."], 0),
    ('{"name":"m","tags":{"h":"a"},"timestamp":1,"value":null}', ["metric[0](name=m).value may not be empty."], 0),
    (
        '{"name":"m","tags":{"h":"a"},"timestamp":1,"value":[]}',
        ["metric[0](name=m).value may not be an empty array."],
        0,
    ),
    ('{"name":"m","tags":{"h":"a"},"timestamp":1,"value":{}}', ["metric[0](name=m) value is an invalid type"], 0),
    (
        '{"name":"m","tags":{"h":"a"},"timestamp":1,"value":1,"type":"complex"}',
        ["Unregistered data point type 'complex'"],
        0,
    ),
    ('{"name":"m","tags":{"h":"a"},"timestamp":1,"value":1,"type":""}', ["Unregistered data point type ''"], 0),
    ('{"name":"m","tags":{"h":"a"},"datapoints":[[1,{},""],[2,3]]}', ["Unregistered data point type ''"], 1),
    (
        '{"name":"m","tags":{"h":"a"},"timestamp":9223372036854777856,"value":1}',
        ["java.lang.NumberFormatException: Expected a long but was 9223372036854777856 at line 1 column 61"],
        0,
    ),
    (
        '{"name":"m","tags":{"h":"a"},"timestamp":1,"value":1,"ttl":2147483648}',
        ["java.lang.NumberFormatException: Expected an int but was 2147483648 at line 1 column 70"],
        0,
    ),
    (
        '{"name":"m","tags":{"h":"a"},"datapoints":[[1,1],[2],[],[null,3],[5,6]]}',
        [
            "metric[0](name=m).datapoints[1].value cannot be null or empty.",
            "metric[0](name=m).datapoints[1].timestamp cannot be null or empty.",
            "metric[0](name=m).datapoints[1].timestamp may not be null.",
        ],
        2,
    ),
    (
        '[{"name":"m","tags":{"h":"a"},"timestamp":1,"value":1},{"name":"n"},{"name":"m","tags":{"h":"a"},"timestamp":2,"value":1}]',
        ["metric[1](name=n).tags count must be greater than or equal to 1."],
        2,
    ),
    (
        '[{"name":"m","tags":{"h":"a"},"timestamp":1,"value":1},',
        ["Invalid json. No content due to end of input."] * 2,
        1,
    ),
    ('[{"name":"m","tags":{"h":"a"},"timestamp":1,"value":1}{}]', ["Unterminated array at line 1 column 56"], 1),
    ('{"name":"\\u12g4","tags":{"h":"a"},"timestamp":1,"value":1}', ["Invalid JSON"], 0),
    (
        '{"name":"m","tags":{"h":"a"},"timestamp":12f,"value":1}',
        ["java.lang.IllegalStateException: Expected a long but was STRING at line 1 column 42"],
        0,
    ),
    ('{"timestamp":""}', ["java.lang.NumberFormatException: empty String"], 0),
    ('{"timestamp":" \t"}', ["java.lang.NumberFormatException: empty String"], 0),
    ('{"timestamp":" x"}', ['java.lang.NumberFormatException: For input string: "x"'], 0),
    ('{"timestamp":"-1.2.x"}', ["java.lang.NumberFormatException: multiple points"], 0),
    ('{"timestamp":"1e2..3"}', ['java.lang.NumberFormatException: For input string: "1e2..3"'], 0),
    ('{"timestamp":"1.5"}', ["java.lang.NumberFormatException: Expected a long but was 1.5 at line 1 column 19"], 0),
    ('{"ttl":[]}', ["java.lang.IllegalStateException: Expected an int but was BEGIN_ARRAY at line 1 column 9"], 0),
    (
        '{"skip_validate":{}}',
        ["java.lang.IllegalStateException: Expected a boolean but was BEGIN_OBJECT at line 1 column 19"],
        0,
    ),
    ('{"name":"m",}', ["com.google.gson.stream.MalformedJsonException: Expected name at line 1 column 14"], 0),
    (
        '{"name":"m","tags":{"h":"a"},"skip_validate":true,"datapoints":[[1,""],[2,3]]}',
        ["metric[0].datapoints[0].value may not be empty."],
        1,
    ),
]


@pytest.mark.parametrize(("text", "errors", "stored"), ERRORS)
def test_faults_are_worded_and_undo_nothing(text: str, errors: list[str], stored: int) -> None:
    parsed = parse_write(text.encode())
    assert (parsed.errors, parsed.failure, len(parsed)) == (errors, None, stored)


def test_a_time_of_two_to_the_63_is_the_last_one_there_is() -> None:
    parsed = parse_write(b'{"name":"m","tags":{"h":"a"},"timestamp":9223372036854775808,"value":1}')
    assert (parsed.errors, parsed.times_ms.tolist()) == ([], [2**63 - 1])


FAILURES = [
    ('{"name":"m","tags":{"h":"a"},"timestamp":1,"value":[1,2]}', 0),
    ('{"name":"m","tags":{"h":"a"},"timestamp":1,"value":"abc","type":"long"}', 0),
    ('{"name":"m","tags":{"h":"a"},"datapoints":[[1,1],["x",1],[2,2]]}', 1),
    ('{"name":"m","tags":{"h":"a"},"timestamp":1,"value":"99999999999999999999"}', 0),
    ('{"name":"m","tags":{"h":"a"},"timestamp":1,"value":"' + "9" * 5000 + '"}', 0),
    ('[{"name":"m","tags":{"h":"a"},"timestamp":1,"value":1},null]', 1),
    ('{"name":"m","tags":{"h":"a"},"timestamp":1,"value":".1.2"}', 0),
]


@pytest.mark.parametrize(
    ("value", "kind", "stored"),
    [("+5", Kind.LONG, 5), ("+.5", Kind.DOUBLE, 0.5), ("+", Kind.TEXT, "+"), ("5.", Kind.TEXT, "5.")],
)
def test_texts_with_a_sign_count_as_numbers(value: str, kind: Kind, stored: object) -> None:
    parsed = parse_write(body(metric(timestamp=T, value=value)))
    batch = batch_of(parsed, np.zeros(1, np.int32), T)
    assert (parsed.errors, batch.kinds[0]) == ([], kind)
    points = Points(batch.times_ms, batch.kinds, batch.bits, batch.texts)
    assert points.value_at(0) == stored


@pytest.mark.parametrize(
    ("point", "text"), [("[{},1]", "JsonObject"), ('[1,[null],"double"]', "JsonNull"), ("[[[1,2]],1]", None)]
)
def test_a_broken_conversion_says_what_java_says(point: str, text: str | None) -> None:
    parsed = parse_write(f'{{"name":"m","tags":{{"h":"a"}},"datapoints":[{point}]}}'.encode())
    assert parsed.failure
    assert parsed.failure.text == text


@pytest.mark.parametrize(("text", "stored"), FAILURES)
def test_broken_conversions_end_the_request_and_keep_what_came_before(text: str, stored: int) -> None:
    parsed = parse_write(text.encode())
    assert parsed.failure
    assert len(parsed) == stored


def test_every_cut_of_a_body_is_answered() -> None:
    whole = body([metric(datapoints=[[T, 1], [T + 1, "x\u00e9"]]), metric(timestamp=T, value=1.5, ttl=5)])
    for at in range(len(whole)):
        parsed = parse_write(whole[:at])
        assert parsed.errors or parsed.failure


def test_time_to_live_counts_from_arrival() -> None:
    parsed = parse_write(
        body([metric(timestamp=T, value=1, ttl=60), metric(timestamp=T, value=2), metric(timestamp=T, value=3, ttl=0)])
    )
    batch = batch_of(parsed, np.zeros(3, np.int32), 1_000)
    assert batch.expires_ms is not None
    assert batch.expires_ms.tolist() == [61_000, 0, 0]


def test_without_any_time_to_live_there_is_no_column() -> None:
    parsed = parse_write(body(metric(timestamp=T, value=1, ttl=0)))
    assert batch_of(parsed, np.zeros(1, np.int32), 0).expires_ms is None


async def test_refs_are_resolved_once_with_sorted_tags_and_forgotten_at_the_limit() -> None:
    asked: list[tuple[str, str, Tags]] = []

    def resolve(domain: str, name: str, tags: Tags) -> int:
        asked.append((domain, name, tags))
        return len(asked)

    cache = RefCache(resolve, limit=2)
    parsed = parse_write(body([{"name": "m", "tags": {"b": "1", "a": "2"}, "datapoints": [[1, 1], [2, 2]]}]))
    assert (await cache.refs("d", parsed)).tolist() == [1, 1]
    assert (await cache.refs("d", parsed)).tolist() == [1, 1]
    assert asked == [("d", "m", (("a", "2"), ("b", "1")))]
    assert (await cache.refs("e", parsed)).tolist() == [2, 2]
    await cache.refs("f", parsed)
    assert len(cache) <= 2


async def test_series_whose_names_hold_the_separator_are_not_taken_for_one_another() -> None:
    asked: list[Tags] = []

    def resolve(domain: str, name: str, tags: Tags) -> int:
        asked.append(tags)
        return len(asked)

    cache = RefCache(resolve)
    bodies = [{"name": "m", "tags": {"a\0b": "c", "d": "e"}}, {"name": "m", "tags": {"a": "d", "b\0c": "e"}}]
    found = [(await cache.refs("d", parse_write(body([{**one, "datapoints": [[1, 1]]}])))).tolist() for one in bodies]
    assert found == [[1], [2]]


async def test_series_beyond_one_turn_of_the_loop_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writes, "_SERIES_AT_ONCE", 2)
    parsed = parse_write(
        body([{"name": str(at), "tags": {"h": "a"}, "datapoints": [[1, 1]] * at} for at in range(1, 6)])
    )
    refs = await RefCache(lambda domain, name, tags: int(name)).refs("d", parsed)
    assert refs.tolist() == [at for at in range(1, 6) for _ in range(at)]
