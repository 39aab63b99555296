"""The fast reader and the dialect together are the dialect alone, whatever the bytes; sessions lose and reorder nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.errors import Overloaded, StorageFull, StoreError, TooOld
from amondawa.kernels.line_columns import LineTable, ScanRules
from amondawa.kernels.lines import LOADER, Table
from amondawa.kernels.lines_twin import TwinTable
from amondawa.protocols import write_queue
from amondawa.protocols.base import Scope
from amondawa.protocols.kairosdb.telnet import KairosDialect
from amondawa.protocols.line_session import Session
from amondawa.protocols.lines import LineDialect, LineReader, common_key
from amondawa.protocols.opentsdb.telnet import OpenTsdbDialect
from amondawa.protocols.write_queue import Budget
from amondawa.settings import Settings
from tests.kernels.line_cases import any_lines, blocks
from tests.protocols.line_gateways import RecordingGateway, talk

MakeDialect = Callable[[Scope], LineDialect]
DIALECTS: list[MakeDialect] = [KairosDialect, OpenTsdbDialect]
both = pytest.mark.parametrize("dialect", DIALECTS, ids=["kairosdb", "opentsdb"])


class Ignorant(TwinTable):
    """Knows no series, so that the dialect judges every line."""

    def add(self, metric: bytes, tags: bytes, ref: int) -> None:
        return


class Fixed(Table):
    """Always the given reader."""

    def __init__(self, table: LineTable) -> None:
        self._only = table

    @property
    def current(self) -> LineTable:
        return self._only


def ignorant(rules: ScanRules) -> Table:
    return Fixed(Ignorant(rules))


def twin(rules: ScanRules) -> Table:
    return Fixed(TwinTable(rules))


def compiled(rules: ScanRules) -> Table:
    assert LOADER.load()
    assert LOADER.maker is not None
    return Fixed(LOADER.maker(rules))


def open_session(
    dialect: MakeDialect, gateway: RecordingGateway, table: Callable[[ScanRules], Table] = compiled, **settings: object
) -> Session:
    made = dialect(Scope(gateway, Settings(**settings)))  # type: ignore[arg-type]
    return Session(LineReader(made, table(made.rules)), gateway, Budget())


def converse(dialect: MakeDialect, table: Callable[[ScanRules], Table], pieces: list[bytes]) -> tuple[bytes, str]:
    async def run() -> tuple[bytes, str]:
        gateway = RecordingGateway()
        answer = await talk(open_session(dialect, gateway, table), *pieces)
        return answer, repr(gateway.written())

    return asyncio.run(run())


@both
@given(pieces=st.lists(blocks, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_fast_readers_and_dialect_are_the_dialect_alone(dialect: MakeDialect, pieces: list[bytes]) -> None:
    pieces = pieces + pieces  # the second time the series are known
    alone = converse(dialect, ignorant, pieces)
    assert converse(dialect, compiled, pieces) == alone
    assert converse(dialect, twin, pieces) == alone


@both
@given(lines=st.lists(any_lines, min_size=1, max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_cut_gives_the_same(dialect: MakeDialect, lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert converse(dialect, compiled, pieces) == converse(dialect, compiled, [whole])


@both
def test_a_line_may_be_cut_at_every_byte(dialect: MakeDialect) -> None:
    line = b"put m 1356998400 1.5 host=a\r\nput m 1356998401 2 host=a\n"
    answer, written = converse(dialect, compiled, [bytes([byte]) for byte in line])
    assert answer == b""
    assert written == "[('m', {'host': 'a'}, 1356998400000, 1.5), ('m', {'host': 'a'}, 1356998401000, 2)]"


@both
async def test_points_are_written_in_the_order_of_their_lines(dialect: MakeDialect) -> None:
    gateway = RecordingGateway()
    gateway.gate.clear()
    session = open_session(dialect, gateway)
    for i in range(20):
        await session.receive(b"put m 1356998400 %d host=a\nput m 1356998400 %d host=b%d\n" % (i, i, i))
    gateway.gate.set()
    await session.end()
    assert [value for _, _, _, value in gateway.written()] == [i for i in range(20) for _ in range(2)]
    assert len(gateway.batches) < 20


@both
async def test_receive_does_not_wait_until_points_are_durable(dialect: MakeDialect) -> None:
    gateway = RecordingGateway()
    gateway.gate.clear()
    session = open_session(dialect, gateway)
    await asyncio.wait_for(session.receive(b"put m 1356998400 1 host=a\n"), 5)
    gateway.gate.set()
    await session.end()
    assert len(gateway.written()) == 1


@both
async def test_too_much_under_way_stops_reading_until_there_is_room(
    dialect: MakeDialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_queue, "QUEUE_BYTES", 4_000)
    gateway = RecordingGateway()
    gateway.gate.clear()
    session = open_session(dialect, gateway)
    lines = b"put m 1356998400 1 host=a\n" * 200
    receiving = asyncio.ensure_future(session.receive(lines))
    await asyncio.sleep(0.02)
    assert not receiving.done()
    gateway.gate.set()
    await receiving
    await session.end()
    assert len(gateway.written()) == 200


@both
async def test_a_congested_gateway_stops_reading(dialect: MakeDialect) -> None:
    gateway = RecordingGateway()
    gateway.clear.clear()
    session = open_session(dialect, gateway)
    receiving = asyncio.ensure_future(session.receive(b"put m 1356998400 1 host=a\n"))
    await asyncio.sleep(0.02)
    assert not receiving.done()
    gateway.clear.set()
    await receiving
    await session.end()
    assert len(gateway.written()) == 1


@both
async def test_what_is_refused_for_now_is_written_later_and_in_order(
    dialect: MakeDialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_queue, "RETRY_S", 0.001)
    gateway = RecordingGateway()
    gateway.failures = [Overloaded("full"), StorageFull("no room"), Overloaded("full")]
    session = open_session(dialect, gateway)
    answer = await session.receive(b"put m 1356998400 1 host=a\n")
    answer += await session.receive(b"put m 1356998400 2 host=a\n")
    await session.end()
    assert [value for _, _, _, value in gateway.written()] == [1, 2]
    assert not gateway.failures
    assert answer == b""


async def test_opentsdb_is_told_of_points_older_than_the_history() -> None:
    gateway = RecordingGateway()
    gateway.failures = [TooOld("point is older than the history of 7 days", index=0)]
    answer = await talk(open_session(OpenTsdbDialect, gateway), b"put m 1 1 host=a\n")
    assert answer == b"put: illegal argument: point is older than the history of 7 days\n"


async def test_opentsdb_is_told_of_a_failing_store() -> None:
    gateway = RecordingGateway()
    gateway.failures = [StoreError("disk broke")]
    answer = await talk(open_session(OpenTsdbDialect, gateway), b"put m 1 1 host=a\n")
    assert answer == b"put: HBase error: disk broke\n"


async def test_kairosdb_says_nothing_of_refused_points() -> None:
    gateway = RecordingGateway()
    gateway.failures = [TooOld("too old", index=0)]
    assert await talk(open_session(KairosDialect, gateway), b"put m 1 1 host=a\n") == b""


@both
async def test_exit_ends_the_connection_and_what_follows_is_not_read(dialect: MakeDialect) -> None:
    gateway = RecordingGateway()
    session = open_session(dialect, gateway)
    answer = await session.receive(b"put m 1356998400 1 host=a\nexit\nput m 1356998400 2 host=a\nversion\n")
    assert answer == b""
    assert session.closing
    assert [value for _, _, _, value in gateway.written()] == [1]
    assert await session.receive(b"version\n") == b""


@both
async def test_an_unfinished_last_line_is_dropped(dialect: MakeDialect) -> None:
    gateway = RecordingGateway()
    await talk(open_session(dialect, gateway), b"put m 1356998400 1 host=a\nput m 1356998400 12 host=a")
    assert [value for _, _, _, value in gateway.written()] == [1]


async def test_kairosdb_drops_a_line_of_more_than_1024_bytes_and_goes_on() -> None:
    line = b"put m 1356998400 1 host="
    longest = line + b"x" * (1024 - len(line))
    for pieces in ([longest + b"\n", longest + b"x\n"], [longest, b"\n", longest, b"x" * 5000, b"y" * 5000, b"\n"]):
        gateway = RecordingGateway()
        session = open_session(KairosDialect, gateway)
        assert await talk(session, *pieces, b"put m 1356998400 2 host=a\n") == b""
        assert [value for _, _, _, value in gateway.written()] == [1, 2]
        assert not session.closing


@pytest.mark.parametrize("cut", [1, 700, 5000])
async def test_opentsdb_closes_on_a_line_past_the_limit(cut: int) -> None:
    gateway = RecordingGateway()
    session = open_session(OpenTsdbDialect, gateway, line_limit_bytes=1_500)
    data = b"put m 1356998400 1 host=a\n" + b"x" * 1_501 + b"\nput m 1356998400 2 host=a\n"
    answer = await talk(session, *(data[i : i + cut] for i in range(0, len(data), cut)))
    assert answer == b"error: line is longer than 1500 bytes\n"
    assert session.closing
    assert [value for _, _, _, value in gateway.written()] == [1]


@both
async def test_a_line_that_never_ends_takes_no_memory(dialect: MakeDialect) -> None:
    session = open_session(dialect, RecordingGateway(), line_limit_bytes=2_000)
    for _ in range(100):  # what comes after the connection was ended too
        await session.receive(b"x" * 1_000)
        assert len(session._rest) <= 3_000
    await session.end()


@both
async def test_a_line_that_never_ends_ends_the_connection_with_an_error(dialect: MakeDialect) -> None:
    session = open_session(dialect, RecordingGateway(), line_limit_bytes=50_000)
    answers = b""
    sent = 0
    while not session.closing:
        answers += await session.receive(b"x" * 1_000)
        sent += 1_000
        assert sent < 100_000
    assert sent > 50_000
    assert answers == b"error: line is longer than 50000 bytes\n"
    await session.end()


async def test_kairosdb_drops_a_long_line_that_ends_and_goes_on() -> None:
    gateway = RecordingGateway()
    session = open_session(KairosDialect, gateway, line_limit_bytes=50_000)
    answer = await talk(
        session, *([b"x" * 1_000] * 40), b"\n", *([b"y" * 1_000] * 40), b"\nput m 1356998400 1 host=a\n"
    )
    assert answer == b""
    assert not session.closing
    assert [value for _, _, _, value in gateway.written()] == [1]


@both
async def test_a_client_that_asks_for_too_many_answers_is_cut_off(
    dialect: MakeDialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amondawa.protocols.lines.ANSWER_BYTES", 1_000)
    session = open_session(dialect, RecordingGateway())
    answer = await session.receive(b"version\n" * 1_000)
    assert len(answer) == 1_000
    assert session.closing


@both
async def test_connections_share_one_budget(dialect: MakeDialect) -> None:
    gateway = RecordingGateway()
    made = dialect(Scope(gateway, Settings()))
    reader, budget = LineReader(made, compiled(made.rules)), Budget(limit_bytes=10)
    first, second = (Session(reader, gateway, budget) for _ in range(2))
    gateway.gate.clear()
    line = b"put m 1356998400 1 host=a\n"
    waiting = [asyncio.ensure_future(session.receive(line)) for session in (first, second)]
    await asyncio.sleep(0.02)
    assert budget.used_bytes > 10
    assert not any(task.done() for task in waiting)
    gateway.gate.set()
    await asyncio.gather(*waiting)
    await first.end()
    await second.end()
    assert budget.used_bytes == 0
    assert len(gateway.written()) == 2


@both
async def test_a_fault_in_a_write_reaches_the_listener(dialect: MakeDialect) -> None:
    class Faulty(RecordingGateway):
        async def write(self, batch: object) -> None:
            raise ZeroDivisionError

    session = open_session(dialect, Faulty())
    await session.receive(b"put m 1356998400 1 host=a\n")
    with pytest.raises(ZeroDivisionError):
        await session.end()


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (b"put m 1 2 a=b c=d", (b"m", b"a=b c=d")),
        (b"put m 1 2 a=b  c=d ", (b"m", b"a=b  c=d ")),
        (b"put m 1 2", None),
        (b"put  m 1 2 a=b", None),
        (b"put m 1\t2 a=b c=d", None),
        (b"put x\tm 1 2 a=b", None),
        (b"put m 1 2\t a=b", None),
        (b'put m 1 2 a="b c"', None),
        (b"putm m 1 2 a=b", None),
        (b"put m 1.5 2 a=b", None),
    ],
)
def test_only_the_common_spelling_names_a_series(line: bytes, key: tuple[bytes, bytes] | None) -> None:
    assert common_key(line) == key
