"""One HTTP port: bound before there is anything to serve, then handed from one application to the next."""

from __future__ import annotations

import asyncio
import ssl as ssl_module

from aiohttp import web

LINE_BYTES = 4 * 1024 * 1024
"""longest request line: GET queries carry whole JSON documents and lists of series"""
HEADER_BYTES = 256 * 1024
KEPT_SHUTDOWN_S = 3.0
"""how long requests in flight may take when the server stops"""


async def make_runner(app: web.Application, idle_s: float) -> web.AppRunner:
    """Make an application ready to serve connections; its start-up hooks run here.

    Bodies are left packed and unread (`protocols.http` reads them within limits). A handler is not cancelled when its
    client goes away: many clients send points and close at once.

    Args:
        app: the application.
        idle_s: a kept connection without a request is closed after this.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=idle_s,
        max_line_size=LINE_BYTES,
        max_field_size=HEADER_BYTES,
        shutdown_timeout=KEPT_SHUTDOWN_S,
    )
    await runner.setup()
    return runner


class HttpPort:
    """A port whose new connections go to the application that is current; also a protocol factory for a shared port.

    Until `show` was called a connection is refused by closing it.
    """

    def __init__(self) -> None:
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    async def bind(self, address: str, port: int, ssl: ssl_module.SSLContext | None = None) -> None:
        """Listen on an address; speak TLS when a context is given.

        Raises:
            OSError: the port is in use, or the address is not this machine's.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self.connect, address, port, ssl=ssl, backlog=1024)

    def connect(self) -> asyncio.BaseProtocol:
        """Return the protocol that serves one new connection."""
        server = None if self._runner is None else self._runner.server
        if server is None:
            return _Refusal()
        return server()

    async def show(self, runner: web.AppRunner | None) -> None:
        """Serve new connections by another application; end the former one's connections."""
        former, self._runner = self._runner, runner
        if former is not None:
            await former.cleanup()

    def stop_accepting(self) -> None:
        """Take no more connections; those that are open go on."""
        if self._server is not None:
            self._server.close()
            self._server = None


class _Refusal(asyncio.Protocol):
    """Closes a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
