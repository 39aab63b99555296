"""The short way in front of aiohttp, alone: an echo behind it, and aiohttp's part played by a server that says so."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from typing import Any

import pytest
from aiohttp import web

from amondawa.listeners import quick_http
from amondawa.listeners.http import HttpPort, make_runner
from amondawa.listeners.quick_http import QuickLane, QuickRoute, plain_head

HEAD = b"HTTP/1.1 200 OK"
ECHO = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"


class Echo:
    """Answers bodies; waits for `gate`, refuses `unusual`, fails at `fail`."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = 0
        self.done: list[bytes] = []
        self.cancelled = 0

    def begin(self, body: bytes, _takes_gzip: bool) -> Coroutine[Any, Any, quick_http.Answer] | None:
        if body == b"fault":
            raise KeyError(body)
        return None if body == b"unusual" else self._answer(body)

    async def _answer(self, body: bytes) -> quick_http.Answer:
        self.begun += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if body == b"fail":
            raise ValueError(body)
        self.done.append(body)
        return HEAD, body


class Port:
    """A port with a short way, and what it counted."""

    def __init__(self, echo: Echo) -> None:
        self.echo = echo
        self.admitted = True
        self.version = 0
        self.counted: list[tuple[str, int]] = []
        self.number = 0

    def admit(self, remote: str) -> Context | None:
        return copy_context() if self.admitted and remote == "127.0.0.1" else None

    def lane(self, idle_s: float) -> QuickLane:
        routes = {
            b"POST /echo": QuickRoute("test", self.echo.begin),
            b"POST /read": QuickRoute("test", self.echo.begin, reads=True),
        }
        return QuickLane(routes, self.admit, lambda: self.version, self.count, b"\r\nServer: s", idle_s)

    def count(self, route: QuickRoute, status: int, _seconds: float) -> None:
        self.counted.append((route.protocol, status))


@asynccontextmanager
async def serving(idle_s: float = 30.0, head_s: float = 60.0) -> AsyncIterator[Port]:
    async def ordinary(request: web.Request) -> web.Response:
        return web.Response(text="ordinary " + (await request.read()).decode())

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", ordinary)
    port, http = Port(Echo()), HttpPort(head_s=head_s)
    await http.bind("127.0.0.1", 0)
    await http.show(await make_runner(app, 30.0, port.lane(idle_s)))
    assert http._server is not None
    port.number = http._server.sockets[0].getsockname()[1]
    try:
        yield port
    finally:
        port.echo.gate.set()
        http.stop_accepting()
        await http.show(None)


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """Return an answer's body."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return await reader.readexactly(length)


async def ask(port: Port, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
    try:
        writer.write(request)
        return await read_answer(reader)
    finally:
        writer.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - it is the other side that changes
            await asyncio.sleep(0.01)


ROUTES = {b"POST /echo": QuickRoute("test", lambda _body, _packs: None)}


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5"],
        [b"content-length: 5", b"Host: a:1"],
        [b"Content-Length:5", b"User-Agent: x/1 (y)", b"Accept: */*", b"Connection: Keep-Alive"],
        [b"Content-Length: 5", b"Content-Type: application/json; charset=UTF-8", b"Accept-Encoding: gzip, deflate"],
    ],
)
def test_heads_that_say_nothing_special_are_plain(lines: list[bytes]):
    head = plain_head(b"\r\n".join([b"POST /echo HTTP/1.1", *lines]), ROUTES)
    assert head is not None
    assert head.body_bytes == 5
    assert head.takes_gzip == any(b"gzip" in line for line in lines)


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        (b"POST /echo HTTP/1.0", [b"Content-Length: 5"]),
        (b"POST /echo?x HTTP/1.1", [b"Content-Length: 5"]),
        (b"GET /echo HTTP/1.1", [b"Content-Length: 5"]),
        (b"POST  /echo HTTP/1.1", [b"Content-Length: 5"]),
        (b"POST /echo HTTP/1.1", []),
        (b"POST /echo HTTP/1.1", [b"Content-Length: +5"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5 5"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length : 5"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"Content-Length: 5"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 9999999"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"Transfer-Encoding: chunked"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"Content-Encoding: gzip"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"Content-Type: application/gzip"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"Connection: close"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"Expect: 100-continue"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"Authorization: Basic eDp5"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"Origin: http://a"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"X-Amondawa-Domain: other"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"Accept: text/html"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"Accept-Encoding: gzip;q=0"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b" folded: x"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"Host: a\nX-Amondawa-Domain: b"]),
        (b"POST /echo HTTP/1.1", [b"Content-Length: 5", b"no colon"]),
    ],
)
def test_heads_with_anything_else_are_not(line: bytes, headers: list[bytes]):
    assert plain_head(b"\r\n".join([line, *headers]), ROUTES) is None


async def test_a_plain_request_is_answered_with_the_servers_name_its_length_and_the_date():
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(ECHO % (5, b"hello"))
        head, _, _ = (await reader.readuntil(b"hello")).partition(b"\r\n\r\n")
        assert head.split(b"\r\n")[:3] == [HEAD, b"Server: s", b"Content-Length: 5"]
        assert head.split(b"\r\n")[3].startswith(b"Date: ")
        assert port.counted == [("test", 200)]
        writer.close()


async def test_a_request_may_come_in_any_pieces_that_leave_its_head_whole():
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        body = b"x" * 200_000
        request = ECHO % (len(body), body)
        end = request.index(b"\r\n\r\n") + 4
        for piece in (request[:end], request[end : end + 1], request[end + 1 : 70_000], request[70_000:]):
            writer.write(piece)
            await asyncio.sleep(0.02)
        assert await read_answer(reader) == body
        writer.close()


async def test_requests_sent_ahead_are_answered_in_order():
    async with serving() as port:
        port.echo.gate.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(b"".join(ECHO % (2, b"%02d" % n) for n in range(20)) + ECHO % (7, b"unusual"))
        await until(lambda: port.echo.begun == 1)
        port.echo.gate.set()
        assert [await read_answer(reader) for _ in range(20)] == [b"%02d" % n for n in range(20)]
        assert await read_answer(reader) == b"ordinary unusual"
        writer.close()


async def test_a_client_that_sends_far_ahead_is_not_read_until_it_is_answered():
    async with serving() as port:
        port.echo.gate.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        body = b"y" * 100_000
        for _ in range(60):
            writer.write(ECHO % (len(body), body))
        await until(lambda: port.echo.begun == 1)
        await asyncio.sleep(0.1)
        assert port.echo.begun == 1
        port.echo.gate.set()
        for _ in range(60):
            assert await read_answer(reader) == body
        writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        ECHO % (7, b"unusual"),
        ECHO % (4, b"fail"),
        ECHO % (5, b"fault"),
        b"POST /echo HTTP/1.1\r\nHost: x\r\nX-Other: 1\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
async def test_anything_else_is_the_ordinary_ways_and_so_is_what_follows(request_bytes: bytes):
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(ECHO % (2, b"ok"))
        assert await read_answer(reader) == b"ok"
        writer.write(request_bytes)
        assert await read_answer(reader) == b"ordinary " + request_bytes.partition(b"\r\n\r\n")[2]
        writer.write(ECHO % (2, b"ok"))
        assert await read_answer(reader) == b"ordinary ok"
        writer.close()


async def test_the_ordinary_way_is_asked_when_clients_may_be_admitted_differently():
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(ECHO % (2, b"ok"))
        assert await read_answer(reader) == b"ok"
        port.admitted, port.version = False, 1
        writer.write(ECHO % (2, b"ok"))
        assert await read_answer(reader) == b"ordinary ok"
        writer.close()


@pytest.mark.parametrize(("path", "reads"), [(b"/echo", False), (b"/read", True)])
async def test_a_client_that_goes_away_ends_only_what_reads(path: bytes, reads: bool):
    async with serving() as port:
        port.echo.gate.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write((ECHO % (2, b"ok")).replace(b"/echo", path))
        await until(lambda: port.echo.begun == 1)
        writer.close()
        if reads:
            await until(lambda: port.echo.cancelled == 1)
            assert port.counted == [("test", 499)]
        else:
            await asyncio.sleep(0.05)
            port.echo.gate.set()
            await until(lambda: port.echo.done == [b"ok"])


async def test_a_request_that_was_sent_whole_is_carried_out_although_its_client_closed_at_once():
    async with serving() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(ECHO % (2, b"ok"))
        writer.close()
        await until(lambda: port.echo.done == [b"ok"])


async def test_a_kept_connection_is_closed_when_it_is_idle_for_too_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quick_http, "SWEEP_S", 0.05)
    async with serving(idle_s=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(ECHO % (2, b"ok"))
        assert await read_answer(reader) == b"ok"
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"POST /echo HT", ECHO % (9, b"half")])
async def test_a_connection_that_comes_to_no_request_is_left_to_the_ordinary_ways_limits(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(quick_http, "SWEEP_S", 0.05)
    async with serving(head_s=0.3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(begun)
        if begun.endswith(b"half"):
            await asyncio.sleep(0.4)
            writer.write(b"more!")
            assert await read_answer(reader) == b"ordinary halfmore!"
        else:
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_the_end_waits_for_what_is_being_answered_and_closes_what_is_idle():
    async with serving() as port:
        port.echo.gate.clear()
        idle_reader, idle = await asyncio.open_connection("127.0.0.1", port.number)
        idle.write(ECHO % (2, b"no"))
        await until(lambda: port.echo.begun == 1)
        port.echo.gate.set()
        assert await read_answer(idle_reader) == b"no"
        port.echo.gate.clear()
        busy_reader, busy = await asyncio.open_connection("127.0.0.1", port.number)
        busy.write(ECHO % (2, b"ok"))
        await until(lambda: port.echo.begun == 2)
        asyncio.get_running_loop().call_later(0.1, port.echo.gate.set)
    assert await idle_reader.read() == b""
    assert await read_answer(busy_reader) == b"ok"
    assert await busy_reader.read() == b""
    idle.close()
    busy.close()


async def test_heads_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quick_http, "KNOWN_HEADS", 4)
    lane = Port(Echo()).lane(1.0)
    heads = [b"POST /echo HTTP/1.1\r\nContent-Length: %d" % n for n in range(10)]
    assert [one.body_bytes for head in heads if (one := lane.head_of(head))] == list(range(10))
    assert len(lane._heads) <= 4
    long = heads[0] + b"\r\nUser-Agent: " + b"x" * quick_http.HEAD_BYTES
    assert lane.head_of(long) is None
