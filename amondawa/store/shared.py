"""The journals of several gateways on one store: what one of them may read, and do, of the others'."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple


class Shard(NamedTuple):
    """The journal of another gateway.

    Attributes:
        name: the gateway's id.
        session: another one after each start of its process; "" = no process holds it.
        gone: its process has ended, or has not been heard of for the length of its lease.
    """

    name: str
    session: str
    gone: bool


ALL_BYTES = 1_000_000
"""Entries of fewer bytes are all that there are."""


class ShardSegment(NamedTuple):
    """A segment of a shard; `dropped_ms` says when it was dropped (ms since 1970 UTC), 0 = it was not."""

    number: int
    dropped_ms: int


class SharedJournals(ABC):
    """The shards of the other gateways; synchronous, safe in any thread. Methods raise StoreError and Unavailable."""

    own: str
    """the name of this gateway's shard"""

    @abstractmethod
    def shards(self, *, sure: bool) -> list[Shard]:
        """Return the other gateways' shards; one that has only just come may be missing where it need not be `sure`."""

    @abstractmethod
    def segments(self, shard: str) -> list[ShardSegment]:
        """Return the segments of a shard that are listed, ascending; dropped ones are listed until they expire."""

    @abstractmethod
    def follow(self, shard: str, segment: int, sequence: int, *, sure: bool) -> list[tuple[int, bytes]]:
        """Return (sequence, payload) of the entries of a segment from a sequence on, as far as none is missing.

        When it need not be `sure`, some of what was acknowledged in the last moment may be left for the next call.
        An answer of ALL_BYTES or more may have been cut off.
        """

    @abstractmethod
    def claim(self, shard: Shard) -> bool:
        """Take the shard of a process that is gone, and keep it until `free`; say whether it is ours."""

    @abstractmethod
    def append(self, shard: str, segment: int, sequence: int, payload: bytes) -> None:
        """Append an entry to a claimed shard."""

    @abstractmethod
    def drop(self, shard: str, segment: int) -> None:
        """Drop a segment of a claimed shard."""

    @abstractmethod
    def free(self, shard: str) -> None:
        """Let the next process take a claimed shard."""
