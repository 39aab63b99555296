"""Which names are those of Amondawa's tables."""

from __future__ import annotations

import pytest

from amondawa.ingest.maintenance import create_tables
from amondawa.settings import Settings
from amondawa.store.blocks import BlockPlan
from amondawa.store.memory import MemoryStore
from amondawa.store.schema import is_own_table


@pytest.mark.parametrize("time_s", [-1, 0, 1_700_000_000])
@pytest.mark.parametrize("height_s", [60, 28_800, 86_400])
def test_tables_of_blocks_are_own(time_s: int, height_s: int) -> None:
    block = BlockPlan(height_s).block_of(time_s)
    assert is_own_table(block.datapoints_table)
    assert is_own_table(block.index_table)


def test_all_tables_of_a_schema_are_own() -> None:
    store = MemoryStore()
    store.open()
    create_tables(Settings(), store, 1_700_000_000)
    assert store.tables()
    assert [table for table in store.tables() if not is_own_table(table)] == []


@pytest.mark.parametrize(
    "table",
    ["", "users", "prod_config", "config2", "configs", "datapoints", "index_", "prod_index_0-60", "index_0-60-1"],
)
def test_tables_of_other_spaces_and_programs_are_not(table: str) -> None:
    assert not is_own_table(table)
