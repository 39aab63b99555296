"""Aging: points with an expiry, and metrics with a retention of their own, hidden at once and swept with index and names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amondawa.errors import TooOld
from amondawa.gateway import Gateway
from amondawa.ingest.writer import SETTLE_S
from amondawa.model.points import Kind, WriteBatch
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Query, Selection
from amondawa.settings import Settings
from amondawa.store import keys
from amondawa.store.base import BlockStore
from amondawa.store.memory import MemoryStore
from amondawa.store.sqlite import SqliteStore
from tests.store.engines import ENGINES, open_engine

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START_MS = 19_000 * 30 * DAY_MS // 30 + HOUR_MS


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class Fixture:
    """A gateway over a store, with a clock."""

    def __init__(self, store: BlockStore) -> None:
        self.store = store
        self.clock = Clock()
        self.gateway: Gateway

    async def start(self, **changes: Any) -> None:
        self.store.open()
        settings = Settings(**{"store_column_height_s": 3_600, "query_threads": 1, **changes})
        self.gateway = await Gateway.start(settings, self.store, self.clock)

    async def write(self, metric: str, times: dict[int, int], *, host: str = "a") -> None:
        """Write points at some times after START_MS, each with its expiry (0 = never)."""
        ref = self.gateway.resolve("default", metric, (("host", host),))
        await self.gateway.write(
            WriteBatch(
                np.full(len(times), ref, np.int32),
                np.array(list(times), np.int64) + START_MS,
                np.full(len(times), Kind.LONG, np.uint8),
                np.arange(len(times), dtype=np.int64),
                [],
                np.array([expiry and START_MS + expiry for expiry in times.values()], np.int64),
            )
        )

    async def times(self, metric: str, limit: int = 0, *, descending: bool = False) -> list[int]:
        """Return the times of a metric's points, counted from START_MS."""
        query = Query(Selection("default", metric), MIN_TIME_MS, MAX_TIME_MS, limit=limit, descending=descending)
        return await self.gateway.query(
            [query],
            lambda results: [int(t) - START_MS for frame in results[0].frames for t in frame.points.times_ms],
        )

    async def names(self) -> tuple[list[str], list[str]]:
        return await self.gateway.metric_names("default"), await self.gateway.tag_values("default", "host")

    def items(self) -> int:
        """Return how many chunks, index entries and names a store in memory holds, lists of domains left out."""
        store = self.store
        assert isinstance(store, MemoryStore)
        tables = [store._tables[name] for name in store.tables() if name.startswith(("datapoints_", "index_"))]
        return sum(len(held) for table in tables for key, held in table.items.items() if key != keys.DOMAINS_KEY)


async def fixture_on(engine: str, directory: Path) -> AsyncIterator[Fixture]:
    store = open_engine(engine, directory)
    store.close()
    fixture = Fixture(store)
    yield fixture
    await fixture.gateway.stop()


@pytest.fixture(params=ENGINES)
async def aging(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Fixture]:
    async for fixture in fixture_on(request.param, tmp_path):
        yield fixture


@pytest.fixture(params=["memory", "sqlite"])
async def alone(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Fixture]:
    """A gateway on a store that no other shares, so that what is due is swept at once."""
    async for fixture in fixture_on(request.param, tmp_path):
        yield fixture


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_point_vanishes_the_moment_it_expires_on_every_path(aging: Fixture, flushed: bool) -> None:
    await aging.start()
    await aging.write("m", {0: 1_000, 10: 2_000, 20: 0})
    if flushed:
        await aging.gateway.flush()
    for now, left in ((999, [0, 10, 20]), (1_000, [10, 20]), (1_999, [10, 20]), (2_000, [20])):
        aging.clock.now_ms = START_MS + now
        assert await aging.times("m") == left
        assert await aging.times("m", 1) == left[:1]
        assert await aging.times("m", 1, descending=True) == left[-1:]


async def test_index_and_names_go_with_the_last_point_of_a_row_and_not_before(alone: Fixture) -> None:
    await alone.start()
    await alone.write("m", {0: 1_000, 10: 5_000})
    await alone.write("other", {0: 0}, host="b")
    await alone.gateway.flush()
    alone.clock.now_ms = START_MS + 4_999
    assert await alone.gateway.sweep() == 0
    assert await alone.names() == (["m", "other"], ["a", "b"])
    alone.clock.now_ms = START_MS + 5_000
    assert await alone.gateway.sweep() == 2
    assert await alone.names() == (["other"], ["b"])
    assert await alone.gateway.find_series(Selection("default", "m"), MIN_TIME_MS, MAX_TIME_MS) == []
    assert await alone.times("other") == [0]


async def test_nothing_of_what_expired_is_left_in_the_store() -> None:
    aging = Fixture(MemoryStore())
    await aging.start()
    await aging.gateway.flush()
    before = aging.items()
    for number in range(3):
        await aging.write("m", {number: 1_000 + number, HOUR_MS + number: 1_000})
        await aging.gateway.flush()
    assert aging.items() > before
    aging.clock.now_ms = START_MS + 2_000
    assert await aging.gateway.sweep() == 6
    assert aging.items() == before
    await aging.gateway.stop()


async def test_what_has_expired_before_its_flush_is_not_written_at_all(alone: Fixture) -> None:
    await alone.start()
    await alone.write("m", {0: 1_000})
    alone.clock.now_ms = START_MS + 1_000
    await alone.gateway.flush()
    assert await alone.names() == ([], [])
    assert await alone.gateway.sweep() == 0


async def test_names_of_points_that_expired_before_their_flush_are_gone_at_once(aging: Fixture) -> None:
    await aging.start()
    await aging.write("m", {0: 1_000, 10: 2_000})
    await aging.write("m", {5: 0}, host="b")
    writer = aging.gateway._writer
    for pack in (None, False, True):
        if pack is not None:
            writer.head.active.runs()
        if pack:
            assert writer.head.active.pack(writer.head.cache)
        for now, hosts in ((0, ["a", "b"]), (1_999, ["a", "b"]), (2_000, ["b"])):
            aging.clock.now_ms = START_MS + now
            assert await aging.names() == (["m"], hosts)
            found = await aging.gateway.find_series(Selection("default", "m"), MIN_TIME_MS, MAX_TIME_MS)
            assert [dict(series.tags)["host"] for series in found] == hosts


async def test_a_point_that_expired_goes_on_hiding_the_one_that_it_replaced(aging: Fixture) -> None:
    await aging.start()
    await aging.write("m", {0: 0, 10: 0})
    await aging.gateway.flush()
    await aging.write("m", {0: 1_000})
    aging.clock.now_ms = START_MS + 2_000
    for step in (aging.gateway.flush, aging.gateway.sweep, aging.gateway.sweep):
        assert await aging.times("m") == [10]
        await step()
    assert await aging.times("m") == [10]


async def test_a_point_that_is_written_again_without_expiry_stays(aging: Fixture) -> None:
    await aging.start()
    await aging.write("m", {0: 1_000})
    await aging.gateway.flush()
    await aging.write("m", {0: 0})
    await aging.gateway.flush()
    aging.clock.now_ms = START_MS + 2_000
    assert await aging.gateway.sweep() == 0
    assert await aging.times("m") == [0]
    assert await aging.names() == (["m"], ["a"])


async def test_a_row_is_written_anew_only_when_half_of_it_goes(alone: Fixture) -> None:
    await alone.start()
    await alone.write("m", {0: 1_000})
    await alone.gateway.flush()
    await alone.write("m", dict.fromkeys(range(1, 4), 10_000))
    await alone.gateway.flush()
    alone.clock.now_ms = START_MS + 1_000
    assert await alone.gateway.sweep() == 0
    assert await alone.times("m") == [1, 2, 3]
    alone.clock.now_ms = START_MS + 10_000
    assert await alone.gateway.sweep() == 4
    assert await alone.names() == ([], [])


async def test_points_that_are_not_flushed_keep_their_row_when_what_is_stored_goes(alone: Fixture) -> None:
    await alone.start()
    await alone.write("m", {0: 1_000})
    await alone.gateway.flush()
    await alone.write("m", {10: 0})
    alone.clock.now_ms = START_MS + 1_000
    assert await alone.gateway.sweep() == 1
    for _ in range(2):
        assert await alone.times("m") == [10]
        assert await alone.names() == (["m"], ["a"])
        await alone.gateway.flush()


async def test_what_expires_while_the_gateway_is_down_is_swept_after_its_start(tmp_path: Path) -> None:
    aging = Fixture(SqliteStore(tmp_path / "data"))
    await aging.start()
    await aging.write("m", {0: 1_000})
    await aging.gateway.flush()
    await aging.gateway.stop()
    aging.clock.now_ms = START_MS + DAY_MS
    await aging.start()
    assert await aging.times("m") == []
    assert await aging.gateway.sweep() == 1
    assert await aging.names() == ([], [])
    await aging.gateway.stop()


async def test_where_gateways_share_a_store_a_row_is_swept_once_the_last_of_them_has_flushed(tmp_path: Path) -> None:
    aging = Fixture(open_engine("dynamodb", tmp_path))
    aging.store.close()
    await aging.start(flush_age_s=600)
    await aging.write("m", {0: 1_000})
    await aging.write("debug.a", {0: 0})
    await aging.gateway.flush()
    settled_ms = START_MS + HOUR_MS + 600_000 + SETTLE_S * 1_000
    for now_ms, swept, names in (
        (settled_ms - 1_000, 0, ["debug.a", "m"]),
        (settled_ms, 1, ["debug.a"]),
    ):
        aging.clock.now_ms = now_ms
        assert await aging.times("m") == []
        assert await aging.gateway.sweep() == swept
        assert (await aging.names())[0] == names
    await aging.gateway.stop()


# retention ------------------------------------------------------------------------------------------------------------


async def test_points_past_the_retention_of_their_metric_are_hidden_at_once(aging: Fixture) -> None:
    await aging.start(retention="debug.*=600")
    for metric in ("debug.a", "a"):
        await aging.write(metric, {0: 0, 60_000: 0})
    for flush in (False, True):
        if flush:
            await aging.gateway.flush()
        for now, left in ((600_000, [0, 60_000]), (600_001, [60_000]), (660_001, [])):
            aging.clock.now_ms = START_MS + now
            assert await aging.times("debug.a") == left
            assert await aging.times("a") == [0, 60_000]


async def test_rows_past_the_retention_as_a_whole_are_swept_with_index_and_names(alone: Fixture) -> None:
    await alone.start(retention="debug.*=600")
    await alone.write("debug.a", {0: 0}, host="x")
    await alone.write("a", {0: 0})
    await alone.gateway.flush()
    alone.clock.now_ms = START_MS + HOUR_MS + 599_999
    assert await alone.gateway.sweep() == 0
    alone.clock.now_ms = START_MS + HOUR_MS + 600_000
    assert await alone.gateway.sweep() == 1
    assert await alone.names() == (["a"], ["a"])
    assert await alone.times("a") == [0]


async def test_a_retention_that_is_configured_later_holds_for_what_is_there(tmp_path: Path) -> None:
    aging = Fixture(SqliteStore(tmp_path / "data"))
    await aging.start()
    await aging.write("debug.a", {0: 0})
    await aging.gateway.stop()
    aging.clock.now_ms = START_MS + DAY_MS
    await aging.start(retention="debug.*=600")
    assert await aging.times("debug.a") == []
    assert await aging.gateway.find_series(Selection("default", "debug.a"), MIN_TIME_MS, MAX_TIME_MS) == []
    assert await aging.gateway.sweep() == 1
    assert await aging.names() == ([], [])
    await aging.gateway.stop()


async def test_a_point_past_the_retention_of_its_metric_is_refused_and_the_others_are_kept(aging: Fixture) -> None:
    await aging.start(retention="debug.*=600")
    with pytest.raises(TooOld) as caught:
        await aging.write("debug.a", {0: 0, -600_001: 0, -600_000: 0})
    assert (caught.value.index, caught.value.value) == (1, START_MS - 600_001)
    assert await aging.times("debug.a") == [-600_000, 0]
    await aging.write("a", {-DAY_MS: 0})


# blocks ---------------------------------------------------------------------------------------------------------------


async def test_a_block_past_the_history_goes_whole_with_its_names_and_cached_rows(aging: Fixture) -> None:
    await aging.start(store_history_s=86_400, store_history_blocks=24)
    await aging.write("old", {0: 0})
    await aging.write("young", {6 * HOUR_MS: 0}, host="b")
    await aging.gateway.flush()
    assert await aging.times("old") == [0]
    aging.clock.now_ms = START_MS + 25 * HOUR_MS
    await aging.gateway.maintain()
    assert await aging.names() == (["young"], ["b"])
    assert await aging.times("old") == []
    aging.clock.now_ms += 600_000
    report = await aging.gateway.maintain()
    assert len(report.dropped) == 1
    assert not [table for table in aging.store.tables() if report.dropped[0] in table]
    assert await aging.times("young") == [6 * HOUR_MS]


async def test_points_past_the_history_are_hidden_before_their_block_is_dropped(aging: Fixture) -> None:
    await aging.start(store_history_s=86_400, store_history_blocks=1)
    await aging.write("m", {0: 0, 10: 0})
    await aging.gateway.flush()
    aging.clock.now_ms = START_MS + DAY_MS + 1
    assert await aging.times("m") == [10]


async def test_points_that_pass_the_history_before_their_flush_open_no_block(aging: Fixture) -> None:
    await aging.start(store_history_s=86_400, store_history_blocks=24)
    await aging.write("m", {0: 0})
    aging.clock.now_ms = START_MS + 26 * HOUR_MS
    await aging.gateway.maintain()
    tables = aging.store.tables()
    await aging.gateway.flush()
    assert aging.store.tables() == tables
    assert await aging.names() == ([], [])
