"""Items of one table inside a database file: the SQL and the layout (docs/format/sqlite.md)."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing
from hashlib import blake2b

from amondawa.store.base import PAGE_BYTES, RANGE_BYTES, Item, Key
from amondawa.store.limits import item_bytes

PAGE_SIZE = 8_192
"""page size of files that hold items; `_pieces` counts on it"""

CATALOG = (
    "CREATE TABLE IF NOT EXISTS tables (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, "
    "read_units INTEGER, write_units INTEGER)",
)
"""schema of a file that holds items"""

_DIGEST_BYTES = 20
_INLINE_BYTES = 200
_PIECE_BYTES = 1_000
_LEAF_BYTES = PAGE_SIZE - 35
_LEAST_LOCAL = (PAGE_SIZE - 12) * 32 // 255 - 23
_OVERFLOW_BYTES = PAGE_SIZE - 4
_RECORD_HEAD_BYTES = 6
_PAST_ALL_RANGES = b"\xff" * (RANGE_BYTES + 1)
_PURGE_ITEMS = 5_000


def hash_digest(hash_key: bytes) -> bytes:
    """Return what stands for a hash key in the file: itself when shorter than 20 bytes, else 20 bytes of BLAKE2b.

    Every read names its hash key, so the file need not hold it; beside an hour of points it would be a third of the item.
    """
    if len(hash_key) < _DIGEST_BYTES:
        return hash_key
    return blake2b(hash_key, digest_size=_DIGEST_BYTES).digest()


def _pieces(length: int) -> int:
    """Return into how many rows a value is cut, so that rows leave little of their pages empty.

    SQLite keeps a row whole in its leaf up to about a page; of a longer one all but a remainder goes to overflow pages.
    Rows are appended, so what a leaf has left when one more row does not fit stays empty.
    """
    local = length + _RECORD_HEAD_BYTES
    if local > _LEAF_BYTES:
        local = _LEAST_LOCAL + (local - _LEAST_LOCAL) % _OVERFLOW_BYTES
        if local > _LEAF_BYTES:
            local = _LEAST_LOCAL
    rows = max(1, PAGE_SIZE // local)
    wasted = (PAGE_SIZE - rows * local) // rows
    return 1 if wasted * 8 <= length else -(-length // _PIECE_BYTES)


class ItemTable:
    """SQL of one table; every method works on a connection that the caller holds.

    Args:
        number: the table's id in its file's catalog.
    """

    def __init__(self, number: int) -> None:
        keys, values = f"k{number}", f"v{number}"
        self.create = (
            f"CREATE TABLE {keys} (h BLOB NOT NULL, r BLOB NOT NULL, e INTEGER NOT NULL, v BLOB, first INTEGER, "
            "pieces INTEGER, PRIMARY KEY (h, r)) WITHOUT ROWID",
            f"CREATE INDEX e{number} ON {keys} (e) WHERE e > 0",
            f"CREATE TABLE {values} (id INTEGER PRIMARY KEY, v BLOB NOT NULL)",
        )
        self.drop = (f"DROP TABLE {keys}", f"DROP TABLE {values}")
        self._place = f"SELECT first, pieces FROM {keys} WHERE h = ? AND r = ? AND first IS NOT NULL"
        self._free = f"DELETE FROM {values} WHERE id >= ? AND id < ?"
        self._last = f"SELECT max(id) FROM {values}"
        self._put_key = (
            f"INSERT INTO {keys} (h, r, e, v, first, pieces) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (h, r) "
            "DO UPDATE SET e = excluded.e, v = excluded.v, first = excluded.first, pieces = excluded.pieces"
        )
        self._put_value = f"INSERT INTO {values} (id, v) VALUES (?, ?)"
        self._delete_key = f"DELETE FROM {keys} WHERE h = ? AND r = ?"
        self._expired = f"SELECT h, r FROM {keys} WHERE e > 0 AND e <= ? LIMIT {_PURGE_ITEMS}"
        read = (
            f"SELECT k.r, k.e, k.v, p.v FROM {keys} k LEFT JOIN {values} p "
            "ON p.id >= k.first AND p.id < k.first + k.pieces"
        )
        self._get = f"{read} WHERE k.h = ? AND k.r = ? ORDER BY p.id"
        self._ascending = f"{read} WHERE k.h = ? AND k.r >= ? AND k.r < ? ORDER BY k.r, p.id"
        self._descending = f"{read} WHERE k.h = ? AND k.r >= ? AND k.r < ? ORDER BY k.r DESC, p.id DESC"

    def put(self, connection: sqlite3.Connection, items: Sequence[Item]) -> None:
        """Write items; of one key twice the last wins."""
        latest = {(hash_digest(item.hash), item.range): item for item in items}
        self._free_values(connection, latest)
        next_id = (connection.execute(self._last).fetchone()[0] or 0) + 1
        key_rows: list[tuple[bytes, bytes, int, bytes | None, int | None, int | None]] = []
        value_rows: list[tuple[int, bytes]] = []
        for (digest, range_key), item in sorted(latest.items()):
            value = item.value
            if len(value) <= _INLINE_BYTES:
                key_rows.append((digest, range_key, item.expires_s, value, None, None))
                continue
            count = _pieces(len(value))
            size = -(-len(value) // count)
            value_rows.extend((next_id + n, value[n * size : (n + 1) * size]) for n in range(count))
            key_rows.append((digest, range_key, item.expires_s, None, next_id, count))
            next_id += count
        connection.executemany(self._put_key, key_rows)
        connection.executemany(self._put_value, value_rows)

    def delete(self, connection: sqlite3.Connection, keys: Sequence[Key]) -> None:
        """Delete items by key."""
        self._delete(connection, sorted({(hash_digest(hash_key), range_key) for hash_key, range_key in keys}))

    def purge(self, connection: sqlite3.Connection, now_s: int) -> int:
        """Delete some items whose expiry time has come; return how many."""
        expired = connection.execute(self._expired, (now_s,)).fetchall()
        self._delete(connection, expired)
        return len(expired)

    def get(self, connection: sqlite3.Connection, key: Key) -> Item | None:
        """Return one item."""
        rows = connection.execute(self._get, (hash_digest(key[0]), key[1]))
        return next(iter(list(_assemble(key[0], rows, backwards=False))), None)

    def read(
        self, connection: sqlite3.Connection, hash_key: bytes, start: bytes | None, end: bytes | None, descending: bool
    ) -> Generator[Item, None, None]:
        """Yield the items of one hash key in order; the connection must stay the caller's until the end."""
        bounds = (hash_digest(hash_key), start or b"", _PAST_ALL_RANGES if end is None else end)
        rows = connection.execute(self._descending if descending else self._ascending, bounds)
        return _assemble(hash_key, rows, backwards=descending)

    def read_page(
        self, connection: sqlite3.Connection, hash_key: bytes, start: bytes | None, end: bytes | None, descending: bool
    ) -> tuple[list[Item], bool]:
        """Return the first items of a range, at most 1 MB, and whether there may be more."""
        page: list[Item] = []
        size = 0
        with closing(self.read(connection, hash_key, start, end, descending)) as items:
            for item in items:
                size += item_bytes(item)
                if page and size > PAGE_BYTES:
                    return page, True
                page.append(item)
        return page, False

    def _delete(self, connection: sqlite3.Connection, keys: Sequence[Key]) -> None:
        self._free_values(connection, keys)
        connection.executemany(self._delete_key, keys)

    def _free_values(self, connection: sqlite3.Connection, keys: Sequence[Key] | dict[Key, Item]) -> None:
        """Remove the pieces of the values that the keys (digest, range) have now."""
        places = [place for key in keys for place in connection.execute(self._place, key)]
        connection.executemany(self._free, [(first, first + count) for first, count in places])


def _assemble(hash_key: bytes, rows: sqlite3.Cursor, backwards: bool) -> Generator[Item, None, None]:
    """Join the pieces of each value; rows of one item follow one another, its pieces from the last when `backwards`."""
    held: tuple[bytes, int] | None = None
    parts: list[bytes] = []
    with closing(rows):
        for range_key, expires_s, inline, piece in rows:
            if held is not None and held[0] != range_key:
                yield _item(hash_key, held, parts, backwards)
                parts = []
            held = range_key, expires_s
            parts.append(piece if inline is None else inline)
        if held is not None:
            yield _item(hash_key, held, parts, backwards)


def _item(hash_key: bytes, held: tuple[bytes, int], parts: list[bytes], backwards: bool) -> Item:
    if len(parts) == 1:
        return Item(hash_key, held[0], parts[0], held[1])
    return Item(hash_key, held[0], b"".join(reversed(parts) if backwards else parts), held[1])
