"""Names: metrics, tags and series that have data, from the index and the head."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NameTable
from amondawa.ingest.head import Head
from amondawa.model.points import Int32s
from amondawa.model.query import MAX_TIME_MS, Selection
from amondawa.model.series import Series
from amondawa.query.reader import Reader
from amondawa.store.retention import FOR_EVER_MS, Retention


class NameReader:
    """Answers questions about names without reading points; safe in any thread.

    Args:
        now_ms: the wall clock: what has expired and is not in chunks yet has no name any more.
        retention: how long points are kept: what is past it and still in the head has no name either.
    """

    def __init__(
        self,
        registry: SeriesRegistry,
        names: NameTable,
        head: Head,
        reader: Reader,
        now_ms: Callable[[], int],
        retention: Retention = Retention(),  # noqa: B008 - nothing in it changes but what it has looked up
    ) -> None:
        self._now_ms = now_ms
        self._retention = retention
        self._registry = registry
        self._names = names
        self._head = head
        self._reader = reader

    def metric_names(self, domain: str) -> list[str]:
        """Return the metrics that have points, sorted."""
        return sorted({metric for metric, _ in self._young(domain)} | self._names.metrics(domain))

    def _young(self, domain: str) -> Iterator[tuple[str, Int32s]]:
        """Yield the metrics of a domain that have points in the head, with their refs."""
        now_ms = self._now_ms()
        view = self._head.view(now_ms)
        for (own, metric), refs in self._registry.by_metric(view.refs()).items():
            if own != domain:
                continue
            oldest_ms = self._retention.oldest_ms(own, metric, now_ms)
            kept = refs if oldest_ms == FOR_EVER_MS else view.among_between(refs, oldest_ms, MAX_TIME_MS)
            if len(kept):
                yield metric, kept

    def pairs(self, domain: str) -> set[tuple[str, str]]:
        """Return the tag pairs of all series that have points."""
        found: set[tuple[str, str]] = set()
        for metric, refs in self._young(domain):
            found |= self._registry.pairs_of(self._registry.metric_or_new(domain, metric), refs)
        return found | self._names.pairs(domain)

    def find_series(self, selection: Selection, start_ms: int, end_ms: int) -> list[Series]:
        """Return matching series with rows in the range, in order of creation; no metric name = every metric."""
        if selection.metric:
            refs = self._reader.series_in(selection, start_ms, end_ms)
            return self._registry.series_many(selection.domain, selection.metric, refs.tolist())
        found: list[int] = []
        for metric in self.metric_names(selection.domain):
            own = Selection(selection.domain, metric, selection.filters, selection.only_tags)
            found += self._reader.series_in(own, start_ms, end_ms).tolist()
        return [self._registry.series_of(ref) for ref in sorted(found)]
