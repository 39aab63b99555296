"""An HTTP port against clients that never finish, and against too many of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from amondawa.listeners.http import HttpPort, make_runner, most_connections

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def serving(port: HttpPort) -> AsyncIterator[int]:
    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    await port.bind("127.0.0.1", 0)
    await port.show(await make_runner(app, 30.0))
    assert port._server is not None
    try:
        yield port._server.sockets[0].getsockname()[1]
    finally:
        port.stop_accepting()
        await port.show(None)


async def test_a_connection_that_trickles_its_first_head_is_closed_and_others_are_kept():
    async with serving(HttpPort(head_s=0.3)) as number:
        slow_reader, slow = await asyncio.open_connection("127.0.0.1", number)
        kept_reader, kept = await asyncio.open_connection("127.0.0.1", number)
        kept.write(REQUEST)
        assert b"200 OK" in await kept_reader.readuntil(b"hello")
        slow.write(b"GET / HTTP/1.1\r\n")
        assert await asyncio.wait_for(slow_reader.read(), 10) == b""
        kept.write(REQUEST)
        assert b"200 OK" in await kept_reader.readuntil(b"hello")
        for writer in (slow, kept):
            writer.close()


async def test_past_the_most_a_connection_is_closed_at_once_until_another_ends():
    async with serving(HttpPort(most=2)) as number:
        opened = [await asyncio.open_connection("127.0.0.1", number) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        for _, one in opened:
            one.close()
        for _ in range(100):
            reader, writer = await asyncio.open_connection("127.0.0.1", number)
            writer.write(REQUEST)
            try:
                if b"200 OK" in await reader.readuntil(b"hello"):
                    break
            except (asyncio.IncompleteReadError, ConnectionError):
                await asyncio.sleep(0.02)
            finally:
                writer.close()
        else:
            raise AssertionError("the port did not recover")


def test_the_most_leaves_descriptors_for_everything_else():
    import resource

    assert most_connections() * 4 <= max(400, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
