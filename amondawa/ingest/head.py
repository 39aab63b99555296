"""The head: points that are durable in a journal and not yet in chunks, queryable at once.

A generation takes batches as they become durable. It is frozen whole for a flush; its successor takes what arrives meanwhile.
Where several gateways share a store, a gateway also holds copies of what the others have in their heads, by the stamps of the
entries in one order with its own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from amondawa.ingest.generation import Generation, Snapshot
from amondawa.ingest.head_view import HeadView
from amondawa.ingest.run import LATEST, PageCache, Tombstone
from amondawa.model.points import Int32s, Int64s, WriteBatch


class Head:
    """The generations: frozen ones on their way into chunks, the one that takes what arrives, and those of other gateways.

    Attributes:
        in_company: whether other gateways may write to the same series.
    """

    def __init__(self, first: Generation) -> None:
        self.cache = PageCache()
        self._lock = threading.Lock()
        self._frozen: list[Generation] = []
        self._copies: list[Generation] = []
        self._kept: list[Generation] = []
        self._arrivals = threading.Lock()
        self._late_deletes: list[Tombstone] = []
        self.in_company = False
        self.active = first

    @property
    def memory_bytes(self) -> int:
        """Bytes in all generations."""
        everything = (*self._frozen, *self._copies, *self._kept, self.active)
        return sum(generation.memory_bytes for generation in everything)

    @property
    def points(self) -> int:
        """Points in this gateway's own generations."""
        return sum(generation.points for generation in (*self._frozen, self.active))

    def append(self, batch: WriteBatch, generation: Generation | None = None) -> None:
        """Add a batch to a generation (the active one unless given), but for points that a later delete hides."""
        if generation is None and not self._late_deletes:
            self.active.append(batch)
            return
        with self._arrivals:
            for tombstone in self._late_deletes:
                hidden = tombstone.hides(batch.points()) & np.isin(batch.refs, tombstone.refs)
                if hidden.any():
                    batch = WriteBatch.of(batch.refs[~hidden], batch.points().take(~hidden))
            (generation or self.active).append(batch)

    def freeze(self, successor: Generation) -> Generation:
        """Freeze the active generation and put a successor in its place."""
        frozen = self.active
        frozen.chunk_number = successor.number
        self._frozen = [*self._frozen, frozen]
        self.active = successor
        return frozen

    def release(self, generation: Generation) -> None:
        """Note that the points of a frozen generation, or of a copy, are in chunks.

        What other gateways hold may have been committed before points of it and be flushed after them. So points with stamps
        are kept until `forget_kept`.
        """
        with self._lock:
            if self.in_company and generation.last_stamp:
                self._kept = [*self._kept, generation]
            self._frozen = [one for one in self._frozen if one is not generation]
            self._copies = [one for one in self._copies if one is not generation]

    def forget_kept(self, heard_us: int = LATEST) -> None:
        """Let go of kept points that nothing older can come after any more.

        Args:
            heard_us: all that others committed until then (us since 1970 UTC) is here; LATEST = let go whatever may come.
        """
        with self._lock:
            waiting = (*self._frozen, *self._copies, self.active)
            firsts = [one.first_stamp for one in waiting if one.first_stamp is not None and heard_us != LATEST]
            oldest = min([heard_us, *firsts])
            trimmed = [self._trim(one, oldest) for one in self._kept]
            self._kept = [one for one in trimmed if one is not None]

    def _trim(self, kept: Generation, oldest: int) -> Generation | None:
        """Return what is younger than a stamp, roughly: a generation is not built anew for less than half of its time."""
        if kept.last_stamp <= oldest:
            return None
        middle = (kept.last_stamp + (kept.first_stamp or 0)) // 2
        return kept.younger_than(oldest, self.cache) if oldest > middle else kept

    @property
    def frozen(self) -> list[Generation]:
        """Generations that wait for a flush, oldest first."""
        return list(self._frozen)

    @property
    def copies(self) -> list[Generation]:
        """What other gateways have in their heads."""
        return list(self._copies)

    def add_copy(self, generation: Generation) -> None:
        """Add a generation of another gateway."""
        with self._lock:
            self._copies = [*self._copies, generation]

    def others(self, generation: Generation) -> list[Generation]:
        """Return whatever may hold points of other gateways that were committed later than some of a generation."""
        return [one for one in (*self._copies, *self._kept) if one is not generation]

    def delete(self, tombstone: Tombstone) -> None:
        """Hide points of a range in every generation."""
        for generation in (*self._frozen, *self._copies, *self._kept, self.active):
            generation.delete(tombstone)

    def delete_late(self, tombstones: Sequence[Tombstone], late: Sequence[Tombstone]) -> None:
        """Hide points in every generation, and by `late` (in place of what was given before) those that arrive later."""
        with self._arrivals:
            self._late_deletes = list(late)
            for tombstone in tombstones:
                self.delete(tombstone)

    def view(self, now_ms: int = -(2**63)) -> HeadView:
        """Take a snapshot of what is not in chunks for reading; see HeadView."""
        # the active one first: a generation frozen in between is then found among the frozen, never missed. The kept ones
        # last: what is released in between is then found there
        waiting = [*self._copies, *self._own()]
        kept = [one for one in self._kept if one not in waiting]
        return HeadView(_snapshots(waiting), self.cache, _snapshots(kept), now_ms)

    def later_times(self, refs: Int32s, start_ms: int, end_ms: int, stamp: int) -> dict[int, Int64s]:
        """Return by ref the times (ms, ascending) of points in the inclusive range that were committed after a stamp (us)."""
        found: dict[int, Int64s] = {}
        view = HeadView(_snapshots([*self._copies, *self._own(), *self._kept]), self.cache)
        for ref, parts in view.parts_of(view.among(refs)).items():
            times = [
                part.times_ms[(part.times_ms >= start_ms) & (part.times_ms <= end_ms) & (part.stamps > stamp)]
                for part in parts
                if part.stamps is not None
            ]
            if times:
                found[ref] = np.unique(np.concatenate(times))
        return found

    @property
    def oldest_ms(self) -> int:
        """When the oldest segment was begun of which points are not in chunks, or such a point was committed before that.

        What was spooled may be older than the segment that it is in. In ms since 1970 UTC.
        """
        waiting = (*self._copies, *self._own())
        stamps = [one.first_stamp // 1000 for one in waiting if one.first_stamp is not None]
        return min([*stamps, *(min(one.segments, default=one.opened_ms) for one in waiting)])

    def own_view(self) -> HeadView:
        """Take a snapshot of this gateway's own generations alone."""
        return HeadView(_snapshots(self._own()), self.cache)

    def _own(self) -> list[Generation]:
        active = self.active
        frozen = self._frozen
        return list(frozen) if active in frozen else [*frozen, active]


def _snapshots(generations: Sequence[Generation]) -> list[Snapshot]:
    return [generation.snapshot() for generation in generations]
