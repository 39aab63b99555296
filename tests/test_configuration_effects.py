"""Every key of the first version's configuration has its effect, from file and `bin/configure` by the table to the code."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amondawa import app
from amondawa.cli import command_line
from amondawa.errors import TooOld
from amondawa.gateway import Gateway
from amondawa.model.points import Kind, WriteBatch, same_kind
from amondawa.model.query import Query, Selection
from amondawa.model.result import Result
from amondawa.settings import Settings
from amondawa.store.base import Item, Key
from amondawa.store.configuration import ENTRIES, configured_settings
from amondawa.store.dynamodb import store as dynamodb
from amondawa.store.dynamodb.store import DynamoStore, Options
from amondawa.store.memory import MemoryStore
from tests.store.engines import QUICK
from tests.store.strict_fake import StrictFake

HOUR_S, DAY_S = 3_600, 86_400
NOW_S = 1_700_006_400  # a midnight
MS = 1_000
Configure = Callable[..., Settings]


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Return what writes a configuration by the command and reads the settings as a gateway that starts does."""
    for name in list(os.environ):
        if name.startswith("AMDW_"):
            monkeypatch.delenv(name)
    options = {"data": str(tmp_path / "data")}

    def configure(**keys: object) -> Settings:
        file = tmp_path / "configuration.py"
        file.write_text(f"configuration = {keys!r}\n")
        assert command_line(["configure", str(file), "--yes", "--data", options["data"]]) == 0
        return configured_settings(options, {})

    return configure


class Counting(MemoryStore):
    """A memory store that counts what is asked of its tables, and what is put into them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()
        self.put_items: Counter[str] = Counter()

    def _count(self, table: str) -> None:
        self.asked["index" if "index" in table else "datapoints" if "datapoints" in table else table] += 1

    def query(self, table: str, *given: Any, **named: Any) -> Iterator[list[Item]]:
        self._count(table)
        return super().query(table, *given, **named)

    def query_many(self, table: str, *given: Any, **named: Any) -> dict[bytes, list[Item]]:
        self._count(table)
        return super().query_many(table, *given, **named)

    def get(self, table: str, keys: Sequence[Key]) -> list[Item | None]:
        self._count(table)
        return super().get(table, keys)

    def change(self, puts: Mapping[str, Sequence[Item]], deletes: Mapping[str, Sequence[Key]]) -> None:
        for table, items in puts.items():
            self.put_items["datapoints" if "datapoints" in table else table] += len(items)
        super().change(puts, deletes)


class Site:
    """A gateway on a counting store, with a clock that is moved by hand."""

    gateway: Gateway

    def __init__(self) -> None:
        self.now_s: float = NOW_S
        self.store = Counting()
        self.store.open()

    def now_ms(self) -> int:
        return int(self.now_s * MS)

    async def write(self, *times_s: float, metric: str = "m") -> None:
        """Write a point at each time."""
        ref = self.gateway.resolve("d", metric, (("host", "a"),))
        count = len(times_s)
        times_ms = np.array([round(time_s * MS) for time_s in times_s], np.int64)
        await self.gateway.write(
            WriteBatch(np.full(count, ref, np.int32), times_ms, same_kind(Kind.LONG, count), times_ms)
        )

    async def read(self, metric: str = "m") -> int:
        """Return how many points a metric has."""

        def count(results: list[Result]) -> int:
            return sum(len(frame.points) for frame in results[0].frames)

        return await self.gateway.query([Query(Selection("d", metric), 0, 2**60)], count)

    def asked_by(self, kind: str) -> int:
        """Return how often a kind of table was asked since this was called last."""
        return self.store.asked.pop(kind, 0)

    async def pass_until(self, seconds: float, step_s: float) -> None:
        """Let time go by with maintenance at each step."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += step_s
            await self.gateway.maintain()


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Site]:
    """Run a gateway with some settings."""
    site = Site()
    site.gateway = await Gateway.start(settings, site.store, site.now_ms)
    try:
        yield site
    finally:
        await site.gateway.stop()


# shape of the store ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height_s", "rows"), [(HOUR_S, 3), (4 * HOUR_S, 1)])
async def test_store_column_height_is_the_time_of_a_row(configured: Configure, height_s: int, rows: int) -> None:
    async with running(configured(store_column_height=height_s * MS)) as site:
        await site.write(NOW_S, NOW_S + HOUR_S, NOW_S + 2 * HOUR_S)
        await site.gateway.flush()
        assert site.store.put_items["datapoints"] == rows


async def test_points_older_than_store_history_are_refused_and_hidden(configured: Configure) -> None:
    async with running(configured(store_history=2 * DAY_S * MS, store_column_height=HOUR_S * MS)) as site:
        await site.write(NOW_S - 2 * DAY_S + HOUR_S)
        with pytest.raises(TooOld):
            await site.write(NOW_S - 2 * DAY_S - HOUR_S)
        assert await site.read() == 1
        site.now_s += 2 * HOUR_S
        assert await site.read() == 0


@pytest.mark.parametrize(("blocks", "found"), [(2, 2), (8, 5)])
async def test_store_history_blocks_says_into_how_many_tables_the_history_is_cut(
    configured: Configure, blocks: int, found: int
) -> None:
    keys = {"store_history": 8 * DAY_S * MS, "store_history_blocks": blocks, "store_column_height": HOUR_S * MS}
    async with running(configured(**keys)) as site:
        start_s = NOW_S // (8 * DAY_S) * 8 * DAY_S
        site.now_s = start_s + 8 * DAY_S - 1
        await site.write(*(start_s + day * DAY_S for day in (0, 1, 4, 5, 7)))
        await site.gateway.flush()
        assert len([name for name in site.store.tables() if "datapoints" in name]) == found


# requests in flight ---------------------------------------------------------------------------------------------------


class Slow:
    """A client whose data requests take a moment, and that notes how many were under way at once."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        kind = {"query": "read", "batch_get_item": "read", "batch_write_item": "write"}.get(name)
        return found if kind is None else partial(self._slowly, kind, found)

    def _slowly(self, kind: str, call: Callable[..., Any], **given: Any) -> Any:
        with self._lock:
            self._now[kind] += 1
            self.most[kind] = max(self.most[kind], self._now[kind])
        time.sleep(0.02)
        try:
            return call(**given)
        finally:
            with self._lock:
                self._now[kind] -= 1


@pytest.mark.parametrize(("readers", "writers"), [(1, 3), (3, 1), (2, 2)])
def test_mt_readers_and_mt_writers_are_the_requests_in_flight(
    configured: Configure, monkeypatch: pytest.MonkeyPatch, readers: int, writers: int
) -> None:
    settings = configured(mt_readers=readers, mt_writers=writers)
    clients: list[Slow] = []
    fake = StrictFake()

    def make() -> Slow:
        clients.append(Slow(fake.client()))
        return clients[-1]

    monkeypatch.setattr(dynamodb, "client_maker", lambda *given: make)
    store = DynamoStore.of_settings(settings)
    store.open()
    store.create_table("t")
    store.put("t", [Item(b"h%d" % n, b"r", b"v") for n in range(25 * 8)])
    store.get("t", [(b"h%d" % n, b"r") for n in range(100 * 8)])
    store.close()
    most = sum((one.most for one in clients), Counter())
    assert (most["read"], most["write"]) == (readers, writers)


@pytest.mark.parametrize(("seconds", "delay_s"), [(0, 0.0), (0.05, 0.05), (2, 2.0)])
async def test_mt_write_delay_is_how_long_a_line_waits_for_others(
    configured: Configure, seconds: float, delay_s: float
) -> None:
    settings = replace(configured(mt_write_delay=seconds), store="memory")
    process = app.Process(settings, MemoryStore())
    assert process._line_limits()["delay_s"] == delay_s


# memory ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "asked"), [(0, True), (1, True), (2, False)])
async def test_cache_datapoints_is_how_many_rows_are_kept_after_a_query(
    configured: Configure, rows: int, asked: bool
) -> None:
    async with running(configured(cache_datapoints=rows, store_column_height=DAY_S * MS)) as site:
        await site.write(NOW_S, NOW_S - DAY_S)
        await site.gateway.flush()
        await site.read()
        site.asked_by("datapoints")
        assert await site.read() == 2
        assert bool(site.asked_by("datapoints")) is asked


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        ({"cache_query_index_key": 1}, True),
        ({"cache_query_index_key": 2}, False),
        ({"cache_write_index_key": 1}, True),
        ({"cache_write_index_key": 1_000}, False),
    ],
)
async def test_the_index_is_kept_for_as_many_metrics_and_entries_as_the_keys_say(
    configured: Configure, keys: dict[str, int], asked: bool
) -> None:
    async with running(configured(**keys)) as site:
        for metric in ("one", "two"):
            await site.write(NOW_S, metric=metric)
        await site.gateway.flush()
        for metric in ("one", "two"):
            await site.read(metric)
        site.asked_by("index")
        for metric in ("one", "two"):
            assert await site.read(metric) == 1
        assert bool(site.asked_by("index")) is asked


# throughput and maintenance -------------------------------------------------------------------------------------------


async def test_tp_keys_are_what_the_tables_of_a_block_are_given(configured: Configure) -> None:
    keys = {"tp_write_datapoints": 16, "tp_read_datapoints": 8, "tp_write_index_key": 12, "tp_read_index_key": 6}
    settings = configured(**keys, store_history=8 * DAY_S * MS, store_history_blocks=1)
    fake = StrictFake()
    store = DynamoStore(fake.client, "amdw", "one", Options(4, 4, QUICK))
    store.open()
    gateway = await Gateway.start(settings, store, lambda: NOW_S * MS)
    await gateway.maintain()
    await gateway.stop()
    given = {
        "datapoints" if "datapoints" in name else "index": table.billing["ProvisionedThroughput"]
        for name, table in fake.tables.items()
        if "datapoints" in name or "index" in name
    }
    units = {kind: (one["ReadCapacityUnits"], one["WriteCapacityUnits"]) for kind, one in given.items()}
    assert units == {"datapoints": (4, 16), "index": (3, 12)}


BLOCK = {"store_history": 10 * DAY_S * MS, "store_history_blocks": 10, "store_column_height": HOUR_S * MS}


def blocks_of(site: Site) -> int:
    return len([name for name in site.store.tables() if "datapoints" in name])


@pytest.mark.parametrize(
    ("minutes", "percent", "ahead_s"),
    [(30, 0, 30 * 60), (0, 25, 6 * HOUR_S), (30, 25, 6 * HOUR_S), (600, 25, 10 * HOUR_S)],
)
async def test_mx_create_next_is_how_long_before_its_time_a_block_is_made(
    configured: Configure, minutes: int, percent: float, ahead_s: int
) -> None:
    settings = configured(**BLOCK, mx_create_next_min=minutes, mx_create_next_pct=percent)
    async with running(settings) as site:
        end_s = NOW_S // DAY_S * DAY_S + DAY_S
        site.now_s = end_s - ahead_s - 1
        await site.gateway.maintain()
        assert blocks_of(site) == 1
        site.now_s += 1
        await site.gateway.maintain()
        assert blocks_of(site) == 2


@pytest.mark.parametrize(
    ("minutes", "percent", "after_s"),
    [(30, 0, 30 * 60), (0, 25, 6 * HOUR_S), (30, 25, 6 * HOUR_S), (600, 25, 10 * HOUR_S)],
)
async def test_mx_turndown_is_how_long_after_its_end_a_block_is_turned_down(
    configured: Configure, minutes: int, percent: float, after_s: int
) -> None:
    settings = configured(
        **BLOCK, mx_turndown_min=minutes, mx_turndown_pct=percent, tp_write_datapoints=5, tp_read_datapoints=5
    )
    async with running(settings) as site:
        await site.gateway.maintain()
        end_s = NOW_S // DAY_S * DAY_S + DAY_S
        site.now_s = end_s + after_s - 1
        assert (await site.gateway.maintain()).turned_down == []
        site.now_s += 1
        assert len((await site.gateway.maintain()).turned_down) == 1


def test_every_key_that_is_a_number_has_its_effect_shown_here() -> None:
    text = Path(__file__).read_text()
    assert [key for key in ENTRIES if text.count(f'"{key}"') + text.count(f"{key}=") == 0] == []
