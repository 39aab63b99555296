"""The journal of one gateway: a shard of the table `{space}_journal`. Layout: docs/format/dynamodb.md.

An entry is written once and never deleted: a delete would cost as much as the write did. A dropped segment is marked in the
shard's list, which costs one small write, and its entries expire.
"""

from __future__ import annotations

import heapq
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby, islice
from typing import NamedTuple

import zstandard

from amondawa.errors import Corrupt
from amondawa.store.base import Item
from amondawa.store.dynamodb.reader import Bounds, Reader
from amondawa.store.dynamodb.writer import Writer
from amondawa.store.shared import ShardSegment

LANES = 4
"""Hash keys of a segment: a partition of DynamoDB takes 1,000 write units a second."""
PART_BYTES = 390_000
LEVEL = 3
MOST_PARTS = 0xFFFF
LOOK_PAGES = 4
"""Pages of a lane that one look takes, so that a long journal is not held in memory at once."""

_ENTRY = struct.Struct(">QHH")  # sequence, attempt, part
_HEAD = struct.Struct(">BH8s")  # form, number of parts, token
_SINGLE = 1
_PARTED = 2
_OPEN = b"\x01"
_DROPPED = b"\x00"


class _Part(NamedTuple):
    """One item of an entry."""

    sequence: int
    attempt: int
    part: int
    value: bytes


@dataclass(slots=True)
class _Written:
    """What this process wrote last to a segment."""

    sequence: int = -1
    attempt: int = 0
    digest: bytes = field(default=b"")


class ShardJournal:
    """Segments of one shard; safe in any thread, though a segment is appended to by one at a time.

    Args:
        name: full name of the journal table.
        shard: the gateway's id.
        reader, writer: where items go.
        keep_s: entries expire this long after they were written; far longer than a segment may wait for its flush.
        now_s: the wall clock.
    """

    def __init__(
        self,
        name: str,
        shard: str,
        reader: Reader,
        writer: Writer,
        keep_s: int,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._shard = shard.encode()
        self._reader = reader
        self._writer = writer
        self._keep_s = keep_s
        self._now_s = now_s
        self._lock = threading.Lock()
        self._written: dict[int, _Written] = {}

    # writing ----------------------------------------------------------------------------------------------------------

    def append(self, segment: int, sequence: int, payload: bytes) -> None:
        """Write an entry; durable on return.

        A try that was given up may still arrive. So another payload for the same sequence gets the next attempt number and
        cannot be overwritten by it; the same payload gets the same key.
        """
        attempt = self._attempt(segment, sequence, payload)
        items = self._items(segment, sequence, attempt, payload)
        if len(items) == 1:
            self._writer.put_one(self._name, items[0])
        else:
            self._writer.put(self._name, items)

    def _attempt(self, segment: int, sequence: int, payload: bytes) -> int:
        digest = blake2b(payload, digest_size=16).digest()
        with self._lock:
            written = self._written.get(segment)
            if written is None:
                self._list(segment)
                written = self._written[segment] = _Written()
            if written.sequence != sequence:
                written.sequence, written.attempt = sequence, 0
            elif written.digest != digest:
                written.attempt += 1
            written.digest = digest
            return written.attempt

    def _list(self, segment: int) -> None:
        """List a segment before its first entry; one that was dropped stays dropped."""
        value = _OPEN + bytes((LANES,))
        self._writer.put_if(self._name, Item(self._list_key, segment.to_bytes(8, "big"), value), None)

    def _items(self, segment: int, sequence: int, attempt: int, payload: bytes) -> list[Item]:
        packed = zstandard.ZstdCompressor(level=LEVEL).compress(payload)
        hash_key = self._lane_key(segment, sequence % LANES)
        expires_s = int(self._now_s()) + self._keep_s
        if len(packed) <= PART_BYTES:
            return [Item(hash_key, _ENTRY.pack(sequence, attempt, 0), bytes((_SINGLE,)) + packed, expires_s)]
        pieces = [packed[at : at + PART_BYTES] for at in range(0, len(packed), PART_BYTES)]
        if len(pieces) > MOST_PARTS:
            raise ValueError(f"journal entry of {len(payload)} bytes needs more than {MOST_PARTS} parts")
        head = _HEAD.pack(_PARTED, len(pieces), secrets.token_bytes(8))
        return [
            Item(hash_key, _ENTRY.pack(sequence, attempt, part), head + piece, expires_s)
            for part, piece in enumerate(pieces)
        ]

    def drop(self, segment: int) -> None:
        """Mark a segment as dropped; its entries and the mark expire."""
        now_s = self._now_s()
        value = _DROPPED + int(now_s * 1000).to_bytes(8, "big")
        expires_s = int(now_s) + self._keep_s
        self._writer.put_one(self._name, Item(self._list_key, segment.to_bytes(8, "big"), value, expires_s))
        with self._lock:
            self._written.pop(segment, None)

    # reading ----------------------------------------------------------------------------------------------------------

    def segments(self) -> list[int]:
        """Return the segments that are listed and not dropped, ascending."""
        return sorted(self._listed())

    def read(self, segment: int) -> Iterator[bytes]:
        """Yield the payloads of a segment in order of sequence.

        Raises:
            Corrupt: an entry is of a form that this release does not know, or does not unpack.
        """
        lanes = self._listed().get(segment, 0)
        parts = heapq.merge(*(self._lane(segment, lane) for lane in range(lanes)))
        for sequence, found in groupby(parts, key=_sequence):
            payload = self._latest(segment, sequence, list(found))
            if payload is not None:
                yield payload

    def listing(self) -> list[ShardSegment]:
        """Return all segments that are listed, ascending."""
        return [
            ShardSegment(
                int.from_bytes(item.range, "big"),
                0 if item.value[:1] == _OPEN else int.from_bytes(item.value[1:9], "big") or 1,
            )
            for item in self._list_items()
        ]

    def follow(self, segment: int, sequence: int, *, sure: bool) -> list[tuple[int, bytes]]:
        """Return (sequence, payload) of the entries from a sequence on, as far as none is missing.

        A look that finds nothing new reads one lane, at half the price unless it has to be sure.
        """
        parts = self._lane_from(segment, sequence, sequence, sure)
        if not parts:
            return []
        for lane in range(1, LANES):
            parts += self._lane_from(segment, sequence + lane, sequence, sure)
        found: list[tuple[int, bytes]] = []
        for number, own in groupby(sorted(parts), key=_sequence):
            payload = self._latest(segment, number, list(own)) if number == sequence + len(found) else None
            if payload is None:
                break
            found.append((number, payload))
        return found

    def _lane_from(self, segment: int, lane_of: int, sequence: int, sure: bool) -> list[_Part]:
        bounds = Bounds(_ENTRY.pack(sequence, 0, 0), None)
        key = self._lane_key(segment, lane_of % LANES)
        pages = self._reader.query(self._name, key, bounds, False, consistent=sure)
        return [_part(item) for page in islice(pages, LOOK_PAGES) for item in page]

    def _list_items(self) -> list[Item]:
        pages = self._reader.query(self._name, self._list_key, Bounds(None, None), False)
        return [item for page in pages for item in page]

    def _listed(self) -> dict[int, int]:
        """Return the number of lanes of each segment that is not dropped."""
        items = self._list_items()
        return {int.from_bytes(item.range, "big"): item.value[1] for item in items if item.value[:1] == _OPEN}

    def _lane(self, segment: int, lane: int) -> Iterator[_Part]:
        for page in self._reader.query(self._name, self._lane_key(segment, lane), Bounds(None, None), False):
            yield from map(_part, page)

    def _latest(self, segment: int, sequence: int, parts: list[_Part]) -> bytes | None:
        """Return the payload of the latest attempt that is whole; None when none is: its append never returned."""
        for attempt in sorted({part.attempt for part in parts}, reverse=True):
            packed = _join([part.value for part in parts if part.attempt == attempt])
            if packed is not None:
                try:
                    return zstandard.ZstdDecompressor().decompress(packed)
                except zstandard.ZstdError as error:
                    raise Corrupt(f"journal entry {sequence} of segment {segment}: {error}") from error
        return None

    # keys -------------------------------------------------------------------------------------------------------------

    @property
    def _list_key(self) -> bytes:
        return b"segments#" + self._shard

    def _lane_key(self, segment: int, lane: int) -> bytes:
        return b"%s#%016x#%d" % (self._shard, segment, lane)


def _join(values: list[bytes]) -> bytes | None:
    """Return the packed payload of one attempt's items; None when not all of one append are there.

    Raises:
        Corrupt: an unknown form.
    """
    form = values[0][0]
    if form == _SINGLE:
        return values[0][1:]
    if form != _PARTED:
        raise Corrupt(f"journal entry of unknown form {form}")
    _, count, token = _HEAD.unpack_from(values[0])
    pieces = [value[_HEAD.size :] for value in values if value[:1] == b"\x02" and _HEAD.unpack_from(value)[2] == token]
    return b"".join(pieces) if len(pieces) == count else None


def _part(item: Item) -> _Part:
    sequence, attempt, part = _ENTRY.unpack(item.range)
    return _Part(sequence, attempt, part, item.value)


def _sequence(part: _Part) -> int:
    return part.sequence
