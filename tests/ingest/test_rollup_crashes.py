"""Roll-up of blocks that is interrupted, or in which several gateways take part: one answer stands at every moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from amondawa.aggregate.downsample import Count, First, Sum
from amondawa.errors import StoreError, Unavailable
from amondawa.gateway import Gateway
from amondawa.ingest import rollup_row, rollup_run
from amondawa.ingest.late import COPY_KEY
from amondawa.ingest.rollup import KNOWN_MS
from amondawa.model.points import Points
from amondawa.store import rollup_items, rows
from amondawa.store.base import BlockStore, Item, Key
from amondawa.store.memory import MemoryStore
from amondawa.store.rollup_rules import RollupRules
from tests.ingest.rolled_gateways import (
    BLOCK_MS,
    DROP,
    EVERY_10_S,
    EXACT,
    HOUR_MS,
    KEEP,
    SETTINGS,
    START_MS,
    Pair,
    Value,
    agree,
    batch_of,
    grouped,
    shown,
)


@pytest.fixture(autouse=True)
def even_small_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rows rolled up whose points take less room as they are, too."""
    monkeypatch.setattr(rollup_row, "MOST_SHARE", 1e9)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for gateways that there are not."""
    monkeypatch.setattr(rollup_run, "HEARD_S", 0.0)


# crashes ----------------------------------------------------------------------------------------------------------------


class Faulty(MemoryStore):
    """A store without transactions that stops after so many single writes."""

    def __init__(self) -> None:
        super().__init__()
        self.left = -1

    def _use(self) -> None:
        if self.left == 0:
            raise StoreError("the process ends here")
        self.left -= 1

    def change(self, puts: Mapping[str, Sequence[Item]], deletes: Mapping[str, Sequence[Key]]) -> None:
        for table, items in puts.items():
            for item in items:
                self._use()
                super().change({table: [item]}, {})
        for table, keys in deletes.items():
            for key in keys:
                self._use()
                super().change({}, {table: [key]})


async def test_a_crash_between_any_two_writes_leaves_one_answer(tmp_path: Path) -> None:
    store = Faulty()
    store.open()
    pair = await Pair.start("memory", tmp_path, store)
    long_row: dict[int, Value] = {time: time % 89 for time in range(0, HOUR_MS, 250)}
    await pair.write({**long_row, 1: "early", 3_599_999: "late"})
    await pair.write(EVERY_10_S, host="b")
    rules = "*=1d:1s:drop-raw" if rollup_items.PART_INTERVALS < 3_600 else DROP
    await interrupt(pair, store, rules)
    await pair.write({time + 3: 11 for time in range(0, HOUR_MS, 10_000)})
    await interrupt(pair, store, DROP)
    await interrupt(pair, store, "*=1d:300s:drop-raw")
    await pair.stop()


async def test_a_crash_between_the_parts_of_a_row_leaves_one_answer(tmp_path: Path) -> None:
    store = Faulty()
    store.open()
    pair = await Pair.start("memory", tmp_path, store, store_column_height_s=7_200)
    points: dict[int, Value] = {time: time % 89 for time in range(0, 2 * HOUR_MS, 500)}
    await pair.write({**points, 1: "early", 7_199_999: "late"})
    await interrupt(pair, store, "*=1d:1s:drop-raw")
    await pair.write({time + 3: 11 for time in range(0, 2 * HOUR_MS, 10_000)})
    await interrupt(pair, store, "*=1d:1s:drop-raw")
    await pair.stop()


async def interrupt(pair: Pair, store: Faulty, rules: str) -> None:
    """Let a roll-up end after 0, 1, 2, … writes until it is through; check the answers each time."""
    await pair.rolled.flush()
    for writes in range(1_000):
        store.left = writes
        try:
            await pair.roll(rules, again=True)
            ended = True
        except StoreError:
            ended = False
        store.left = -1
        for kind in (Sum, Count, First):
            rolled, raw = await pair.both(grouped(kind))
            assert shown(rolled) == shown(raw), (writes, kind)
        if ended:
            assert writes > 0
            return
    raise AssertionError("it never ended")


async def test_what_a_crash_left_is_removed_by_the_next_run(tmp_path: Path) -> None:
    store = Faulty()
    store.open()
    pair = await Pair.start("memory", tmp_path, store)
    await pair.write(EVERY_10_S)
    await pair.rolled.flush()
    pair.clock.now_ms = START_MS + BLOCK_MS + 3 * 24 * HOUR_MS
    store.left = 1
    with pytest.raises(StoreError):
        await pair.roll()
    store.left = -1
    await pair.roll(again=True)
    assert chunks(store) == 0
    assert (await pair.roll(again=True)).rolled == 0
    await agree(pair, grouped(Sum))
    await pair.stop()


def chunks(store: BlockStore) -> int:
    """Return how many chunks a store in memory holds."""
    assert isinstance(store, MemoryStore)
    tables = [store._tables[name] for name in store.tables() if name.startswith("datapoints_")]
    return sum(
        not rollup_items.is_rolled_up(Item(hash_key, range_key, b""))
        for table in tables
        for hash_key, held in table.items.items()
        for range_key in held
    )


async def test_two_gateways_never_roll_up_at_once(tmp_path: Path) -> None:
    pair = await Pair.start("memory", tmp_path)
    await pair.write(EVERY_10_S)
    await pair.roll()
    other = await Pair.start("memory", tmp_path, pair.store, gateway_id="two")
    other.clock.now_ms = pair.clock.now_ms
    with pytest.raises(Unavailable, match="another gateway"):
        await other.roll()
    await other.raw.stop()
    await pair.raw.stop()


# several gateways -------------------------------------------------------------------------------------------------------


class Interfering(MemoryStore):
    """A store that bills writes, in which another gateway writes to a row just after it was read to be rolled up."""

    bills_writes = True

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Item | None = None
        self.table = ""

    def change(self, puts: Mapping[str, Sequence[Item]], deletes: Mapping[str, Sequence[Key]]) -> None:
        copied = any(map(rollup_items.is_copy, (item for items in puts.values() for item in items)))
        if copied and self.meanwhile is not None:
            late, self.meanwhile = self.meanwhile, None
            super().change({self.table: [late]}, {self.table: [(late.hash, COPY_KEY)]})
        super().change(puts, deletes)


async def test_a_copy_of_a_row_that_another_gateway_wrote_to_meanwhile_is_not_kept(tmp_path: Path) -> None:
    store = Interfering()
    store.open()
    pair = await Pair.start("memory", tmp_path, store)
    await pair.write(EVERY_10_S)
    await pair.rolled.flush()
    store.table = next(name for name in store.tables() if name.startswith("datapoints_"))
    [hash_key] = store._tables[store.table].items
    points = Points.longs(np.array([START_MS + 5_000]), np.array([7]))
    [late] = rows.chunk_items(hash_key, START_MS // 1_000, points, 2**50, b"")
    await pair.raw.write(batch_of(pair.raw, "m", "a", {5_000: 7}))
    store.meanwhile = late
    await pair.roll(KEEP)
    assert store.meanwhile is None
    await agree(pair, grouped(Sum), None)
    await pair.roll(KEEP, again=True)
    await agree(pair, grouped(Sum))
    await pair.stop()


async def test_where_gateways_share_a_store_all_of_them_know_before_a_block_is_begun(tmp_path: Path) -> None:
    pair = await Pair.start("dynamodb", tmp_path)
    await pair.write(EVERY_10_S)
    pair.clock.now_ms = START_MS + BLOCK_MS + 3 * 24 * HOUR_MS
    rules = RollupRules.parse(DROP)
    for wait_ms, rolled in ((0, 0), (KNOWN_MS - 1, 0), (1, 1)):
        pair.clock.now_ms += wait_ms
        report = await pair.rolled.roll_up(rules, lambda _: None)
        assert (len(report.waiting), report.rolled) == (1 - rolled, rolled)
    await agree(pair, grouped(Sum))
    await pair.stop()


async def test_late_points_of_another_gateway_count_and_are_rolled_up(tmp_path: Path) -> None:
    pair = await Pair.start("memory", tmp_path)
    for rules in (KEEP, DROP):
        await pair.write(EVERY_10_S)
        await pair.roll(rules)
        other = await Gateway.start(replace(SETTINGS, gateway_id="two"), pair.store, pair.clock)
        late: dict[int, Value] = {time + len(rules): 3 for time in range(0, HOUR_MS, 10_000)}
        await other.write(batch_of(other, "m", "a", late))
        await other.stop()
        await pair.raw.write(batch_of(pair.raw, "m", "a", late))
        await pair.again()
        await agree(pair, grouped(Sum), EXACT if rules == DROP else None)
        await pair.roll(rules)
        await agree(pair, grouped(Sum))
    await pair.stop()
