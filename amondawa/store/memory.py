"""A store in memory: the reference that other engines are tested against. Nothing outlives the process."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence

from amondawa.errors import NotFound
from amondawa.settings import Settings
from amondawa.store.base import BlockStore, Capacity, Consumed, Item, Key
from amondawa.store.limits import check_items, check_keys, check_table, pages


class _Table:
    """Items by hash key and range key, with the range keys of each hash key in order."""

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.items: dict[bytes, dict[bytes, Item]] = {}
        self.ranges: dict[bytes, list[bytes]] = {}

    def put(self, item: Item) -> None:
        held = self.items.setdefault(item.hash, {})
        if item.range not in held:
            insort(self.ranges.setdefault(item.hash, []), item.range)
        held[item.range] = item

    def delete(self, key: Key) -> None:
        hash_key, range_key = key
        held = self.items.get(hash_key, {})
        if held.pop(range_key, None) is None:
            return
        ranges = self.ranges[hash_key]
        del ranges[bisect_left(ranges, range_key)]
        if not held:
            del self.items[hash_key], self.ranges[hash_key]

    def get(self, key: Key) -> Item | None:
        return self.items.get(key[0], {}).get(key[1])

    def between(self, hash_key: bytes, start: bytes | None, end: bytes | None) -> list[Item]:
        ranges = self.ranges.get(hash_key, [])
        first = 0 if start is None else bisect_left(ranges, start)
        last = len(ranges) if end is None else bisect_left(ranges, end)
        held = self.items.get(hash_key, {})
        return [held[range_key] for range_key in ranges[first:last]]


class MemoryStore(BlockStore):
    """All tables in dictionaries, behind one lock. Closing keeps them, so that a test may open the store again."""

    name = "memory"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: dict[str, _Table] = {}
        self._journal: dict[int, list[tuple[int, bytes]]] = {}

    def open(self) -> None:
        """See BlockStore; nothing to do."""

    def close(self) -> None:
        """See BlockStore; nothing to do."""

    @classmethod
    def of_settings(cls, settings: Settings) -> MemoryStore:
        """Return an empty store."""
        return cls()

    # tables -----------------------------------------------------------------------------------------------------------

    def create_table(self, table: str, capacity: Capacity = Capacity()) -> None:  # noqa: B008 - immutable
        """See BlockStore."""
        with self._lock:
            self._tables.setdefault(check_table(table), _Table(capacity))

    def delete_table(self, table: str) -> None:
        """See BlockStore."""
        with self._lock:
            self._tables.pop(check_table(table), None)

    def tables(self) -> list[str]:
        """See BlockStore."""
        with self._lock:
            return sorted(self._tables)

    def set_capacity(self, table: str, capacity: Capacity) -> None:
        """See BlockStore."""
        with self._lock:
            self._table(table).capacity = capacity

    def _table(self, table: str) -> _Table:
        found = self._tables.get(table)
        if found is None:
            raise NotFound(f"there is no table {table}")
        return found

    # items ------------------------------------------------------------------------------------------------------------

    def put(self, table: str, items: Sequence[Item]) -> None:
        """See BlockStore."""
        self.change({table: items}, {})

    def delete(self, table: str, keys: Sequence[Key]) -> None:
        """See BlockStore."""
        self.change({}, {table: keys})

    def change(self, puts: Mapping[str, Sequence[Item]], deletes: Mapping[str, Sequence[Key]]) -> None:
        """See BlockStore; one transaction over all tables."""
        for items in puts.values():
            check_items(items)
        for keys in deletes.values():
            check_keys(keys)
        with self._lock:
            written = [(self._table(table), items) for table, items in puts.items()]
            erased = [(self._table(table), keys) for table, keys in deletes.items()]
            for held, items in written:
                for item in items:
                    held.put(item)
            for held, keys in erased:
                for key in keys:
                    held.delete(key)

    def get(self, table: str, keys: Sequence[Key]) -> list[Item | None]:
        """See BlockStore."""
        check_keys(keys)
        with self._lock:
            return list(map(self._table(table).get, keys))

    def query(
        self,
        table: str,
        hash_key: bytes,
        start: bytes | None = None,
        end: bytes | None = None,
        descending: bool = False,
    ) -> Iterator[list[Item]]:
        """See BlockStore."""
        with self._lock:
            items = self._table(table).between(hash_key, start, end)
        return pages(reversed(items) if descending else items)

    def query_many(
        self, table: str, hash_keys: Sequence[bytes], start: bytes | None = None, end: bytes | None = None
    ) -> dict[bytes, list[Item]]:
        """See BlockStore."""
        with self._lock:
            held = self._table(table)
            found = ((hash_key, held.between(hash_key, start, end)) for hash_key in hash_keys)
            return {hash_key: items for hash_key, items in found if items}

    def put_if(self, table: str, item: Item, expected: bytes | None) -> bool:
        """See BlockStore."""
        check_items([item])
        with self._lock:
            held = self._table(table)
            now = held.get((item.hash, item.range))
            if (None if now is None else now.value) != expected:
                return False
            held.put(item)
            return True

    def consumed(self) -> Consumed:
        """See BlockStore; nothing is billed."""
        return Consumed()

    # journal ----------------------------------------------------------------------------------------------------------

    def journal_append(self, segment: int, sequence: int, payload: bytes) -> None:
        """See BlockStore; as durable as the process."""
        with self._lock:
            self._journal.setdefault(segment, []).append((sequence, bytes(payload)))

    def journal_segments(self) -> list[int]:
        """See BlockStore."""
        with self._lock:
            return sorted(self._journal)

    def journal_read(self, segment: int) -> Iterator[bytes]:
        """See BlockStore."""
        with self._lock:
            entries: Iterable[tuple[int, bytes]] = dict(self._journal.get(segment, ())).items()
        return iter([payload for _, payload in sorted(entries)])

    def journal_drop(self, segment: int) -> None:
        """See BlockStore."""
        with self._lock:
            self._journal.pop(segment, None)
