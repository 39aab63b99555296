"""Several gateways on one table space: each answers with all data, the last write wins, nothing is lost with one of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from amondawa.errors import Unavailable
from amondawa.gateway import Gateway
from amondawa.ingest import others
from amondawa.model.points import Kind, WriteBatch
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Query, Selection, TagFilter
from amondawa.store.dynamodb.retry import RetryPolicy
from amondawa.store.dynamodb.store import DynamoStore, Options
from tests.store.strict_fake import StrictFake
from tests.test_gateway import NOW_MS, settings_of, shown

QUICK = RetryPolicy(base_s=0.0001, cap_s=0.001, deadline_s=60.0, budget=1e9)
LEASE_S = 1.0
CPU = Selection("default", "cpu")


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, so that the tests are soon over."""
    for name, seconds in {"LOOK_S": 0.02, "BUSY_LOOK_S": 0.01, "SHARDS_S": 0.1, "RETRY_S": 0.05}.items():
        monkeypatch.setattr(others, name, seconds)
    monkeypatch.setattr("amondawa.ingest.fellowship.NOTICED_S", 0.3)


class Cluster:
    """Gateways on one fake service."""

    def __init__(self) -> None:
        self.fake = StrictFake()
        self.running: dict[str, Gateway] = {}
        self.stores: dict[str, DynamoStore] = {}

    async def start(self, name: str) -> Gateway:
        store = DynamoStore(self.fake.client, "amdw", name, Options(4, 4, QUICK, lease_s=LEASE_S))
        await asyncio.to_thread(store.open)
        gateway = await Gateway.start(settings_of(gateway_id=name), store)
        self.running[name], self.stores[name] = gateway, store
        return gateway

    async def kill(self, name: str) -> None:
        """End a gateway as a crash does: nothing is flushed, nothing is released; its lease runs out."""
        gateway = self.running.pop(name)
        store = self.stores.pop(name)
        await crash(gateway, store)

    async def stop(self, name: str) -> None:
        await self.running.pop(name).stop()
        self.stores.pop(name)

    async def end(self) -> None:
        for name in list(self.running):
            await self.stop(name)


async def crash(gateway: Gateway, store: DynamoStore) -> None:
    """Stop the threads of a gateway without letting it say good-bye."""
    writer: Any = gateway._writer
    parts: Any = store._parts
    writer._accepting = False
    await writer._flushes.stop()
    await asyncio.to_thread(writer.fellowship._others.stop)
    await writer.journal.stop()
    await gateway._upkeep.stop()
    lease = parts.lease
    lease._stop.set()
    await asyncio.to_thread(lease._thread.join)
    lease._thread = None  # not released: it runs out
    gateway._executor.pool.shutdown(wait=False, cancel_futures=True)
    await asyncio.to_thread(store.close)


@asynccontextmanager
async def cluster(*names: str) -> AsyncIterator[tuple[Cluster, list[Gateway]]]:
    one = Cluster()
    try:
        yield one, [await one.start(name) for name in names]
    finally:
        await one.end()


def points(gateway: Gateway, rows: list[tuple[str, int, int]], metric: str = "cpu") -> WriteBatch:
    """Return (host, time, value) as a batch."""
    refs = [gateway.resolve("default", metric, (("host", host),)) for host, _, _ in rows]
    times = [NOW_MS + time for _, time, _ in rows]
    return WriteBatch(
        np.array(refs, np.int32),
        np.array(times, np.int64),
        np.full(len(rows), Kind.LONG, np.uint8),
        np.array([value for _, _, value in rows], np.int64),
    )


async def read(gateway: Gateway, selection: Selection = CPU) -> dict[str, dict[int, int]]:
    """Return host -> time -> value of everything that a gateway answers with."""

    def finish(results: list[Any]) -> dict[str, dict[int, int]]:
        found = {}
        for _, _, frames in shown(results):
            for ref, values in frames.items():
                series = gateway.series_of(ref) if isinstance(ref, int) else ref
                found[dict(series.tags)["host"]] = {time - NOW_MS: value for time, _, value in values}
        return found

    query = Query(selection=selection, start_ms=MIN_TIME_MS, end_ms=MAX_TIME_MS)
    return await gateway.query([query], finish)


async def until(condition: Callable[[], Any], text: str) -> None:
    """Wait until an awaitable's value is true."""
    for _ in range(400):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(text)


async def all_answer(gateways: list[Gateway], expected: dict[str, dict[int, int]]) -> None:
    for gateway in gateways:

        async def same(gateway: Gateway = gateway) -> bool:
            return await read(gateway) == expected

        try:
            await until(same, "")
        except AssertionError:
            assert await read(gateway) == expected


async def test_each_gateway_answers_with_what_the_others_acknowledged() -> None:
    async with cluster("a", "b", "c") as (_, gateways):
        for number, gateway in enumerate(gateways):
            await gateway.write(points(gateway, [(f"host{number}", 0, number), ("all", number, number)]))
        expected = {**{f"host{n}": {0: n} for n in range(3)}, "all": {n: n for n in range(3)}}
        await all_answer(gateways, expected)
        for gateway in gateways:
            assert await gateway.metric_names("default") == ["cpu"]
            assert await gateway.tag_values("default", "host") == ["all", "host0", "host1", "host2"]


async def test_what_one_flushed_the_others_still_answer_with() -> None:
    async with cluster("a", "b") as (_, (a, b)):
        await a.write(points(a, [("x", 0, 1)]))
        await b.write(points(b, [("x", 1, 2)]))
        await all_answer([a, b], {"x": {0: 1, 1: 2}})
        await a.flush()
        await all_answer([a, b], {"x": {0: 1, 1: 2}})
        await a.write(points(a, [("y", 5, 5)]))
        await a.flush()
        await b.flush()
        await a.write(points(a, [("x", 2, 3)]))
        await all_answer([a, b], {"x": {0: 1, 1: 2, 2: 3}, "y": {5: 5}})


@pytest.mark.parametrize("first_flush", ["a", "b"])
@pytest.mark.parametrize("second_flush", ["a", "b", None])
async def test_the_last_write_wins_whichever_gateway_took_it_and_flushed_first(
    first_flush: str, second_flush: str | None
) -> None:
    async with cluster("a", "b", "c") as (one, (a, b, c)):
        await a.write(points(a, [("x", 0, 1), ("y", 0, 1)]))
        await all_answer([b], {"x": {0: 1}, "y": {0: 1}})
        await b.write(points(b, [("x", 0, 2)]))
        await all_answer([a, b, c], {"x": {0: 2}, "y": {0: 1}})
        await a.write(points(a, [("y", 0, 3)]))
        expected = {"x": {0: 2}, "y": {0: 3}}
        await all_answer([a, b, c], expected)
        await one.running[first_flush].flush()
        await all_answer([a, b, c], expected)
        if second_flush is not None:
            await one.running[second_flush].flush()
            await all_answer([a, b, c], expected)
        await a.flush()
        await b.flush()
        await all_answer([a, b, c], expected)
        fresh = await one.start("d")
        await all_answer([fresh], expected)


async def test_a_delete_through_one_gateway_takes_from_all() -> None:
    async with cluster("a", "b", "c") as (one, (a, b, c)):
        await a.write(points(a, [("x", 0, 1), ("x", 10, 1)]))
        await b.write(points(b, [("x", 1, 2), ("y", 1, 2)]))
        await c.write(points(c, [("x", 2, 3), ("x", 20, 3)]))
        await all_answer([a, b, c], {"x": {0: 1, 1: 2, 2: 3, 10: 1, 20: 3}, "y": {1: 2}})
        await c.flush()
        await b.delete(CPU, NOW_MS, NOW_MS + 5)
        left = {"x": {10: 1, 20: 3}}
        await all_answer([a, b, c], left)
        await a.flush()
        await all_answer([a, b, c], left)
        await b.write(points(b, [("x", 1, 7)]))
        left["x"][1] = 7
        await all_answer([a, b, c], left)
        await b.flush()
        await all_answer([a, b, c], left)
        for gateway in (a, b, c):
            assert await gateway.tag_values("default", "host") == ["x"]
        await all_answer([await one.start("d")], left)


async def test_a_deleted_row_that_is_written_again_by_another_gateway_is_found() -> None:
    async with cluster("a", "b") as (one, (a, b)):
        await b.write(points(b, [("x", 0, 1)]))
        await b.flush()
        await all_answer([a, b], {"x": {0: 1}})
        await a.delete(CPU, MIN_TIME_MS, MAX_TIME_MS)
        await all_answer([a, b], {})
        await b.write(points(b, [("x", 0, 2)]))
        await b.flush()
        await all_answer([a, b, await one.start("d")], {"x": {0: 2}})


async def test_the_journal_of_a_gateway_that_was_killed_is_brought_home() -> None:
    async with cluster("a", "b", "c") as (one, (a, b, c)):
        await a.write(points(a, [("x", 0, 1), ("gone", 0, 1)]))
        await a.delete(Selection("default", "cpu"), NOW_MS + 50, NOW_MS + 60)
        await b.write(points(b, [("x", 1, 2)]))
        await one.kill("a")
        await all_answer([b, c], {"x": {0: 1, 1: 2}, "gone": {0: 1}})

        async def adopted() -> bool:
            return sum(g.statistics()["gateways_succeeded"] for g in (b, c)) == 1

        await until(adopted, "nobody took over")
        expected = {"x": {0: 1, 1: 2}, "gone": {0: 1}}
        await all_answer([b, c], expected)
        again = await one.start("a")
        assert again.statistics()["points_recovered"] == 0
        await all_answer([again, b, c], expected)


async def test_who_brings_home_what_a_gateway_left_hears_first_what_others_overwrote() -> None:
    async with cluster("a", "b", "c") as (one, (a, b, c)):
        c._writer.fellowship._others._heir = Nobody()  # type: ignore[union-attr]
        await a.write(points(a, [("x", 0, 1), ("y", 0, 1)]))
        await all_answer([b, c], {"x": {0: 1}, "y": {0: 1}})
        deaf = threading.Event()
        journals: Any = b._writer.fellowship._others._journals  # type: ignore[union-attr]
        adopting = b._writer.fellowship._neighbours._adopting  # type: ignore[union-attr]
        follow = journals.follow

        def follow_late(shard: str, *position: int, sure: bool) -> Any:
            if shard == "c" and not deaf.is_set():
                if not adopting:
                    return []
                deaf.wait(2.0)
            return follow(shard, *position, sure=sure)

        journals.follow = follow_late
        await one.kill("a")
        await c.write(points(c, [("x", 0, 2)]))
        await c.flush()  # under a lower number than b will give to what a left

        async def adopts() -> bool:
            return bool(adopting)

        await until(adopts, "nobody took over")
        await asyncio.sleep(0.3)
        deaf.set()

        async def adopted() -> bool:
            return b.statistics()["gateways_succeeded"] == 1

        await until(adopted, "nobody took over")
        expected = {"x": {0: 2}, "y": {0: 1}}
        await all_answer([b, c], expected)
        await all_answer([await one.start("d")], expected)


async def test_a_restarted_gateway_knows_what_it_missed() -> None:
    async with cluster("a", "b") as (one, (a, b)):
        await a.write(points(a, [("x", 0, 1), ("y", 0, 1), ("z", 0, 1)]))
        await all_answer([b], {"x": {0: 1}, "y": {0: 1}, "z": {0: 1}})
        await one.kill("a")
        b._writer.fellowship._others._heir = Nobody()  # type: ignore[union-attr]
        await b.write(points(b, [("x", 0, 2)]))
        await b.delete(Selection("default", "cpu"), NOW_MS + 5, NOW_MS + 6)
        await b.flush()
        await asyncio.sleep(LEASE_S)
        again = await one.start("a")
        expected = {"x": {0: 2}, "y": {0: 1}, "z": {0: 1}}
        await all_answer([again, b], expected)
        await again.flush()
        await all_answer([again, b], expected)
        await all_answer([await one.start("d")], expected)


class Nobody:
    """An heir that takes nothing."""

    def adopt(self, tail: Any, shard: Any) -> None:
        """Leave it."""


async def test_a_gateway_that_crashed_writes_nothing_over_what_one_overwrote_that_is_gone_too() -> None:
    async with cluster("a", "b") as (one, (a, b)):
        await a.write(points(a, [("x", 0, 1), ("y", 0, 1), ("z", 0, 1)]))
        await all_answer([b], {"x": {0: 1}, "y": {0: 1}, "z": {0: 1}})
        await b.write(points(b, [("x", 0, 2)]))
        await b.delete(Selection("default", "cpu", (TagFilter("host", frozenset({"z"})),)), NOW_MS, NOW_MS)
        await one.kill("a")
        await one.stop("b")
        expected = {"x": {0: 2}, "y": {0: 1}}
        alone = await one.start("a")
        await all_answer([alone], expected)
        await asyncio.sleep(0.2)  # some looks in which nobody else is there
        await alone.flush()
        await all_answer([alone], expected)
        await one.stop("a")
        await all_answer([await one.start("c")], expected)


async def test_an_orderly_end_leaves_nothing_to_adopt_and_the_others_go_on() -> None:
    async with cluster("a", "b") as (one, (a, b)):
        await a.write(points(a, [("x", 0, 1)]))
        await one.stop("a")
        await b.write(points(b, [("x", 1, 2)]))
        await all_answer([b], {"x": {0: 1, 1: 2}})
        again = await one.start("a")
        await again.write(points(again, [("x", 2, 3)]))
        await all_answer([again, b], {"x": {0: 1, 1: 2, 2: 3}})


def lose_answers(store: DynamoStore, times: int) -> None:
    """Have the next appends carried out and their answers lost."""
    append = store.journal_append
    left = times

    def lossy(segment: int, sequence: int, payload: bytes) -> None:
        nonlocal left
        append(segment, sequence, payload)
        if left:
            left -= 1
            raise Unavailable("no answer")

    store.journal_append = lossy  # type: ignore[method-assign]


async def test_a_write_whose_answer_was_lost_is_the_same_for_all_gateways() -> None:
    async with cluster("a", "b") as (one, (a, b)):
        lose_answers(one.stores["a"], 2)
        for value in (1, 2):
            with pytest.raises(Unavailable):
                await a.write(points(a, [("x", value, value)]))
        await a.write(points(a, [("x", 3, 3)]))
        await all_answer([a, b], await read(a))
        assert set(await read(a)) == {"x"} and (await read(a))["x"][3] == 3
        expected = await read(a)
        await one.kill("a")
        again = await one.start("a")
        await all_answer([again, b], expected)


async def test_a_delete_whose_answer_was_lost_takes_effect_for_all_or_none() -> None:
    async with cluster("a", "b") as (one, (a, b)):
        await a.write(points(a, [("x", 0, 1), ("x", 9, 1)]))
        await a.flush()
        lose_answers(one.stores["a"], 1)
        with pytest.raises(Unavailable):
            await a.delete(CPU, NOW_MS, NOW_MS + 5)
        await a.write(points(a, [("x", 10, 2)]))
        await all_answer([a, b, await one.start("d")], {"x": {9: 1, 10: 2}})


async def test_a_flush_whose_rotation_got_no_answer_loses_nobody() -> None:
    async with cluster("a", "b") as (one, (a, b)):
        await a.write(points(a, [("x", 0, 1)]))
        lose_answers(one.stores["a"], 1)
        with pytest.raises(Unavailable):
            await a.flush()
        await a.write(points(a, [("x", 1, 2)]))
        await all_answer([a, b], {"x": {0: 1, 1: 2}})
        await a.flush()
        await a.write(points(a, [("x", 2, 3)]))
        await all_answer([a, b, await one.start("d")], {"x": {0: 1, 1: 2, 2: 3}})
