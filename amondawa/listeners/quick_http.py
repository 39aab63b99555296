"""A short way for plain HTTP requests, in front of aiohttp: half of what a small write costs is the general way.

A connection begins here and stays as long as it brings whole requests in a plain spelling (`plain_head`) to a few paths.
The first one that is anything else moves the connection, with all that was not answered, to aiohttp for good. So nothing is
decided here but the ordinary case: whatever is refused, fails or is unusual is answered by the ordinary way, which does it
again (writing a point twice is writing it once).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, cast

HEAD_BYTES = 2_048
"""longer heads are not plain"""
BODY_BYTES = 1024 * 1024
"""nor are longer bodies: reading them is a worker thread's"""
AHEAD_BYTES = 256 * 1024
"""what a client may send ahead of its answers before the socket is not read"""
KNOWN_HEADS = 1_024
SWEEP_S = 1.0
"""how often it is looked at connections that say nothing, or half a request"""

_TEXT = re.compile(rb"[\x20-\x7e]*")
_LENGTH = re.compile(rb"[0-9]{1,7}")
_ACCEPTED = frozenset((b"*/*", b"application/json", b"application/json, text/plain, */*"))
_KEPT = frozenset((b"keep-alive",))
_JSON = frozenset((b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"))
_ONE_OF: Mapping[bytes, frozenset[bytes]] = {b"accept": _ACCEPTED, b"connection": _KEPT, b"content-type": _JSON}
"""headers whose value, in small letters, must be one of these"""
_ANY_TEXT = frozenset((b"host", b"user-agent", b"accept-encoding", b"content-length"))

Answer = tuple[bytes, bytes]
"""status line and headers without those of length and date and without an end of line; body"""
Begin = Callable[[bytes, bool], Coroutine[Any, Any, Answer] | None]
"""Begins to answer a body; given whether the client takes gzip. None = a request for the ordinary way, nothing was done."""
Count = Callable[["QuickRoute", int, float], None]
"""takes a route, the status of its answer and how long it took, in s"""
Admit = Callable[[str], Context | None]
"""returns in which context requests from an address are carried out; None = the ordinary way must ask more"""


@dataclass(frozen=True, slots=True)
class QuickRoute:
    """What answers one path.

    Attributes:
        protocol: whose it is, for the counters.
        begin: see Begin; called in the client's context.
        reads: it changes nothing: it is ended when its client goes away. A write that was sent is carried out.
    """

    protocol: str
    begin: Begin
    reads: bool = False


@dataclass(frozen=True, slots=True)
class PlainHead:
    """A head of a request that is plain."""

    route: QuickRoute
    body_bytes: int
    takes_gzip: bool


def plain_head(head: bytes, routes: Mapping[bytes, QuickRoute]) -> PlainHead | None:
    """Read a head, without the empty line; None when anything in it is not known to make no difference.

    Args:
        head: the bytes.
        routes: by method and path, such as `POST /api/put`.
    """
    line, *rest = head.split(b"\r\n")
    route = routes.get(line.removesuffix(b" HTTP/1.1")) if line.endswith(b" HTTP/1.1") else None
    headers: dict[bytes, bytes] = {}
    for one in rest:
        name, colon, value = one.partition(b":")
        name, value = name.lower(), value.strip(b" ")
        if not colon or name in headers or not _is_plain(name, value):
            return None
        headers[name] = value
    length = headers.get(b"content-length", b"")
    if route is None or not _LENGTH.fullmatch(length) or int(length) > BODY_BYTES:
        return None
    packing = headers.get(b"accept-encoding", b"").lower()
    return None if b"q=" in packing else PlainHead(route, int(length), b"gzip" in packing)


def _is_plain(name: bytes, value: bytes) -> bool:
    wanted = _ONE_OF.get(name)
    return name in _ANY_TEXT and _TEXT.fullmatch(value) is not None if wanted is None else value.lower() in wanted


class QuickLane:
    """The short way of one port.

    Args:
        routes: by method and path, such as `POST /api/put`.
        admit: see Admit; asked again when `version` has changed.
        version: changes when clients may be admitted differently.
        count: see Count.
        server: a line of the head of every answer, with the end of the line before it.
        idle_s: a kept connection without a request is closed after this.
    """

    def __init__(
        self,
        routes: Mapping[bytes, QuickRoute],
        admit: Admit,
        version: Callable[[], int],
        count: Count,
        server: bytes,
        idle_s: float,
    ) -> None:
        self._routes = routes
        self.admit = admit
        self.version = version
        self.count = count
        self._server = server
        self.idle_s = idle_s
        self.open: set[QuickConnection] = set()
        self.closing = False
        self._heads: dict[bytes, PlainHead] = {}
        self._bare: dict[bytes, bytes] = {}
        self._second = 0
        self._date = b""
        self._sweeper: asyncio.TimerHandle | None = None

    def connection(self, ordinary: Callable[[], asyncio.BaseProtocol]) -> QuickConnection:
        """Return the protocol of a new connection; `ordinary` makes the one that may take it over."""
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        return QuickConnection(self, ordinary)

    def head_of(self, head: bytes) -> PlainHead | None:
        """Return what a head says; clients send the same ones again and again."""
        known = self._heads.get(head)
        if known is None and len(head) <= HEAD_BYTES:
            known = plain_head(head, self._routes)
            if known is not None:
                if len(self._heads) >= KNOWN_HEADS:
                    self._heads.clear()
                self._heads[head] = known
        return known

    def rendered(self, answer: Answer) -> bytes:
        """Return the bytes of an answer."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._date = b"\r\nDate: " + formatdate(second, usegmt=True).encode() + b"\r\n\r\n"
            self._bare.clear()
        head, body = answer
        if body:
            return b"%b%b\r\nContent-Length: %d%b%b" % (head, self._server, len(body), self._date, body)
        whole = self._bare.get(head)
        if whole is None:
            whole = self._bare[head] = head + self._server + self._date
        return whole

    def _sweep(self) -> None:
        """Close connections that are idle for too long; let aiohttp judge those that do not come to a request."""
        now = time.monotonic()
        for connection in list(self.open):
            connection.look(now)
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep) if self.open else None

    async def shut_down(self, within_s: float) -> None:
        """Close idle connections at once, and the others when their requests are answered or the time is over."""
        self.closing = True
        for connection in list(self.open):
            connection.close_when_idle()
        tasks = [connection.task for connection in self.open if connection.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)
        for connection in list(self.open):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None


class QuickConnection(asyncio.Protocol):
    """One connection, with one request at a time.

    Args:
        lane: what it belongs to.
        ordinary: makes the protocol that takes the connection over.
    """

    def __init__(self, lane: QuickLane, ordinary: Callable[[], asyncio.BaseProtocol]) -> None:
        self._lane = lane
        self._ordinary = ordinary
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._remote = ""
        self._context: Context | None = None
        self._version = -1
        self._own_context = copy_context()
        self._data = b""
        self._pieces: list[bytes] = []
        self._missing = 0
        self._writable = True
        self._reading = True
        self._answered = False
        self._quiet_since_s = time.monotonic()
        self._route: QuickRoute | None = None
        self.task: asyncio.Task[None] | None = None

    # the loop calls these ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._remote = str(peer[0]) if isinstance(peer, (tuple, list)) and peer else ""
        self._lane.open.add(self)
        if self._lane.closing:
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Answer what is whole and plain; hand everything else over."""
        if self._missing:
            self._pieces.append(bytes(data))
            self._missing -= len(data)
            if self._missing > 0:
                self._quiet_since_s = time.monotonic()
                return
            self._join()
        else:
            self._data = self._data + data if self._data else bytes(data)
        if self.task is None:
            self._next()
        elif len(self._data) > AHEAD_BYTES and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """The client does not read: answer nothing more."""
        self._writable = False

    def resume_writing(self) -> None:
        """Go on."""
        self._writable = True
        if self.task is None and self._data:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what only reads."""
        self._transport = None
        self._lane.open.discard(self)
        if self.task is not None and self._route is not None and self._route.reads:
            self.task.cancel()

    # requests ---------------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Begin with the next request, if it is there."""
        if not self._writable:
            return
        data = self._data
        end = data.find(b"\r\n\r\n")
        head = self._lane.head_of(data[:end]) if end > 0 else None
        context = self._context if self._version == self._lane.version() else self._admit()
        if head is None or context is None:
            self._hand_over(data)
            return
        whole = end + 4 + head.body_bytes
        if len(data) < whole:
            self._missing = whole - len(data)
            self._quiet_since_s = time.monotonic()
            return
        began = time.perf_counter()
        context = context.copy()
        try:
            answer = context.run(head.route.begin, data[end + 4 : whole], head.takes_gzip)
        except Exception:  # noqa: BLE001 - the ordinary way meets it again, and words it
            answer = None
        if answer is None:
            self._hand_over(data)
            return
        self._data = data[whole:]
        self._route = head.route
        work = self._answer(answer, head.route, data[:whole], began)
        self.task = self._loop.create_task(work, context=context)

    def _join(self) -> None:
        """Put together what came of a request piece by piece."""
        self._data = b"".join((self._data, *self._pieces))
        self._pieces.clear()
        self._missing = 0

    def _admit(self) -> Context | None:
        self._version = self._lane.version()
        self._context = self._lane.admit(self._remote)
        return self._context

    async def _answer(self, work: Coroutine[Any, Any, Answer], route: QuickRoute, request: bytes, began: float) -> None:
        try:
            answer = await work
        except asyncio.CancelledError:
            self.task = None
            self._lane.count(route, 499, time.perf_counter() - began)
            raise
        except Exception:  # noqa: BLE001 - the ordinary way meets it again, and words it
            self._loop.call_soon(self._give_up, request, context=self._own_context)
            return
        self.task = None
        self._lane.count(route, int(answer[0][9:12]), time.perf_counter() - began)
        transport = self._transport
        if transport is None:
            return
        transport.write(self._lane.rendered(answer))
        self._answered = True
        self._quiet_since_s = time.monotonic()
        if self._lane.closing:
            transport.close()
        elif self._data:
            self._loop.call_soon(self._go_on, context=self._own_context)

    def _give_up(self, request: bytes) -> None:
        """Let the ordinary way try what failed."""
        self.task = None
        self._hand_over(request + self._data)

    def _go_on(self) -> None:
        """Begin with what came before the answer was sent."""
        if self.task is not None or self._transport is None:
            return
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        self._next()

    def _hand_over(self, data: bytes) -> None:
        """Let aiohttp have the connection, and the bytes, from now on."""
        transport = self._transport
        self._lane.open.discard(self)
        self._transport, self._data = None, b""
        if transport is None or transport.is_closing():
            return
        if not self._reading:
            transport.resume_reading()
        protocol = self._ordinary()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data and isinstance(protocol, asyncio.Protocol) and not transport.is_closing():
            protocol.data_received(data)

    # now and then -----------------------------------------------------------------------------------------------------

    def look(self, now_s: float) -> None:
        """See whether it has been quiet for too long."""
        quiet_s = now_s - self._quiet_since_s
        if self.task is not None or quiet_s < SWEEP_S or self._transport is None or not self._writable:
            return
        if self._data or not self._answered:
            self._join()
            self._hand_over(self._data)
        elif quiet_s >= self._lane.idle_s:
            self._transport.close()

    def close_when_idle(self) -> None:
        """Close unless a request is being answered."""
        if self.task is None and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close whatever is being done."""
        if self.task is not None and self._route is not None and self._route.reads:
            self.task.cancel()
        if self._transport is not None:
            with contextlib.suppress(OSError):
                self._transport.close()
