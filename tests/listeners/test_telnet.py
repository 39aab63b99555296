from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from amondawa.listeners import telnet
from amondawa.listeners.telnet import LineServer, serve_lines
from tests.listeners.line_doubles import Dialler, Echo, Failing, until

Serve = Callable[..., Awaitable[LineServer]]


@pytest.fixture
def sessions() -> list[Echo]:
    return []


@pytest_asyncio.fixture
async def dial() -> AsyncIterator[Dialler]:
    dialler = Dialler()
    yield dialler
    await dialler.hang_up()


@pytest_asyncio.fixture
async def serve(sessions: list[Echo]) -> AsyncIterator[Serve]:
    servers: list[LineServer] = []

    async def start(kind: type[Echo] = Echo, **options: object) -> LineServer:
        server = await serve_lines("127.0.0.1", 0, lambda: kind(sessions), **options)  # type: ignore[arg-type]
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()
        await server.wait_closed(1.0)


async def test_lines_are_answered(serve: Serve, dial: Dialler) -> None:
    reader, writer = await dial((await serve()).addresses[0])
    writer.write(b"?one\n?two\n")
    assert await reader.readline() == b"one!\n"
    assert await reader.readline() == b"two!\n"


async def test_a_client_that_shuts_down_its_side_still_reads_its_answers(
    serve: Serve, sessions: list[Echo], dial: Dialler
) -> None:
    reader, writer = await dial((await serve()).addresses[0])
    writer.write(b"put\n?last\n")
    writer.write_eof()
    assert await reader.read() == b"last!\n"
    assert sessions[0].ended


async def test_late_answers_come_before_the_end(serve: Serve, sessions: list[Echo], dial: Dialler) -> None:
    reader, writer = await dial((await serve()).addresses[0])
    writer.write(b"put\n")
    await until(lambda: bool(sessions and sessions[0].received))
    sessions[0].late = b"refused\n"
    writer.write_eof()
    assert await reader.read() == b"refused\n"


async def test_all_lines_of_a_client_that_vanishes_are_taken(serve: Serve, sessions: list[Echo], dial: Dialler) -> None:
    _, writer = await dial((await serve()).addresses[0])
    writer.write(b"put\n" * 1000)
    await writer.drain()
    writer.close()
    await until(lambda: bool(sessions) and sessions[0].ended)
    assert sessions[0].data == b"put\n" * 1000
    await writer.wait_closed()


async def test_a_connection_without_a_byte_makes_no_session(serve: Serve, sessions: list[Echo], dial: Dialler) -> None:
    server = await serve()
    (await dial(server.addresses[0]))[1].close()
    await until(lambda: server.connections == 0)
    assert not sessions


async def test_the_session_ends_the_connection(serve: Serve, sessions: list[Echo], dial: Dialler) -> None:
    reader, writer = await dial((await serve()).addresses[0])
    writer.write(b"?hello\nexit\n")
    assert await reader.read() == b"hello!\n"
    assert sessions[0].ended


async def test_small_packets_share_one_call(serve: Serve, sessions: list[Echo], dial: Dialler) -> None:
    _, writer = await dial((await serve(delay_s=0.3)).addresses[0])
    for _ in range(5):
        writer.write(b"put\n")
        await asyncio.sleep(0.01)
    await until(lambda: bool(sessions and sessions[0].received))
    assert sessions[0].received == [b"put\n" * 5]
    writer.close()


async def test_reading_stops_while_the_session_is_behind(serve: Serve, sessions: list[Echo], dial: Dialler) -> None:
    server = await serve()
    _, writer = await dial(server.addresses[0])
    writer.write(b"put\n")
    await until(lambda: bool(sessions and sessions[0].received))
    sessions[0].gate.clear()
    sent = b"x" * 65_535 + b"\n"
    for _ in range(400):
        writer.write(sent)
    (connection,) = server._limits.open
    await until(lambda: connection._paused)
    assert connection._gathered <= telnet.HIGH_BYTES + telnet.SLICE_BYTES * 2
    sessions[0].gate.set()
    await until(lambda: len(sessions[0].data) == 4 + 400 * len(sent))
    assert max(map(len, sessions[0].received)) <= telnet.SLICE_BYTES
    writer.close()


async def test_a_peer_that_does_not_read_is_not_listened_to(
    serve: Serve, sessions: list[Echo], monkeypatch: pytest.MonkeyPatch, dial: Dialler
) -> None:
    monkeypatch.setattr(telnet, "SLICE_BYTES", 64 * 1024)
    server = await serve()
    reader, writer = await dial(server.addresses[0])
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    question = b"?" + b"x" * 8_000 + b"\n"
    for _ in range(3_000):
        writer.write(question)
    (connection,) = server._limits.open
    await until(lambda: not connection._writable.is_set())
    seen = len(sessions[0].data)
    await asyncio.sleep(0.1)
    assert len(sessions[0].data) - seen <= 64 * 1024
    reader._transport.resume_reading()  # type: ignore[attr-defined]
    writer.write_eof()
    await reader.read()
    assert sessions[0].data == question * 3_000


async def test_a_silent_connection_is_closed(serve: Serve, sessions: list[Echo], dial: Dialler) -> None:
    reader, writer = await dial((await serve(idle_s=0.05)).addresses[0])
    assert await reader.read() == b""
    assert not sessions


async def test_a_connection_that_talks_now_and_then_stays(serve: Serve, sessions: list[Echo], dial: Dialler) -> None:
    reader, writer = await dial((await serve(idle_s=0.5)).addresses[0])
    for _ in range(4):
        await asyncio.sleep(0.2)
        writer.write(b"?a\n")
        assert await reader.readline() == b"a!\n"


async def test_a_connection_that_waits_for_the_gateway_is_not_idle(
    serve: Serve, sessions: list[Echo], dial: Dialler
) -> None:
    server = await serve(idle_s=0.1)
    reader, writer = await dial(server.addresses[0])
    writer.write(b"?a\n")
    await until(lambda: bool(sessions))
    sessions[0].gate.clear()
    writer.write(b"?b\n")
    await asyncio.sleep(0.3)
    sessions[0].gate.set()
    assert await reader.readline() == b"a!\n"
    assert await reader.readline() == b"b!\n"


async def test_connections_past_the_limit_are_closed_at_once(serve: Serve, dial: Dialler) -> None:
    server = await serve(max_connections=1)
    first = await dial(server.addresses[0])
    first[1].write(b"?a\n")
    assert await first[0].readline() == b"a!\n"
    second = await dial(server.addresses[0])
    assert await second[0].read() == b""
    first[1].write(b"?b\n")
    assert await first[0].readline() == b"b!\n"
    first[1].close()
    await until(lambda: server.connections == 0)
    third = await dial(server.addresses[0])
    third[1].write(b"?c\n")
    assert await third[0].readline() == b"c!\n"


async def test_a_fault_in_a_session_ends_its_connection_only(
    serve: Serve, caplog: pytest.LogCaptureFixture, dial: Dialler
) -> None:
    server = await serve(Failing)
    reader, writer = await dial(server.addresses[0])
    writer.write(b"x\n")
    assert await reader.read() == b""
    assert "telnet session failed" in caplog.text
    await until(lambda: server.connections == 0)


async def test_closing_the_server_waits_for_what_was_read(serve: Serve, sessions: list[Echo], dial: Dialler) -> None:
    server = await serve()
    reader, writer = await dial(server.addresses[0])
    writer.write(b"put\n")
    await until(lambda: bool(sessions and sessions[0].received))
    sessions[0].gate.clear()
    writer.write(b"?last\n")
    await until(lambda: not sessions[0].gate.is_set())
    await asyncio.sleep(0.05)
    server.close()
    closing = asyncio.ensure_future(server.wait_closed())
    await asyncio.sleep(0.05)
    assert not closing.done()
    sessions[0].gate.set()
    await closing
    assert await reader.read() == b"last!\n"
    assert sessions[0].ended


async def test_closing_the_server_cuts_off_what_takes_too_long(
    serve: Serve, sessions: list[Echo], dial: Dialler
) -> None:
    server = await serve()
    reader, writer = await dial(server.addresses[0])
    writer.write(b"put\n")
    await until(lambda: bool(sessions))
    sessions[0].gate.clear()
    writer.write(b"put\n")
    await asyncio.sleep(0.05)
    server.close()
    await server.wait_closed(0.05)
    with pytest.raises(ConnectionError):
        assert await reader.read() == b""
        raise ConnectionError
    sessions[0].gate.set()
    writer.close()
