"""The flush: a frozen generation becomes chunks, a slice of series at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from amondawa.errors import Cancelled
from amondawa.index.blocks import OpenBlocks
from amondawa.index.columns import MetricSeries
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NameTable, RowDirectory
from amondawa.ingest.generation import Generation
from amondawa.ingest.head import Head
from amondawa.ingest.head_view import member_of
from amondawa.ingest.late import late_items, outdated_copies
from amondawa.ingest.overwritten import without_overwritten
from amondawa.ingest.pacing import Pacing
from amondawa.ingest.run import columns_between, ref_slices
from amondawa.kernels.grouping import group_by_ref
from amondawa.model.points import Int32s, Int64s, Points, WriteBatch
from amondawa.store import codec, keys, rows
from amondawa.store.base import BlockStore, Item, Key
from amondawa.store.blocks import Block
from amondawa.store.payer import paid_by
from amondawa.store.rollup_items import mergeable

SLICE_POINTS = 131_072
COMMIT_ROWS = 2_048
RECENT_FLUSHES = 100
RECENT_S = 15.0
"""Within this time another gateway's delete is heard of, even where it is busy."""
MERGE_POINTS = 4_096
"""A fragment smaller than this is merged with what comes after it."""


@dataclass(frozen=True, slots=True, eq=False)
class RowPoints:
    """The new points of one row, in order."""

    ref: int
    base_s: int
    points: Points


@dataclass(slots=True)
class _Change:
    """What one commit writes to one block."""

    block: Block
    puts: list[Item] = field(default_factory=list)
    deletes: list[Key] = field(default_factory=list)
    index: list[Item] = field(default_factory=list)
    new_rows: dict[tuple[MetricSeries, int], Int32s] = field(default_factory=dict)
    new_names: dict[MetricSeries, set[tuple[str, str]]] = field(default_factory=dict)


class _Flushed(NamedTuple):
    """Rows of one metric and base time that were flushed at some time (monotonic seconds)."""

    at_s: float
    metric_key: bytes
    block: Block
    base_s: int
    refs: Sequence[int]


class Flusher:
    """Writes generations as chunks; one at a time, in one worker thread.

    Args:
        changed: called with the (ref, base time) names of rows after each commit, so that caches forget them.
        now_ms: the wall clock.
        settle_s: rows with points that expire are looked at no sooner than this after their end, see Sweeper; 0 = at once.
        pacing: how fast to write.
    """

    def __init__(
        self,
        store: BlockStore,
        registry: SeriesRegistry,
        blocks: OpenBlocks,
        directory: RowDirectory,
        names: NameTable,
        changed: Callable[[list[tuple[int, int]]], None],
        now_ms: Callable[[], int],
        settle_s: int = 0,
        pacing: Pacing | None = None,
    ) -> None:
        self._now_ms = now_ms
        self._pacing = pacing or Pacing()
        self._settle_s = settle_s
        self._store = store
        self._registry = registry
        self._blocks = blocks
        self._directory = directory
        self._names = names
        self._changed = changed
        self._doubted: dict[bytes, dict[tuple[Block, int], set[int]]] = {}
        self._recent: list[_Flushed] = []
        self._numbers: list[int] = []
        self.points_flushed = 0
        self.chunks_written = 0
        self.finished_us = 0

    def flush(self, generation: Generation, head: Head, number: int, until: float | None = None) -> None:
        """Write all points of a generation that takes no more, this gateway's or one's that is gone; may be repeated.

        Chunks are written under `number`: of two chunks with one point the one of the higher number wins.
        Points that other gateways have overwritten since are left out.

        Raises:
            StorageFull, StoreError: some rows may have been written; the generation still holds everything.
            Cancelled: `until` (time.monotonic()) was reached; as above.
        """
        runs = generation.runs()
        self._pacing.expect(generation.points, max((len(run.refs) for run in runs), default=0))
        self._numbers = [*self._numbers[-RECENT_FLUSHES:], number]
        others = head.others(generation)
        for lowest, highest in self._pacing.in_turn(list(ref_slices(runs, SLICE_POINTS))):
            batch = columns_between(runs, lowest, highest, head.cache)
            if batch is None:
                continue
            if others:
                rivals = [run for other in others for run in other.runs()]
                batch = without_overwritten(batch, columns_between(rivals, lowest, highest, head.cache))
            for group in _by_count(self._rows_of(batch), self._pacing.rows_at_once(COMMIT_ROWS)):
                self._pacing.wait()
                if until is not None and time.monotonic() > until:
                    raise Cancelled("no time left to flush")
                self._write(sorted(group, key=attrgetter("ref", "base_s")), number)

        self.note_finished()

    def statistics(self) -> dict[str, float]:
        """Return counters."""
        return {"points_flushed": self.points_flushed, "chunks_written": self.chunks_written}

    def note_finished(self) -> None:
        """Note that chunks were written just now, or that it is not known when they were: after a start."""
        self.finished_us = time.time_ns() // 1000

    def recent_numbers(self, stamp: int) -> set[int]:
        """Return the numbers that this process gave to chunks after a stamp (us)."""
        return {number for number in self._numbers if number > stamp // 1000}

    def doubt(self, metric_key: bytes) -> None:
        """Take no index entry of a metric for granted until `settle`: another gateway may be removing it."""
        doubted = self._doubted.setdefault(metric_key, {})
        for flushed in list(self._recent):
            if flushed.metric_key == metric_key:
                doubted.setdefault((flushed.block, flushed.base_s), set()).update(flushed.refs)

    def settle(self, metric: MetricSeries, *, ended: bool) -> None:
        """Write the index entries of the rows that were flushed since shortly before `doubt` once more.

        Must not run beside a flush; `ended` says that nobody removes any more.
        """
        doubted = self._doubted.get(metric.metric_key, {})
        for (block, base_s), refs in doubted.items():
            members = np.array(sorted(refs), np.int32)
            items = self._directory.entries(metric, base_s, members.tolist())
            pairs = {*self._registry.pairs_of(metric, members), ("", "")}
            items += self._names.items(metric.domain, metric.metric, pairs)
            items += [Item(keys.DOMAINS_KEY, keys.domain_range(metric.domain), keys.domain_value(metric.domain))]
            self._store.put(block.index_table, items)
        if doubted:
            self._directory.forget_metric(metric)
            self._names.forget_domain(metric.domain)
        if ended:
            self._doubted.pop(metric.metric_key, None)

    def _note_flushed(self, metric: MetricSeries, block: Block, base_s: int, refs: Sequence[int]) -> None:
        """Remember for a while which rows were flushed, where another gateway's delete may not be known yet."""
        if self._store.shared is None:
            return
        now = time.monotonic()
        self._recent = [one for one in self._recent if now - one.at_s < RECENT_S]
        self._recent.append(_Flushed(now, metric.metric_key, block, base_s, refs))
        doubted = self._doubted.get(metric.metric_key)
        if doubted is not None:
            doubted.setdefault((block, base_s), set()).update(refs)

    def _rows_of(self, batch: WriteBatch) -> Iterator[RowPoints]:
        """Yield the rows of some series, each series at its turn, base time ascending."""
        order, unique, offsets = group_by_ref(batch.refs)
        points = batch.points().take(order)
        numbers = keys.row_numbers(points.times_ms, self._blocks.plan.column_height_s)
        for turn in self._pacing.turns(len(unique)).tolist():
            start, stop = int(offsets[turn]), int(offsets[turn + 1])
            own = points.take(slice(start, stop))
            yield from self._split(int(unique[turn]), own, numbers[start:stop])

    def _split(self, ref: int, points: Points, numbers: Int64s) -> Iterator[RowPoints]:
        height = self._blocks.plan.column_height_s
        ordered = rows.in_order(points)
        if ordered is not points:
            numbers = keys.row_numbers(ordered.times_ms, height)
        first, last = int(numbers[0]), int(numbers[-1])
        if first == last:
            yield RowPoints(ref, first * height, ordered)
            return
        cuts = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
        bounds = [0, *cuts.tolist(), len(numbers)]
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
            yield RowPoints(ref, int(numbers[start]) * height, ordered.take(slice(start, stop)))

    def _write(self, group: Sequence[RowPoints], generation: int) -> None:
        """Write some rows, block by block; those past the history by now are not written."""
        group = [row for row in group if not self._blocks.is_past(row.base_s)]
        blocks = {base_s: self._blocks.of(base_s) for base_s in {row.base_s for row in group}}
        by_block: dict[Block, list[RowPoints]] = {}
        now_ms = self._now_ms()
        for row in group:
            if self._is_gone(row, blocks[row.base_s], now_ms):
                continue
            by_block.setdefault(blocks[row.base_s], []).append(row)
        for block, members in by_block.items():
            with paid_by(self._points_by_domain(members)):
                change = _Change(block)
                self._add_index(change, members)
                self._add_chunks(change, members, generation)
                self._commit(change, members)

    def _points_by_domain(self, members: Sequence[RowPoints]) -> dict[str, int]:
        points: dict[str, int] = {}
        for row in members:
            domain = self._registry.metric_of(row.ref).domain
            points[domain] = points.get(domain, 0) + len(row.points)
        return points

    def _is_gone(self, row: RowPoints, block: Block, now_ms: int) -> bool:
        """Say whether all points of a row have expired; not so when it may be stored already, for they hide what is older."""
        expires = row.points.expires_ms
        if expires is None or self._store.bills_writes or not ((expires > 0) & (expires <= now_ms)).all():
            return False
        known = self._directory.known_rows(self._registry.metric_of(row.ref), block, row.base_s)
        return not len(member_of(np.array([row.ref], np.int32), known))

    def _add_index(self, change: _Change, members: Sequence[RowPoints]) -> None:
        grouped: dict[tuple[MetricSeries, int], list[int]] = {}
        for row in members:
            grouped.setdefault((self._registry.metric_of(row.ref), row.base_s), []).append(row.ref)
        for (metric, base_s), refs in grouped.items():
            ascending = np.array(refs, np.int32)
            new = np.setdiff1d(ascending, self._directory.known_rows(metric, change.block, base_s))
            self._note_flushed(metric, change.block, base_s, refs)
            if not len(new):
                continue
            change.new_rows[(metric, base_s)] = new
            change.index += self._directory.entries(metric, base_s, new.tolist())
            pairs = self._registry.pairs_of(metric, new)
            missing = self._names.missing(metric.domain, metric.metric, change.block, pairs)
            if missing:
                change.new_names.setdefault(metric, set()).update(missing)
        for metric, pairs in change.new_names.items():
            change.index += self._names.items(metric.domain, metric.metric, pairs)
            change.index += self._names.domain_items(metric.domain, change.block)

    def _add_chunks(self, change: _Change, members: Sequence[RowPoints], generation: int) -> None:
        row_keys = []
        known_keys = []
        for row in members:
            metric = self._registry.metric_of(row.ref)
            row_key = keys.row_key(metric.metric_key, row.base_s, self._registry.tags_key_of(row.ref))
            row_keys.append(row_key)
            new = change.new_rows.get((metric, row.base_s))
            is_new = new is not None and len(member_of(np.array([row.ref], np.int32), new))
            if not is_new and not self._store.bills_writes:
                known_keys.append(row_key)
        stored = self._store.query_many(change.block.datapoints_table, known_keys) if known_keys else {}
        for row, row_key in zip(members, row_keys, strict=True):
            present, series_key = stored.get(row_key, ()), self._registry.key_of(row.ref)
            merged, replaced = merge_tail(row.points, mergeable(present))
            items = rows.chunk_items(row_key, row.base_s, merged, generation, series_key)
            change.puts += items
            change.index += self._expiry_items(row_key, row, merged)
            written = {item.range for item in items}
            change.deletes += [(item.hash, item.range) for item in replaced if item.range not in written]
            change.index += late_items(change.block, row_key, row.base_s, series_key, generation)
            change.deletes += outdated_copies(change.block, row_key, None if self._store.bills_writes else present)

    def _expiry_items(self, row_key: bytes, row: RowPoints, points: Points) -> list[Item]:
        """Return the entry that has a row looked at once the last of these points has expired; none when they never do."""
        if points.expires_ms is None or not points.expires_ms.any():
            return []
        due_s = -(-int(points.expires_ms.max()) // keys.SECOND_MS)
        if self._settle_s:
            due_s = max(due_s, row.base_s + self._blocks.plan.column_height_s + self._settle_s)
        return [Item(*keys.expiry_entry(due_s, row_key), keys.expiry_value(row.base_s, self._registry.key_of(row.ref)))]

    def _commit(self, change: _Change, members: Sequence[RowPoints]) -> None:
        block = change.block
        puts = {block.datapoints_table: change.puts}
        if change.index:
            puts[block.index_table] = change.index
        self._store.change(puts, {block.datapoints_table: change.deletes} if change.deletes else {})
        for (metric, base_s), refs in change.new_rows.items():
            self._directory.add(metric, block, base_s, refs)
        for metric, pairs in change.new_names.items():
            self._names.add(metric.domain, metric.metric, block, pairs)
        self._changed([(row.ref, row.base_s) for row in members])
        self.points_flushed += sum(len(row.points) for row in members)
        self.chunks_written += len(change.puts)
        self._pacing.spent(change.puts)
        self._pacing.spent(change.index)


def merge_tail(points: Points, stored: Sequence[Item]) -> tuple[Points, list[Item]]:
    """Merge new points of a row with the youngest stored fragments, as long as those are small beside what they join.

    Only a run of youngest fragments may be taken: an older fragment written anew under a young generation would win over
    one between them.

    Returns:
        the points to write, and the items that they replace.
    """
    ordered = sorted(stored, key=lambda item: keys.parse_chunk_range(item.range)[1:], reverse=True)
    parts = [points]
    replaced: list[Item] = []
    size = len(points)
    for item in ordered:
        count = codec.describe(item.value).count
        if count > max(MERGE_POINTS, 2 * size) or count >= rows.CHUNK_POINTS:
            break
        parts.insert(0, rows.decode_item(item))
        replaced.append(item)
        size += count
    return (rows.merge(parts) if replaced else points), replaced


def _by_count(members: Iterator[RowPoints], count: int) -> Iterator[list[RowPoints]]:
    group: list[RowPoints] = []
    for row in members:
        group.append(row)
        if len(group) == count:
            yield group
            group = []
    if group:
        yield group
