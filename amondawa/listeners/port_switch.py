"""One port for HTTP and lines: the first byte of a connection decides, as on OpenTSDB's port.

No line command begins with a capital letter, every HTTP method does. What begins with one and is no HTTP in its first line,
such as `PUT` with a point behind it, ends the connection without a word, as in the original (seen of OpenTSDB 2.4.0).
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Callable
from typing import cast

from amondawa.listeners.telnet import DELAY_S, LineConnection, LineLimits, LineServer, SessionFactory

LONGEST_START_BYTES = 8_192
"""A request line longer than this is left to the HTTP server."""
HttpFactory = Callable[[], asyncio.BaseProtocol]


class SwitchConnection(asyncio.Protocol):
    """A connection of unknown kind; once that shows it hands its transport, and the bytes so far, to the right protocol.

    Args:
        http: makes the protocol of an HTTP connection.
        factory: makes the session of a line connection.
        limits: of the server's line connections; connections without a byte obey them too.
        undecided: where it is kept until then.
    """

    def __init__(
        self, http: HttpFactory, factory: SessionFactory, limits: LineLimits, undecided: set[SwitchConnection]
    ) -> None:
        self._http = http
        self._factory = factory
        self._limits = limits
        self._undecided = undecided
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first byte, for a limited time."""
        self._transport = cast(asyncio.Transport, transport)
        self._undecided.add(self)
        self._idle = asyncio.get_running_loop().call_later(self._limits.idle_s, self._transport.close)
        if len(self._undecided) + len(self._limits.open) > self._limits.max_connections:
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Hand over: lines by their first byte, HTTP by its first line."""
        transport = self._transport
        if transport is None or not data:
            return
        begun = self._begun = self._begun + data
        is_http = b"A" <= begun[:1] <= b"Z"
        if is_http:
            line, ended, _ = begun.partition(b"\n")
            if not ended and len(begun) < LONGEST_START_BYTES:
                return
            if ended and b" HTTP/" not in line:
                self.close()
                return
        self._forget()
        protocol = self._http() if is_http else LineConnection(self._factory, self._limits)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if isinstance(protocol, asyncio.Protocol) and not transport.is_closing():
            protocol.data_received(begun)

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection may end without a byte: clients look whether somebody is there."""
        self._forget()

    def close(self) -> None:
        """Close a connection that has not said anything."""
        if self._transport is not None:
            self._transport.close()

    def _forget(self) -> None:
        self._undecided.discard(self)
        self._transport = None
        if self._idle is not None:
            self._idle.cancel()


class SwitchServer(LineServer):
    """A port for both; HTTP connections belong to the HTTP server once they are handed over.

    Args:
        server: listens.
        limits: holds the line connections.
        undecided: connections without a byte.
    """

    def __init__(self, server: asyncio.Server, limits: LineLimits, undecided: set[SwitchConnection]) -> None:
        super().__init__(server, limits)
        self._undecided = undecided

    def close(self) -> None:
        """Accept no more, end silent connections, read no more lines."""
        super().close()
        for connection in list(self._undecided):
            connection.close()


async def serve_switched(
    host: str,
    port: int,
    http_server: HttpFactory,
    session_factory: SessionFactory,
    *,
    idle_s: float = 300.0,
    max_connections: int = 10_000,
    delay_s: float = DELAY_S,
    ssl: ssl_module.SSLContext | None = None,
) -> SwitchServer:
    """Listen for connections of either kind.

    Args:
        host: address to listen on.
        port: 0 = any free one.
        http_server: makes the protocol of an HTTP connection, such as aiohttp's `AppRunner.server`.
        session_factory: called once a line connection.
        idle_s: a line connection, or one that has said nothing, is closed after so long without a byte.
        max_connections: further ones are closed at once; HTTP connections do not count.
        delay_s: how long a small packet of lines waits for others to share its work.
        ssl: speak TLS with this.

    Raises:
        OSError: the port cannot be bound.
    """
    limits = LineLimits(idle_s, max_connections, delay_s)
    undecided: set[SwitchConnection] = set()
    loop = asyncio.get_running_loop()

    def connect() -> SwitchConnection:
        return SwitchConnection(http_server, session_factory, limits, undecided)

    server = await loop.create_server(connect, host, port, ssl=ssl, backlog=1024)
    return SwitchServer(server, limits, undecided)
