"""Names: metrics, tags and series that have data, from the index and the head."""

from __future__ import annotations

from collections.abc import Callable

from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NameTable
from amondawa.ingest.head import Head
from amondawa.model.query import Selection
from amondawa.model.series import Series
from amondawa.query.reader import Reader


class NameReader:
    """Answers questions about names without reading points; safe in any thread.

    Args:
        now_ms: the wall clock: what has expired and is not in chunks yet has no name any more.
    """

    def __init__(
        self, registry: SeriesRegistry, names: NameTable, head: Head, reader: Reader, now_ms: Callable[[], int]
    ) -> None:
        self._now_ms = now_ms
        self._registry = registry
        self._names = names
        self._head = head
        self._reader = reader

    def metric_names(self, domain: str) -> list[str]:
        """Return the metrics that have points, sorted."""
        young = self._registry.by_metric(self._head.view(self._now_ms()).refs())
        found = {metric for own, metric in young if own == domain}
        return sorted(found | self._names.metrics(domain))

    def pairs(self, domain: str) -> set[tuple[str, str]]:
        """Return the tag pairs of all series that have points."""
        found: set[tuple[str, str]] = set()
        for (own, name), refs in self._registry.by_metric(self._head.view(self._now_ms()).refs()).items():
            if own == domain:
                found |= self._registry.pairs_of(self._registry.metric_or_new(own, name), refs)
        return found | self._names.pairs(domain)

    def find_series(self, selection: Selection, start_ms: int, end_ms: int) -> list[Series]:
        """Return matching series with rows in the range, in order of creation; no metric name = every metric."""
        if selection.metric:
            refs = self._reader.series_in(selection, start_ms, end_ms)
            return [self._registry.series_of(ref) for ref in refs.tolist()]
        found: list[int] = []
        for metric in self.metric_names(selection.domain):
            own = Selection(selection.domain, metric, selection.filters, selection.only_tags)
            found += self._reader.series_in(own, start_ms, end_ms).tolist()
        return [self._registry.series_of(ref) for ref in sorted(found)]
