"""The short way of a write body must agree with the others wherever it takes a body, and must take plain ones."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amondawa.kernels.json_kairosdb import metric_table
from amondawa.kernels.lines import Loader
from amondawa.model.points import WriteBatch
from amondawa.model.series import Tags
from amondawa.protocols.kairosdb.ingest import parse_write
from amondawa.protocols.kairosdb.write_columns import QuickWrites
from amondawa.protocols.kairosdb.writes import RefCache, batch_of
from amondawa.protocols.kairosdb.writes_lenient import parse_lenient

COMPILED = Loader("amondawa.kernels.json_kairosdb_compiled")
ABSENT = Loader("amondawa.kernels.nosuch")
T = 1_356_998_400_000
NOW = 1_700_000_000_000


class Names:
    """Gives refs, and tells what they stand for."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str, Tags], int] = {}
        self.asked = 0

    def resolve(self, domain: str, metric: str, tags: Tags) -> int:
        self.asked += 1
        return self.known.setdefault((domain, metric, tags), len(self.known))

    def rows(self, batch: WriteBatch) -> list[tuple[Any, ...]]:
        series = {ref: key for key, ref in self.known.items()}
        expires = [0] * len(batch) if batch.expires_ms is None else batch.expires_ms.tolist()
        columns = (batch.times_ms.tolist(), batch.kinds.tolist(), batch.bits.tolist(), expires)
        return [(series[ref], *row) for ref, *row in zip(batch.refs.tolist(), *columns, strict=True)]


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    assert COMPILED.load()
    assert not ABSENT.load()


def quick_rows(body: bytes, repeat: int = 2) -> list[tuple[Any, ...]] | None:
    """Return what the short way makes of a body, read often enough that its series are known."""
    names = Names()
    quick = QuickWrites(names.resolve, COMPILED)
    batches = [asyncio.run(quick.batch("d", body, NOW)) for _ in range(repeat)]
    rows = [None if batch is None else names.rows(batch) for batch in batches]
    assert all(one == rows[0] for one in rows)
    return rows[0]


def other_rows(body: bytes, *, lenient: bool = False) -> list[tuple[Any, ...]] | None:
    """Return what the other ways make of a body; None for one that is not good throughout."""
    parsed = parse_lenient(body) if lenient else parse_write(body)
    if parsed.errors or parsed.failure:
        return None
    names = Names()
    batch = batch_of(parsed, asyncio.run(RefCache(names.resolve).refs("d", parsed)), NOW)
    return None if len(batch.texts) else names.rows(batch)


# bodies that come near the plain form -----------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.integers(-1000, 1000).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1000, 1000).map(repr),
    st.decimals(-1000, 1000, allow_nan=False, places=3).map(str),
    st.from_regex(r"-?[0-9]{0,20}\.?[0-9]{0,20}([eE][+-]?[0-9]{0,4})?", fullmatch=True),
    st.sampled_from(
        [
            "-0",
            "-0.0",
            "007",
            "1e5",
            "1.5E3",
            "9007199254740993.0",
            "0.30000000000000004",
            "1.0e999",
            "5.0e-324",
            '"7"',
            "null",
        ]
    ),
)
TIMES = st.one_of(st.integers(T, T + 10**6).map(str), st.sampled_from(["0", "-5", "1.0", "1e3", '"12"', "007"]))
BLANKS = st.sampled_from(["", "", "", " ", "\n", "\t \r"])
TEXTS = st.one_of(
    st.sampled_from(["m", "sys.cpu.user", "ünï ☂", "", "a/b", "n" * 40, 'q"', "b\\s"]), st.text(max_size=12)
)


@st.composite
def plain_text(draw: st.DrawFn, text: str) -> str:
    return json.dumps(text, ensure_ascii=draw(st.booleans()))


@st.composite
def tags_json(draw: st.DrawFn) -> str:
    count = draw(st.integers(0, 3))
    pairs = [
        f"{json.dumps(draw(TEXTS))}:{draw(BLANKS)}{json.dumps(draw(TEXTS), ensure_ascii=False)}" for _ in range(count)
    ]
    return draw(st.sampled_from(["{%s}"] * 12 + ["[%s]", "{%s,}"])) % ",".join(pairs)


@st.composite
def metric_json(draw: st.DrawFn, *, usual: bool) -> str:
    blank = "" if usual else draw(BLANKS)
    name = "m" if usual else draw(TEXTS)
    tags = '{"host":"a","dc":"b"}' if usual else draw(tags_json())
    fields = [f'"name":{blank}{json.dumps(name, ensure_ascii=False)}', f'"tags"{blank}:{tags}']
    if draw(st.booleans()):
        fields += [f'"timestamp":{blank}{draw(TIMES)}', f'"value":{draw(NUMBERS)}{blank}']
    else:
        pairs = draw(st.lists(st.tuples(TIMES, NUMBERS), max_size=4))
        fields.append('"datapoints":[' + f",{blank}".join(f"[{time},{blank}{value}]" for time, value in pairs) + "]")
    extra = [
        '"ttl":60',
        '"ttl":0',
        '"type":"long"',
        '"type":"double"',
        '"type":"string"',
        '"time":5',
        '"value":1',
        '"x":1',
    ]
    fields += draw(st.lists(st.sampled_from(extra), max_size=1 if usual else 2))
    return "{" + blank + ("," + blank).join(draw(st.permutations(fields))) + blank + "}"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    usual = draw(st.booleans())
    metrics = [draw(metric_json(usual=usual)) for _ in range(draw(st.integers(1, 3)))]
    text = metrics[0] if len(metrics) == 1 and draw(st.booleans()) else "[" + ",".join(metrics) + "]"
    return (draw(BLANKS) + text + draw(BLANKS)).encode("utf-8", "surrogatepass")


@settings(max_examples=400, deadline=None)
@given(bodies())
@example(b'[{"name":"m","timestamp":1,"value":18.10000000000000142108547152020037174224853515625,"tags":{"a":"b"}}]')
def test_what_the_short_way_takes_the_other_ways_read_alike(body: bytes) -> None:
    rows = quick_rows(body)
    if rows is not None:
        assert rows == other_rows(body)
        assert rows == other_rows(body, lenient=True)


@settings(max_examples=300, deadline=None)
@given(bodies(), st.data())
def test_a_damaged_body_is_never_read_otherwise(body: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body) - 1))
    byte = data.draw(st.sampled_from(b'"{}[],:\\ -.0159eE\x00\x7f\xff'))
    kind = data.draw(st.sampled_from(["replace", "insert", "cut", "end"]))
    middle = {"replace": bytes((byte,)), "insert": bytes((byte, body[at])), "cut": b"", "end": b""}[kind]
    damaged = body[:at] + middle + (b"" if kind == "end" else body[at + 1 :])
    rows = quick_rows(damaged) if damaged else None
    if rows is not None:
        assert rows == other_rows(damaged)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_doubles_of_any_size_are_read_to_the_last_bit(doubles: list[float]) -> None:
    points = [[T, value] for value in doubles]
    text = json.dumps({"name": "m", "tags": {"a": "b"}, "datapoints": points})
    if any("." not in repr(value) for value in doubles):
        assert quick_rows(text.encode()) is None
        return
    rows = quick_rows(text.encode())
    assert rows is not None
    assert [row[3] for row in rows] == [struct.unpack("<q", struct.pack("<d", value))[0] for value in doubles]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**18 - 1), st.integers(1, 20))
def test_decimals_of_up_to_eighteen_digits_are_read_to_the_last_bit(digits: int, fraction: int) -> None:
    padded = str(digits).rjust(fraction + 1, "0")
    text = f"{padded[:-fraction]}.{padded[-fraction:]}"
    rows = quick_rows(f'{{"name":"m","tags":{{"a":"b"}},"timestamp":1,"value":{text}}}'.encode())
    assert rows is not None
    assert rows[0][3] == struct.unpack("<q", struct.pack("<d", float(text)))[0]


PLAIN = [
    '{"name":"m","timestamp":1,"value":2,"tags":{"a":"b"}}',
    '[{"name":"m","timestamp":1,"value":2.5,"tags":{"a":"b"},"ttl":60,"type":"double"}]',
    ' [ { "tags" : { "a" : "b" , "c" : "d" } , "datapoints" : [ [ 1 , 2 ] , [ -3 , -4.5e-7 ] ] , "name" : "ü" } ] ',
    '[{"name":"m","datapoints":[],"tags":{"a":"b"}}]',
    '[{"name":"m","datapoints":[[1,2]],"tags":{"a":"b"}},{"name":"n","timestamp":1,"value":3,"tags":{"a":"b"}}]',
    '[{"name":"m","datapoints":[[1,0.1234567890123456789]],"tags":{"a":"{[,]}"}}]',
]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_bodies_take_the_short_way(text: str) -> None:
    rows = quick_rows(text.encode())
    assert rows is not None
    assert rows == other_rows(text.encode())


@pytest.mark.parametrize("text", PLAIN)
def test_a_body_cut_anywhere_does_not(text: str) -> None:
    body = text.strip().encode()
    assert all(quick_rows(body[:end], 1) is None for end in range(len(body)))


@pytest.mark.parametrize(
    "text",
    [
        '[{"name":"m","timestamp":1,"value":"2","tags":{"a":"b"}}]',
        '[{"name":"m","timestamp":1,"value":1e5,"tags":{"a":"b"}}]',
        '[{"name":"m","timestamp":1,"value":2,"tags":{"a":"b","a":"c"}}]',
        '[{"name":"m","timestamp":1,"value":2,"tags":{"a":1}}]',
        '[{"name":"m","timestamp":1,"value":2,"tags":{}}]',
        '[{"name":"","timestamp":1,"value":2,"tags":{"a":"b"}}]',
        '[{"name":"m","timestamp":1,"timestamp":1,"value":2,"tags":{"a":"b"}}]',
        '[{"name":"m","timestamp":1,"value":2,"datapoints":[],"tags":{"a":"b"}}]',
        '[{"name":"m","timestamp":1,"value":2.5,"type":"long","tags":{"a":"b"}}]',
        '[{"name":"m","timestamp":1,"value":1.0e999,"tags":{"a":"b"}}]',
        "[]",
        "",
    ],
)
def test_anything_out_of_the_ordinary_is_left_to_the_other_ways(text: str) -> None:
    assert quick_rows(text.encode()) is None


def body_of(hosts: range) -> bytes:
    return json.dumps([{"name": "m", "timestamp": T, "value": h, "tags": {"host": f"h{h}"}} for h in hosts]).encode()


def test_a_series_is_resolved_once_and_told_apart_by_domain() -> None:
    names = Names()
    quick = QuickWrites(names.resolve, COMPILED)
    for domain in ("d", "e", "d", "e"):
        batch = asyncio.run(quick.batch(domain, body_of(range(20_000)), NOW))
        assert batch is not None
        assert [key[0] for key, *_ in names.rows(batch)] == [domain] * 20_000
    assert names.asked == 40_000


def test_a_table_that_is_full_begins_anew_and_goes_on_being_right() -> None:
    names = Names()
    quick = QuickWrites(names.resolve, COMPILED)
    table = metric_table(COMPILED)
    assert table is not None
    table._entries = 100  # type: ignore[attr-defined]
    quick._table = table
    for start in (0, 30, 60, 90, 0):
        batch = asyncio.run(quick.batch("d", body_of(range(start, start + 40)), NOW))
        assert batch is not None
        assert [key[2][0][1] for key, *_ in names.rows(batch)] == [f"h{h}" for h in range(start, start + 40)]


def test_a_body_of_megabytes_is_read_in_a_thread_to_the_same_points() -> None:
    body = body_of(range(40_000))
    assert len(body) > 2**20
    rows = quick_rows(body)
    assert rows is not None
    assert rows == other_rows(body)


def test_without_the_compiled_reader_every_body_goes_the_other_ways() -> None:
    quick = QuickWrites(Names().resolve, ABSENT)
    assert asyncio.run(quick.batch("d", PLAIN[0].encode(), NOW)) is None
