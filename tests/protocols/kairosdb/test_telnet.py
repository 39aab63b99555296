from __future__ import annotations

from typing import Any

import pytest

from amondawa.protocols.base import Scope
from amondawa.protocols.kairosdb.telnet import VERSION_LINE, counters, session, split_words
from amondawa.settings import Settings
from tests.protocols.line_gateways import (
    NOW_MS,
    RecordingGateway,
    check_answer,
    pieces_of,
    recorded_telnet_steps,
    talk,
)


async def store(data: bytes) -> tuple[bytes, list[Any]]:
    gateway = RecordingGateway()
    answer = await talk(session(Scope(gateway, Settings())), data)
    return answer, gateway.written()


@pytest.mark.parametrize(
    "line",
    [
        b"put",
        b"put m",
        b"put m 1",
        b"put m abc 1 host=a",
        b"put m +5 1 host=a",
        b"put m 1.0 1 host=a",
        b"put m 99999999999999999999 1 host=a",
        b"put m -9223372036854776 1 host=a",
        b"put m 1 1e3 host=a",
        b"put m 1 NaN host=a",
        b"put m 1 +5 host=a",
        b"put m 1 - host=a",
        b"put m 1 1_0 host=a",
        b"put m 1 9223372036854775808 host=a",
        b"put m 1 1.5x host=a",
        b"put m 1 . host=a",
        b"put m 1 1.0e999 host=a",
        b"put m 1 1 host",
        b"put m 1 1 host=",
        b"put m 1 1 =a",
        b"put m 1 1 host==a",
        b"put m 1 1 host=a host=a",
        b"put m 1 1 host=a kairos_opt.ttl=x",
        b"put m 1 1 host=a kairos_opt.ttl=99999999999",
        b'put "" 1 1 host=a',
        b"Put m 1 1 host=a",
        b"help",
        b"stats",
        b"",
        b"\x00\xff",
    ],
)
async def test_a_bad_line_is_dropped_without_an_answer(line: bytes) -> None:
    answer, stored = await store(line + b"\nput after 1356998400 1 host=a\n")
    assert answer == b""
    assert [metric for metric, _, _, _ in stored] == ["after"]


@pytest.mark.parametrize(
    ("line", "point"),
    [
        (b"put m 1356998400 42 host=a", ("m", {"host": "a"}, 1356998400000, 42)),
        (b"put m 2999999999 1 host=a", ("m", {"host": "a"}, 2999999999000, 1)),
        (b"put m 3000000000 1 host=a", ("m", {"host": "a"}, 3000000000, 1)),
        (b"put m -5 1 host=a", ("m", {"host": "a"}, -5000, 1)),
        (b"put m 0 1 host=a", ("m", {"host": "a"}, 0, 1)),
        (b"putm m 1000 1 host=a", ("m", {"host": "a"}, 1000, 1)),
        (b"putm m 1000 1.0 host=a", ("m", {"host": "a"}, 1000, 1.0)),
        (b"puts m 1000 up host=a", ("m", {"host": "a"}, 1000, "up")),
        (b"puts m 1000 1.5 host=a", ("m", {"host": "a"}, 1000, "1.5")),
        (b'puts m 1000 "all is well" host=a', ("m", {"host": "a"}, 1000, "all is well")),
        (b'puts m 1000 "" host=a', ("m", {"host": "a"}, 1000, "")),
        (b'puts m 1000 "a "b" "k k=v v"', ("m", {"k k": "v v"}, 1000, 'a "b')),
        (b"put m 1 1.5e3 host=a", ("m", {"host": "a"}, 1000, 1500.0)),
        (b"put m 1 .5 host=a", ("m", {"host": "a"}, 1000, 0.5)),
        (b"put m 1 7. host=a", ("m", {"host": "a"}, 1000, 7.0)),
        (b"put m 1 1.5f host=a", ("m", {"host": "a"}, 1000, 1.5)),
        (b"put m 1 007 host=a", ("m", {"host": "a"}, 1000, 7)),
        (b"put m 1 -9223372036854775808 host=a", ("m", {"host": "a"}, 1000, -(2**63))),
        (b"put m 1 1", ("m", {"add": "tag"}, 1000, 1)),
        (b"put m 1 1 kairos_opt.ttl=5", ("m", {"add": "tag"}, 1000, 1)),
        (b"put m 1 1 host=a=b", ("m", {"host": "a"}, 1000, 1)),
        (b"put m 1 1 b=2 a=1", ("m", {"a": "1", "b": "2"}, 1000, 1)),
        (b" \tput \x01m  1\t1   host=a  ", ("m", {"host": "a"}, 1000, 1)),
        ("put m 1 1 ort=Zürich".encode(), ("m", {"ort": "ZÃ¼rich"}, 1000, 1)),
    ],
)
async def test_a_good_line_is_stored(line: bytes, point: tuple[Any, ...]) -> None:
    answer, stored = await store(line + b"\r\n")
    assert answer == b""
    assert stored == [point]
    assert type(stored[0][3]) is type(point[3])


async def test_version_is_answered() -> None:
    assert (await store(b"version\nversion now\n"))[0] == VERSION_LINE * 2


async def test_a_time_to_live_counts_from_the_write() -> None:
    gateway = RecordingGateway()
    lines = b"put m 1 1 a=b\nput m 2 1 a=b kairos_opt.ttl=60\nput m 3 1 a=b kairos_opt.ttl=0\nput m 4 1 a=b\n"
    await talk(session(Scope(gateway, Settings())), lines)
    (batch,) = gateway.batches
    assert batch.expires_ms is not None
    assert batch.expires_ms.tolist() == [0, NOW_MS + 60_000, 0, 0]


async def test_texts_and_numbers_of_many_packets_keep_their_places() -> None:
    gateway = RecordingGateway()
    gateway.gate.clear()
    conversation = session(Scope(gateway, Settings()))
    for i in range(4):
        await conversation.receive(b"puts m %d t%d a=b\nputm m %d %d a=b\nexitt\nputs m %d u%d a=b\n" % ((i,) * 6))
    gateway.gate.set()
    await conversation.end()
    assert [value for _, _, _, value in gateway.written()] == [v for i in range(4) for v in (f"t{i}", i, f"u{i}")]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  ", []),
        ("a b", ["a", "b"]),
        (" a\t\x01b ", ["a", "b"]),
        ('"a b" c', ["a b", "c"]),
        ('"a "b c" d', ['a "b c', "d"]),
        ('a"b c"', ['a"b', 'c"']),
        ('"a b', ["a b"]),
        ('"" a', ["", "a"]),
        ('""', [""]),
        ('"', []),
        ('" a', ["a"]),
        ('x "a b"', ["x", "a b"]),
    ],
)
def test_words_are_split_at_blanks_and_quotes_keep_them_together(line: str, words: list[str]) -> None:
    assert split_words(line) == words


async def test_lines_and_points_are_counted() -> None:
    scope = Scope(RecordingGateway(), Settings())
    await talk(session(scope), b"put m 1 1 a=b\nput m 2 x a=b\nversion\n")
    seen = counters(scope)
    assert (seen.connections, seen.lines, seen.points) == (1, 3, 1)


@pytest.mark.parametrize(
    "step", [pytest.param(step, id=name) for name, step in recorded_telnet_steps("kairosdb/telnet.json")]
)
async def test_recorded_answers_are_given(step: Any) -> None:
    answer = await talk(session(Scope(RecordingGateway(), Settings())), *pieces_of(step))
    check_answer(step, answer)
