"""The roll-up of old blocks, a batch of rows at a time: see docs/rollup-blocks.md.

Which rows there are is read from the index, a page at a time, so that memory does not grow with the number of series. A block
that was rolled up before is looked at only where its list of late rows says so. Every batch may be done twice without harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields

import structlog

from amondawa.errors import Corrupt
from amondawa.index.blocks import OpenBlocks
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NameTable
from amondawa.ingest.late import COPY_KEY
from amondawa.ingest.rollup_row import RowChange, RowPlace, roll_row
from amondawa.store import keys, rollup_items
from amondawa.store.base import BlockStore, Item, Key
from amondawa.store.blocks import Block
from amondawa.store.rollup_rules import RollupRule, RollupRules

BATCH_BYTES = 16 * 1024 * 1024
"""What the rows of a batch should take; dense rows come few at a time."""
MOST_ROWS = 512
FIRST_ROWS = 32
KNOWN_MS = 180_000
"""Where several gateways share a store, a block is begun this long after that is listed, so that each of them knows."""

log = structlog.get_logger()


@dataclass(slots=True)
class RollupReport:
    """What a roll-up did, or would do.

    Attributes:
        blocks: names of the blocks that were looked through.
        waiting: names of blocks that are listed as begun, and are begun when the other gateways know.
        rows, rolled, failed: rows looked at, rolled up, and left alone because they cannot be read.
        points_before, points_after: points and intervals in the rolled rows.
        bytes_before, bytes_after: length of their values.
    """

    blocks: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    rows: int = 0
    rolled: int = 0
    failed: int = 0
    points_before: int = 0
    points_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0

    def add(self, change: RowChange) -> None:
        """Count a row."""
        self.rolled += 1
        self.points_before += change.points_before
        self.points_after += change.points_after
        self.bytes_before += change.bytes_before
        self.bytes_after += change.bytes_after

    def take_in(self, later: RollupReport) -> None:
        """Add what a later run did; what waits is what waits after it."""
        for one in fields(self):
            if one.name != "waiting":
                setattr(self, one.name, getattr(self, one.name) + getattr(later, one.name))
        self.waiting = later.waiting


@dataclass(frozen=True, slots=True)
class Step:
    """How far a roll-up is.

    Attributes:
        block: name of the block.
        done, metrics: metrics of the block that are done, of how many.
    """

    block: str
    done: int
    metrics: int


@dataclass(frozen=True, slots=True)
class _Row:
    """A row to look at, its rule, and its entries in the list of late rows."""

    place: RowPlace
    rule: RollupRule
    entries: tuple[Key, ...] = ()


class BlockRoller:
    """Rolls blocks up. A step must not run beside a flush, a delete or a sweep.

    Args:
        changed: called with the (ref, base time) names of rows after each batch, so that caches forget them.
        now_ms: the wall clock.
        settle_s: where several gateways share a store, a block must have ended for so long: another may still hold points
            of it that are not flushed. 0 = the store has one gateway.
    """

    def __init__(
        self,
        store: BlockStore,
        registry: SeriesRegistry,
        blocks: OpenBlocks,
        names: NameTable,
        changed: Callable[[list[tuple[int, int]]], None],
        now_ms: Callable[[], int],
        settle_s: int = 0,
    ) -> None:
        self._store = store
        self._registry = registry
        self._blocks = blocks
        self._names = names
        self._changed = changed
        self._now_ms = now_ms
        self._settle_s = settle_s
        self._listed_ms: dict[str, int] = {}

    def is_due(self, rules: RollupRules) -> bool:
        """Say whether any block may have something to roll up; reads nothing but the list of blocks."""
        now_s = self._settled_s()
        return any(block.rollup or rules.due(block, now_s) for block in self._blocks.all()) if rules else False

    def _settled_s(self) -> int:
        return self._now_ms() // keys.SECOND_MS - self._settle_s

    def steps(
        self, rules: RollupRules, report: RollupReport, *, dry_run: bool = False, again: bool = False
    ) -> Iterator[Step]:
        """Roll up what is due, a batch each time the next step is asked for.

        Args:
            rules: which metrics, when and by what.
            report: is added to.
            dry_run: change nothing.
            again: look through all rows of blocks that were rolled up before, too.

        Raises:
            StoreError, StorageFull, Unavailable: what was done stays done; the rest is for the next time.
        """
        for block in self._blocks.all():
            now_s = self._settled_s()
            wanted = rules.due(block, now_s) if again else rules.new(block, now_s)
            if wanted:
                yield from self._whole(block, rules, wanted, report, dry_run=dry_run)
            elif block.rollup:
                rows = self._late_rows(block, rules, now_s)
                yield from self._batches(block, rows, report, Step(block.name, 0, 0), dry_run=dry_run)

    # a block ----------------------------------------------------------------------------------------------------------

    def _whole(
        self, block: Block, rules: RollupRules, wanted: Sequence[RollupRule], report: RollupReport, *, dry_run: bool
    ) -> Iterator[Step]:
        """Look through all rows that one of the wanted rules is for. What is in memory is written at the first step."""
        began_s = self._settled_s()
        if not dry_run and not self._is_known(block, str(rules), report):
            return
        yield Step(block.name, 0, 0)
        metrics = [
            (domain, metric, rule)
            for domain in self._names.domains(block)
            for metric in sorted(self._names.of_block(domain, block))
            if (rule := rules.of(metric)) in wanted and rule is not None
        ]
        report.blocks.append(block.name)
        for done, (domain, metric, rule) in enumerate(metrics):
            step = Step(block.name, done, len(metrics))
            yield from self._batches(block, self._rows(block, domain, metric, rule), report, step, dry_run=dry_run)
        if not dry_run:
            step = Step(block.name, len(metrics), len(metrics))
            yield from self._batches(block, self._late_rows(block, rules, began_s), report, step, dry_run=False)
            self._blocks.note_rollup(block, str(rules), began_s)
            log.info("rolled a block up", block=block.name, rows=report.rolled, points=report.points_before)
        yield Step(block.name, len(metrics), len(metrics))

    def _is_known(self, block: Block, text: str, report: RollupReport) -> bool:
        """List a block as begun; say whether every gateway that shares the store knows."""
        now_ms = self._now_ms()
        if block.rollup != text:
            self._blocks.note_rollup(block, text, 0)
        if not self._settle_s or (block.rollup == text and block.rolled_s):
            return True
        if now_ms - self._listed_ms.setdefault(block.name, now_ms) >= KNOWN_MS:
            return True
        report.waiting.append(block.name)
        return False

    def _rows(self, block: Block, domain: str, metric: str, rule: RollupRule) -> Iterator[_Row]:
        """Yield the rows of a metric in a block, a page of the index at a time."""
        metric_key = keys.metric_key(domain, metric)
        for shard in range(keys.INDEX_SHARDS):
            for page in self._store.query(block.index_table, keys.index_key(metric_key, shard)):
                for item in page:
                    base_s, tags_key = keys.parse_index_range(item.range)
                    yield _Row(self._place(metric_key, item.value if tags_key is None else tags_key, base_s), rule)

    def _late_rows(self, block: Block, rules: RollupRules, now_s: int) -> Iterator[_Row]:
        """Yield the rows that changed since the block was rolled up."""
        for hash_key in keys.late_keys():
            for page in self._store.query(block.index_table, hash_key):
                for item in page:
                    base_s, series_key = keys.parse_expiry_value(item.value)
                    metric_key, tags_key = keys.split_series_key(series_key)
                    rule = rules.of(keys.parse_metric_key(metric_key)[1])
                    if rule is not None and rule.is_due(block, now_s):
                        yield _Row(self._place(metric_key, tags_key, base_s), rule, ((item.hash, item.range),))

    def _place(self, metric_key: bytes, tags_key: bytes, base_s: int) -> RowPlace:
        row_key = keys.row_key(metric_key, base_s, tags_key)
        return RowPlace(row_key, metric_key + tags_key, base_s, self._blocks.plan.column_height_s)

    # batches ----------------------------------------------------------------------------------------------------------

    def _batches(
        self, block: Block, rows: Iterator[_Row], report: RollupReport, step: Step, *, dry_run: bool
    ) -> Iterator[Step]:
        """Roll rows up together, as many as take BATCH_BYTES; a step comes before its batch."""
        size = FIRST_ROWS
        batch: list[_Row] = []
        for row in rows:
            batch.append(row)
            if len(batch) >= size:
                yield step
                read = self._roll(block, batch, report, dry_run=dry_run)
                size = max(1, min(MOST_ROWS, BATCH_BYTES * len(batch) // max(1, read)))
                batch = []
        if batch:
            yield step
            self._roll(block, batch, report, dry_run=dry_run)

    def _roll(self, block: Block, batch: Sequence[_Row], report: RollupReport, *, dry_run: bool) -> int:
        """Roll some rows up; return the bytes that were read."""
        stored = self._store.query_many(block.datapoints_table, list({row.place.row_key for row in batch}))
        changes: dict[bytes, tuple[_Row, RowChange]] = {}
        entries: list[Key] = []
        for row in batch:
            report.rows += 1
            items = stored.get(row.place.row_key)
            change = self._change_of(items, row, report) if items else None
            entries += row.entries
            if change is not None and row.place.row_key not in changes:
                changes[row.place.row_key] = (row, change)
                report.add(change)
        if not dry_run:
            self._commit(block, list(changes.values()), stored)
            if entries:
                self._store.delete(block.index_table, entries)
        return sum(len(item.value) for items in stored.values() for item in items)

    def _change_of(self, items: Sequence[Item], row: _Row, report: RollupReport) -> RowChange | None:
        try:
            return roll_row(items, row.rule, row.place, self._now_ms())
        except Corrupt as error:
            report.failed += 1
            log.warning("a row cannot be rolled up, it is left as it is", error=str(error))
            return None

    def _commit(self, block: Block, changes: Sequence[tuple[_Row, RowChange]], stored: dict[bytes, list[Item]]) -> None:
        """Write what stays, then what is rolled up, then remove what that stands for."""
        if not changes:
            return
        table = block.datapoints_table
        before = [item for _, change in changes for item in change.before]
        if before:
            self._store.put(table, before)
        puts = [item for _, change in changes for item in change.puts]
        deletes = [key for _, change in changes for key in change.deletes]
        self._store.change({table: puts} if puts else {}, {table: deletes} if deletes else {})
        if self._settle_s:
            self._check_copies(block, changes, stored)
        found = [(self._registry.find_key(row.place.series_key), row.place.base_s) for row, _ in changes]
        self._changed([(ref, base_s) for ref, base_s in found if ref is not None])

    def _check_copies(
        self, block: Block, changes: Sequence[tuple[_Row, RowChange]], stored: dict[bytes, list[Item]]
    ) -> None:
        """Remove the copies of rows that another gateway wrote to meanwhile.

        Whoever writes to a row removes its copy after that, and this looks after the copy is written: one of both sees it.
        """
        copied = [row.place.row_key for row, change in changes if change.is_copy]
        now = self._store.query_many(block.datapoints_table, copied, None, rollup_items.COPIES) if copied else {}
        wrong = [key for key in copied if _chunk_keys(now.get(key, ())) != _chunk_keys(stored[key])]
        if wrong:
            self._store.delete(block.datapoints_table, [(key, COPY_KEY) for key in wrong])


def _chunk_keys(items: Sequence[Item]) -> set[bytes]:
    return {item.range for item in items if not rollup_items.is_rolled_up(item)}
