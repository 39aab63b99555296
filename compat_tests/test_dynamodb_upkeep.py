"""Blocks, expiry, retention and back-fill on DynamoDB Local: made ahead, warm, turned down, swept, filled late, dropped.

The gateway is in this process, so that its clock can be set; DynamoDB Local is a process of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import boto3
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amondawa.errors import TooOld
from amondawa.gateway import Gateway
from amondawa.model.points import Kind, WriteBatch
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Query, Selection
from amondawa.settings import Settings
from amondawa.store.dynamodb.store import DynamoStore
from compat_tests.dynamodb_local import CREDENTIALS
from tests.test_gateway import STEP, Pair, play

pytestmark = [pytest.mark.dynamodb, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DAY_S = 86_400
START_MS = 20_000 * DAY_MS
spaces = count()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


class Running:
    """A gateway on DynamoDB Local with rows of an hour and a history of ten days in as many blocks."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.space = f"upkeep{next(spaces)}"
        self.now_ms = START_MS
        self.gateway: Gateway

    def settings(self, **changes: Any) -> Settings:
        own = {"store": "dynamodb", "dynamodb_endpoint": self.endpoint, "table_space": self.space, "gateway_id": "one"}
        shape = {"store_column_height_s": 3_600, "store_history_s": 10 * DAY_S, "store_history_blocks": 10}
        return Settings(**{**own, **shape, "flush_age_s": 600, "ack": "stored", **changes})

    async def start(self, **changes: Any) -> None:
        settings = self.settings(**changes)
        store = DynamoStore.of_settings(settings)
        store.open()
        self.gateway = await Gateway.start(settings, store, lambda: self.now_ms)

    async def write(self, metric: str, *offsets_ms: int, expires_ms: int = 0) -> None:
        """Write points at times after START_MS; they expire so long after it (0 = never)."""
        ref, number = self.gateway.resolve("default", metric, (("host", "a"),)), len(offsets_ms)
        await self.gateway.write(
            WriteBatch(
                np.full(number, ref, np.int32),
                np.array(offsets_ms, np.int64) + START_MS,
                np.full(number, Kind.LONG, np.uint8),
                np.arange(number, dtype=np.int64),
                [],
                np.full(number, START_MS + expires_ms, np.int64) if expires_ms else None,
            )
        )

    async def times(self, metric: str) -> list[int]:
        query = Query(Selection("default", metric), MIN_TIME_MS, MAX_TIME_MS)
        return await self.gateway.query(
            [query], lambda results: [int(t) - START_MS for one in results[0].frames for t in one.points.times_ms]
        )

    def tables(self) -> dict[str, tuple[int, int]]:
        """Return the tables of blocks by day and kind, with the read and write units that DynamoDB Local says they have."""
        client = boto3.client("dynamodb", region_name="us-west-2", endpoint_url=self.endpoint)
        found = {}
        for name in client.list_tables()["TableNames"]:
            space, kind, block = (*name.split("_"), "")[:3]
            if space == self.space and block:
                given = client.describe_table(TableName=name)["Table"]["ProvisionedThroughput"]
                day = (int(block.partition("-")[0]) - START_MS // 1_000) // DAY_S
                found[f"{kind} {day}"] = given["ReadCapacityUnits"], given["WriteCapacityUnits"]
        client.close()
        return found


@pytest.fixture
async def running(endpoint: str) -> AsyncIterator[Running]:
    one = Running(endpoint)
    yield one
    await one.gateway.stop()


async def test_blocks_are_made_ahead_turned_down_after_and_dropped_past_the_history(running: Running) -> None:
    tuned = {"tp_write_datapoints": 40, "tp_read_datapoints": 22, "tp_write_index_key": 10, "tp_read_index_key": 11}
    await running.start(**tuned)
    assert running.tables() == {"datapoints 0": (2, 40), "index 0": (1, 10)}
    await running.write("m", 0, 1_000)
    await running.gateway.flush()
    running.now_ms = START_MS + int(0.9 * DAY_MS)
    assert len((await running.gateway.maintain()).created) == 1
    running.now_ms = START_MS + int(1.1 * DAY_MS)
    assert len((await running.gateway.maintain()).turned_down) == 1
    assert running.tables() == {
        "datapoints 0": (0, 0),
        "index 0": (0, 0),
        "datapoints 1": (2, 40),
        "index 1": (1, 10),
    }
    assert await running.times("m") == [0, 1_000]
    running.now_ms = START_MS + 11 * DAY_MS + 301_000
    assert len((await running.gateway.maintain()).dropped) == 1
    assert {name.split()[1] for name in running.tables()} == {"1", "11"}
    assert await running.times("m") == []
    assert await running.gateway.metric_names("default") == []


@pytest.mark.parametrize("by", ["parameter", "switch"])
async def test_a_warm_block_is_made_where_the_parameter_does_nothing(running: Running, by: str) -> None:
    await running.start(tp_warm_write_datapoints=8_000, tp_warm_by=by)
    assert running.tables() == {"datapoints 0": (0, 0), "index 0": (0, 0)}
    await running.write("m", 0)
    running.now_ms = START_MS + DAY_MS - HOUR_MS
    report = await running.gateway.maintain()
    assert (len(report.created), report.retuned, report.failed) == (1, [], [])
    assert await running.times("m") == [0]
    await running.gateway.stop()
    await running.start(tp_warm_write_datapoints=9_000, tp_warm_by=by)  # DynamoDB Local can make no table warmer
    assert await running.times("m") == [0]
    assert (await running.gateway.maintain()).failed == []


async def test_points_are_filled_in_late_within_the_history_and_refused_beyond_it(running: Running) -> None:
    await running.start()
    await running.write("m", 0)
    await running.write("m", -9 * DAY_MS, -5 * DAY_MS, -5 * DAY_MS + 1)
    with pytest.raises(TooOld):
        await running.write("m", -10 * DAY_MS - 1)
    await running.gateway.flush()
    assert {name for name in running.tables() if "data" in name} == {f"datapoints {day}" for day in (-9, -5, 0)}
    await running.write("m", -5 * DAY_MS + 2)
    await running.gateway.stop()
    await running.start()
    assert await running.times("m") == [-9 * DAY_MS, -5 * DAY_MS, -5 * DAY_MS + 1, -5 * DAY_MS + 2, 0]
    report = await running.gateway.maintain()
    assert (report.created, report.retuned, report.failed) == ([], [], [])


async def test_points_that_expire_vanish_at_once_and_are_swept_with_their_names(running: Running) -> None:
    await running.start()
    await running.write("short", 0, expires_ms=60_000)
    await running.write("long", 0)
    await running.gateway.flush()
    assert await running.times("short") == [0]
    running.now_ms = START_MS + 60_000
    assert await running.times("short") == []
    assert await running.gateway.sweep() == 0, "another gateway may still hold points of the row"
    running.now_ms = START_MS + 3 * HOUR_MS
    assert await running.gateway.sweep() == 1
    assert await running.gateway.metric_names("default") == ["long"]
    assert await running.times("long") == [0]


async def test_rows_past_the_retention_of_their_metric_or_domain_are_swept(running: Running) -> None:
    await running.start(retention="debug.*=3600")
    for metric in ("debug.a", "m"):
        await running.write(metric, 0)
    await running.gateway.flush()
    running.now_ms = START_MS + 4 * HOUR_MS
    assert await running.times("debug.a") == []
    assert await running.gateway.sweep() == 1
    assert await running.gateway.metric_names("default") == ["m"]
    running.gateway.keep_by_domain(lambda: {"default": 3_600})
    assert await running.times("m") == []
    assert await running.gateway.sweep() == 1
    assert await running.gateway.metric_names("default") == []


async def test_units_are_told_by_domain_and_agree_with_the_total(running: Running) -> None:
    await running.start()
    await running.write("m", 0, 1_000)
    await running.gateway.flush()
    store = running.gateway._store
    own, total = store.consumed_by_domain(), store.consumed()
    assert own["default"].write_units >= 3
    assert sum(one.write_units for one in own.values()) == pytest.approx(total.write_units)
    assert sum(one.read_units for one in own.values()) == pytest.approx(total.read_units)


@pytest.mark.timeout(300)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(history=st.lists(STEP, min_size=4, max_size=10))
def test_any_history_answers_as_the_naive_gateway(endpoint: str, history: list[tuple[Any, ...]]) -> None:
    space = f"history{next(spaces)}"
    own = Settings(store="dynamodb", dynamodb_endpoint=endpoint, table_space=space, gateway_id="one")
    asyncio.run(play(Pair(lambda: DynamoStore.of_settings(own), keep_store=False), history))
