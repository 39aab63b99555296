"""What an acknowledgement stands on: said by the gateway, shown by whatever answers the request at hand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum


class Ack(Enum):
    """Where what was acknowledged is durable."""

    STORED = "stored"
    """in the store"""
    SPOOLED = "spooled"
    """on this gateway's disk; on its way to the store"""


@dataclass(slots=True, eq=False)
class Acknowledgements:
    """What was acknowledged within one request.

    Attributes:
        weakest: SPOOLED as soon as anything was; None when nothing was written.
    """

    weakest: Ack | None = None


_CURRENT: ContextVar[Acknowledgements | None] = ContextVar("amondawa_acknowledgements", default=None)


@contextlib.contextmanager
def noting_acknowledgements() -> Iterator[Acknowledgements]:
    """Collect what is acknowledged inside, in tasks that are begun there too."""
    noted = Acknowledgements()
    token = _CURRENT.set(noted)
    try:
        yield noted
    finally:
        _CURRENT.reset(token)


def note_acknowledgement(ack: Ack) -> None:
    """Have the answer of the request at hand, if there is one, show an acknowledgement."""
    noted = _CURRENT.get()
    if noted is not None and noted.weakest is not Ack.SPOOLED:
        noted.weakest = ack
