"""Runs: points of many series grouped by series, kept in memory raw or packed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from amondawa.kernels.grouping import group_by_ref
from amondawa.model.points import Int32s, Int64s, Points, WriteBatch
from amondawa.store import codec

Seconds = npt.NDArray[np.uint32] | npt.NDArray[np.int64]
PAGE_POINTS = 16_384
LATEST = 2**63 - 1
NEVER = np.int64(LATEST)
_CACHED_PAGES = 64


@dataclass(frozen=True, slots=True, eq=False)
class Tombstone:
    """A delete that arrived after a run: its series (refs ascending) and its inclusive range.

    Attributes:
        stamp: points that were committed later (us) stay, where points have stamps.
    """

    refs: Int32s
    start_ms: int
    end_ms: int
    stamp: int = LATEST

    def covers(self, ref: int) -> bool:
        """Say whether a series is among those deleted from."""
        at = int(np.searchsorted(self.refs, ref))
        return at < len(self.refs) and int(self.refs[at]) == ref

    def hides(self, points: Points) -> npt.NDArray[np.bool_]:
        """Say of each point of one of its series whether it goes."""
        hit: npt.NDArray[np.bool_] = (points.times_ms >= self.start_ms) & (points.times_ms <= self.end_ms)
        if points.stamps is not None and self.stamp != LATEST:
            hit &= points.stamps <= self.stamp
        return hit


class PageCache:
    """The pages that were unpacked last, shared by all runs; safe in any thread."""

    def __init__(self, capacity: int = _CACHED_PAGES) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._pages: OrderedDict[int, tuple[bytes, Points]] = OrderedDict()

    def unpack(self, page: bytes) -> Points:
        """Return the points of a page."""
        key = id(page)
        with self._lock:
            found = self._pages.get(key)
            if found is not None and found[0] is page:
                self._pages.move_to_end(key)
                return found[1]
        points = codec.decode(page)
        with self._lock:
            self._pages[key] = (page, points)
            if len(self._pages) > self._capacity:
                self._pages.popitem(last=False)
        return points


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """First and last time of each series, in whole seconds after the earliest one (uint32 where that fits)."""

    base_s: int
    first: Seconds
    last: Seconds

    @classmethod
    def of(cls, times_ms: Int64s, offsets: Int32s) -> Spans:
        """Measure grouped points."""
        starts = offsets[:-1]
        if not len(starts):
            return cls(0, np.zeros(0, np.uint32), np.zeros(0, np.uint32))
        first = np.minimum.reduceat(times_ms, starts) // 1000
        last = np.maximum.reduceat(times_ms, starts) // 1000
        base = int(first.min())
        if int(last.max()) - base < 2**32:
            return cls(base, (first - base).astype(np.uint32), (last - base).astype(np.uint32))
        return cls(base, first - base, last - base)

    @property
    def memory_bytes(self) -> int:
        """Bytes of both columns."""
        return self.first.nbytes + self.last.nbytes

    def touch(self, start_ms: int, end_ms: int) -> npt.NDArray[np.bool_]:
        """Say of each series whether its span touches the inclusive range (to the second)."""
        start, end = start_ms // 1000 - self.base_s, end_ms // 1000 - self.base_s
        return (self.first.astype(np.int64) <= end) & (self.last.astype(np.int64) >= start)


@dataclass(slots=True, eq=False)
class Run:
    """Points grouped by series, in order of arrival within each; immutable but for tombstones.

    Attributes:
        refs: int32[m], ascending: the series in it.
        offsets: int32[m + 1]: where each series' points are.
        spans: first and last time of each series, when packed.
        raw: the points, or None when packed.
        pages: encoded points, PAGE_POINTS each, when packed.
        stamps: when the points of each page were committed, when packed and known: pages whose values are the stamps.
        expires_ms: int64[m]: when the last point of each series expires, NEVER where one never does; None = none expires.
        tombstones: deletes that came after these points.
    """

    refs: Int32s
    offsets: Int32s
    spans: Spans | None
    raw: Points | None
    pages: tuple[bytes, ...]
    memory_bytes: int
    expires_ms: Int64s | None = None
    stamps: tuple[bytes, ...] = ()
    tombstones: list[Tombstone] = field(default_factory=list)

    @classmethod
    def build(cls, refs: Int32s, points: Points, *, pack: bool) -> Run:
        """Group columns (any order of series, arrival order kept within each) into a run."""
        order, unique, wide_offsets = group_by_ref(refs)
        offsets = wide_offsets.astype(np.int32)
        grouped = points.take(order)
        expires = _last_expiry(grouped, offsets)
        side = unique.nbytes + offsets.nbytes + (0 if expires is None else expires.nbytes)
        if not pack:
            texts = sum(map(len, grouped.texts)) + 50 * len(grouped.texts)
            own = (17 + 8 * (grouped.expires_ms is not None) + 8 * (grouped.stamps is not None)) * len(grouped) + texts
            return cls(unique, offsets, None, grouped, (), own + side, expires)
        cuts = [slice(at, at + PAGE_POINTS) for at in range(0, len(grouped), PAGE_POINTS)]
        pages = tuple(codec.encode(grouped.take(cut)) for cut in cuts)
        stamps = () if grouped.stamps is None else tuple(_stamp_page(grouped.stamps[cut]) for cut in cuts)
        spans = Spans.of(grouped.times_ms, offsets)
        size = sum(map(len, pages)) + sum(map(len, stamps)) + side + spans.memory_bytes
        return cls(unique, offsets, spans, None, pages, size, expires, stamps)

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def spanning(self, start_ms: int, end_ms: int) -> Int32s:
        """Return the series whose first and last time here enclose or touch the inclusive range."""
        spans = self.spans
        if spans is None:
            assert self.raw is not None
            spans = Spans.of(self.raw.times_ms, self.offsets)
        return self.refs[spans.touch(start_ms, end_ms)]

    def slice(self, start: int, stop: int, cache: PageCache) -> Points:
        """Return the points between two offsets, tombstones not applied."""
        if self.raw is not None:
            return self.raw.take(slice(start, stop))
        parts = []
        for number in range(start // PAGE_POINTS, (stop - 1) // PAGE_POINTS + 1):
            page = cache.unpack(self.pages[number])
            if self.stamps:
                page = replace(page, stamps=cache.unpack(self.stamps[number]).bits)
            base = number * PAGE_POINTS
            parts.append(page.take(slice(max(start - base, 0), min(stop - base, PAGE_POINTS))))
        return Points.concat(parts)

    def points_of(self, ref: int, cache: PageCache) -> Points | None:
        """Return one series' points in order of arrival, deletes applied; None when it has none here."""
        at = int(np.searchsorted(self.refs, ref))
        if at == len(self.refs) or int(self.refs[at]) != ref:
            return None
        points = self.slice(int(self.offsets[at]), int(self.offsets[at + 1]), cache)
        for tombstone in self.tombstones:
            if tombstone.covers(ref):
                points = points.take(~tombstone.hides(points))
        return points if len(points) else None

    def columns_of(self, lowest: int, highest: int, cache: PageCache) -> WriteBatch | None:
        """Return the points of all series with lowest <= ref < highest, deletes applied, grouped by series."""
        first, last = np.searchsorted(self.refs, [lowest, highest])
        if first == last:
            return None
        start, stop = int(self.offsets[first]), int(self.offsets[last])
        points = self.slice(start, stop, cache)
        refs = np.repeat(self.refs[first:last], np.diff(self.offsets[first : last + 1]))
        for tombstone in self.tombstones:
            hit = tombstone.hides(points) & np.isin(refs, tombstone.refs)
            if hit.any():
                refs, points = refs[~hit], points.take(~hit)
        if not len(refs):
            return None
        return WriteBatch.of(refs, points)

    def live_refs(self, cache: PageCache, now_ms: int) -> Int32s:
        """Return the series that still have points here, neither deleted nor expired by now (int32, ascending)."""
        refs = self._undeleted(cache)
        if self.expires_ms is None:
            return refs
        return refs[self.expires_ms[np.searchsorted(self.refs, refs)] > now_ms]

    def _undeleted(self, cache: PageCache) -> Int32s:
        if not self.tombstones:
            return self.refs
        touched = np.unique(np.concatenate([t.refs for t in self.tombstones]))
        dead = [r for r in np.intersect1d(self.refs, touched).tolist() if self.points_of(r, cache) is None]
        return np.setdiff1d(self.refs, np.array(dead, np.int32)) if dead else self.refs


def _stamp_page(stamps: Int64s) -> bytes:
    """Pack stamps (int64[n], us) as the values of points at 0, 1, 2 …"""
    return codec.encode(Points.longs(np.arange(len(stamps)), np.ascontiguousarray(stamps)))


def _last_expiry(points: Points, offsets: Int32s) -> Int64s | None:
    """Return when the last of each series' points expires (int64[m], ms), see Run.expires_ms."""
    if points.expires_ms is None or not len(points):
        return None
    latest: Int64s = np.maximum.reduceat(np.where(points.expires_ms == 0, NEVER, points.expires_ms), offsets[:-1])
    return latest


def join_batches(batches: Sequence[WriteBatch]) -> WriteBatch:
    """Join batches in the order given."""
    if len(batches) == 1:
        return batches[0]
    points = Points.concat([batch.points() for batch in batches])
    refs = np.concatenate([batch.refs for batch in batches])
    return WriteBatch.of(refs, points)


def ref_slices(runs: Sequence[Run], points: int) -> Iterator[tuple[int, int]]:
    """Cut the refs of some runs into ranges [lowest, highest) that hold about `points` points each."""
    if not runs:
        return
    top = max(int(run.refs[-1]) for run in runs if len(run.refs)) + 1
    counts = np.zeros(top, np.int64)
    for run in runs:
        counts[run.refs] += np.diff(run.offsets)
    filled = np.cumsum(counts)
    lowest = 0
    while lowest < top:
        before = int(filled[lowest - 1]) if lowest else 0
        highest = int(np.searchsorted(filled, before + points, "right"))
        highest = min(max(highest, lowest + 1), top)
        yield lowest, highest
        lowest = highest
