"""Documents: small named values that protocols keep, in the metadata table."""

from __future__ import annotations

import threading
import zlib

from amondawa.errors import BadRequest
from amondawa.store.base import RANGE_BYTES, BlockStore, Item

METADATA = "metadata"
_PART_BYTES = 300_000
_MAX_PARTS = 0xFFFF


class Documents:
    """Values under (domain, collection, key); synchronous, safe in any thread.

    A value may be larger than an item: it is kept in parts, range key = key, 00, number of the part. The first part
    carries the number of parts and a checksum, so that a value of which only some parts were replaced is never returned.
    """

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._lock = threading.Lock()

    def open(self) -> None:
        """Create the table when it is missing."""
        self._store.create_table(METADATA)

    @staticmethod
    def _hash(domain: str, collection: str) -> bytes:
        return b"\0".join((domain.encode().replace(b"\0", b"\0\xff"), collection.encode()))

    @staticmethod
    def _range(key: str, part: int) -> bytes:
        raw = key.encode().replace(b"\0", b"\0\xff") + b"\0" + part.to_bytes(2, "big")
        if len(raw) > RANGE_BYTES:
            raise BadRequest(f"key is longer than {RANGE_BYTES - 3} bytes", field="key")
        return raw

    def put(self, domain: str, collection: str, key: str, value: bytes) -> None:
        """Store a value. Raises BadRequest when the key is too long."""
        items = self._items(domain, collection, key, value)
        with self._lock:
            before = self._parts(domain, collection, key)
            self._store.change({METADATA: items}, {METADATA: [(i.hash, i.range) for i in before[len(items) :]]})

    def put_if(self, domain: str, collection: str, key: str, value: bytes, expected: bytes | None) -> bool:
        """Store a value only when the stored one equals `expected` (None: only when there is none); say whether it was.

        The first part decides, for all gateways of the store: it carries the checksum of the whole.

        Raises:
            BadRequest: the key is too long.
        """
        first, *further = self._items(domain, collection, key, value)
        before = [] if expected is None else self._items(domain, collection, key, expected)
        with self._lock:
            if not self._store.put_if(METADATA, first, before[0].value if before else None):
                return False
            gone = [(item.hash, item.range) for item in before[1 + len(further) :]]
            if further or gone:
                self._store.change({METADATA: further}, {METADATA: gone})
        return True

    def _items(self, domain: str, collection: str, key: str, value: bytes) -> list[Item]:
        """Return a value's parts as items. Raises BadRequest when it or the key is too long."""
        pieces = [value[at : at + _PART_BYTES] for at in range(0, len(value), _PART_BYTES)] or [b""]
        if len(pieces) > _MAX_PARTS:
            raise BadRequest(f"value is larger than {_MAX_PARTS * _PART_BYTES} bytes", field="value")
        head = len(pieces).to_bytes(2, "big") + zlib.crc32(value).to_bytes(4, "big")
        hash_key = self._hash(domain, collection)
        return [Item(hash_key, self._range(key, n), (head if n == 0 else b"") + p) for n, p in enumerate(pieces)]

    def get(self, domain: str, collection: str, key: str) -> bytes | None:
        """Return a value, or None."""
        return _join([item.value for item in self._parts(domain, collection, key)])

    def delete(self, domain: str, collection: str, key: str) -> bool:
        """Remove a value; say whether there was one."""
        with self._lock:
            parts = self._parts(domain, collection, key)
            self._store.delete(METADATA, [(item.hash, item.range) for item in parts])
            return bool(parts)

    def list_all(self, domain: str, collection: str, prefix: str = "") -> list[tuple[str, bytes]]:
        """Return the (key, value) pairs whose key begins with `prefix`, sorted by key."""
        start = prefix.encode().replace(b"\0", b"\0\xff")
        gathered: dict[bytes, list[bytes]] = {}
        for page in self._store.query(METADATA, self._hash(domain, collection), start or None):
            for item in page:
                if not item.range.startswith(start):
                    return self._pairs(gathered)
                gathered.setdefault(item.range[:-3], []).append(item.value)
        return self._pairs(gathered)

    @staticmethod
    def _pairs(gathered: dict[bytes, list[bytes]]) -> list[tuple[str, bytes]]:
        pairs = []
        for key, parts in gathered.items():
            value = _join(parts)
            if value is not None:
                pairs.append((key.replace(b"\0\xff", b"\0").decode(), value))
        return sorted(pairs)

    def _parts(self, domain: str, collection: str, key: str) -> list[Item]:
        start, end = self._range(key, 0), self._range(key, _MAX_PARTS) + b"\0"
        pages = self._store.query(METADATA, self._hash(domain, collection), start, end)
        return [item for page in pages for item in page]


def _join(parts: list[bytes]) -> bytes | None:
    if not parts:
        return None
    count = int.from_bytes(parts[0][:2], "big")
    value = b"".join([parts[0][6:], *parts[1:count]])
    return value if zlib.crc32(value) == int.from_bytes(parts[0][2:6], "big") else None
