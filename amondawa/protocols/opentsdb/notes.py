"""Annotations as they are kept: one document each, by series (TSUID, empty for global ones) and start time.

A start in seconds and the same instant in milliseconds are two annotations, as in the original.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import orjson

from amondawa.errors import Unavailable
from amondawa.protocols.opentsdb.values import SECONDS_BELOW, time_in_ms

if TYPE_CHECKING:
    from amondawa.gateway import GatewayDoor
    from amondawa.protocols.base import Scope

COLLECTION = "opentsdb.annotations"
FRESH_SECONDS = 1.0
"""how long what was read may be used; another gateway of the same store may have written since"""


@dataclass(frozen=True, slots=True)
class Note:
    """One annotation.

    Attributes:
        tsuid: the series it belongs to; empty = global.
        start_time, end_time: as given by the client, seconds or (more than 32 bits) milliseconds; 0 = no end.
        description, notes: texts; None = a client wrote null, and they are not shown.
        custom: further pairs; None = none.
    """

    tsuid: str = ""
    start_time: int = 0
    end_time: int = 0
    description: str | None = ""
    notes: str | None = ""
    custom: dict[str, Any] | None = None

    @property
    def start_ms(self) -> int:
        """The start in milliseconds."""
        return time_in_ms(self.start_time)

    def wire(self) -> dict[str, Any]:
        """Return the annotation as clients see it."""
        shown: dict[str, Any] = {"tsuid": self.tsuid}
        optional = {"description": self.description, "notes": self.notes, "custom": self.custom}
        shown.update({name: value for name, value in optional.items() if value is not None})
        shown["startTime"] = self.start_time
        shown["endTime"] = self.end_time
        return shown

    @property
    def key(self) -> str:
        """The document's key; keys of one series sort by time."""
        return note_key(self.tsuid, self.start_time)


def note_key(tsuid: str, start_time: int) -> str:
    """Return the key of the document of a series and a start time."""
    unit = "s" if start_time < SECONDS_BELOW else "m"
    return f"{tsuid}/{time_in_ms(start_time):020d}{unit}"


@dataclass(slots=True)
class _Read:
    """The annotations of a domain as last read, by series and in order of time."""

    by_tsuid: dict[str, list[Note]] = field(default_factory=dict)
    at: float = float("-inf")


class Notes:
    """The annotations of one domain. Use on the event loop."""

    def __init__(self, gateway: GatewayDoor, domain: str) -> None:
        self._gateway = gateway
        self._domain = domain
        self._read = _Read()
        self._changes = 0

    async def get(self, tsuid: str, start_time: int) -> Note | None:
        """Return an annotation, or None."""
        value = await self._gateway.get_document(self._domain, COLLECTION, note_key(tsuid, start_time))
        return None if value is None else Note(**orjson.loads(value))

    async def put(self, note: Note) -> None:
        """Store an annotation in place of the one of the same series and start; durable on return."""
        await self._gateway.put_document(self._domain, COLLECTION, note.key, orjson.dumps(note))
        self._forget()

    async def delete(self, tsuid: str, start_time: int) -> bool:
        """Remove an annotation; say whether there was one."""
        found = await self._gateway.delete_document(self._domain, COLLECTION, note_key(tsuid, start_time))
        self._forget()
        return found

    def _forget(self) -> None:
        self._changes += 1
        self._read = _Read()

    async def all(self) -> dict[str, list[Note]]:
        """Return every annotation by series ("" = global), each list in order of start; not to be changed.

        While the store is away they are those that were read last: queries for points need not fail for them.
        """
        if time.monotonic() - self._read.at > FRESH_SECONDS:
            read = _Read(at=time.monotonic())
            changes = self._changes
            try:
                documents = await self._gateway.list_documents(self._domain, COLLECTION)
            except Unavailable:
                if not self._gateway.outage:
                    raise
                return self._read.by_tsuid
            for _, value in documents:
                note = Note(**orjson.loads(value))
                read.by_tsuid.setdefault(note.tsuid, []).append(note)
            if changes != self._changes:  # a write came in between: good for this caller, not for the next
                return read.by_tsuid
            self._read = read
        return self._read.by_tsuid

    async def between(self, tsuid: str, start_ms: int, end_ms: int) -> list[Note]:
        """Return the annotations of a series ("" = global) that start in an inclusive range, in order of start."""
        return [note for note in (await self.all()).get(tsuid, ()) if start_ms <= note.start_ms <= end_ms]


_NOTES: WeakKeyDictionary[GatewayDoor, dict[str, Notes]] = WeakKeyDictionary()


def notes_of(scope: Scope, domain: str) -> Notes:
    """Return the annotations of a domain, one object for all callers of a gateway."""
    by_domain = _NOTES.setdefault(scope.gateway, {})
    return by_domain.setdefault(domain, Notes(scope.gateway, domain))
