"""One table of the strict fake: items, what they were before, when they expire, and what its partitions stand.

An eventually consistent read may see a hash key as it was some writes ago. An item that expires stays until some time after
that, and goes without being billed. A table has the partitions that AWS would give it, which it never loses again.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from sortedcontainers import SortedDict

from tests.store.strict_fake_rules import Attributes, Key

PARTITION_READS, PARTITION_WRITES = 3_000.0, 1_000.0
"""units a second that one partition stands"""
NEW_READS, NEW_WRITES = 12_000, 4_000
"""units a second that a new table on demand stands"""
BURST_S = 300.0
"""unused throughput of a provisioned table that may be used later, in seconds of it"""
REMEMBERED_WRITES = 8
"""how many writes of a hash key a replica may lag behind"""
OLDEST_EXPIRY_S = 5 * 365 * 86_400
"""what expired longer ago than this stays, as it is taken for a mistake"""


@dataclass(slots=True)
class Bucket:
    """Units that come in at a rate and are kept up to a limit; a request is let in while there are any and may overdraw."""

    rate: float
    most: float
    level: float = 0.0
    at_s: float = 0.0

    @classmethod
    def full(cls, rate: float, seconds: float, now_s: float) -> Bucket:
        return cls(rate, rate * seconds, rate * seconds, now_s)

    def is_open(self, now_s: float) -> bool:
        self.level = min(self.most, self.level + (now_s - self.at_s) * self.rate)
        self.at_s = now_s
        return self.level > 0

    def take(self, units: float) -> None:
        self.level -= units


class Limits:
    """What a table and each of its partitions stand, of reads or of writes.

    Args:
        given: units a second of a provisioned table; 0 = on demand, where only partitions limit.
        rate: units a second of one partition.
        partitions: how many there are.
    """

    def __init__(self, given: int, rate: float, partitions: int, now_s: float) -> None:
        self._table = Bucket.full(given, BURST_S, now_s) if given else None
        self._partitions = [Bucket.full(rate, 1.0, now_s) for _ in range(partitions)]

    def _buckets(self, hash_key: bytes) -> list[Bucket]:
        own = self._partitions[partition_of(hash_key, len(self._partitions))]
        return [own] if self._table is None else [own, self._table]

    def are_open(self, hash_key: bytes, now_s: float) -> bool:
        return all(bucket.is_open(now_s) for bucket in self._buckets(hash_key))

    def take(self, hash_key: bytes, units: float) -> None:
        for bucket in self._buckets(hash_key):
            bucket.take(units)


def partition_of(hash_key: bytes, partitions: int) -> int:
    """Return which of some partitions holds a hash key: each has an equal share of the hashes."""
    return int.from_bytes(blake2b(hash_key, digest_size=8).digest(), "big") * partitions >> 64


def partitions_for(reads: int, writes: int) -> int:
    """Return how many partitions stand so many units a second."""
    return max(1, math.ceil(max(reads / PARTITION_READS, writes / PARTITION_WRITES)))


@dataclass(slots=True)
class FakeTable:
    """One table: items by hash key, ordered by range key."""

    names: tuple[str, str]
    billing: dict[str, Any]
    status: str = "ACTIVE"
    polls_left: int = 0
    expiry: str | None = None
    rows: dict[bytes, SortedDict] = field(default_factory=dict)
    warm: dict[str, int] = field(default_factory=dict)
    partitions: int = 1
    reads: Limits = field(init=False)
    writes: Limits = field(init=False)
    _before: dict[bytes, deque[tuple[bytes, Attributes | None]]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=REMEMBERED_WRITES))
    )
    _due: list[tuple[float, Key]] = field(default_factory=list)

    # throughput -------------------------------------------------------------------------------------------------------

    def settle(self, now_s: float) -> None:
        """Have the partitions and limits that follow from the throughput, which may have changed."""
        given = self.billing["ProvisionedThroughput"]
        reads, writes = given["ReadCapacityUnits"], given["WriteCapacityUnits"]
        least = (reads, writes) if writes else (NEW_READS, NEW_WRITES)
        warm = self.warm.get("ReadUnitsPerSecond", 0), self.warm.get("WriteUnitsPerSecond", 0)
        self.partitions = max(self.partitions, partitions_for(*least), partitions_for(*warm))
        stood = self.partitions * int(PARTITION_READS), self.partitions * int(PARTITION_WRITES)
        self.warm = {"ReadUnitsPerSecond": max(stood[0], warm[0]), "WriteUnitsPerSecond": max(stood[1], warm[1])}
        self.reads = Limits(reads, PARTITION_READS, self.partitions, now_s)
        self.writes = Limits(writes, PARTITION_WRITES, self.partitions, now_s)

    # items ------------------------------------------------------------------------------------------------------------

    def get(self, key: Key, lag: int = 0) -> Attributes | None:
        """Return an item, as it was `lag` writes to its hash key ago."""
        found: Attributes | None = self.row(key[0], lag).get(key[1])
        return found

    def row(self, hash_key: bytes, lag: int = 0) -> Mapping[bytes, Attributes]:
        """Return the items of a hash key by range key, ascending, as they were `lag` writes ago."""
        row: SortedDict = self.rows.get(hash_key, SortedDict())
        if not lag or hash_key not in self._before:
            return row
        seen = SortedDict(row)
        for range_key, before in list(self._before[hash_key])[: -lag - 1 : -1]:
            if before is None:
                seen.pop(range_key, None)
            else:
                seen[range_key] = before
        return seen

    def put(self, key: Key, item: Attributes, expires_lag_s: float = 0.0) -> None:
        self._remember(key)
        self.rows.setdefault(key[0], SortedDict())[key[1]] = item
        expires_s = self._expiry_of(item)
        if expires_s:
            heapq.heappush(self._due, (expires_s + expires_lag_s, key))

    def delete(self, key: Key) -> None:
        self._remember(key)
        row = self.rows.get(key[0])
        if row is not None:
            row.pop(key[1], None)
            if not row:
                del self.rows[key[0]]

    def _remember(self, key: Key) -> None:
        self._before[key[0]].append((key[1], self.rows.get(key[0], {}).get(key[1])))

    # expiry -----------------------------------------------------------------------------------------------------------

    def let_expire(self, name: str) -> None:
        """Drop items past the time in an attribute from now on, those that are here already too."""
        self.expiry = name
        for hash_key, row in self.rows.items():
            for range_key, item in row.items():
                if self._expiry_of(item):
                    heapq.heappush(self._due, (float(self._expiry_of(item)), (hash_key, range_key)))

    def _expiry_of(self, item: Attributes) -> int:
        value = item.get(self.expiry or "")
        return int(value["N"]) if value else 0

    def drop_expired(self, now_s: float) -> int:
        """Drop what expired, a while ago; return how many items went."""
        dropped = 0
        while self._due and self._due[0][0] <= now_s:
            _, key = heapq.heappop(self._due)
            item = self.get(key)
            if item and now_s - OLDEST_EXPIRY_S <= self._expiry_of(item) <= now_s and self._expiry_of(item):
                self.delete(key)
                dropped += 1
        return dropped
