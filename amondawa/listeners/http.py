"""One HTTP port: bound before there is anything to serve, then handed from one application to the next."""

from __future__ import annotations

import asyncio
import resource
import ssl as ssl_module
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from amondawa.listeners.quick_http import QuickLane

LINE_BYTES = 4 * 1024 * 1024
"""longest request line: GET queries carry whole JSON documents and lists of series"""
HEADER_BYTES = 256 * 1024
KEPT_SHUTDOWN_S = 3.0
"""how long requests in flight may take when the server stops"""
HEAD_S = 60.0
"""a connection whose first request has no whole head by then is closed"""
OTHER_DESCRIPTORS = 512
"""files, telnet and what else needs descriptors; what is left is shared among the ports"""
PORTS = 4
LEAST_CONNECTIONS = 100


class PortRunner(web.AppRunner):
    """A runner that knows which of its connections have come to a first request.

    Attributes:
        heard: those connections.
        lane: the short way in front of the application, if there is one.
    """

    def __init__(self, app: web.Application, lane: QuickLane | None = None, **options: Any) -> None:
        super().__init__(app, **options)
        self.heard: set[asyncio.BaseProtocol] = set()
        self.lane = lane

    @property
    def connections(self) -> list[web.RequestHandler]:
        """Those that are open."""
        return [] if self.server is None else self.server.connections


async def make_runner(app: web.Application, idle_s: float, lane: QuickLane | None = None) -> PortRunner:
    """Make an application ready to serve connections; its start-up hooks run here.

    Bodies are left packed and unread (`protocols.http` reads them within limits). A handler is not cancelled when its
    client goes away: many clients send points and close at once.

    Args:
        app: the application.
        idle_s: a kept connection without a request is closed after this.
        lane: the short way in front of it.
    """

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        runner.heard.add(request.protocol)
        return await handler(request)

    app.middlewares.insert(0, note)
    runner = PortRunner(
        app,
        lane,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=idle_s,
        max_line_size=LINE_BYTES,
        max_field_size=HEADER_BYTES,
        shutdown_timeout=KEPT_SHUTDOWN_S,
    )
    await runner.setup()
    return runner


def most_connections() -> int:
    """Return how many connections one port may have so that the process never runs out of descriptors.

    The soft limit is raised to the hard one first.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard and hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return max(LEAST_CONNECTIONS, (soft - OTHER_DESCRIPTORS) // PORTS)


class HttpPort:
    """A port whose new connections go to the application that is current; also a protocol factory for a shared port.

    Until `show` was called a connection is refused by closing it, and later one that is too many.

    Args:
        most: connections at once; None = what the descriptors allow.
        head_s: time for the head of a connection's first request.
    """

    def __init__(self, most: int | None = None, head_s: float = HEAD_S) -> None:
        self._most = most_connections() if most is None else most
        self._head_s = head_s
        self._silent: set[web.RequestHandler] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._runner: PortRunner | None = None
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
        runner = self._runner
        server = None if runner is None else runner.server
        if runner is None or server is None:
            return _Refusal()
        lane = runner.lane
        if len(server.connections) + (0 if lane is None else len(lane.open)) >= self._most:
            return _Refusal()
        return server() if lane is None else lane.connection(server)

    async def show(self, runner: PortRunner | None) -> None:
        """Serve new connections by another application; end the former one's connections."""
        former, self._runner = self._runner, runner
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if runner is not None:
            self._close_silent(runner)
        if former is not None:
            lane = former.lane
            await asyncio.gather(former.cleanup(), *(() if lane is None else (lane.shut_down(KEPT_SHUTDOWN_S),)))

    def _close_silent(self, runner: PortRunner) -> None:
        """Close the connections that had no whole head the last time either; look again later."""
        live = set(runner.connections)
        runner.heard &= live
        silent = live - runner.heard
        for one in silent & self._silent:
            one.force_close()
        self._silent = silent
        self._sweep = asyncio.get_running_loop().call_later(self._head_s, self._close_silent, runner)

    def stop_accepting(self) -> None:
        """Take no more connections; those that are open go on."""
        if self._server is not None:
            self._server.close()
            self._server = None


class _Refusal(asyncio.Protocol):
    """Closes a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
