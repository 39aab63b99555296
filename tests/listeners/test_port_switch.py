from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from amondawa.listeners.port_switch import SwitchServer, serve_switched
from tests.listeners.line_doubles import Dialler, Echo, until


@pytest.fixture
def sessions() -> list[Echo]:
    return []


@pytest_asyncio.fixture
async def dial() -> AsyncIterator[Dialler]:
    dialler = Dialler()
    yield dialler
    await dialler.hang_up()


async def measure(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.method} {len(await request.read())}")


@pytest_asyncio.fixture
async def runner() -> AsyncIterator[web.AppRunner]:
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/size", measure)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    yield runner
    await runner.cleanup()


@pytest_asyncio.fixture
async def server(runner: web.AppRunner, sessions: list[Echo]) -> AsyncIterator[SwitchServer]:
    assert runner.server is not None
    server = await serve_switched("127.0.0.1", 0, runner.server, lambda: Echo(sessions), idle_s=0.3)
    yield server
    server.close()
    await server.wait_closed(1.0)


def url_of(server: SwitchServer) -> str:
    host, port = server.addresses[0]
    return f"http://{host}:{port}/size"


async def test_a_capital_letter_is_http_and_connections_are_kept(server: SwitchServer, sessions: list[Echo]) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as client:
        for method in ("GET", "POST", "DELETE", "OPTIONS", "PUT"):
            async with client.request(method, url_of(server)) as response:
                assert await response.text() == f"{method} 0"
    assert not sessions


async def test_bodies_over_many_packets_arrive_whole(server: SwitchServer) -> None:
    body = io.BytesIO(b"x" * 5_000_000)
    async with aiohttp.ClientSession() as client, client.post(url_of(server), data=body) as response:
        assert await response.text() == "POST 5000000"


async def test_chunked_bodies_arrive_whole(server: SwitchServer) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"y" * 1000

    async with aiohttp.ClientSession() as client, client.post(url_of(server), data=parts()) as response:
        assert await response.text() == "POST 50000"


async def test_an_http_request_may_be_cut_at_every_byte(server: SwitchServer, dial: Dialler) -> None:
    reader, writer = await dial(server.addresses[0])
    for byte in b"GET /size HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    assert (await reader.read()).endswith(b"GET 0")


@pytest.mark.parametrize("line", [b"PUT m 1 1 a=b\n", b"Version\r\n", b"Q\n", b"GET /size\r\n"])
async def test_a_line_in_capitals_that_is_no_http_is_not_answered(
    server: SwitchServer, sessions: list[Echo], dial: Dialler, line: bytes
) -> None:
    reader, writer = await dial(server.addresses[0])
    writer.write(line)
    assert await reader.read() == b""
    assert not sessions


async def test_a_request_line_that_does_not_end_is_the_http_servers(server: SwitchServer, dial: Dialler) -> None:
    reader, writer = await dial(server.addresses[0])
    writer.write(b"GET /" + b"x" * 20_000)
    assert (await reader.read()).startswith(b"HTTP/1.0 400 ")


@pytest.mark.parametrize("first", [b"put m", b"version", b"\n", b" ", b"\r\n", b"\x00", b"[", b"@", b"\xff", b"zZ"])
async def test_any_other_first_byte_is_lines(
    server: SwitchServer, sessions: list[Echo], first: bytes, dial: Dialler
) -> None:
    reader, writer = await dial(server.addresses[0])
    writer.write(first + b"\n?a\n")
    assert await reader.readline() == b"a!\n"
    assert sessions[0].data == first + b"\n?a\n"


async def test_lines_end_with_a_half_close(server: SwitchServer, sessions: list[Echo], dial: Dialler) -> None:
    reader, writer = await dial(server.addresses[0])
    writer.write(b"?a\n")
    writer.write_eof()
    assert await reader.read() == b"a!\n"
    assert sessions[0].ended


async def test_a_connection_without_a_byte_is_fine(server: SwitchServer, sessions: list[Echo], dial: Dialler) -> None:
    for _ in range(3):
        (await dial(server.addresses[0]))[1].close()
    await until(lambda: not server._undecided)
    assert not sessions


async def test_a_connection_that_says_nothing_is_closed(server: SwitchServer, dial: Dialler) -> None:
    reader, writer = await dial(server.addresses[0])
    assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_silent_connections_end_with_the_server(
    runner: web.AppRunner, sessions: list[Echo], dial: Dialler
) -> None:
    assert runner.server is not None
    server = await serve_switched("127.0.0.1", 0, runner.server, lambda: Echo(sessions))
    reader, writer = await dial(server.addresses[0])
    await until(lambda: len(server._undecided) == 1)
    server.close()
    await server.wait_closed()
    assert await reader.read() == b""


async def test_connections_past_the_limit_are_closed(
    runner: web.AppRunner, sessions: list[Echo], dial: Dialler
) -> None:
    assert runner.server is not None
    server = await serve_switched("127.0.0.1", 0, runner.server, lambda: Echo(sessions), max_connections=1)
    first = await dial(server.addresses[0])
    await until(lambda: len(server._undecided) == 1)
    second = await dial(server.addresses[0])
    assert await second[0].read() == b""
    first[1].write(b"?a\n")
    assert await first[0].readline() == b"a!\n"
    server.close()
    await server.wait_closed()


def test_http_and_lines_work_on_uvloop(sessions: list[Echo]) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def converse() -> None:
        app = web.Application()
        app.router.add_route("*", "/size", measure)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        assert runner.server is not None
        server = await serve_switched("127.0.0.1", 0, runner.server, lambda: Echo(sessions))
        dial = Dialler()
        reader, writer = await dial(server.addresses[0])
        writer.write(b"x" * 3_000_000 + b"\n")
        await writer.drain()
        writer.write(b"?a\n")
        writer.write_eof()
        assert await reader.read() == b"a!\n"
        async with aiohttp.ClientSession() as client, client.post(url_of(server), data=b"x" * 100_000) as response:
            assert await response.text() == "POST 100000"
        (await dial(server.addresses[0]))[1].close()
        server.close()
        await server.wait_closed()
        await dial.hang_up()
        await runner.cleanup()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(converse())
    assert len(sessions[0].data) == 3_000_004
    assert sessions[0].ended
