from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.errors import Corrupt
from amondawa.store.base import Capacity
from amondawa.store.blocks import (
    DEFAULT_BLOCK_S,
    Block,
    BlockPlan,
    Throughput,
    overlapping,
    parse_master,
    render_master,
    turned_down,
)

DAY_S = 86_400
PLANS = st.builds(
    BlockPlan,
    st.sampled_from([1, 60, 3_600, DAY_S, 7 * DAY_S, 45 * DAY_S]),
    st.sampled_from([0, 1, 1_000_003, 365 * DAY_S]),
    st.sampled_from([0, 1, 7, 12]),
)
TIMES_S = st.integers(-(2**63) // 1_000, 2**63 // 1_000)


@given(PLANS, TIMES_S)
def test_a_row_lies_in_one_block_and_blocks_meet_without_gaps(plan: BlockPlan, time_s: int) -> None:
    base = time_s // plan.column_height_s * plan.column_height_s
    block = plan.block_of(base)
    assert block.start_s <= base
    assert base + plan.column_height_s <= block.end_s
    assert plan.block_of(block.start_s) == plan.block_of(block.end_s - 1) == block
    assert plan.block_of(block.end_s).start_s == block.end_s
    assert block.start_s % plan.column_height_s == 0


@given(PLANS, TIMES_S)
def test_table_names_suit_every_engine_and_tell_blocks_apart(plan: BlockPlan, time_s: int) -> None:
    block = plan.block_of(time_s)
    for name in (block.datapoints_table, block.index_table):
        assert re.fullmatch(r"(datapoints|index)_[A-Za-z0-9_.-]{3,100}", name)
    assert plan.block_of(block.end_s).name != block.name
    assert plan.block_of(-1 - time_s).name != block.name or plan.block_of(-1 - time_s) == block


@pytest.mark.parametrize(
    ("plan", "block_s"),
    [
        (BlockPlan(DAY_S), DEFAULT_BLOCK_S),
        (BlockPlan(DAY_S, 365 * DAY_S), DEFAULT_BLOCK_S),
        (BlockPlan(DAY_S, 0, 12), DEFAULT_BLOCK_S),
        (BlockPlan(DAY_S, 360 * DAY_S, 12), 30 * DAY_S),
        (BlockPlan(DAY_S, 365 * DAY_S, 12), 31 * DAY_S),
        (BlockPlan(7 * DAY_S), 35 * DAY_S),
        (BlockPlan(45 * DAY_S), 45 * DAY_S),
        (BlockPlan(3_600, 10, 10), 3_600),
    ],
)
def test_a_block_is_as_long_as_wished_rounded_up_to_whole_rows(plan: BlockPlan, block_s: int) -> None:
    assert plan.block_s == block_s


def test_blocks_of_other_lengths_have_other_names() -> None:
    assert BlockPlan(DAY_S).block_of(0).name != BlockPlan(DAY_S, 70 * DAY_S, 7).block_of(0).name


# history --------------------------------------------------------------------------------------------------------------


def test_without_history_nothing_is_too_old_and_nothing_expires() -> None:
    plan = BlockPlan(DAY_S)
    assert plan.oldest_allowed_s(10**9) is None
    assert plan.expired([plan.block_of(-(10**12))], 10**9) == []


@given(st.integers(0, 10**6))
def test_a_block_expires_when_its_last_point_is_too_old(wait_s: int) -> None:
    plan = BlockPlan(3_600, 7 * DAY_S, 7)
    block = plan.block_of(0)
    now_s = block.end_s + plan.history_s - 500_000 + wait_s
    oldest = plan.oldest_allowed_s(now_s)
    assert oldest is not None
    assert plan.expired([plan.block_of(10**9), block], now_s) == ([block] if block.end_s <= oldest else [])


# create ahead, turn down ----------------------------------------------------------------------------------------------


def test_the_current_block_is_created_when_it_is_missing() -> None:
    plan = BlockPlan(DAY_S)
    assert plan.to_create([], 0, 0, 0) == [plan.block_of(0)]
    assert plan.to_create([plan.block_of(0)], 0, 0, 0) == []


@pytest.mark.parametrize(
    ("before_end_s", "next_min_s", "next_pct", "created"),
    [(3_601, 3_600, 0, False), (3_600, 3_600, 0, True), (3 * DAY_S + 1, 60, 10, False), (3 * DAY_S, 60, 10, True)],
)
def test_the_next_block_is_created_ahead_by_the_longer_of_two_spans(
    before_end_s: int, next_min_s: int, next_pct: float, created: bool
) -> None:
    plan = BlockPlan(DAY_S)
    current = plan.block_of(0)
    found = plan.to_create([current], current.end_s - before_end_s, next_min_s, next_pct)
    assert found == ([plan.block_of(current.end_s)] if created else [])


def test_a_finished_block_is_turned_down_once_after_the_longer_of_two_spans() -> None:
    plan = BlockPlan(DAY_S)
    late, early = plan.block_of(DEFAULT_BLOCK_S), plan.block_of(0)
    assert plan.to_turn_down([late, early], early.end_s + 3 * DAY_S - 1, 60, 10) == []
    assert plan.to_turn_down([late, early], early.end_s + 3 * DAY_S, 60, 10) == [early]
    assert plan.to_turn_down([late, turned_down(early)], early.end_s + 3 * DAY_S, 60, 10) == []
    assert plan.to_turn_down([late, early], late.end_s + 9 * DAY_S, 60, 10) == [early, late]


def test_overlapping_blocks_are_those_with_rows_in_the_range() -> None:
    plan = BlockPlan(DAY_S)
    one, two, three = (plan.block_of(n * DEFAULT_BLOCK_S) for n in (-1, 0, 1))
    assert overlapping([three, one, two], -1, 0) == [one, two]
    assert overlapping([three, one, two], 0, DEFAULT_BLOCK_S - 1) == [two]


# master items ---------------------------------------------------------------------------------------------------------


@given(PLANS, TIMES_S, st.booleans(), st.none() | st.integers(1, 10**6))
def test_a_master_item_is_read_back(plan: BlockPlan, time_s: int, down: bool, units: int | None) -> None:
    plain = plan.block_of(time_s)
    block = Block(plain.start_s, plain.end_s, plain.name, down, Capacity(units, units))
    assert parse_master(render_master(block)) == block


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"version":2}', b'{"version":1,"start_s":"x"}', b"\xff"])
def test_a_damaged_master_item_is_corrupt(value: bytes) -> None:
    with pytest.raises(Corrupt, match="master item"):
        parse_master(value)


def test_a_master_item_without_the_indexs_capacity_is_one_on_demand() -> None:
    block = Block(0, DAY_S, "0-86400", capacity=Capacity(1, 2))
    older = json.loads(render_master(block))
    del older["index_capacity"]
    assert parse_master(json.dumps(older).encode()) == block


def test_only_blocks_in_use_now_or_next_are_retuned() -> None:
    plan, given_now = BlockPlan(DAY_S, 10 * DAY_S, 10), Throughput(Capacity(1, 2), Capacity(3, 4))
    days = [plan.block_of(day * DAY_S) for day in range(5)]
    assert plan.to_retune(days, 2 * DAY_S, given_now) == [days[2], days[3]]
    assert plan.to_retune([given_now.given_to(day) for day in days], 2 * DAY_S, given_now) == []


def test_a_block_that_is_turned_down_is_on_demand() -> None:
    block = Throughput(Capacity(1, 2), Capacity(3, 4)).given_to(Block(0, DAY_S, "0-86400"))
    assert turned_down(block) == Block(0, DAY_S, "0-86400", turned_down=True)
