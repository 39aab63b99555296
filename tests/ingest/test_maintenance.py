"""Maintenance of blocks: ahead of their time, after it, past the history; one gateway at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from amondawa.errors import ConfigError, Unavailable
from amondawa.index.blocks import OpenBlocks
from amondawa.ingest.maintenance import LEASE_MS, Maintainer, Report, Rules, create_tables
from amondawa.settings import Settings
from amondawa.store.base import BlockStore, Capacity
from amondawa.store.blocks import Block, BlockPlan, Throughput
from amondawa.store.memory import MemoryStore
from tests.store.engines import ENGINES, open_engine

DAY_S = 86_400
PLAN = BlockPlan(DAY_S, 10 * DAY_S, 10)
RULES = Rules(next_min_s=3_600, next_pct=10, turndown_min_s=7_200, turndown_pct=10, grace_s=300)
GIVEN = Throughput(Capacity(8, 160), Capacity(4, 80))
START_S = 20_000 * DAY_S


class Gateway:
    """What a gateway has for the maintenance of a store that others may share."""

    def __init__(self, store: BlockStore, holder: str = "one", throughput: Throughput = GIVEN) -> None:
        self.blocks = OpenBlocks(store, PLAN, throughput)
        self.blocks.load()
        self.forgotten: list[Block] = []
        self.maintainer = Maintainer(store, self.blocks, RULES, holder, self._forget)

    def _forget(self, blocks: Sequence[Block]) -> None:
        self.forgotten += blocks

    def run(self, now_s: float) -> Report:
        return self.maintainer.run(int(now_s * 1_000))

    def starts(self) -> list[int]:
        """Return the days, counted from START_S, whose blocks are listed."""
        return [(block.start_s - START_S) // DAY_S for block in self.blocks.listed()]


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlockStore:
    store = open_engine(request.param, tmp_path)
    request.addfinalizer(store.close)
    return store


def name_of(day: int) -> str:
    return PLAN.block_of(START_S + day * DAY_S).name


def test_the_current_block_is_made_at_once_and_the_next_one_ahead_of_its_time(store: BlockStore) -> None:
    gateway = Gateway(store)
    assert gateway.run(START_S).created == [name_of(0)]
    assert gateway.run(START_S + 0.9 * DAY_S - 1).created == []
    assert gateway.run(START_S + 0.9 * DAY_S).created == [name_of(1)]
    assert gateway.run(START_S + 0.9 * DAY_S).created == []
    assert [block.capacity for block in gateway.blocks.all()] == [GIVEN.datapoints] * 2


def test_a_finished_block_is_turned_down_once_it_had_time_for_late_points(store: BlockStore) -> None:
    gateway = Gateway(store)
    gateway.run(START_S)
    assert gateway.run(START_S + 1.1 * DAY_S - 1).turned_down == []
    assert gateway.run(START_S + 1.1 * DAY_S).turned_down == [name_of(0)]
    assert gateway.run(START_S + 1.1 * DAY_S).turned_down == []
    first, second = gateway.blocks.all()
    assert (first.turned_down, first.capacity, first.index_capacity) == (True, Capacity(), Capacity())
    assert (second.turned_down, second.capacity) == (False, GIVEN.datapoints)


def test_a_block_past_the_history_is_hidden_at_once_and_dropped_whole_after_the_grace(store: BlockStore) -> None:
    gateway = Gateway(store)
    gateway.run(START_S)
    end_s = START_S + 11 * DAY_S
    assert gateway.run(end_s - 1).dropped == []
    assert gateway.forgotten == []
    assert gateway.run(end_s).dropped == []
    assert [block.name for block in gateway.forgotten] == [name_of(0)]
    assert name_of(0) not in [block.name for block in gateway.blocks.all()]
    assert gateway.run(end_s + 300).dropped == [name_of(0)]
    assert gateway.starts() == [10, 11]
    assert not [table for table in store.tables() if name_of(0) in table]


def test_blocks_that_a_stopped_gateway_left_behind_are_all_dropped(store: BlockStore) -> None:
    gateway = Gateway(store)
    for day in range(4):
        gateway.run(START_S + day * DAY_S)
    report = Gateway(store).run(START_S + 100 * DAY_S)
    assert report.dropped == [name_of(day) for day in range(4)]


def test_without_a_history_nothing_is_ever_dropped(store: BlockStore) -> None:
    blocks = OpenBlocks(store, BlockPlan(DAY_S))
    blocks.load()
    maintainer = Maintainer(store, blocks, RULES, "one", lambda _: None)
    for year in range(5):
        assert maintainer.run((START_S + year * 365 * DAY_S) * 1_000).dropped == []
    assert len(blocks.all()) >= 5


def test_a_block_in_use_gets_the_throughput_that_is_configured_now(store: BlockStore) -> None:
    Gateway(store, throughput=Throughput()).run(START_S)
    gateway = Gateway(store)
    assert gateway.run(START_S).retuned == [name_of(0)]
    assert gateway.run(START_S).retuned == []
    assert gateway.blocks.all()[0].capacity == GIVEN.datapoints


def test_a_block_that_late_points_opened_is_turned_down_and_not_retuned(store: BlockStore) -> None:
    gateway = Gateway(store)
    gateway.blocks.of(START_S - 5 * DAY_S)
    report = gateway.run(START_S)
    assert (report.retuned, report.turned_down) == ([], [name_of(-5)])


# several gateways -----------------------------------------------------------------------------------------------------


def test_one_gateway_maintains_and_the_others_see_what_it_did(store: BlockStore) -> None:
    one, two = Gateway(store, "one"), Gateway(store, "two")
    assert one.run(START_S).held
    report = two.run(START_S)
    assert (report.held, report.created) == (False, [])
    assert two.starts() == one.starts() == [0]


def test_another_takes_over_when_the_maintainer_is_gone_and_at_once_when_it_ended_in_order(store: BlockStore) -> None:
    one, two = Gateway(store, "one"), Gateway(store, "two")
    one.run(START_S)
    assert not two.run(START_S + LEASE_MS / 1_000 - 1).held
    assert two.run(START_S + LEASE_MS / 1_000).held
    assert not one.run(START_S + LEASE_MS / 1_000).held
    two.maintainer.end((START_S + LEASE_MS // 1_000) * 1_000)
    assert one.run(START_S + LEASE_MS / 1_000).held


def test_all_gateways_hide_a_block_before_one_of_them_drops_it(store: BlockStore) -> None:
    one, two = Gateway(store, "one"), Gateway(store, "two")
    one.run(START_S)
    two.run(START_S)
    two.run(START_S + 11 * DAY_S)
    assert [block.name for block in two.forgotten] == [name_of(0)]
    assert two.starts() == [0, 11] or two.starts() == [0]
    assert name_of(0) not in [block.name for block in two.blocks.all()]


def test_a_block_that_another_dropped_is_forgotten_too(store: BlockStore) -> None:
    one, two = Gateway(store, "one"), Gateway(store, "two")
    one.run(START_S)
    two.run(START_S)
    one.blocks.drop(one.blocks.all())
    two.run(START_S + 1)
    assert [block.name for block in two.forgotten] == [name_of(0)]


# failures -------------------------------------------------------------------------------------------------------------


class Failing(MemoryStore):
    """Refuses to create or delete the tables whose names hold a word."""

    word = "\0"

    def create_table(self, table: str, capacity: Capacity = Capacity()) -> None:  # noqa: B008 - immutable
        if self.word in table:
            raise Unavailable("busy")
        super().create_table(table, capacity)

    def delete_table(self, table: str) -> None:
        if self.word in table:
            raise Unavailable("busy")
        super().delete_table(table)


def test_a_step_that_fails_leaves_the_others_alone_and_is_taken_again() -> None:
    store = Failing()
    gateway = Gateway(store)
    gateway.run(START_S)
    now_s = START_S + 11 * DAY_S + 300
    store.word = f"index_{name_of(11)}"
    report = gateway.run(now_s)
    assert (report.failed, report.created, report.dropped) == ([name_of(11)], [], [name_of(0)])
    store.word = "\0"
    assert gateway.run(now_s).created == [name_of(11)]


def test_a_drop_that_was_cut_short_is_finished_by_the_next_pass() -> None:
    store = Failing()
    gateway = Gateway(store)
    gateway.run(START_S)
    now_s = START_S + 11 * DAY_S + 300
    store.word = "index_"
    assert gateway.run(now_s).dropped == []
    store.word = "\0"
    assert Gateway(store).run(now_s).dropped == [name_of(0)]
    assert name_of(0) not in "".join(store.tables())


# the schema -----------------------------------------------------------------------------------------------------------


def test_the_schema_is_what_a_gateway_needs_and_may_be_made_twice(store: BlockStore) -> None:
    settings = Settings(store_history_s=10 * DAY_S, store_history_blocks=10)
    for _ in range(2):
        create_tables(settings, store, START_S + int(0.95 * DAY_S))
        days = [f"{kind}_{name_of(day)}" for kind in ("datapoints", "index") for day in (0, 1)]
        assert store.tables() == sorted(["config", "credentials", "master", "metadata", *days])


@pytest.mark.parametrize("changes", [{"tp_write_datapoints": 5}, {"tp_read_index_key": 5}])
def test_a_table_with_reads_but_no_writes_or_the_other_way_round_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must both be given"):
        Throughput.of_settings(Settings(**changes))  # type: ignore[arg-type]


def test_reads_are_divided_among_the_blocks_of_the_history_and_a_spare() -> None:
    settings = Settings(
        store_history_blocks=3,
        tp_write_datapoints=160,
        tp_read_datapoints=80,
        tp_write_index_key=10,
        tp_read_index_key=1,
    )
    assert Throughput.of_settings(settings) == Throughput(Capacity(20, 160), Capacity(1, 10))


def test_the_rules_of_the_settings_are_in_seconds() -> None:
    settings = Settings(mx_create_next_min=4, mx_create_next_pct=15, mx_turndown_min=2, mx_turndown_pct=20)
    assert Rules.of_settings(settings) == Rules(240, 15, 120, 20, 300)
