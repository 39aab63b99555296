"""The blocks that exist: opened, seen by other gateways, hidden, retuned, dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from amondawa.errors import ConfigError
from amondawa.index.blocks import OpenBlocks
from amondawa.store.base import BlockStore, Capacity
from amondawa.store.blocks import Block, BlockPlan, Throughput
from amondawa.store.memory import MemoryStore
from tests.store.engines import ENGINES, open_engine

DAY_S = 86_400
PLAN = BlockPlan(DAY_S, 30 * DAY_S, 30)
GIVEN = Throughput(Capacity(8, 160), Capacity(4, 80))


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlockStore:
    store = open_engine(request.param, tmp_path)
    request.addfinalizer(store.close)
    return store


def opened(store: BlockStore, throughput: Throughput = GIVEN) -> OpenBlocks:
    blocks = OpenBlocks(store, PLAN, throughput)
    blocks.load()
    return blocks


def test_another_row_width_than_that_of_the_data_is_refused(store: BlockStore) -> None:
    opened(store)
    with pytest.raises(ConfigError, match="store_column_height is 3600 seconds .* with 86400"):
        OpenBlocks(store, BlockPlan(3_600)).load()


def test_a_block_is_made_once_with_its_tables(store: BlockStore) -> None:
    blocks = opened(store)
    block = blocks.of(5 * DAY_S)
    assert blocks.of(5 * DAY_S) is block
    assert {block.datapoints_table, block.index_table} <= set(store.tables())
    assert opened(store).all() == [block]


def test_a_block_that_is_created_ahead_gets_throughput_and_one_for_late_points_is_on_demand(store: BlockStore) -> None:
    blocks = opened(store)
    assert blocks.create(PLAN.block_of(9 * DAY_S)) == GIVEN.given_to(PLAN.block_of(9 * DAY_S))
    assert blocks.of(5 * DAY_S) == PLAN.block_of(5 * DAY_S)


def test_creating_a_block_again_changes_nothing(store: BlockStore) -> None:
    blocks = opened(store)
    block = blocks.of(5 * DAY_S)
    assert blocks.create(PLAN.block_of(5 * DAY_S)) == block
    assert blocks.all() == [block]


def test_of_two_gateways_that_open_one_block_the_second_finds_what_the_first_wrote(store: BlockStore) -> None:
    one, two = opened(store), opened(store)
    created = one.create(PLAN.block_of(5 * DAY_S))
    assert two.all() == []
    assert two.of(5 * DAY_S) == created


def test_what_another_gateway_made_or_dropped_is_seen_after_a_reload(store: BlockStore) -> None:
    one, two = opened(store), opened(store)
    block = one.of(5 * DAY_S)
    assert two.reload() == []
    assert two.all() == [block]
    one.drop([block])
    assert two.reload() == [block]
    assert two.all() == []


def test_a_dropped_block_is_gone_with_its_tables(store: BlockStore) -> None:
    blocks = opened(store)
    kept, gone = blocks.of(6 * DAY_S), blocks.of(5 * DAY_S)
    blocks.drop([gone])
    assert blocks.all() == opened(store).all() == [kept]
    assert not {gone.datapoints_table, gone.index_table} & set(store.tables())


def test_blocks_past_the_history_are_hidden_but_listed(store: BlockStore) -> None:
    blocks = opened(store)
    old, young = blocks.of(5 * DAY_S), blocks.of(6 * DAY_S)
    assert blocks.hide_before(None) == []
    assert blocks.hide_before(6 * DAY_S - 1) == []
    assert blocks.hide_before(6 * DAY_S) == [old]
    assert blocks.hide_before(6 * DAY_S) == []
    assert blocks.all() == blocks.overlapping(0, 9 * DAY_S) == [young]
    assert blocks.listed() == [old, young]


def test_a_row_is_past_when_all_of_it_is_older_than_what_is_kept(store: BlockStore) -> None:
    blocks = opened(store)
    assert not blocks.is_past(-(2**40))
    blocks.hide_before(6 * DAY_S)
    assert blocks.is_past(5 * DAY_S)
    assert not blocks.is_past(5 * DAY_S + 1)


class Recording(MemoryStore):
    """Notes changes of throughput."""

    def __init__(self) -> None:
        super().__init__()
        self.set: list[tuple[str, Capacity]] = []

    def set_capacity(self, table: str, capacity: Capacity) -> None:
        self.set.append((table, capacity))
        super().set_capacity(table, capacity)


def test_retuning_and_turning_down_change_tables_and_list() -> None:
    store = Recording()
    blocks = opened(store)
    late = blocks.of(5 * DAY_S)
    blocks.retune(late)
    assert store.set == [(late.datapoints_table, Capacity(8, 160)), (late.index_table, Capacity(4, 80))]
    (given,) = opened(store).all()
    assert given == GIVEN.given_to(late)
    store.set.clear()
    blocks.turn_down(given)
    assert store.set == [(late.datapoints_table, Capacity()), (late.index_table, Capacity())]
    assert opened(store).all() == [Block(late.start_s, late.end_s, late.name, turned_down=True)]


def test_turning_down_a_block_on_demand_asks_nothing_of_the_tables() -> None:
    store = Recording()
    blocks = opened(store, Throughput())
    blocks.turn_down(blocks.of(5 * DAY_S))
    assert store.set == []
    assert blocks.all()[0].turned_down


def test_a_change_that_another_gateway_made_first_stands() -> None:
    store = MemoryStore()
    one, two = opened(store), opened(store)
    block = one.of(5 * DAY_S)
    two.reload()
    one.turn_down(block)
    two.retune(block)
    assert opened(store).all() == one.all()
