"""Connections that speak lines: reading that slows down with the gateway, limits, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import ssl as ssl_module
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

SLICE_BYTES = 256 * 1024
"""bytes handed to a session at once, a millisecond's work; between two slices the other connections have their turn"""
HIGH_BYTES = 1024 * 1024
"""bytes read ahead of the session before reading stops"""
DELAY_S = 0.002
"""how long a small packet waits for others"""
EAGER_BYTES = 128 * 1024
"""what has gathered is no longer a small packet"""
ANSWER_HIGH_BYTES = 256 * 1024
"""answers that a peer may leave unread before its lines are left unread"""
DRAIN_S = 5.0

_log = logging.getLogger(__name__)


class LineSession(Protocol):
    """What a connection speaks to: `protocols.base.LineSession`, known here by its shape alone."""

    async def receive(self, data: bytes) -> bytes:
        """Take bytes in any cut, return the answer; given no bytes it returns answers that came late."""

    async def end(self) -> None:
        """Finish the work: the peer has closed."""

    @property
    def closing(self) -> bool:
        """Whether the connection must end once the answer was sent."""


SessionFactory = Callable[[], LineSession]


class LineLimits:
    """Limits that a server's connections share, and the connections.

    Args:
        idle_s: a connection is closed after so long without a byte.
        max_connections: further ones are closed at once.
        delay_s: how long a small packet waits for others to share its work.
    """

    def __init__(self, idle_s: float = 300.0, max_connections: int = 10_000, delay_s: float = DELAY_S) -> None:
        self.idle_s = idle_s
        self.max_connections = max_connections
        self.delay_s = delay_s
        self.open: set[LineConnection] = set()


class LineConnection(asyncio.Protocol):
    """One connection. Bytes gather while the session is at work; past a limit the socket is not read.

    Args:
        factory: makes the session, at the first byte.
        limits: of the server.
    """

    def __init__(self, factory: SessionFactory, limits: LineLimits) -> None:
        self._factory = factory
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._session: LineSession | None = None
        self._parts: deque[bytes] = deque()
        self._gathered = 0
        self._paused = False
        self._ended = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._pump: asyncio.Task[None] | None = None
        self._starter: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._heard = self._loop.time()
        self.done = self._loop.create_future()

    # the loop calls these -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections already."""
        self._transport = cast(asyncio.Transport, transport)
        if len(self._limits.open) >= self._limits.max_connections:
            _log.warning("connection refused: %d are open", len(self._limits.open))
            self._ended = True
            self._finish()
            return
        self._limits.open.add(self)
        self._transport.set_write_buffer_limits(high=ANSWER_HIGH_BYTES)
        self._idle = self._loop.call_later(self._limits.idle_s, self._check_idle)

    def data_received(self, data: bytes) -> None:
        """Gather bytes and see that they are worked on."""
        if self._ended:
            return
        self._heard = self._loop.time()
        if len(data) <= SLICE_BYTES:
            self._parts.append(bytes(data))
        else:
            self._parts.extend(data[at : at + SLICE_BYTES] for at in range(0, len(data), SLICE_BYTES))
        self._gathered += len(data)
        if self._gathered > HIGH_BYTES:
            self._pause()
        self._wake(0.0 if self._gathered >= EAGER_BYTES else self._limits.delay_s)

    def eof_received(self) -> bool:
        """Work on what is there, then close; the peer may still read answers."""
        self._ended = True
        self._wake(0.0)
        return self._transport is None or self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        """Work on what is there; nobody reads the answers."""
        self._ended = True
        self._writable.set()
        self._limits.open.discard(self)
        if self._idle is not None:
            self._idle.cancel()
        self._transport = None
        self._wake(0.0)

    def pause_writing(self) -> None:
        """Stop working: the peer does not read its answers."""
        self._writable.clear()
        self._pause()

    def resume_writing(self) -> None:
        """Go on."""
        self._writable.set()

    # inside -------------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Take no more bytes, work on what is there, close."""
        self._ended = True
        self._pause()
        self._wake(0.0)

    def abort(self) -> None:
        """End at once."""
        if self._pump is not None:
            self._pump.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _check_idle(self) -> None:
        """Close a connection that has been silent for too long, unless it is the gateway that keeps it waiting."""
        rest = self._heard + self._limits.idle_s - self._loop.time()
        if self._pump is not None and self._writable.is_set():
            rest = max(rest, self._limits.idle_s)
        if rest > 0:
            self._idle = self._loop.call_later(rest, self._check_idle)
        elif self._writable.is_set():
            self.stop()
        else:
            self.abort()

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._paused = True

    def _resume(self) -> None:
        open_ = self._transport is not None and not self._transport.is_closing()
        if self._paused and open_ and not self._ended and self._writable.is_set():
            assert self._transport is not None
            self._transport.resume_reading()
            self._paused = False

    def _wake(self, delay_s: float) -> None:
        """See that the pump runs, after a delay when it is worth waiting for more bytes."""
        if self._pump is not None or self.done.done():
            return
        if delay_s > 0:
            if self._starter is None:
                self._starter = self._loop.call_later(delay_s, self._start)
            return
        self._start()

    def _start(self) -> None:
        if self._starter is not None:
            self._starter.cancel()
            self._starter = None
        if self._pump is None and not self.done.done():
            self._pump = self._loop.create_task(self._run())

    async def _run(self) -> None:
        """Feed the session until nothing is gathered; finish when that was the end."""
        try:
            while self._parts and not self._over():
                await self._feed(self._take())
                if self._parts:
                    await asyncio.sleep(0)
            if self._ended or self._over():
                await self._conclude()
        except Exception:  # noqa: BLE001 - logged; a fault in one connection ends that one
            _log.exception("telnet session failed")
            self._ended = True
            self._finish()
        finally:
            self._pump = None
            if self._ended and self._transport is None:
                self._finish()
        self._resume()

    def _over(self) -> bool:
        return self._session is not None and self._session.closing

    def _take(self) -> bytes:
        """Return gathered bytes, a slice at most."""
        taken = [self._parts.popleft()]
        size = len(taken[0])
        while self._parts and size + len(self._parts[0]) <= SLICE_BYTES:
            taken.append(self._parts.popleft())
            size += len(taken[-1])
        self._gathered -= size
        return taken[0] if len(taken) == 1 else b"".join(taken)

    async def _feed(self, data: bytes) -> None:
        if self._session is None:
            self._session = self._factory()
        self._say(await self._session.receive(data))
        await self._writable.wait()
        if self._gathered <= HIGH_BYTES // 2:
            self._resume()

    def _say(self, answer: bytes) -> None:
        if answer and self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)

    async def _conclude(self) -> None:
        """Let the session finish its work, say what it still has to say, close."""
        self._ended = True
        self._parts.clear()
        self._gathered = 0
        if self._session is not None:
            await self._session.end()
            self._say(await self._session.receive(b""))
        self._finish()

    def _finish(self) -> None:
        """Close the socket, once what was written is sent; the connection is done."""
        if self._transport is not None:
            self._transport.close()
        if not self.done.done():
            self.done.set_result(None)


class LineServer:
    """A listening port and its connections.

    Args:
        server: listens.
        limits: holds the connections.
    """

    def __init__(self, server: asyncio.Server, limits: LineLimits) -> None:
        self._server = server
        self._limits = limits

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens: host and port."""
        return [socket.getsockname()[:2] for socket in self._server.sockets]

    @property
    def connections(self) -> int:
        """How many connections speak lines now."""
        return len(self._limits.open)

    def close(self) -> None:
        """Accept and read no more; `wait_closed` waits for what was read."""
        self._server.close()
        for connection in list(self._limits.open):
            connection.stop()

    async def wait_closed(self, drain_s: float = DRAIN_S) -> None:
        """Return when all that was read is stored and answered; cut off what takes longer than `drain_s`."""
        waiting = [connection.done for connection in self._limits.open]
        if waiting:
            await asyncio.wait(waiting, timeout=drain_s)
        for connection in list(self._limits.open):
            connection.abort()


async def serve_lines(
    host: str,
    port: int,
    session_factory: SessionFactory,
    *,
    idle_s: float = 300.0,
    max_connections: int = 10_000,
    delay_s: float = DELAY_S,
    ssl: ssl_module.SSLContext | None = None,
) -> LineServer:
    """Listen for connections that speak lines.

    Args:
        host: address to listen on.
        port: 0 = any free one.
        session_factory: called once a connection.
        idle_s: a connection is closed after so long without a byte.
        max_connections: further ones are closed at once.
        delay_s: how long a small packet waits for others to share its work.
        ssl: speak TLS with this.

    Raises:
        OSError: the port cannot be bound.
    """
    limits = LineLimits(idle_s, max_connections, delay_s)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: LineConnection(session_factory, limits), host, port, ssl=ssl, backlog=1024
    )
    return LineServer(server, limits)
