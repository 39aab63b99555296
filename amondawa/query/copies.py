"""Rolled-up copies beside points that are kept: read in place of the points where they give the same answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from amondawa.ingest.head_view import HeadView
from amondawa.model.points import Int32s
from amondawa.query.budget import Budget
from amondawa.query.cache import RowName
from amondawa.query.rollup import RollupPlan
from amondawa.store import rollup_items
from amondawa.store.base import BlockStore
from amondawa.store.blocks import Block
from amondawa.store.rollup_items import StoredRow
from amondawa.store.rollup_rules import RollupRules


class Copies:
    """Finds copies for one group of series of a query.

    Args:
        store: where the rows are.
        plan: how rolled-up data serve the query; None = not at all.
        metric: name of the metric.
        group: the series (refs ascending).
        unstored: returns what is not in chunks yet: copies know nothing of it.
    """

    def __init__(
        self,
        store: BlockStore,
        plan: RollupPlan | None,
        metric: str,
        group: Int32s,
        unstored: Callable[[], HeadView],
    ) -> None:
        self._store = store
        self._plan = plan
        self._metric = metric
        self._group = group
        self._unstored = unstored
        self._late: dict[str, frozenset[int] | None] = {}

    def beside(self, view: HeadView) -> Copies:
        """Return the same for what is not in chunks by now."""
        return Copies(self._store, self._plan, self._metric, self._group, lambda: view)

    def find(self, block: Block, rows: Mapping[bytes, RowName], budget: Budget) -> dict[RowName, StoredRow]:
        """Return the copies that can stand for some rows, by row key."""
        plan, late = self._plan, self._late_in(block)
        if plan is None or late is None:
            return {}
        wanted = [row_key for row_key, name in rows.items() if name[0] not in late]
        found: dict[RowName, StoredRow] = {}
        if not wanted:
            return found
        stored = self._store.query_many(block.datapoints_table, wanted, rollup_items.COPIES)
        for row_key, items in stored.items():
            budget.rows_read += 1
            budget.bytes_read += sum(len(item.value) for item in items)
            row = rollup_items.read_copies(items)
            if row is not None and plan.serves(row.rollups):
                found[rows[row_key]] = row
        return found

    def _late_in(self, block: Block) -> frozenset[int] | None:
        """Return the series with points for a block that are not flushed yet; None = do not look for copies."""
        if block.name not in self._late:
            self._late[block.name] = self._look(block) if self._may_have(block) else None
        return self._late[block.name]

    def _may_have(self, block: Block) -> bool:
        if self._plan is None or not self._plan.columns or not block.rollup:
            return False
        rule = _rules(block.rollup).of(self._metric)
        return rule is not None and not rule.drop_raw

    def _look(self, block: Block) -> frozenset[int]:
        late = self._unstored().among_between(self._group, block.start_s * 1000, block.end_s * 1000 - 1)
        return frozenset(np.asarray(late).tolist())


@lru_cache(64)
def _rules(text: str) -> RollupRules:
    return RollupRules.parse(text)
