"""The store contract, in DynamoDB's own terms: tables of items under a hash key and a range key.

Every method is synchronous and thread-safe; callers run them in worker threads, one thread for a whole query, so that a
query costs one hop off the event loop and not one per read. A method either did all of its work when it returns, durably,
or raises: StorageFull when there is no room, Unavailable when the service cannot be reached, StoreError otherwise. Every
write is idempotent: after an error the same call may be made again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from amondawa.store.shared import SharedJournals

ITEM_BYTES = 409_600
"""Largest item: keys, value and attribute names (16 bytes allowed for those)."""
HASH_BYTES = 2_048
RANGE_BYTES = 1_024
BATCH_ITEMS = 25
PAGE_BYTES = 1_048_576

Key = tuple[bytes, bytes]
"""(hash key, range key); neither may be empty."""


class Item(NamedTuple):
    """One item; `expires_s` (seconds since 1970, 0 = never) lets an engine drop it for nothing some time later."""

    hash: bytes
    range: bytes
    value: bytes
    expires_s: int = 0


@dataclass(frozen=True, slots=True)
class Capacity:
    """Throughput of a table, in units a second; None = on demand.

    Attributes:
        read_units, write_units: what it is given.
        warm_read_units, warm_write_units: what it must stand from its first second on; 0 = what every new table does.
    """

    read_units: int | None = None
    write_units: int | None = None
    warm_read_units: int = 0
    warm_write_units: int = 0

    @property
    def is_warm(self) -> bool:
        """Whether more is asked of a new table than every new table stands."""
        return bool(self.warm_read_units or self.warm_write_units)

    def unwarmed(self) -> Capacity:
        """Return what is given alone."""
        return Capacity(self.read_units, self.write_units)


@dataclass(frozen=True, slots=True)
class Consumed:
    """Units used so far (0 where the engine bills none)."""

    read_units: float = 0.0
    write_units: float = 0.0


class BlockStore(ABC):
    """Tables of items, plus this gateway's journal."""

    name: str
    bills_writes: bool = False
    """Whether each kilobyte written costs money, so that stored chunks should not be written anew to be merged."""

    @property
    def shared(self) -> SharedJournals | None:
        """The journals of other gateways, while the store is open and there may be any."""
        return None

    @property
    def outage(self) -> str:
        """Why the service behind the store is known to be away, so that requests fail at once; empty = it is not."""
        return ""

    @property
    def is_replaced(self) -> bool:
        """Whether another process took over this one's journal while it was out of reach: the store must be opened anew."""
        return False

    @abstractmethod
    def open(self) -> None:
        """Make the store ready; create what it stands on. Raises ConfigError when it cannot (unwritable directory …)."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; the store can be opened again."""

    # tables -----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def create_table(self, table: str, capacity: Capacity = Capacity()) -> None:
        """Create a table unless it exists; return when it can be used."""

    @abstractmethod
    def delete_table(self, table: str) -> None:
        """Delete a table whole, unless it is gone already."""

    @abstractmethod
    def tables(self) -> list[str]:
        """Return the names of all tables, sorted."""

    def refresh(self) -> None:  # noqa: B027 - nothing to do is a right answer
        """Notice tables that another process created or deleted since they were last looked at."""

    def delete_everything(self) -> None:
        """Delete all of Amondawa's tables and the journal: nothing of the data is left."""
        for table in self.tables():
            self.delete_table(table)
        for segment in self.journal_segments():
            self.journal_drop(segment)

    def used_by(self) -> str:
        """Return the id of another gateway that uses the store now; empty = none. Takes as long as it takes to be sure."""
        return ""

    @abstractmethod
    def set_capacity(self, table: str, capacity: Capacity) -> None:
        """Change a table's throughput; engines without throughput only remember it."""

    # items ------------------------------------------------------------------------------------------------------------

    @abstractmethod
    def put(self, table: str, items: Sequence[Item]) -> None:
        """Write items, replacing those of the same key; of one key twice in a call the last wins.

        Raises:
            ValueError: an item or key past its limit, or an empty key.
            NotFound: no such table.
        """

    @abstractmethod
    def delete(self, table: str, keys: Sequence[Key]) -> None:
        """Delete items by key; absent ones are no error."""

    @abstractmethod
    def change(self, puts: Mapping[str, Sequence[Item]], deletes: Mapping[str, Sequence[Key]]) -> None:
        """Write and delete in several tables: first all puts, then all deletes.

        Embedded engines make it one transaction when the tables share a block; elsewhere a crash in between leaves the
        puts without the deletes, and the caller's keys must make that harmless.
        """

    @abstractmethod
    def get(self, table: str, keys: Sequence[Key]) -> list[Item | None]:
        """Return the items of the keys, in the keys' order; None for absent ones."""

    @abstractmethod
    def query(
        self,
        table: str,
        hash_key: bytes,
        start: bytes | None = None,
        end: bytes | None = None,
        descending: bool = False,
    ) -> Iterator[list[Item]]:
        """Yield the items of one hash key in pages of at most 1 MB, ordered by range key, start <= range < end."""

    @abstractmethod
    def query_many(
        self, table: str, hash_keys: Sequence[bytes], start: bytes | None = None, end: bytes | None = None
    ) -> dict[bytes, list[Item]]:
        """Query many hash keys with the fewest requests; hash keys without items are left out."""

    @abstractmethod
    def put_if(self, table: str, item: Item, expected: bytes | None) -> bool:
        """Write the item only when the stored value equals `expected` (None: only when absent); say whether it was."""

    def tidy(self) -> None:  # noqa: B027 - nothing to do is a right answer
        """Give back room that finished writes still hold; call it when writes are quiet. Blocks no reader for long."""

    @abstractmethod
    def consumed(self) -> Consumed:
        """Return the units used since open."""

    def consumed_by_domain(self) -> Mapping[str, Consumed]:
        """Return the same by the domain that pays (see `payer`), "" = the gateway itself; empty where none is billed."""
        return {}

    # journal ----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def journal_append(self, segment: int, sequence: int, payload: bytes) -> None:
        """Append an entry; it is durable (fsynced, or accepted by the service) on return.

        Sequences ascend within a segment. A payload of any size is accepted (split inside where items are limited).
        """

    @abstractmethod
    def journal_segments(self) -> list[int]:
        """Return the segments that hold entries, ascending."""

    @abstractmethod
    def journal_read(self, segment: int) -> Iterator[bytes]:
        """Yield the payloads of a segment in order of sequence. An entry whose append never returned may be missing."""

    @abstractmethod
    def journal_drop(self, segment: int) -> None:
        """Drop a segment; its room on disk is given back."""
