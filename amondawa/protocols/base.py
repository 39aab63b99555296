"""What a protocol package exports, and what every protocol's routes share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from typing import Protocol as TypingProtocol

if TYPE_CHECKING:
    from aiohttp import web

    from amondawa.gateway import GatewayDoor
    from amondawa.settings import Settings


@dataclass(frozen=True, slots=True)
class Scope:
    """What a protocol works on: the door, the settings, and the domain of requests that name none."""

    gateway: GatewayDoor
    settings: Settings


QuickAnswer = tuple[bytes, bytes]
"""status line and headers of an answer, without Server, Content-Length, Date and an end of line; its body"""
QuickBegin = Callable[[bytes, bool], Coroutine[Any, Any, QuickAnswer] | None]
"""Begins to answer a plain request in its caller's context, given its body and whether the client takes gzip.

None = it is not as plain as it looked, and nothing was done: the route answers it. An error that the work raises makes the
route do the request again.
"""


@dataclass(frozen=True, slots=True)
class QuickWay:
    """The short way of a path for requests whose headers say nothing special (`listeners.quick_http`).

    Attributes:
        begin: see QuickBegin.
        reads: whether it changes nothing, and may be dropped when its client goes away.
    """

    begin: QuickBegin
    reads: bool = False


class HttpProtocol(TypingProtocol):
    """A protocol package's `routes` module offers these two functions."""

    def register(self, app: web.Application, scope: Scope) -> None:
        """Add the protocol's routes, error translation and start-up/clean-up hooks to an application."""


class LineSession(TypingProtocol):
    """One telnet connection's dialect; made per connection by the protocol package's `telnet.session(scope)`."""

    async def receive(self, data: bytes) -> bytes:
        """Take the bytes read so far (any cut), return the bytes to answer (possibly none).

        Returns when the lines were handed to the gateway (so that a slow store slows the reader). `closing` says whether the
        connection must end after the answer was sent.
        """

    async def end(self) -> None:
        """The peer has closed: take what is left."""

    @property
    def closing(self) -> bool:
        """Whether the connection must be closed once the last answer was sent."""
