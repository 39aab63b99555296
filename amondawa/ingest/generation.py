"""A generation: what one stretch of journal segments holds, on its way into chunks.

Small batches are joined, then grouped by series (a raw run), and raw runs are joined into packed runs, so that points rest at
a few bytes each and a series is found by bisection.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from amondawa.ingest.run import PageCache, Run, Tombstone, join_batches, slices_of
from amondawa.model.points import Int64s, WriteBatch

JOIN_BATCHES = 64
JOIN_POINTS = 16_384
PACK_POINTS = 262_144
SLICE_POINTS = 131_072
"""Points that are unpacked at a time while runs are packed."""

Snapshot = tuple[list[Run], list[WriteBatch]]
"""Runs, and batches that came after them, in order of arrival."""


class Generation:
    """What one stretch of journal segments holds. Appends happen on one thread; readers take snapshots."""

    def __init__(self, number: int, segments: Sequence[int], opened_ms: int) -> None:
        self.number = number
        self.chunk_number = number
        self.segments = list(segments)
        self.opened_ms = opened_ms
        self.points = 0
        self.first_stamp: int | None = None
        self.last_stamp = 0
        self._lock = threading.Lock()
        self._young: list[WriteBatch] = []
        self._young_points = 0
        self._young_bytes = 0
        self.memory_bytes = 0
        self._raw: list[Run] = []
        self._packed: list[Run] = []

    def append(self, batch: WriteBatch) -> None:
        """Take a batch that has become durable."""
        if not len(batch):
            return
        self.points += len(batch)
        if batch.stamps is not None:
            self._note_stamps(batch.stamps)
        size_bytes = batch.memory_bytes
        with self._lock:
            self._young.append(batch)
            self._young_points += len(batch)
            self._young_bytes += size_bytes
            self.memory_bytes += size_bytes
            if self._young_points >= JOIN_POINTS:
                self._group_young()
            elif len(self._young) >= JOIN_BATCHES:
                self._young = self._join_small(self._young)

    def _note_stamps(self, stamps: Int64s) -> None:
        lowest, highest = int(stamps.min()), int(stamps.max())
        self.first_stamp = lowest if self.first_stamp is None else min(self.first_stamp, lowest)
        self.last_stamp = max(self.last_stamp, highest)

    def younger_than(self, stamp: int, cache: PageCache) -> Generation | None:
        """Return the points that were committed after a stamp (us) as a generation; None when there are none."""
        if self.last_stamp <= stamp:
            return None
        kept = Generation(self.number, self.segments, self.opened_ms)
        for run in self.runs():
            batch = run.columns_of(0, 2**31 - 1, cache)
            if batch is not None and batch.stamps is not None:
                young = batch.stamps > stamp
                kept.append(WriteBatch.of(batch.refs[young], batch.points().take(young)))
        return kept

    @staticmethod
    def _join_small(young: list[WriteBatch]) -> list[WriteBatch]:
        """Join the short batches at the end, so that their number stays logarithmic in their points."""
        at = len(young)
        total = 0
        while at and len(young[at - 1]) <= max(total, JOIN_BATCHES):
            at -= 1
            total += len(young[at])
        return [*young[:at], join_batches(young[at:])] if len(young) - at > 1 else young

    def _group_young(self) -> None:
        if self._young:
            joined = join_batches(self._young)
            run = Run.build(joined)
            self._raw.append(run)
            self.memory_bytes += run.memory_bytes - self._young_bytes
            self._young, self._young_points, self._young_bytes = [], 0, 0

    @property
    def wants_packing(self) -> bool:
        """Whether `pack` would do something useful."""
        raw = self._raw
        if not raw:
            return False
        # a packed run costs some bytes a series beside its points: with many series it must hold more points
        series = max(int(run.refs[-1]) for run in raw)
        return sum(map(len, raw)) >= min(max(PACK_POINTS, 8 * series), 4 * PACK_POINTS)

    def pack(self, cache: PageCache) -> bool:
        """Join the raw runs into a packed one; may run beside appends and reads. Says whether it did."""
        with self._lock:
            raw = list(self._raw)
            tombstones = [len(run.tombstones) for run in raw]
        if not raw:
            return False
        packed = Run.pack(slices_of(raw, SLICE_POINTS, cache))
        with self._lock:
            if [len(run.tombstones) for run in raw] != tombstones:
                return False  # a delete came in between: the packed run would not know it
            self._raw = self._raw[len(raw) :]
            self.memory_bytes -= sum(run.memory_bytes for run in raw)
            if len(packed):
                self._packed.append(packed)
                self.memory_bytes += packed.memory_bytes
        return True

    def delete(self, tombstone: Tombstone) -> None:
        """Hide the points of a range that are here now; later ones are not touched."""
        with self._lock:
            self._group_young()
            for run in (*self._packed, *self._raw):
                run.tombstones.append(tombstone)

    def runs(self) -> list[Run]:
        """Return everything as runs, in order of arrival."""
        with self._lock:
            self._group_young()
            return [*self._packed, *self._raw]

    def snapshot(self) -> Snapshot:
        """Return runs and younger batches, in order of arrival; neither list changes afterwards."""
        with self._lock:
            return [*self._packed, *self._raw], list(self._young)
