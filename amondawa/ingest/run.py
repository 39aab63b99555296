"""Runs: points of many series grouped by series, kept in memory raw or packed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from amondawa.kernels.grouping import group_by_ref
from amondawa.model.points import Int32s, Int64s, Points, WriteBatch
from amondawa.store import codec

T = TypeVar("T", bound=np.generic)
Seconds = npt.NDArray[np.uint32] | npt.NDArray[np.int64]
PAGE_POINTS = 16_384
LATEST = 2**63 - 1
NEVER = np.int64(LATEST)
_CACHED_PAGES = 8


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
    def of(cls, first: Int64s, last: Int64s) -> Spans:
        """Keep first and last times (int64[m], s since 1970 UTC) as small as may be."""
        if not len(first):
            return cls(0, np.zeros(0, np.uint32), np.zeros(0, np.uint32))
        base = int(first.min())
        if int(last.max()) - base < 2**32:
            return cls(base, (first - base).astype(np.uint32), (last - base).astype(np.uint32))
        return cls(base, first - base, last - base)

    @classmethod
    def measure(cls, times_ms: Int64s, offsets: Int32s) -> Spans:
        """Measure grouped points."""
        starts = offsets[:-1]
        if not len(starts):
            return cls.of(times_ms[:0], times_ms[:0])
        return cls.of(np.minimum.reduceat(times_ms, starts) // 1000, np.maximum.reduceat(times_ms, starts) // 1000)

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
        pages: encoded points, PAGE_POINTS each at most, when packed.
        page_starts: int64[pages]: where the points of each page begin.
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
    page_starts: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    tombstones: list[Tombstone] = field(default_factory=list)

    @classmethod
    def build(cls, batch: WriteBatch) -> Run:
        """Group columns (any order of series, arrival order kept within each) into a raw run."""
        grouped, unique, offsets = _grouped(batch)
        expires = _last_expiry(grouped, offsets)
        side = unique.nbytes + offsets.nbytes + (0 if expires is None else expires.nbytes)
        texts = sum(map(len, grouped.texts)) + 50 * len(grouped.texts)
        own = (17 + 8 * (grouped.expires_ms is not None) + 8 * (grouped.stamps is not None)) * len(grouped) + texts
        return cls(unique, offsets, None, grouped, (), own + side, expires)

    @classmethod
    def pack(cls, slices: Iterable[WriteBatch]) -> Run:
        """Group columns into a packed run, a slice at a time, so that never all of them lie here unpacked.

        Args:
            slices: series ascend from slice to slice, in any order within one; arrival order is kept within each series.
        """
        packer = _Packer()
        for batch in slices:
            packer.add(batch)
        return packer.run()

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def spanning(self, start_ms: int, end_ms: int) -> Int32s:
        """Return the series whose first and last time here enclose or touch the inclusive range."""
        spans = self.spans
        if spans is None:
            assert self.raw is not None
            spans = Spans.measure(self.raw.times_ms, self.offsets)
        return self.refs[spans.touch(start_ms, end_ms)]

    def slice(self, start: int, stop: int, cache: PageCache) -> Points:
        """Return the points between two offsets, tombstones not applied."""
        if self.raw is not None:
            return self.raw.take(slice(start, stop))
        parts = []
        first, beyond = (
            int(np.searchsorted(self.page_starts, start, "right")) - 1,
            np.searchsorted(self.page_starts, stop),
        )
        for number in range(first, int(beyond)):
            page = cache.unpack(self.pages[number])
            if self.stamps:
                page = replace(page, stamps=cache.unpack(self.stamps[number]).bits)
            base = int(self.page_starts[number])
            parts.append(page.take(slice(max(start - base, 0), min(stop - base, len(page)))))
        return Points.concat(parts)

    def points_of(self, ref: int, cache: PageCache) -> Points | None:
        """Return one series' points in order of arrival, deletes applied; None when it has none here."""
        at = int(np.searchsorted(self.refs, ref))
        if at == len(self.refs) or int(self.refs[at]) != ref:
            return None
        points = self._undeleted_of(ref, self.slice(int(self.offsets[at]), int(self.offsets[at + 1]), cache))
        return points if len(points) else None

    def parts_of(self, members: Int32s, cache: PageCache) -> Iterator[tuple[int, Points]]:
        """Yield the points of series (ascending) that are in this run, as `points_of` does of one."""
        at = np.searchsorted(self.refs, members)
        starts, stops = self.offsets[at].tolist(), self.offsets[at + 1].tolist()
        for ref, start, stop in zip(members.tolist(), starts, stops, strict=True):
            points = self._undeleted_of(ref, self.slice(start, stop, cache))
            if len(points):
                yield ref, points

    def _undeleted_of(self, ref: int, points: Points) -> Points:
        for tombstone in self.tombstones:
            if tombstone.covers(ref):
                points = points.take(~tombstone.hides(points))
        return points

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


class _Packer:
    """A packed run in the making."""

    def __init__(self) -> None:
        self._refs: list[Int32s] = []
        self._counts: list[Int64s] = []
        self._first_s: list[Int64s] = []
        self._last_s: list[Int64s] = []
        self._expires: list[Int64s | None] = []
        self._pages: list[bytes] = []
        self._stamps: list[bytes] = []
        self._starts: list[int] = []
        self._points = 0

    def add(self, batch: WriteBatch) -> None:
        """Take the next slice, see `Run.pack`."""
        grouped, unique, offsets = _grouped(batch)
        starts = offsets[:-1]
        self._refs.append(unique)
        self._counts.append(np.diff(offsets).astype(np.int64))
        self._first_s.append(np.minimum.reduceat(grouped.times_ms, starts) // 1000)
        self._last_s.append(np.maximum.reduceat(grouped.times_ms, starts) // 1000)
        self._expires.append(_last_expiry(grouped, offsets))
        for at in range(0, len(grouped), PAGE_POINTS):
            page = grouped.take(slice(at, at + PAGE_POINTS))
            self._pages.append(codec.encode(page))
            if page.stamps is not None:
                self._stamps.append(_stamp_page(page.stamps))
            self._starts.append(self._points + at)
        self._points += len(grouped)

    def run(self) -> Run:
        """Return all of it as a run."""
        refs = _all(self._refs, np.int32)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(_all(self._counts, np.int64))]).astype(np.int32)
        spans = Spans.of(_all(self._first_s, np.int64), _all(self._last_s, np.int64))
        expires = None
        if any(one is not None for one in self._expires):
            parts = zip(self._expires, self._refs, strict=True)
            expires = np.concatenate([np.full(len(r), NEVER) if one is None else one for one, r in parts])
        side = refs.nbytes + offsets.nbytes + (0 if expires is None else expires.nbytes) + spans.memory_bytes
        size = sum(map(len, self._pages)) + sum(map(len, self._stamps)) + side
        starts = np.array(self._starts, np.int64)
        return Run(refs, offsets, spans, None, tuple(self._pages), size, expires, tuple(self._stamps), starts)


def _all(parts: Sequence[npt.NDArray[T]], dtype: type[T]) -> npt.NDArray[T]:
    """Join columns of which there may be none."""
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def _grouped(batch: WriteBatch) -> tuple[Points, Int32s, Int32s]:
    """Return points by series, those series (int32[m], ascending) and where the points of each are (int32[m + 1])."""
    order, unique, offsets = group_by_ref(batch.refs)
    return batch.points().take(order), unique, offsets.astype(np.int32)


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


def columns_between(runs: Sequence[Run], lowest: int, highest: int, cache: PageCache) -> WriteBatch | None:
    """Return the points of the series with lowest <= ref < highest; None when there are none."""
    parts = [part for run in runs if (part := run.columns_of(lowest, highest, cache)) is not None]
    return join_batches(parts) if parts else None


def slices_of(runs: Sequence[Run], points: int, cache: PageCache) -> Iterator[WriteBatch]:
    """Yield all points of some runs, about `points` at a time; series ascend from slice to slice."""
    for lowest, highest in ref_slices(runs, points):
        batch = columns_between(runs, lowest, highest, cache)
        if batch is not None:
            yield batch


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
