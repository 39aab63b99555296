"""Admission: points older than what is kept are refused, never dropped in silence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from amondawa.errors import TooOld
from amondawa.index.registry import SeriesRegistry
from amondawa.model.points import WriteBatch
from amondawa.store.blocks import BlockPlan
from amondawa.store.retention import Retention


class Admission:
    """Tells points that are kept from those too old for it."""

    def __init__(self, plan: BlockPlan, retention: Retention, registry: SeriesRegistry) -> None:
        self._plan = plan
        self._retention = retention
        self._registry = registry

    def split(self, batch: WriteBatch, now_ms: int) -> tuple[WriteBatch, TooOld | None]:
        """Return the points that are kept, and the error to raise for the others once those are written."""
        old = self._too_old(batch, now_ms) if len(batch) else None
        if old is None or not old.any():
            return batch, None
        kept = ~old
        points = batch.points().take(kept)
        first = int(np.flatnonzero(old)[0])
        time_ms = int(batch.times_ms[first])
        error = TooOld(
            f"timestamp {time_ms} is older than the history that is kept", field="timestamp", index=first, value=time_ms
        )
        young = WriteBatch(
            batch.refs[kept], points.times_ms, points.kinds, points.bits, points.texts, points.expires_ms
        )
        return young, error

    def _too_old(self, batch: WriteBatch, now_ms: int) -> npt.NDArray[np.bool_] | None:
        """Return which points are older than what is kept (bool[n]); None = none is."""
        earliest_ms = int(batch.times_ms.min())
        oldest_s = self._plan.oldest_allowed_s(now_ms // 1000)
        old = None
        if oldest_s is not None and earliest_ms < oldest_s * 1000:
            old = batch.times_ms < oldest_s * 1000
        shortest_ms = self._retention.shortest_ms
        if not shortest_ms or earliest_ms >= now_ms - shortest_ms:
            return old
        refs, places = np.unique(batch.refs, return_inverse=True)
        owners = map(self._registry.metric_of, refs.tolist())
        oldest_ms = np.array([self._retention.oldest_ms(one.domain, one.metric, now_ms) for one in owners], np.int64)
        by_rule: npt.NDArray[np.bool_] = batch.times_ms < oldest_ms[places]
        return by_rule if old is None else old | by_rule
