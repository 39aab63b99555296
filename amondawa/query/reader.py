"""Reading: from a selection and a range to the merged points of each series."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from amondawa.index.columns import MetricSeries
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NO_REFS, RowDirectory
from amondawa.ingest.head import Head
from amondawa.ingest.head_view import HeadView, member_of
from amondawa.model.points import Int32s, Kind, Points
from amondawa.model.query import Identity, Query, Selection
from amondawa.model.rollup import Rollup
from amondawa.query.budget import Budget
from amondawa.query.cache import RowCache, RowName, StoredPoints
from amondawa.query.copies import Copies
from amondawa.query.rollup import RollupPlan
from amondawa.store import keys, rows
from amondawa.store.base import BlockStore
from amondawa.store.blocks import Block
from amondawa.store.retention import Retention
from amondawa.store.rollup_items import StoredRow, read_stored

_TRIES = 5
FETCH_ROWS = 512
"""Rows asked of the store at a time, so that a long query checks its budget now and then."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesPoints:
    """One series' points in range.

    Attributes:
        ref: which series.
        points: those that are not rolled up; in order of time where there are rolled-up data, else as asked for.
        rollups: its rolled-up data.
        is_cut: the range holds some points of a rolled-up interval and not all.
    """

    ref: int
    points: Points
    rollups: tuple[Rollup, ...] = ()
    is_cut: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """What one query reads.

    Attributes:
        wanted: the rows to look for in chunks: block, base time (s) and refs (ascending).
        view: what is in the head.
        copies: rolled-up data to read in place of points.
    """

    metric: MetricSeries
    query: Query
    budget: Budget
    now_ms: int
    wanted: Sequence[tuple[Block, int, Int32s]]
    view: HeadView
    copies: Copies


class Reader:
    """Reads series from chunks and head together; safe in any thread.

    Args:
        retention: how long points of a metric are kept; older ones are not seen, whether they are gone yet or not.
        now_ms: the wall clock.
    """

    def __init__(
        self,
        store: BlockStore,
        registry: SeriesRegistry,
        directory: RowDirectory,
        head: Head,
        cache: RowCache,
        retention: Retention,
        now_ms: Callable[[], int],
    ) -> None:
        self._retention = retention
        self._now_ms = now_ms
        self._store = store
        self._registry = registry
        self._directory = directory
        self._head = head
        self.cache = cache

    def read(self, query: Query, budget: Budget, now_ms: int, plan: RollupPlan | None = None) -> Iterator[SeriesPoints]:
        """Yield the series that match and have points in range, in order of creation, points ascending (or descending).

        Where points are kept beside what they were rolled up to, that is read in their place as far as `plan` allows.

        Raises:
            LimitExceeded, Cancelled: by the budget.
            StoreError: the store failed; Corrupt names the item.
        """
        view = self._head.view()  # before the directory: what leaves the head is in the directory by then
        selection = query.selection
        oldest_ms = self._retention.oldest_ms(selection.domain, selection.metric, now_ms)
        if query.start_ms < oldest_ms:
            query = replace(query, start_ms=oldest_ms)
            if query.end_ms < oldest_ms:
                return
        metric = self._registry.metric_or_new(selection.domain, selection.metric)
        stored = self._directory.rows(metric, query.start_ms // 1000, query.end_ms // 1000)
        matched = self._registry.match(selection)
        in_head = view.among(matched)
        wanted = [(block, base, refs) for block, base, all_refs in stored if len(refs := member_of(matched, all_refs))]
        present = np.unique(np.concatenate([in_head, *(refs for _, _, refs in wanted)])) if wanted else in_head
        budget.use_series(len(present))
        for group in _groups(present, wanted):
            copies = Copies(self._store, plan, selection.metric, group, self._head.view)
            reading = _Reading(metric, query, budget, now_ms, wanted, view, copies)
            yield from self._read_group(reading, group, member_of(group, in_head))

    def _read_group(
        self, reading: _Reading, group: Int32s, in_head: Int32s, *, is_again: bool = False
    ) -> Iterator[SeriesPoints]:
        """Yield the series of a group; those of them that are in the head are `in_head`."""
        query, budget = reading.query, reading.budget
        budget.check()
        parts: dict[int, list[Points]] = {ref: [] for ref in group.tolist()}
        rolled: dict[int, list[Rollup]] = {}
        for block, base, refs in reading.wanted:
            fetched = self._fetch_rows(reading, block, base, member_of(group, refs))
            for ref, row in fetched.items():
                if isinstance(row, StoredRow):
                    rolled.setdefault(ref, []).extend(row.rollups)
                points = row.points if isinstance(row, StoredRow) else row
                if len(trimmed := points.between(query.start_ms, query.end_ms)):
                    parts[ref].append(trimmed)
        young = reading.view.parts_of(in_head) if len(in_head) else {}
        contested = _contested(rolled, reading.view)
        if len(contested) and not is_again:
            yield from self._again(reading, group, contested, in_head)
            return
        in_order = replace(query, limit=0, descending=False) if rolled else query
        for ref, stored in parts.items():
            rollups, is_cut = _inside(rolled.get(ref, ()), query)
            points = _finish(stored, young.get(ref), in_order if rollups else query, reading.now_ms)
            if len(points) or rollups:
                budget.use_points(len(points) + sum(map(len, rollups)))
                yield SeriesPoints(ref, points, rollups, is_cut)

    def _again(self, reading: _Reading, group: Int32s, contested: Int32s, in_head: Int32s) -> Iterator[SeriesPoints]:
        """Read a group of which some series have points in the head among the times of rolled-up rows.

        Elsewhere a point may be met in chunks and in the head, for one of two equals is left out. Here both would count. So
        the rows of these series are read again, beside what is not in chunks, until nothing was flushed meanwhile.
        """
        rest = np.setdiff1d(group, contested).astype(np.int32)
        among = member_of(rest, in_head)
        others = self._read_group(reading, rest, among, is_again=True)
        read = {one.ref: one for one in others}
        for _ in range(_TRIES):
            epoch = self.cache.epoch
            fresh = self._head.view()
            anew = replace(reading, view=fresh, copies=reading.copies.beside(fresh))
            again = list(self._read_group(anew, contested, fresh.among(contested), is_again=True))
            if self.cache.epoch == epoch:
                break
        read |= {one.ref: one for one in again}
        yield from (read[ref] for ref in group.tolist() if ref in read)

    def _fetch_rows(self, reading: _Reading, block: Block, base: int, refs: Int32s) -> dict[int, StoredPoints]:
        """Return the merged rows of series at one base time, from the cache or the store."""
        query, budget = reading.query, reading.budget
        names: list[RowName] = [(ref, base) for ref in refs.tolist()]
        epoch = self.cache.epoch
        found = self.cache.find(names)
        missing = [name for name in names if name not in found]
        for at in range(0, len(missing), FETCH_ROWS):
            budget.check()
            whole: dict[RowName, StoredPoints] = {}
            hashes = {
                keys.row_key(reading.metric.metric_key, base, self._registry.tags_key_of(name[0])): name
                for name in missing[at : at + FETCH_ROWS]
            }
            if copied := reading.copies.find(block, hashes, budget):
                found.update(copied)
                hashes = {row_key: name for row_key, name in hashes.items() if name not in copied}
            for row_key, items in self._store.query_many(block.datapoints_table, list(hashes)).items():
                budget.rows_read += 1
                budget.bytes_read += sum(len(item.value) for item in items)
                row, is_whole = read_stored(items, query.start_ms, query.end_ms)
                found[hashes[row_key]] = row
                if is_whole:
                    whole[hashes[row_key]] = row
            self.cache.keep(epoch, whole)
        return {name[0]: row for name, row in found.items()}

    # index only -------------------------------------------------------------------------------------------------------

    def series_in(self, selection: Selection, start_ms: int, end_ms: int) -> Int32s:
        """Return the refs that match and have rows in the range, ascending, without reading points."""
        now_ms = self._now_ms()
        start_ms = max(start_ms, self._retention.oldest_ms(selection.domain, selection.metric, now_ms))
        if end_ms < start_ms:
            return NO_REFS
        view = self._head.view(now_ms)
        metric = self._registry.metric_or_new(selection.domain, selection.metric)
        stored = self._directory.rows(metric, start_ms // 1000, end_ms // 1000)
        matched = self._registry.match(selection)
        parts = [member_of(matched, refs) for _, _, refs in stored]
        parts.append(view.among_between(matched, start_ms, end_ms))
        return np.unique(np.concatenate(parts)).astype(np.int32, copy=False)


def _contested(rolled: Mapping[int, Sequence[Rollup]], view: HeadView) -> Int32s:
    """Return the series (ascending) that have points in the head among the times of their rolled-up data."""
    if not rolled:
        return NO_REFS
    held = [one for own in rolled.values() for one in own if len(one)]
    if not held:
        return NO_REFS
    start_ms = min(int(one.firsts.times_ms[0]) // one.step_ms * one.step_ms for one in held)
    end_ms = max(int(one.lasts.times_ms[-1]) // one.step_ms * one.step_ms + one.step_ms - 1 for one in held)
    return view.among_between(np.array(sorted(rolled), np.int32), start_ms, end_ms)


def _inside(rolled: Sequence[Rollup], query: Query) -> tuple[tuple[Rollup, ...], bool]:
    """Cut rolled-up data to the range of a query; those of which nothing is left stay only where the range cuts them."""
    if not rolled:
        return (), False
    cuts = [one.inside(query.start_ms, query.end_ms) for one in rolled]
    return tuple(one for one, is_cut in cuts if len(one) or is_cut), any(is_cut for _, is_cut in cuts)


def _groups(present: Int32s, wanted: Sequence[tuple[Block, int, Int32s]]) -> Iterator[Int32s]:
    """Cut series into groups whose rows together stay near FETCH_ROWS."""
    size = max(1, FETCH_ROWS // max(1, len(wanted)))
    for at in range(0, len(present), size):
        yield present[at : at + size]


def _finish(stored: list[Points], young: list[Points] | None, query: Query, now_ms: int) -> Points:
    """Merge one series' rows (ascending) with its head parts; trim, expire, make unique, order and limit."""
    points = Points.concat(stored)  # rows ascend and do not overlap
    if young:
        points = rows.merge([points, *young]).between(query.start_ms, query.end_ms)
    if points.expires_ms is not None:
        alive = (points.expires_ms == 0) | (points.expires_ms > now_ms)
        if not alive.all():
            points = points.take(alive)
    if query.identity is Identity.TIME and not _one_kind(points):
        points = rows.latest_only(points)
    if query.descending:
        points = points.take(slice(None, None, -1))
    if query.limit > 0 and len(points) > query.limit:
        points = _first(points, query.limit, query.identity)
    return points


def _first(points: Points, limit: int, identity: Identity) -> Points:
    """Cut to the first points; where kinds are identities (KairosDB keeps them apart) to the first of each kind."""
    if identity is Identity.TIME or _one_kind(points):
        return points.take(slice(0, limit))
    kept = np.zeros(len(points), np.bool_)
    for kind in Kind:
        kept[np.flatnonzero(points.kinds == kind)[:limit]] = True
    return points.take(kept)


def _one_kind(points: Points) -> bool:
    return points.kinds.strides == (0,)
