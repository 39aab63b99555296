"""Deletes in the chunks: rows rewritten or removed, with their index entries and names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from amondawa.index.blocks import OpenBlocks
from amondawa.index.columns import MetricSeries
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NO_REFS, NameTable, RowDirectory
from amondawa.ingest.erase_rolled import CutRollup, RolledCut, between, cut_rolled, untouched
from amondawa.ingest.head_view import member_of
from amondawa.ingest.late import late_items
from amondawa.ingest.turns import Turns
from amondawa.model.points import Int32s, Int64s, Points
from amondawa.store import keys, rows
from amondawa.store.base import BlockStore, Item, Key
from amondawa.store.blocks import Block
from amondawa.store.payer import paid_by
from amondawa.store.rollup_items import is_rolled_up, mergeable

BATCH_ROWS = 512
Cut = Callable[[Points], tuple[Points, int]]
"""From the points of a row to those that are kept and the number of those that go."""
ChooseChunk = Callable[[int], bool]
"""Whether chunks of a number are touched."""


class Eraser:
    """Removes points from stored rows. Must not run beside a flush.

    Every step leaves the store consistent, and the whole may be repeated (after a crash the journal asks for it again).

    Args:
        changed: called with the names of rows that changed.
        turns: keeps gateways from rewriting rows at once.
    """

    def __init__(
        self,
        store: BlockStore,
        registry: SeriesRegistry,
        blocks: OpenBlocks,
        directory: RowDirectory,
        names: NameTable,
        changed: Callable[[list[tuple[int, int]]], None],
        turns: Turns,
    ) -> None:
        self._turns = turns
        self._store = store
        self._registry = registry
        self._blocks = blocks
        self._directory = directory
        self._names = names
        self._changed = changed

    def erase(
        self, metric: MetricSeries, refs: Int32s, start_ms: int, end_ms: int, stamp: int = 0
    ) -> tuple[int, set[int]]:
        """Remove the points of the inclusive range from the series (refs ascending) of one metric.

        Where several gateways share the store, only from chunks that are no younger than the delete's stamp (us): what is
        in younger ones was flushed by a gateway that knew of the delete, or was written after it.

        Returns:
            how many stored points went, and the refs that lost any.
        """
        count = 0
        touched: set[int] = set()

        def cut(points: Points) -> tuple[Points, int]:
            return _cut(points, start_ms, end_ms)

        cut_rollup = between(start_ms, end_ms)
        until = _until(stamp // 1000) if stamp else None
        with self._turns.turn():
            for block, base_s, present in self._directory.rows(metric, start_ms // 1000, end_ms // 1000):
                removed = self.cut(metric, block, base_s, member_of(refs, present), cut, until, cut_rollup)
                count += sum(removed.values())
                touched.update(ref for ref, points in removed.items() if points)
        return count, touched

    def erase_flushed(
        self,
        metric: MetricSeries,
        refs: Int32s,
        start_ms: int,
        end_ms: int,
        numbers: Collection[int],
        later: Mapping[int, Int64s],
    ) -> None:
        """Remove points of the inclusive range from chunks of some `numbers`, which may also hold points that are to stay.

        Those are `later`: their times (ms, int64[n], ascending) by ref.
        """
        for block, base_s, present in self._directory.rows(metric, start_ms // 1000, end_ms // 1000):
            for ref in member_of(refs, present).tolist():
                kept_ms = later.get(ref)

                def cut(points: Points, kept_ms: Int64s | None = kept_ms) -> tuple[Points, int]:
                    return _cut(points, start_ms, end_ms, kept_ms)

                for number in sorted(numbers):  # each by itself: another gateway's chunk may come between two
                    self.cut(metric, block, base_s, np.array([ref], np.int32), cut, _only(number))

    def cut(
        self,
        metric: MetricSeries,
        block: Block,
        base_s: int,
        refs: Int32s,
        cut: Cut,
        chosen: ChooseChunk | None = None,
        cut_rollup: CutRollup = untouched,
    ) -> dict[int, int]:
        """Cut the rows of some series (refs ascending) at one base time; return how many points each lost.

        Only chunks are touched whose number is `chosen`, each by itself: one that another gateway is writing may come between
        two of them. None = all, as one.

        A row of which nothing is kept goes with its index entry, and with the names that nothing else needs.
        """
        removed: dict[int, int] = {}
        with paid_by({metric.domain: 1.0}), self._turns.turn():
            for at in range(0, len(refs), BATCH_ROWS):
                removed |= self._cut_rows(metric, block, base_s, refs[at : at + BATCH_ROWS], cut, chosen, cut_rollup)
        return removed

    def _cut_rows(
        self,
        metric: MetricSeries,
        block: Block,
        base_s: int,
        refs: Int32s,
        cut: Cut,
        chosen: ChooseChunk | None,
        cut_rollup: CutRollup,
    ) -> dict[int, int]:
        """Rewrite some rows of one base time; return how many points each lost."""
        owners = {
            keys.row_key(metric.metric_key, base_s, self._registry.tags_key_of(ref)): ref for ref in refs.tolist()
        }
        stored = self._store.query_many(block.datapoints_table, list(owners))
        removed: dict[int, int] = {}
        emptied: list[int] = []
        puts: list[Item] = []
        deletes: list[Key] = []
        for row_key, ref in owners.items():
            present = stored.get(row_key, [])
            if any(map(is_rolled_up, present)):
                done = self._cut_rolled(block, base_s, ref, present, cut, cut_rollup, chosen)
                removed[ref] = done.lost
                emptied += [ref] if done.is_empty else []
                puts += done.puts
                deletes += done.deletes
                continue
            items = [item for item in present if chosen is None or chosen(rows.generation_of(item))]
            kept, lost = cut(rows.read_row(items) if items else Points.empty())
            removed[ref] = lost
            if not len(kept) and len(items) == len(present):
                emptied.append(ref)
            if lost:
                for part in [items] if chosen is None else _by_number(items):
                    left = kept if chosen is None else cut(rows.read_row(part))[0]
                    generation = max(map(rows.generation_of, part))
                    written = rows.chunk_items(row_key, base_s, left, generation, self._registry.key_of(ref))
                    puts += written
                    ranges = {item.range for item in written}
                    deletes += [(item.hash, item.range) for item in part if item.range not in ranges]
        self._commit(metric, block, base_s, refs, np.array(sorted(emptied), np.int32), puts, deletes)
        return removed

    def _cut_rolled(
        self,
        block: Block,
        base_s: int,
        ref: int,
        items: Sequence[Item],
        cut: Cut,
        cut_rollup: CutRollup,
        chosen: ChooseChunk | None,
    ) -> RolledCut:
        """Work out the cut of a row with rolled-up data, and remove at once what would be wrong or not count after it."""
        known = [item for item in items if is_rolled_up(item) or chosen is None or chosen(rows.generation_of(item))]
        series_key = self._registry.key_of(ref)
        done = cut_rolled(known, cut, cut_rollup, base_s=base_s, series_key=series_key)
        if done.before:
            self._store.delete(block.datapoints_table, done.before)
            generation = max(map(rows.generation_of, mergeable(items)), default=0)
            late = late_items(block, items[0].hash, base_s, series_key, generation)
            self._store.put(block.index_table, late if not done.is_empty else [])
        return done if len(known) == len(items) else replace(done, is_empty=False)

    def _commit(
        self,
        metric: MetricSeries,
        block: Block,
        base_s: int,
        refs: Int32s,
        emptied: Int32s,
        puts: Sequence[Item],
        deletes: Sequence[Key],
    ) -> None:
        gone = {block.datapoints_table: list(deletes)}
        pairs, whole = self._orphans(metric, block, base_s, emptied)
        if len(emptied):
            name_keys = [(item.hash, item.range) for item in self._names.items(metric.domain, metric.metric, pairs)]
            gone[block.index_table] = [*self._directory.entry_keys(metric, base_s, emptied.tolist()), *name_keys]
        self._store.change({block.datapoints_table: puts} if puts else {}, gone)
        if len(emptied):
            self._directory.remove(metric, block, base_s, emptied)
            self._names.remove(metric.domain, metric.metric, block, pairs, whole)
        self._changed([(ref, base_s) for ref in refs.tolist()])

    def _orphans(
        self, metric: MetricSeries, block: Block, base_s: int, emptied: Int32s
    ) -> tuple[set[tuple[str, str]], bool]:
        """Return the tag pairs that no row of the metric in this block will have any more, and whether it goes too."""
        if not len(emptied):
            return set(), False
        known = self._names.of_block(metric.domain, block).get(metric.metric, set())
        left = NO_REFS
        for _, other, present in self._directory.rows(metric, block.start_s, block.end_s - 1):
            remaining = np.setdiff1d(present, emptied) if other == base_s else present
            left = np.union1d(left, remaining).astype(np.int32)
        if not len(left):
            return {*known, ("", "")}, True
        return set(known) - self._registry.pairs_of(metric, left), False


def _by_number(items: Sequence[Item]) -> list[list[Item]]:
    """Return chunk items by their number, ascending."""
    found: dict[int, list[Item]] = {}
    for item in items:
        found.setdefault(rows.generation_of(item), []).append(item)
    return [found[number] for number in sorted(found)]


def _only(number: int) -> ChooseChunk:
    return lambda one: one == number


def _until(newest: int) -> ChooseChunk:
    return lambda number: number <= newest


def _cut(points: Points, start_ms: int, end_ms: int, kept_ms: Int64s | None = None) -> tuple[Points, int]:
    """Return the points outside the inclusive range, or at times that are kept, and the number of the others."""
    inside = (points.times_ms >= start_ms) & (points.times_ms <= end_ms)
    if kept_ms is not None:
        inside &= ~np.isin(points.times_ms, kept_ms)
    lost = int(np.count_nonzero(inside))
    return (points.take(~inside), lost) if lost else (points, 0)
