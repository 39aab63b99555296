"""The journal shards of other gateways: found by their leases, read while written, taken when their process is gone."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from amondawa.store.base import Item
from amondawa.store.dynamodb.journal import ShardJournal
from amondawa.store.dynamodb.lease import FREE, LEASES, Lease, is_gone
from amondawa.store.dynamodb.reader import Bounds, Reader
from amondawa.store.shared import Shard, ShardSegment, SharedJournals

LOOKS = 20
"""Whoever waits for what becomes of a lease looks this often in its length."""
BLIND_S = 10.0
"""Looks that are further apart than this were kept apart by an outage."""


class DynamoShards(SharedJournals):
    """See SharedJournals.

    Args:
        name: full name of the journal table.
        own: this gateway's id.
        reader: how leases are read.
        journal_of: gives the journal of a shard.
        lease_of: gives a lease on a shard, to adopt it.
        clock: monotonic seconds.
        length_s: a lease that has not changed for this long has run out.
    """

    def __init__(
        self,
        name: str,
        own: str,
        reader: Reader,
        journal_of: Callable[[str], ShardJournal],
        lease_of: Callable[[str], Lease],
        clock: Callable[[], float],
        length_s: float,
    ) -> None:
        self._name = name
        self.own = own
        self._reader = reader
        self._journal_of = journal_of
        self._lease_of = lease_of
        self._clock = clock
        self._length_s = length_s
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._looked_s = clock()
        self._journals: dict[str, ShardJournal] = {}
        self._claimed: dict[str, Lease] = {}

    def shards(self, *, sure: bool) -> list[Shard]:
        """See SharedJournals."""
        pages = self._reader.query(self._name, LEASES, Bounds(None, None), False, consistent=sure)
        items = [item for page in pages for item in page]
        self._forgive_silence()
        return [self._seen_now(item) for item in items if item.range.decode() != self.own]

    def _forgive_silence(self) -> None:
        """Count anew how long leases have not changed after a while without a look: nobody could renew one then either."""
        with self._lock:
            now = self._clock()
            if now - self._looked_s > BLIND_S:
                self._seen = {name: (value, now) for name, (value, _) in self._seen.items()}
            self._looked_s = now

    def _seen_now(self, item: Item) -> Shard:
        """Note what a lease looks like now; one that does not change for its length has run out."""
        name, now = item.range.decode(), self._clock()
        with self._lock:
            value, since = self._seen.get(name, (b"", now))
            if value != item.value:
                since = now
            self._seen[name] = (item.value, since)
        gone = item.value == FREE or now - since > self._length_s or is_gone(json.loads(item.value))
        return Shard(name, _session(item.value), gone)

    def living(self, pause: Callable[[float], None]) -> str:
        """Return the name of a shard whose lease is renewed; empty once those that are left have run out.

        Args:
            pause: waits for some seconds, before the next look.
        """
        before: dict[str, bytes] = {}
        while standing := [shard.name for shard in self.shards(sure=True) if not shard.gone]:
            for name in standing:
                value, _ = self._seen[name]
                if before.setdefault(name, value) != value:
                    return name
            pause(self._length_s / LOOKS)
        return ""

    def _journal(self, shard: str) -> ShardJournal:
        with self._lock:
            return self._journals.setdefault(shard, self._journal_of(shard))

    def segments(self, shard: str) -> list[ShardSegment]:
        """See SharedJournals."""
        return self._journal(shard).listing()

    def follow(self, shard: str, segment: int, sequence: int, *, sure: bool) -> list[tuple[int, bytes]]:
        """See SharedJournals."""
        return self._journal(shard).follow(segment, sequence, sure=sure)

    def claim(self, shard: Shard) -> bool:
        """See SharedJournals; by condition on what was seen last of the lease, when that is still what showed it gone."""
        lease = self._lease_of(shard.name)
        with self._lock:
            value, _ = self._seen.get(shard.name, (FREE, 0.0))
        if _session(value) != shard.session or not lease.claim(value):
            return False
        with self._lock:
            self._claimed[shard.name] = lease
        return True

    def append(self, shard: str, segment: int, sequence: int, payload: bytes) -> None:
        """See SharedJournals."""
        self._claimed[shard].check()
        self._journal(shard).append(segment, sequence, payload)

    def drop(self, shard: str, segment: int) -> None:
        """See SharedJournals."""
        self._claimed[shard].check()
        self._journal(shard).drop(segment)

    def free(self, shard: str) -> None:
        """See SharedJournals."""
        with self._lock:
            lease = self._claimed.pop(shard, None)
        if lease is not None:
            lease.release()

    def close(self) -> None:
        """Let go of all shards that are claimed."""
        for shard in list(self._claimed):
            self.free(shard)


def _session(lease: bytes) -> str:
    """Return what tells the process that holds a lease from any other; empty = nobody holds it."""
    return str(json.loads(lease).get("token", ""))
