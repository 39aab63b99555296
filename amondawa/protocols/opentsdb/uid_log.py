"""The log of a domain's names and ids: numbered documents that every gateway of a store appends to and reads.

A document is a list of entries. Its number is taken by condition, so that of two gateways that append at once one is told to
read what the other wrote first: whoever has read the log to its end knows every id that was ever given.

A long log is written anew behind its end, in few documents; the former ones are emptied, and deleted a good while later.
They keep their numbers until no gateway can be so far behind that it would take one of them for the end of the log.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import orjson

from amondawa.auth.caller import acting_as_gateway
from amondawa.errors import Unavailable
from amondawa.protocols.opentsdb.uid_table import render_log

if TYPE_CHECKING:
    from amondawa.gateway import GatewayDoor

UidKind = Literal["metric", "tagk", "tagv"]

Entry = tuple[UidKind, int, str, str, int, int]
"""kind, id, wire name, stored name, created (s), 1 = assigned by request rather than by a write"""

COLLECTION = "opentsdb.uids"
CUT_COLLECTION = "opentsdb.uids.cut"
CUT_KEY = "cut"
DOCUMENT_BYTES = 250_000
COMPACT_DOCUMENTS = 64
"""a log of so many documents more than twice what its names need is written anew when it is loaded"""
EMPTY = b"[]"
EMPTY_MS = 3_600_000
"""emptied documents keep their numbers at least this long"""
LAGGING_S = 600.0
"""a gateway that did not read for so long looks whether the log was cut meanwhile"""


def log_key(number: int) -> str:
    """Return the key of a document; keys sort by number."""
    return f"{number:012d}"


class UidLog:
    """The log of one domain. Use on the event loop, one call at a time.

    Args:
        gateway: keeps the documents.
        domain: whose names they are.
    """

    def __init__(self, gateway: GatewayDoor, domain: str) -> None:
        self._gateway = gateway
        self._domain = domain
        self.number = 0
        """of the last document that was read or appended here"""
        self.read_at = float("-inf")
        """when the log was last read to its end, by the monotonic clock"""
        self._documents: list[tuple[str, bytes]] = []

    async def load(self) -> list[Entry]:
        """Read the whole log. Raises what the gateway raises."""
        began = time.monotonic()
        with acting_as_gateway():
            self._documents = await self._gateway.list_documents(self._domain, COLLECTION)
        self.number = max((int(key) for key, _ in self._documents), default=0)
        self.read_at = began
        return [entry for _, value in self._documents for entry in orjson.loads(value)]

    async def read_further(self) -> list[Entry]:
        """Read what was appended since. Raises what the gateway raises."""
        began = time.monotonic()
        entries: list[Entry] = []
        with acting_as_gateway():
            if began - self.read_at > LAGGING_S:
                self.number = max(self.number, (await self._cut())[0] - 1)
            while (value := await self._get(self.number + 1)) is not None:
                self.number += 1
                entries += orjson.loads(value)
        self.read_at = began
        return entries

    async def append(self, document: bytes) -> bool:
        """Append a document unless another gateway was first; say whether it was appended.

        Raises:
            Unavailable, StoreError: it may have been appended; whoever reads on will see.
        """
        with acting_as_gateway():  # ids are given to names that are only read, too
            key = log_key(self.number + 1)
            done = await self._gateway.put_document_if(self._domain, COLLECTION, key, document, None)
        self.number += done
        return done

    async def read_missed(self) -> list[Entry]:
        """Read what another gateway appended in place of this one. Raises Unavailable when there is nothing."""
        before = self.number
        entries = await self.read_further()
        if self.number == before:
            raise Unavailable("the log of names can be neither read nor written")
        return entries

    async def _get(self, number: int) -> bytes | None:
        return await self._gateway.get_document(self._domain, COLLECTION, log_key(number))

    # writing it anew --------------------------------------------------------------------------------------------------

    async def compact(self, state: Sequence[Entry]) -> None:
        """Write the log anew when it has become much longer than it need be; called after `load`, which gave `state`.

        When another gateway appends meanwhile nothing is emptied: what was written says what was so when it was written,
        and stands before the other's entries.
        """
        documents, self._documents = self._documents, []
        live = [key for key, value in documents if value != EMPTY]
        needed = sum(len(value) for _, value in documents) // DOCUMENT_BYTES
        if len(live) <= COMPACT_DOCUMENTS + 2 * needed:
            return
        with acting_as_gateway():
            first = self.number + 1
            if await self._append_all(render_log(state, DOCUMENT_BYTES)):
                await self._empty(first, live, [key for key, value in documents if value == EMPTY])

    async def _append_all(self, documents: Iterable[bytes]) -> bool:
        for document in documents:
            if not await self.append(document):
                return False
        return True

    async def _empty(self, first: int, live: list[str], emptied: list[str]) -> None:
        """Empty the documents that were written anew from number `first` on, and delete those emptied long ago."""
        former, at_ms = await self._cut()
        now_ms = self._gateway.now_ms
        cut = orjson.dumps({"first": first, "at_ms": now_ms})
        await self._gateway.put_document(self._domain, CUT_COLLECTION, CUT_KEY, cut)
        for key in live:
            await self._gateway.put_document(self._domain, COLLECTION, key, EMPTY)
        for key in emptied:
            if int(key) < former and now_ms - at_ms > EMPTY_MS:
                await self._gateway.delete_document(self._domain, COLLECTION, key)

    async def _cut(self) -> tuple[int, int]:
        """Return the number of the first document of the log that was last written anew, and when; zeros = never."""
        value = await self._gateway.get_document(self._domain, CUT_COLLECTION, CUT_KEY)
        if value is None:
            return 0, 0
        cut = orjson.loads(value)
        return int(cut["first"]), int(cut["at_ms"])
