"""Recovery: the journal read back into a generation, in order, deletes included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import numpy as np

from amondawa.errors import Corrupt
from amondawa.index.columns import MetricSeries
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import RowDirectory
from amondawa.ingest import entry
from amondawa.ingest.generation import Generation
from amondawa.ingest.receipts import split_receipts
from amondawa.ingest.run import LATEST, PageCache, Tombstone
from amondawa.ingest.spool import Record
from amondawa.model.points import Int32s, WriteBatch
from amondawa.store import keys
from amondawa.store.base import BlockStore

Erase = Callable[[MetricSeries, Int32s, int, int, int], object]
"""(metric, refs, start_ms, end_ms, stamp): removes points from the chunks, see Eraser.erase"""


class Translation:
    """From the refs of the process that wrote a segment to this process's."""

    def __init__(self, registry: SeriesRegistry) -> None:
        self._registry = registry
        self._refs = np.zeros(1024, np.int32)

    def translate(self, record: entry.PointsEntry) -> WriteBatch:
        """Learn the series that an entry names, and return its points under this process's refs."""
        if len(record.new_refs):
            top = int(record.new_refs.max()) + 1
            if top > len(self._refs):
                grown = np.zeros(max(top, 2 * len(self._refs)), np.int32)
                grown[: len(self._refs)] = self._refs
                self._refs = grown
            self._refs[record.new_refs] = [self._registry.resolve_key(key) for key in record.new_keys]
        return WriteBatch.of(self._refs[record.batch.refs], record.batch.points())


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
        self.last_stamp = 0
        self.deletes: list[entry.DeleteEntry] = []
        self.changed: set[bytes] = set()
        self.receipts = b""

    def replay(self, segment: int, generation: Generation) -> None:
        """Append what a segment holds to a generation.

        Raises:
            Corrupt: an entry that was durable does not read back; says which.
        """
        self._replay(self._store.journal_read(segment), generation, f"the journal's segment {segment}")

    def replay_spool(self, records: Iterable[Record], generation: Generation) -> None:
        """Append what the spool holds to a generation; it is behind all segments. Raises Corrupt as `replay` does."""
        for file, own in groupby(records, key=lambda record: record.file):
            self._replay((record.payload for record in own), generation, f"the spool's file {file:016x}.spool")

    def _replay(self, payloads: Iterable[bytes], generation: Generation, place: str) -> None:
        """Append the entries of one segment, or of one file of the spool."""
        translation = Translation(self._registry)
        for number, payload in enumerate(payloads, 1):
            record = self._read(payload, f"entry {number} of {place}")
            self.entries += 1
            if isinstance(record, entry.DeleteEntry):
                self._delete(record, generation)
            elif isinstance(record, entry.PointsEntry):  # a mark speaks to other gateways
                batch = translation.translate(record)
                self.points += len(batch)
                self.last_stamp = max(self.last_stamp, record.stamp)
                generation.append(batch)
                if generation.wants_packing:
                    generation.pack(self._cache)

    def _read(self, payload: bytes, place: str) -> entry.Entry:
        """Read an entry and keep its receipts. Raises Corrupt with the place."""
        try:
            bare, receipts = split_receipts(payload)
            record = entry.decode(bare)
        except Corrupt as error:
            raise Corrupt(f"{place} is damaged: {error}") from error
        self.receipts += receipts
        return record

    def _delete(self, record: entry.DeleteEntry, generation: Generation) -> None:
        self.last_stamp = max(self.last_stamp, record.stamp)
        self.deletes.append(record)
        for metric, refs in targets(record, self._registry, self._directory):
            generation.delete(tombstone_of(record, refs))
            if not record.followed:
                self._erase(metric, refs, record.start_ms, record.end_ms, record.stamp)
                self.changed.add(metric.metric_key)


def tombstone_of(record: entry.DeleteEntry, refs: Int32s) -> Tombstone:
    """Return what hides the points of a delete from some series (refs ascending)."""
    return Tombstone(refs.copy(), record.start_ms, record.end_ms, record.stamp or LATEST)


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
