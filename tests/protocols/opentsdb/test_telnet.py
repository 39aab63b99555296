from __future__ import annotations

import re
from typing import Any

import pytest

from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb import telnet
from amondawa.protocols.opentsdb.telnet_commands import CACHES_DROPPED, HELP, encode_buckets, version_text
from amondawa.settings import Settings
from tests.protocols.line_gateways import (
    NOW_MS,
    RecordingGateway,
    check_answer,
    pieces_of,
    recorded_telnet_steps,
    talk,
)

HISTOGRAMS = Settings(opentsdb_histograms="42:net.opentsdb.core.SimpleHistogramDecoder,7:com.example.Other")
NINE_TAGS = " ".join(f"t{i}=v" for i in range(9))


async def say(data: bytes, settings: Settings = HISTOGRAMS) -> tuple[str, list[Any]]:
    gateway = RecordingGateway()
    answer = await talk(telnet.session(Scope(gateway, settings)), data)
    return answer.decode(), gateway.written()


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("put", "put: illegal argument: not enough arguments (need least 4, got 0)"),
        ("put m 1 1", "put: illegal argument: not enough arguments (need least 4, got 3)"),
        ("put m 1 1 ", "put: illegal argument: Need at least one tag (metric=m, tags={})"),
        ("put  1 1 a=b", "put: illegal argument: empty metric name"),
        ("put m  1 1 a=b", "put: invalid value: Empty string"),
        ("put m 1  a=b", "put: illegal argument: empty value"),
        ("put m x 1 a=b", "put: invalid value: Invalid character 'x' in x"),
        ("put m . 1 a=b", "put: invalid value: Empty string"),
        ("put m 0 1 a=b", "put: illegal argument: invalid timestamp: 0"),
        ("put m -5 1 a=b", "put: illegal argument: invalid timestamp: -5"),
        ("put m 12345678901234567890 1 a=b", "put: invalid value: Value too long: 12345678901234567890"),
        (
            "put m 13569984000001 -300 a=b",
            "put: illegal argument: bad timestamp=13569984000001 when trying to add value=[-2, -44]/1"
            " to metric=m, tags={a=b}",
        ),
        (
            "put m 13569984000001 1.5 a=b",
            "put: illegal argument: bad timestamp=13569984000001 when trying to add value=[63, -64, 0, 0]/11"
            " to metric=m, tags={a=b}",
        ),
        ("put m 1 + a=b", "put: invalid value: Just a sign, no value: +"),
        ("put m 1 1-2 a=b", "put: invalid value: Invalid character '-' in 1-2"),
        ("put m 1 9223372036854775808 a=b", "put: invalid value: Overflow in 9223372036854775808"),
        ("put m 1 -9223372036854775809 a=b", "put: invalid value: Overflow in -9223372036854775809"),
        ("put m 1 +92233720368547758070 a=b", "put: invalid value: Value too long: +92233720368547758070"),
        ("put m 1 NaN a=b", "put: invalid value: Invalid character 'N' in NaN"),
        ("put m 1 1.2.3 a=b", "put: invalid value: multiple points"),
        ("put m 1 1.2x a=b", 'put: invalid value: For input string: "1.2x"'),
        ("put m 1 1e a=b", 'put: invalid value: For input string: "1e"'),
        ("put m 1 . a=b", 'put: invalid value: For input string: "."'),
        (
            "put m 1 -1e999 a=b",
            "put: illegal argument: value is NaN or Infinite: -Infinity for metric=m timestamp=1",
        ),
        ("put m 1 1 a", "put: illegal argument: invalid tag: a"),
        ("put m 1 1 a=b=c", "put: illegal argument: invalid tag: a=b=c"),
        ("put m 1 x a", "put: illegal argument: invalid tag: a"),
        ("put m 1 1 a=b c=d a=x", "put: illegal argument: duplicate tag: a=x, tags={a=b, c=d}"),
        ("put m* 1 1 a=b", 'put: illegal argument: Invalid metric name ("m*"): illegal character: *'),
        ("put m 1 1 a=b\tc", 'put: illegal argument: Invalid tag value with key [a] ("b\tc"): illegal character: \t'),
        ("put m 1 1 a%=b", 'put: illegal argument: Invalid tag name with value [b] ("a%"): illegal character: %'),
        (
            f"put m 1 1 {NINE_TAGS}",
            "put: illegal argument: Too many tags: 9 maximum allowed: 8, tags: {"
            "t4=v, t5=v, t6=v, t7=v, t8=v, t0=v, t1=v, t2=v, t3=v}",
        ),
        ("putt m 1 1 a=b", "unknown command: putt.  Try `help'."),
        ("", "unknown command: .  Try `help'."),
        (" put m 1 1 a=b", "unknown command: .  Try `help'."),
        ("rollup", "rollup: illegal argument: not enough arguments (need least 7, got 0)"),
        ("rollup 1h-sum m 1 1", "rollup: illegal argument: not enough arguments (need least 7, got 4)"),
        ("rollup  m 1 1 a=b", "rollup: illegal argument: Missing interval or aggregator"),
        ("rollup 1h-sum  1 1 a=b", "rollup: illegal argument: empty metric name"),
        ("rollup 1h-sum m 0 1 a=b", "rollup: illegal argument: invalid timestamp: 0"),
        ("rollup 1h-sum m 1  a=b", "rollup: illegal argument: empty value"),
        ("rollup 1h-sum m 1 x a=b", "rollup: invalid value: Invalid character 'x' in x"),
        ("rollup 1h-sum m 1 1 a=b", "rollup: illegal argument: No rollup or aggregations were configured"),
        ("histogram m 1 0,1=5", "histogram: illegal argument: not enough arguments (need least 5, got 3)"),
        ("histogram m 1  a=b", "histogram: illegal argument: empty histogram value"),
        ("rollup 1h-sum:SUM m 1 1 a=b", "rollup: illegal argument: No rollup or aggregations were configured"),
        ("rollup sum m 1 1 a=b", "rollup: illegal argument: Invalid tag name with value [SUM]: null"),
        ("rollup 1h:max m 1 1 a=b", "rollup: illegal argument: Invalid tag name with value [MAX]: null"),
        ("rollup sum m! 1 1 a=b", 'rollup: illegal argument: Invalid metric name ("m!"): illegal character: !'),
        (
            "rollup sum m 1 1 a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8",
            "rollup: illegal argument: Too many tags: 9 maximum allowed: 8, "
            "tags: {null=SUM, a=1, b=2, c=3, d=4, e=5, f=6, g=7, h=8}",
        ),
        (
            "rollup sum m 4294967296 1 a=b",
            "rollup: illegal argument: bad timestamp=4294967296 when trying to add value=[1]/0 to metric=m, tags={a=b}",
        ),
        (
            "rollup 1h-sum m 1 1e400 a=b",
            "rollup: illegal argument: value is NaN or Infinite: Infinity for metric=m timestamp=1",
        ),
        ("histogram m 1 42 AAEAAAAAP4AAAAUAAA= a=b", "histogram: HBase error: Index 11 out of bounds for length 11"),
        ("histogram m 1 42 AAEAAAAAP4AAAAUAAAA== a=b", "histogram: HBase error: Index 13 out of bounds for length 13"),
        ("histogram m 1 42 AAEAAAA\xe4 a=b", "histogram: HBase error: Index 164 out of bounds for length 128"),
        (
            "histogram m 1 42 01=5:u=0:o=1 a=b",
            "histogram: HBase error: Byte array shorter than 6 bytes detected: [-45, -7, -65, -3, 40]",
        ),
        (
            "rollup 1h m 1 1 a=b",
            "rollup: illegal argument: Invalid group by aggregator 1h with metric m {null=1H, a=b}",
        ),
        (
            "histogram m 1 42 aGVsbG8= a=b",
            'histogram: HBase error: Byte array shorter than 6 bytes detected: "hello"',
        ),
        ("histogram m 1 42 AAEAAAAA a=b", "histogram: HBase error: Buffer underflow."),
        (
            "histogram m 10000000000000 0,1=5 a=b",
            "histogram: HBase error: bad timestamp=10000000000000 when trying to add "
            "value=[42, 0, 1, 0, 0, 0, 0, 63, -128, 0, 0, 5, 0, 0]/0 to metric=m, tags={a=b}",
        ),
        ("histogram m 1 9 AAAA a=b", "histogram: HBase error: No codec found mapped to ID 9"),
        (
            "histogram m 1 0,1=5 a*=b",
            'histogram: HBase error: Invalid tag name with value [b] ("a*"): illegal character: *',
        ),
        ("diediedie", "diediedie: not allowed"),
    ],
)
async def test_a_bad_line_is_answered_with_one_line(line: str, answer: str) -> None:
    assert await say(line.encode() + b"\nput m 1356998400 1 a=b\n") == (
        answer + "\n",
        [("m", {"a": "b"}, 1356998400000, 1)],
    )


@pytest.mark.parametrize(
    ("line", "point"),
    [
        ("put m 1356998400 2 host=a", ("m", {"host": "a"}, 1356998400000, 2)),
        ("put m 4294967295 2 host=a", ("m", {"host": "a"}, 4294967295000, 2)),
        ("put m 4294967296 2 host=a", ("m", {"host": "a"}, 4294967296, 2)),
        ("put m 1356998400.500 2 host=a", ("m", {"host": "a"}, 1356998400500, 2)),
        ("put m +1356998400 +2 host=a", ("m", {"host": "a"}, 1356998400000, 2)),
        ("put m 1 -9223372036854775808 host=a", ("m", {"host": "a"}, 1000, -(2**63))),
        ("put m 1 1.0 host=a", ("m", {"host": "a"}, 1000, 1.0)),
        ("put m 1 1e3 host=a", ("m", {"host": "a"}, 1000, 1000.0)),
        ("put m 1 .5d host=a", ("m", {"host": "a"}, 1000, 0.5)),
        ("put m 1 0.1 host=a", ("m", {"host": "a"}, 1000, 0.1)),
        ("put m 1 1  host=a   dc=x ", ("m", {"host": "a", "dc": "x"}, 1000, 1)),
        ("put m 1 1 host=a host=a", ("m", {"host": "a"}, 1000, 1)),
        ("put a-b_c.d/E 1 1 h-_./1=v-_./1", ("a-b_c.d/E", {"h-_./1": "v-_./1"}, 1000, 1)),
    ],
)
async def test_a_good_line_is_stored_without_an_answer(line: str, point: tuple[Any, ...]) -> None:
    answer, stored = await say(line.encode() + b"\r\n")
    assert answer == ""
    assert stored == [point]
    assert type(stored[0][3]) is type(point[3])


async def test_commands_are_answered_in_order() -> None:
    answer, _ = await say(b"help\nversion\ndropcaches\nhelp me\n")
    assert answer == HELP + version_text() + CACHES_DROPPED + HELP


async def test_dropped_caches_lose_no_points() -> None:
    _, stored = await say(b"put m 1 1 a=b\ndropcaches\nput m 2 2 a=b\n")
    assert [value for _, _, _, value in stored] == [1, 2]


async def test_stats_are_lines_of_name_time_value_and_tags() -> None:
    answer, _ = await say(b"put m 1 1 a=b\nput m 1 x a=b\nnosuch\nstats jvm\n")
    lines = answer.splitlines()[2:]
    assert all(re.fullmatch(r"tsd\.[\w.-]+ \d+ -?[\d.e+-]+( [\w.-]+=\S+)+", line) for line in lines)
    now = NOW_MS // 1000
    assert any(line.startswith(f"tsd.uid.cache-hit {now} ") for line in lines)
    assert any(line.startswith(f"tsd.rpc.errors {now} 1 type=invalid_values") for line in lines)
    assert any(line.startswith(f"tsd.points_written {now} ") for line in lines)


async def test_the_tag_limit_is_a_setting() -> None:
    answer, stored = await say(f"put m 1 1 {NINE_TAGS}\n".encode(), Settings(opentsdb_max_tags=9))
    assert (answer, len(stored)) == ("", 1)


@pytest.mark.parametrize("buckets", ["0,1", "01=5", "0,1=x", "0,y=1", "u=x", "0,1=5:"])
async def test_buckets_that_cannot_be_read_are_dropped_in_silence(buckets: str) -> None:
    line = f"histogram m 1 {buckets} a=b\nput m 1356998400 1 a=b\n"
    assert await say(line.encode()) == ("", [("m", {"a": "b"}, 1356998400000, 1)])


async def test_histograms_must_be_configured() -> None:
    answer, stored = await say(b"histogram m 1 0,1=5 a=b\n", Settings())
    assert answer.startswith("histogram: illegal argument: Histogram storage has not been enabled.")
    assert not stored


async def test_a_histogram_past_the_size_limit_is_refused() -> None:
    settings = Settings(opentsdb_histograms="42:SimpleHistogramDecoder", text_limit_bytes=20)
    answer, stored = await say(b"histogram m 1 0,1=5:1,5=7 a=b\nhistogram m 1 0,1=5 a=b\n", settings)
    assert answer == "histogram: HBase error: histogram is larger than 20 bytes\n"
    assert len(stored) == 1


async def test_a_histogram_is_stored_with_its_decoder_before_its_bytes() -> None:
    answer, stored = await say(b"histogram m 1356998400 0,1=5:1,5=7:u=0:o=1 host=a\nhistogram m 2 42 AAAAAAAA host=a\n")
    assert answer == ""
    assert stored == [
        ("m", {"host": "a"}, 1356998400000, encode_buckets("0,1=5:1,5=7:u=0:o=1", 42)),
        ("m", {"host": "a"}, 2000, b"\x2a\0\0\0\0\0\0"),
    ]


def test_simple_histograms_have_opentsdb_s_bytes() -> None:
    assert encode_buckets("1,5=7:0,1=300:U=1:o=128", 42).hex() == (
        "2a0002" + "00000000" + "3f800000" + "ac02" + "3f800000" + "40a00000" + "07" + "01" + "8001"
    )


async def test_ids_of_new_names_are_durable_before_their_points() -> None:
    gateway = RecordingGateway()
    gateway.gate.clear()
    session = telnet.session(Scope(gateway, Settings()))
    await session.receive(b"put m 1 1 a=b\n")
    await telnet._shared(Scope(gateway, Settings()))[0].dialect.settle()
    assert await gateway.list_documents("default", "opentsdb.uids")
    assert not gateway.batches
    gateway.gate.set()
    await session.end()


async def test_lines_and_points_are_counted() -> None:
    scope = Scope(RecordingGateway(), Settings())
    await talk(telnet.session(scope), b"put m 1 1 a=b\nput m 2 x a=b\nversion\n")
    seen = telnet.counters(scope)
    assert (seen.connections, seen.lines, seen.points) == (1, 3, 1)


@pytest.mark.parametrize(
    "step", [pytest.param(step, id=name) for name, step in recorded_telnet_steps("opentsdb/telnet.json")]
)
async def test_recorded_answers_are_given(step: Any) -> None:
    answer = await talk(telnet.session(Scope(RecordingGateway(), HISTOGRAMS)), *pieces_of(step))
    check_answer(step, answer)
