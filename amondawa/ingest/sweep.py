"""The sweep: what has expired, or is past the retention of its metric, leaves the store with its index entries and names.

Readers hide such points the moment their time is over; the sweep gives the room back. It looks only where something is due:
a row with points that expire is in its block's list of such rows, under the time when the last of them does.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import structlog

from amondawa.errors import Cancelled
from amondawa.index.blocks import OpenBlocks
from amondawa.index.columns import MetricSeries
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NameTable, RowDirectory
from amondawa.ingest.erase import Cut, Eraser
from amondawa.ingest.erase_rolled import CutRollup, untouched, whole
from amondawa.model.points import Points
from amondawa.store import keys
from amondawa.store.base import BlockStore, Item
from amondawa.store.blocks import Block
from amondawa.store.payer import paid_by
from amondawa.store.retention import Retention

log = structlog.get_logger()


class Sweeper:
    """Sweeps all blocks. Must not run beside a flush or a delete.

    Args:
        settle_s: a row is left alone until this long after its end: where several gateways share a store, another may still
            hold points of it that are not flushed, and count on its index entry.
    """

    def __init__(
        self,
        store: BlockStore,
        registry: SeriesRegistry,
        blocks: OpenBlocks,
        directory: RowDirectory,
        names: NameTable,
        eraser: Eraser,
        retention: Retention,
        settle_s: int = 0,
    ) -> None:
        self._store = store
        self._registry = registry
        self._blocks = blocks
        self._directory = directory
        self._names = names
        self._eraser = eraser
        self._retention = retention
        self._settle_s = settle_s
        self._stopped = False
        self._changed: set[bytes] = set()
        self.points_swept = 0

    def stop(self) -> None:
        """End a sweep that runs, and any later one."""
        self._stopped = True

    def sweep(self, now_ms: int) -> int:
        """Remove what is due from all blocks; return how many points went. May be repeated after an error.

        Raises:
            StorageFull, StoreError, Unavailable: the rest is for the next time.
            Cancelled: `stop` was called.
        """
        before = self.points_swept
        for block in self._blocks.all():
            for entries in self._due(block, now_ms):
                self._sweep_expired(block, entries, now_ms)
            if self._retention.shortest_ms:
                self._sweep_retention(block, now_ms)
        swept = self.points_swept - before
        if swept:
            log.info("swept", points=swept)
        return swept

    def _check(self) -> None:
        if self._stopped:
            raise Cancelled("the gateway is stopping")

    def _is_settled(self, base_s: int, now_ms: int) -> bool:
        if not self._settle_s:
            return True
        return base_s + self._blocks.plan.column_height_s + self._settle_s <= now_ms // keys.SECOND_MS

    # expiry -----------------------------------------------------------------------------------------------------------

    def _due(self, block: Block, now_ms: int) -> Iterator[list[Item]]:
        """Yield the entries of a block that are due, a page at a time."""
        end = keys.expiry_until(now_ms // keys.SECOND_MS + 1)
        for hash_key in keys.expiry_keys():
            yield from self._store.query(block.index_table, hash_key, None, end)

    def _sweep_expired(self, block: Block, entries: list[Item], now_ms: int) -> None:
        """Cut the rows of some entries, then forget the entries."""
        rows: dict[tuple[MetricSeries, int], set[int]] = {}
        done: list[Item] = []
        for entry in entries:
            base_s, series_key = keys.parse_expiry_value(entry.value)
            if self._is_settled(base_s, now_ms):
                ref = self._registry.resolve_key(series_key)
                rows.setdefault((self._registry.metric_of(ref), base_s), set()).add(ref)
                done.append(entry)
        for (metric, base_s), refs in rows.items():
            self._check()
            self._cut(block, metric, base_s, refs, _expired_at(now_ms))
        self._store.delete(block.index_table, [(entry.hash, entry.range) for entry in done])

    def _cut(
        self,
        block: Block,
        metric: MetricSeries,
        base_s: int,
        refs: set[int],
        cut: Cut,
        cut_rollup: CutRollup = untouched,
    ) -> None:
        ascending = np.array(sorted(refs), np.int32)
        removed = self._eraser.cut(metric, block, base_s, ascending, cut, cut_rollup=cut_rollup)
        self.points_swept += sum(removed.values())
        self._changed.add(metric.metric_key)

    def take_changed(self) -> list[bytes]:
        """Return the keys of the metrics of which rows were cut since this was asked last."""
        changed, self._changed = sorted(self._changed), set()
        return changed

    # retention --------------------------------------------------------------------------------------------------------

    def _sweep_retention(self, block: Block, now_ms: int) -> None:
        """Remove the rows of a block that are past the retention of their metric or domain as a whole."""
        for domain in self._names.domains(block):
            for name in sorted(self._names.of_block(domain, block)):
                if self._retention.by_rule_ms(domain, name):
                    self._check()
                    oldest_s = self._retention.oldest_ms(domain, name, now_ms) // keys.SECOND_MS
                    with paid_by({domain: 1.0}):
                        self._sweep_metric(block, self._registry.metric_or_new(domain, name), oldest_s, now_ms)

    def _sweep_metric(self, block: Block, metric: MetricSeries, oldest_s: int, now_ms: int) -> None:
        last_base_s = oldest_s - self._blocks.plan.column_height_s
        for own, base_s, refs in self._directory.rows(metric, block.start_s, min(block.end_s - 1, last_base_s)):
            if own.name == block.name and self._is_settled(base_s, now_ms):
                self._cut(own, metric, base_s, set(refs.tolist()), _everything, whole)


def _everything(points: Points) -> tuple[Points, int]:
    return Points.empty(), len(points)


def _expired_at(now_ms: int) -> Cut:
    """Return the cut of points that have expired by a time.

    A row is written anew only when that is worth it: at least half of it goes, or nothing that is left will have it looked at
    again.
    """

    def cut(points: Points) -> tuple[Points, int]:
        expires = points.expires_ms
        if expires is None:
            return points, 0
        alive = (expires == 0) | (expires > now_ms)
        lost = len(points) - int(np.count_nonzero(alive))
        if not lost or (2 * lost < len(points) and bool((expires > now_ms).any())):
            return points, 0
        return points.take(alive), lost

    return cut
