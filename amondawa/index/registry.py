"""The registry: every series that this process has met, under a small number (its ref)."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from amondawa.index.columns import MetricSeries, tags_of
from amondawa.model.points import Int32s
from amondawa.model.query import Selection
from amondawa.model.series import Series, Tags
from amondawa.store import keys


class SeriesRegistry:
    """Series keys to refs and back; refs count up from 0 and are never given twice.

    A ref means nothing outside this process. A registered series need not have points: which rows exist is the row
    directory's and the head's matter.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._refs: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._metric_of: list[MetricSeries] = []
        self._metrics: dict[tuple[str, str], MetricSeries] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def resolve(self, domain: str, metric: str, tags: Tags) -> int:
        """Return the ref of a series, new or known; tags sorted by name."""
        found = self._metrics.get((domain, metric))
        prefix = keys.metric_key(domain, metric) if found is None else found.metric_key
        key = prefix + keys.tags_key(tags)
        ref = self._refs.get(key)
        return self._add(key, domain, metric, tags) if ref is None else ref

    def resolve_key(self, key: bytes) -> int:
        """Return the ref of a series key, as `keys.series_key` makes it."""
        ref = self._refs.get(key)
        if ref is not None:
            return ref
        series = keys.parse_series_key(key)
        return self._add(key, series.domain, series.metric, series.tags)

    def find_key(self, key: bytes) -> int | None:
        """Return the ref of a series key; None when this process never met it."""
        return self._refs.get(key)

    def _add(self, key: bytes, domain: str, metric: str, tags: Tags) -> int:
        with self._lock:
            ref = self._refs.get(key)
            if ref is not None:
                return ref
            series = self._metrics.get((domain, metric))
            if series is None:
                series = MetricSeries(domain, metric, keys.metric_key(domain, metric))
                self._metrics[(domain, metric)] = series
            ref = len(self._keys)
            series.add(ref, tags)
            self._keys.append(key)
            self._metric_of.append(series)
            self._refs[key] = ref
            return ref

    def key_of(self, ref: int) -> bytes:
        """Return the series key of a ref."""
        return self._keys[ref]

    def tags_key_of(self, ref: int) -> bytes:
        """Return the tags part of a ref's series key."""
        return self._keys[ref][len(self._metric_of[ref].metric_key) :]

    def series_of(self, ref: int) -> Series:
        """Return the series of a ref."""
        return keys.parse_series_key(self._keys[ref])

    def series_many(self, domain: str, metric: str, refs: Sequence[int]) -> list[Series]:
        """Return the series of some refs of one metric: for many a third of the time and room of `series_of`."""
        found = self._metrics.get((domain, metric))
        if found is None:
            return []
        with self._lock:
            positions = np.searchsorted(found.refs, np.array(refs, np.int32))
            coded = found.tag_codes(positions)
        return [Series(domain, metric, tags) for tags in tags_of(coded, len(refs))]

    def metric_of(self, ref: int) -> MetricSeries:
        """Return the metric that a ref belongs to."""
        return self._metric_of[ref]

    def metric(self, domain: str, metric: str) -> MetricSeries | None:
        """Return a metric's series, or None when none was ever met."""
        return self._metrics.get((domain, metric))

    def metric_or_new(self, domain: str, metric: str) -> MetricSeries:
        """Return a metric's series, empty when none was ever met."""
        with self._lock:
            found = self._metrics.get((domain, metric))
            if found is None:
                found = MetricSeries(domain, metric, keys.metric_key(domain, metric))
                self._metrics[(domain, metric)] = found
            return found

    def match(self, selection: Selection) -> Int32s:
        """Return the refs of one metric's series that match, ascending (int32[k])."""
        found = self._metrics.get((selection.domain, selection.metric))
        if found is None:
            return np.zeros(0, np.int32)
        with self._lock:
            count = len(found.refs)
        wanted = found.wanted_codes(selection)  # without the lock: a client's pattern may be slow
        with self._lock:
            return found.match(selection, wanted, count)

    def pairs_of(self, metric: MetricSeries, refs: Int32s) -> set[tuple[str, str]]:
        """Return the distinct tag pairs of some series of one metric."""
        with self._lock:
            return metric.pairs_of(refs)

    def by_metric(self, refs: Int32s) -> dict[tuple[str, str], Int32s]:
        """Split refs (ascending) by their (domain, metric)."""
        groups: dict[tuple[str, str], list[int]] = {}
        for ref in refs.tolist():
            owner = self._metric_of[ref]
            groups.setdefault((owner.domain, owner.metric), []).append(ref)
        return {name: np.array(members, np.int32) for name, members in groups.items()}
