"""The row directory: which series have stored rows at which base times. A cache over the index tables of the blocks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from amondawa.errors import Unavailable
from amondawa.index.blocks import OpenBlocks
from amondawa.index.columns import MetricSeries
from amondawa.index.registry import SeriesRegistry
from amondawa.model.points import Int32s
from amondawa.store import keys
from amondawa.store.base import BlockStore, Item, Key
from amondawa.store.blocks import Block

NO_REFS: Int32s = np.zeros(0, np.int32)
_Partition = dict[int, Int32s]
"""base time (s) -> refs of the series with a row there, ascending; a base time that is missing was not loaded"""


class RowDirectory:
    """Rows per (metric, block), loaded by base time when first asked for and kept up to date by the writers.

    Args:
        budget_refs: partitions past this many refs in all are forgotten, least recently used first.
        budget_partitions: the same for partitions past this many.
    """

    def __init__(
        self,
        store: BlockStore,
        registry: SeriesRegistry,
        blocks: OpenBlocks,
        budget_refs: int = 64_000_000,
        budget_partitions: int = 100_000,
    ) -> None:
        self._store = store
        self._registry = registry
        self._blocks = blocks
        self._budget = budget_refs
        self._budget_partitions = budget_partitions
        self._lock = threading.Lock()
        self._partitions: OrderedDict[tuple[bytes, str], _Partition] = OrderedDict()
        self._size = 0
        self._versions: dict[tuple[bytes, str], int] = {}
        self.is_absent: Callable[[MetricSeries, Block], bool] = lambda metric, block: False
        """says, while the store is away, that a metric is known to have no rows in a block"""

    def rows(self, metric: MetricSeries, start_s: int, end_s: int) -> list[tuple[Block, int, Int32s]]:
        """Return (block, base time, refs) of every base time in the inclusive range that has rows, oldest first."""
        found = []
        for block in self._blocks.overlapping(start_s, end_s):
            height = self._blocks.plan.column_height_s
            first = max(block.start_s, start_s // height * height)
            last = min(block.end_s - 1, end_s)
            partition = self._partition(metric, block, range(first, last + 1, height))
            found += [(block, base, refs) for base, refs in sorted(partition.items()) if len(refs)]
        return found

    def _partition(self, metric: MetricSeries, block: Block, bases: range) -> _Partition:
        """Return the refs of each of the base times, loading those that are not known."""
        name = (metric.metric_key, block.name)
        while True:
            with self._lock:
                known = self._partitions.get(name, {})
                if name in self._partitions:
                    self._partitions.move_to_end(name)
                missing = [base for base in bases if base not in known]
                if not missing:
                    return {base: known[base] for base in bases}
                version = self._versions.get(name, 0)
            try:
                loaded = self._load(metric, block, missing[0], missing[-1])
            except Unavailable:
                if not self.is_absent(metric, block):
                    raise
                return {base: known.get(base, NO_REFS) for base in bases}
            with self._lock:
                if self._versions.get(name, 0) == version:
                    found = {base: loaded.get(base, NO_REFS) for base in missing}
                    self._keep(name, found)
                    return {base: found.get(base, known.get(base, NO_REFS)) for base in bases}

    def _load(self, metric: MetricSeries, block: Block, first_s: int, last_s: int) -> _Partition:
        hashes = [keys.index_key(metric.metric_key, shard) for shard in range(keys.INDEX_SHARDS)]
        start, end = keys.index_range(first_s, b""), keys.index_range(last_s + 1, b"")
        gathered: dict[int, list[int]] = {}
        for items in self._store.query_many(block.index_table, hashes, start, end).values():
            for item in items:
                base, tags_key = keys.parse_index_range(item.range)
                key = metric.metric_key + (item.value if tags_key is None else tags_key)
                gathered.setdefault(base, []).append(self._registry.resolve_key(key))
        return {base: np.unique(np.array(refs, np.int32)) for base, refs in gathered.items()}

    def _keep(self, name: tuple[bytes, str], loaded: _Partition) -> None:
        partition = self._partitions.setdefault(name, {})
        partition.update(loaded)
        self._size += sum(len(refs) + 16 for refs in loaded.values())
        while len(self._partitions) > 1 and (
            self._size > self._budget or len(self._partitions) > self._budget_partitions
        ):
            _, forgotten = self._partitions.popitem(last=False)
            self._size -= sum(len(refs) + 16 for refs in forgotten.values())

    def known_rows(self, metric: MetricSeries, block: Block, base_s: int) -> Int32s:
        """Return the refs with a row at one base time."""
        return self._partition(metric, block, range(base_s, base_s + 1))[base_s]

    def add(self, metric: MetricSeries, block: Block, base_s: int, refs: Int32s) -> None:
        """Note rows that were written (refs ascending)."""
        self._merge(metric, block, base_s, refs, remove=False)

    def remove(self, metric: MetricSeries, block: Block, base_s: int, refs: Int32s) -> None:
        """Note rows that were removed."""
        self._merge(metric, block, base_s, refs, remove=True)

    def _merge(self, metric: MetricSeries, block: Block, base_s: int, refs: Int32s, *, remove: bool) -> None:
        name = (metric.metric_key, block.name)
        with self._lock:
            self._versions[name] = self._versions.get(name, 0) + 1
            partition = self._partitions.get(name)
            if partition is None or base_s not in partition:
                return
            before = partition[base_s]
            after = np.setdiff1d(before, refs) if remove else np.union1d(before, refs)
            partition[base_s] = after.astype(np.int32, copy=False)
            self._size += len(after) - len(before)

    def forget(self, blocks: Iterable[Block]) -> None:
        """Forget blocks that were dropped."""
        gone = {block.name for block in blocks}
        with self._lock:
            for name in [name for name in self._partitions if name[1] in gone]:
                self._versions[name] = self._versions.get(name, 0) + 1
                self._size -= sum(len(refs) + 16 for refs in self._partitions.pop(name).values())

    def doubt(self, metric: MetricSeries, block: Block, base_s: int, refs: Int32s) -> None:
        """Note that there may be rows (refs ascending): unless all are known, the base time is read anew."""
        name = (metric.metric_key, block.name)
        with self._lock:
            self._versions[name] = self._versions.get(name, 0) + 1
            partition = self._partitions.get(name, {})
            known = partition.get(base_s)
            if known is not None and len(np.setdiff1d(refs, known)):
                self._size -= len(partition.pop(base_s)) + 16

    def forget_metric(self, metric: MetricSeries) -> None:
        """Forget what is known of a metric: another gateway changed it."""
        with self._lock:
            for name in [name for name in self._partitions if name[0] == metric.metric_key]:
                self._versions[name] = self._versions.get(name, 0) + 1
                self._size -= sum(len(refs) + 16 for refs in self._partitions.pop(name).values())

    def entries(self, metric: MetricSeries, base_s: int, refs: Sequence[int]) -> list[Item]:
        """Return the index items of rows."""
        items = []
        for ref in refs:
            tags_key = self._registry.tags_key_of(ref)
            range_key = keys.index_range(base_s, tags_key)
            value = tags_key if keys.index_range_is_hashed(range_key) else b""
            items.append(Item(keys.index_key(metric.metric_key, keys.index_shard(tags_key)), range_key, value))
        return items

    def entry_keys(self, metric: MetricSeries, base_s: int, refs: Sequence[int]) -> list[Key]:
        """Return the keys of the index items of rows."""
        return [(item.hash, item.range) for item in self.entries(metric, base_s, refs)]


class NameTable:
    """Metric names and tag pairs per block, so that name look-ups never scan data."""

    def __init__(self, store: BlockStore, blocks: OpenBlocks) -> None:
        self._store = store
        self._blocks = blocks
        self._lock = threading.Lock()
        self._names: dict[tuple[str, str], dict[str, set[tuple[str, str]]]] = {}

    def of_block(self, domain: str, block: Block) -> Mapping[str, set[tuple[str, str]]]:
        """Return metric -> tag pairs of one domain in one block."""
        with self._lock:
            known = self._names.get((domain, block.name))
            if known is None:
                known = self._load(domain, block)
                self._names[(domain, block.name)] = known
            return known

    def lacks(self, domain: str, metric: str, block: Block) -> bool:
        """Say whether it is known, without asking the store, that a metric has no rows in a block."""
        with self._lock:
            known = self._names.get((domain, block.name))
            return known is not None and metric not in known

    def _load(self, domain: str, block: Block) -> dict[str, set[tuple[str, str]]]:
        loaded: dict[str, set[tuple[str, str]]] = {}
        for page in self._store.query(block.index_table, keys.names_key(domain)):
            for item in page:
                metric, name, value = keys.parse_name_range(item.range) or keys.parse_name_whole(item.value)
                pairs = loaded.setdefault(metric, set())
                if name:
                    pairs.add((name, value))
        return loaded

    def domains(self, block: Block) -> list[str]:
        """Return the domains that have had names in a block."""
        found = (item for page in self._store.query(block.index_table, keys.DOMAINS_KEY) for item in page)
        return [keys.parse_domain(item.range, item.value) for item in found]

    def domain_items(self, domain: str, block: Block) -> list[Item]:
        """Return the item that lists a domain among those of a block; none when its names are there already."""
        if self.of_block(domain, block):
            return []
        return [Item(keys.DOMAINS_KEY, keys.domain_range(domain), keys.domain_value(domain))]

    def metrics(self, domain: str) -> set[str]:
        """Return the metrics with stored rows."""
        return {name for block in self._blocks.all() for name in tuple(self.of_block(domain, block))}

    def pairs(self, domain: str) -> set[tuple[str, str]]:
        """Return the tag pairs of all stored series of a domain."""
        found: set[tuple[str, str]] = set()
        for block in self._blocks.all():
            for pairs in tuple(self.of_block(domain, block).values()):
                found |= pairs
        return found

    def missing(self, domain: str, metric: str, block: Block, pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return what `items` must be written for: pairs not known, ("", "") standing for the bare metric name."""
        known = self.of_block(domain, block).get(metric)
        return pairs | {("", "")} if known is None else pairs - known

    @staticmethod
    def items(domain: str, metric: str, pairs: Iterable[tuple[str, str]]) -> list[Item]:
        """Return the items of names."""
        items = []
        for name, value in pairs:
            range_key = keys.name_range(metric, name, value)
            whole = keys.name_whole(metric, name, value) if keys.name_range_is_hashed(range_key) else b""
            items.append(Item(keys.names_key(domain), range_key, whole))
        return items

    def add(self, domain: str, metric: str, block: Block, pairs: Iterable[tuple[str, str]]) -> None:
        """Note names that were written."""
        self.of_block(domain, block)
        with self._lock:
            kept = self._names.get((domain, block.name), {})  # forgotten meanwhile: it is read anew
            kept[metric] = {*kept.get(metric, ()), *(pair for pair in pairs if pair[0])}

    def doubt(self, domain: str, metric: str, block: Block, pairs: set[tuple[str, str]]) -> None:
        """Note that there may be names: unless all are known, those of the domain and block are read anew."""
        with self._lock:
            known = self._names.get((domain, block.name))
            if known is not None and (metric not in known or not pairs <= known[metric]):
                del self._names[(domain, block.name)]

    def forget_domain(self, domain: str) -> None:
        """Forget the names of a domain: another gateway removed some."""
        with self._lock:
            for name in [name for name in self._names if name[0] == domain]:
                del self._names[name]

    def remove(self, domain: str, metric: str, block: Block, pairs: Iterable[tuple[str, str]], whole: bool) -> None:
        """Note names that were removed; `whole` = the metric is gone from the block."""
        self.of_block(domain, block)
        with self._lock:
            kept = self._names.get((domain, block.name), {})  # forgotten meanwhile: it is read anew
            if whole:
                kept.pop(metric, None)
            else:
                kept[metric] = kept.get(metric, set()) - set(pairs)

    def forget(self, blocks: Iterable[Block]) -> None:
        """Forget blocks that were dropped."""
        gone = {block.name for block in blocks}
        with self._lock:
            for name in [name for name in self._names if name[1] in gone]:
                del self._names[name]
