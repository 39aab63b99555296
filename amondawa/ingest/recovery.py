"""Recovery: the journal read back into a generation, in order, deletes included."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from amondawa.index.columns import MetricSeries
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import RowDirectory
from amondawa.ingest import entry
from amondawa.ingest.head import Generation
from amondawa.ingest.receipts import split_receipts
from amondawa.ingest.run import PageCache, Tombstone
from amondawa.model.points import Int32s, WriteBatch
from amondawa.store import keys
from amondawa.store.base import BlockStore

Erase = Callable[[MetricSeries, Int32s, int, int], object]


class Recovery:
    """Reads journal segments into a generation.

    Args:
        erase: removes points of a delete from the chunks (again).
    """

    def __init__(
        self, store: BlockStore, registry: SeriesRegistry, directory: RowDirectory, cache: PageCache, erase: Erase
    ) -> None:
        self._store = store
        self._registry = registry
        self._directory = directory
        self._cache = cache
        self._erase = erase
        self.points = 0
        self.entries = 0
        self.receipts = b""

    def replay(self, segment: int, generation: Generation) -> None:
        """Append what a segment holds to a generation.

        Raises:
            Corrupt: an entry that was durable does not read back.
        """
        translation = np.zeros(1024, np.int32)
        for payload in self._store.journal_read(segment):
            bare, receipts = split_receipts(payload)
            self.receipts += receipts
            record = entry.decode(bare)
            self.entries += 1
            if isinstance(record, entry.DeleteEntry):
                self._delete(record, generation)
                continue
            if isinstance(record, entry.MarkEntry):
                continue  # it speaks to other gateways
            translation = self._learn(record, translation)
            old = record.batch
            batch = WriteBatch.of(translation[old.refs], old.points())
            self.points += len(batch)
            generation.append(batch)
            if generation.wants_packing:
                generation.pack(self._cache)

    def _learn(self, record: entry.PointsEntry, translation: Int32s) -> Int32s:
        """Extend the table from the writer's refs to this process's."""
        if not len(record.new_refs):
            return translation
        top = int(record.new_refs.max()) + 1
        if top > len(translation):
            grown = np.zeros(max(top, 2 * len(translation)), np.int32)
            grown[: len(translation)] = translation
            translation = grown
        translation[record.new_refs] = [self._registry.resolve_key(key) for key in record.new_keys]
        return translation

    def _delete(self, record: entry.DeleteEntry, generation: Generation) -> None:
        for metric, refs in targets(record, self._registry, self._directory):
            generation.delete(Tombstone(refs, record.start_ms, record.end_ms))
            self._erase(metric, refs, record.start_ms, record.end_ms)


def targets(
    record: entry.DeleteEntry, registry: SeriesRegistry, directory: RowDirectory
) -> Iterator[tuple[MetricSeries, Int32s]]:
    """Yield (metric, refs ascending) of the series that a delete names."""
    if record.whole_metric:
        for key in record.keys:
            metric = registry.metric_or_new(*keys.parse_metric_key(key))
            directory.rows(metric, record.start_ms // 1000, record.end_ms // 1000)  # registers what is stored
            yield metric, metric.refs
        return
    by_metric: dict[MetricSeries, list[int]] = {}
    for key in record.keys:
        ref = registry.resolve_key(key)
        by_metric.setdefault(registry.metric_of(ref), []).append(ref)
    for metric, refs in by_metric.items():
        yield metric, np.unique(np.array(refs, np.int32))
