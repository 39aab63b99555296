"""The gateway against the naive one: random histories of writes, deletes, flushes, restarts and queries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amondawa.errors import LimitExceeded, TooOld
from amondawa.gateway import Gateway
from amondawa.model.points import Kind, WriteBatch
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Identity, Query, Selection, TagFilter
from amondawa.model.result import Result
from amondawa.settings import Settings
from amondawa.store.base import BlockStore
from amondawa.store.memory import MemoryStore
from amondawa.store.sqlite import SqliteStore
from tests.naive import NaiveGateway

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000

METRICS = ("cpu", "mémoire")
TAGS = ((("host", "a"),), (("host", "b"),), (("host", "a"), ("rack", "1")), (("rack", ""),), ())
TIMES = st.one_of(
    st.integers(NOW_MS - 3 * DAY_MS, NOW_MS + DAY_MS),
    st.integers(NOW_MS // DAY_MS * DAY_MS - 3, NOW_MS // DAY_MS * DAY_MS + 3),
    st.sampled_from([MIN_TIME_MS, MAX_TIME_MS, -1, 0, 1, 59_999]),
)
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.decimals(-100, 100, places=2).map(float),
    st.text(max_size=8),
)
POINT = st.tuples(
    st.sampled_from(METRICS), st.sampled_from(TAGS), TIMES, VALUES, st.sampled_from([0, 0, 0, NOW_MS - 1, NOW_MS + 1])
)
FILTERS = st.sampled_from(
    [
        (),
        (TagFilter("host", frozenset(["a"])),),
        (TagFilter("host", frozenset(["a", "zz"]), negate=True),),
        (TagFilter("host"), TagFilter("rack", absent=True)),
        (TagFilter("rack", test=lambda value: value < "1"),),
        (TagFilter("nosuch", frozenset(["x"])),),
    ]
)
WRITE = st.tuples(st.just("write"), st.lists(POINT, min_size=1, max_size=30))
DELETE = st.tuples(st.just("delete"), st.sampled_from(METRICS), FILTERS, TIMES, TIMES)
STEP = st.one_of(
    WRITE,
    WRITE,
    WRITE,
    st.tuples(st.just("flush")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("crash")),
    st.tuples(st.just("pack")),
    st.tuples(st.just("sweep")),
    DELETE,
    st.tuples(st.just("query"), st.sampled_from(METRICS), FILTERS, TIMES, TIMES, st.booleans(), st.integers(0, 5)),
)


def batch_of(gateway: Any, points: list[Any]) -> WriteBatch:
    refs, times, kinds, bits, texts, expires = [], [], [], [], [], []
    for metric, tags, time_ms, value, expiry in points:
        refs.append(gateway.resolve("default", metric, tags))
        times.append(time_ms)
        expires.append(expiry)
        if isinstance(value, str):
            kinds.append(Kind.TEXT)
            bits.append(len(texts))
            texts.append(value.encode())
        elif isinstance(value, float):
            kinds.append(Kind.DOUBLE)
            bits.append(int(np.float64(value).view(np.int64)))
        else:
            kinds.append(Kind.LONG)
            bits.append(value)
    return WriteBatch(
        np.array(refs, np.int32),
        np.array(times, np.int64),
        np.array(kinds, np.uint8),
        np.array(bits, np.int64),
        texts,
        np.array(expires, np.int64) if any(expires) else None,
    )


def shown(results: list[Result]) -> Any:
    """Bring results into a comparable form; NaN-safe by bit pattern."""
    out = []
    for result in results:
        frames = {}
        for frame in result.frames:
            points = frame.points
            values = [
                (int(t), int(k), int(b) if k < Kind.TEXT else points.texts[int(b)])
                for t, k, b in zip(points.times_ms, points.kinds, points.bits, strict=True)
            ]
            frames[frame.members[0]] = values
        out.append((result.sample_size, result.series_count, frames))
    return out


def reopen_memory(store: BlockStore) -> BlockStore:
    return store


def settings_of(**changes: Any) -> Settings:
    return Settings(**{"store_column_height_s": 3_600, "query_threads": 1, **changes})


class Pair:
    """A real and a naive gateway that see the same history."""

    def __init__(self, make_store: Callable[[], BlockStore], keep_store: bool) -> None:
        self.make_store = make_store
        self.keep_store = keep_store
        self.naive = NaiveGateway(lambda: NOW_MS)
        self.store = make_store()
        self.real: Gateway

    async def open(self) -> None:
        self.store.open()
        self.real = await Gateway.start(settings_of(), self.store, lambda: NOW_MS)

    async def reopen(self, *, crash: bool) -> None:
        if crash:
            await abandon(self.real)
            self.store.close()
        else:
            await self.real.stop()
        if not self.keep_store:
            self.store = self.make_store()
        await self.open()

    async def step(self, step: tuple[Any, ...]) -> None:
        what, *rest = step
        if what == "write":
            for gateway in (self.real, self.naive):
                await gateway.write(batch_of(gateway, rest[0]))
        elif what == "flush":
            await self.real.flush()
        elif what == "sweep":
            await self.real.sweep()
        elif what == "pack":
            self.real._writer.head.active.runs()
            self.real._writer.head.active.pack(self.real._writer.head.cache)
        elif what in ("restart", "crash"):
            await self.reopen(crash=what == "crash")
        elif what == "delete":
            metric, filters, one, other = rest
            selection = Selection("default", metric, filters)
            for gateway in (self.real, self.naive):
                await gateway.delete(selection, min(one, other), max(one, other))
        else:
            await self.compare(*rest)

    async def compare(
        self, metric: str, filters: tuple[TagFilter, ...], one: int, other: int, descending: bool, limit: int
    ) -> None:
        queries = [
            Query(
                Selection("default", metric, filters), min(one, other), max(one, other), (), limit, descending, identity
            )
            for identity in Identity
        ]
        real = await self.real.query(queries, shown)
        assert real == await self.naive.query(queries, shown)

    async def compare_all(self) -> None:
        for metric in METRICS:
            await self.compare(metric, (), MIN_TIME_MS, MAX_TIME_MS, False, 0)
        await self.compare_names(swept=False)

    async def compare_names(self, *, swept: bool) -> None:
        """Names are those of points that are alive; until the sweep also some of points that have expired."""
        for real, naive, expired in zip(
            await names_of(self.real), await names_of(self.naive), self.naive.expired_names("default"), strict=True
        ):
            assert set(naive) <= set(real)
            assert set(real) <= set(naive) | (set() if swept else expired)
            assert real == sorted(real)


async def names_of(gateway: Any) -> tuple[list[str], list[str], list[str]]:
    """Return the metric names, the tag names and the hosts of the default domain."""
    metrics, tags = await gateway.metric_names("default"), await gateway.tag_names("default")
    return metrics, tags, await gateway.tag_values("default", "host")


async def abandon(gateway: Gateway) -> None:
    """Leave a gateway as a crash would: nothing is flushed, its threads end."""
    writer = gateway._writer
    writer._accepting = False
    assert writer.journal is not None
    await writer._flushes.stop()
    await writer.journal.stop()
    await gateway._upkeep.stop()
    for pool in (writer._worker, writer._packer, gateway._executor.pool, gateway._io):
        pool.shutdown(wait=True)


async def play(pair: Pair, history: list[tuple[Any, ...]]) -> None:
    await pair.open()
    try:
        for step in history:
            await pair.step(step)
        await pair.compare_all()
        await pair.reopen(crash=False)
        await pair.compare_all()
        await pair.real.sweep()
        await pair.compare_all()
        await pair.compare_names(swept=not pair.store.bills_writes)  # else rows are left alone for a while
    finally:
        await pair.real.stop()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(STEP, max_size=14))
def test_any_history_answers_as_the_naive_gateway_in_memory(history: list[tuple[Any, ...]]) -> None:
    asyncio.run(play(Pair(MemoryStore, keep_store=True), history))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(STEP, max_size=14))
def test_any_history_answers_as_the_naive_gateway_on_sqlite(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[Any, ...]]
) -> None:
    directory = tmp_path_factory.mktemp("store")
    asyncio.run(play(Pair(lambda: SqliteStore(directory), keep_store=False), history))


async def started(**changes: Any) -> Gateway:
    store = MemoryStore()
    store.open()
    return await Gateway.start(settings_of(**changes), store, lambda: NOW_MS)


async def test_a_point_older_than_the_history_is_refused_by_index_and_the_others_are_kept() -> None:
    gateway = await started(store_history_s=7 * 86_400, store_history_blocks=7)
    points = [
        ("cpu", TAGS[0], NOW_MS, 1, 0),
        ("cpu", TAGS[0], NOW_MS - 30 * DAY_MS, 2, 0),
        ("cpu", TAGS[1], NOW_MS, 3, 0),
    ]
    with pytest.raises(TooOld) as caught:
        await gateway.write(batch_of(gateway, points))
    assert caught.value.index == 1
    assert caught.value.value == NOW_MS - 30 * DAY_MS
    query = Query(Selection("default", "cpu"), MIN_TIME_MS, MAX_TIME_MS)
    assert await gateway.query([query], lambda results: results[0].sample_size) == 2
    await gateway.stop()


async def test_a_query_past_its_point_budget_is_refused_with_what_to_change() -> None:
    gateway = await started(query_points=3)
    await gateway.write(batch_of(gateway, [("cpu", TAGS[0], NOW_MS + i, i, 0) for i in range(4)]))
    with pytest.raises(LimitExceeded, match="limit of 3 data points"):
        await gateway.query([Query(Selection("default", "cpu"), 0, MAX_TIME_MS)], shown)
    await gateway.stop()


async def test_names_vanish_with_the_last_point_in_the_head_and_in_chunks() -> None:
    for flush in (False, True):
        gateway = await started()
        await gateway.write(batch_of(gateway, [("cpu", TAGS[0], NOW_MS, 1, 0), ("mémoire", TAGS[1], NOW_MS, 1, 0)]))
        if flush:
            await gateway.flush()
        report = await gateway.delete_metric("default", "cpu")
        assert (report.points, report.series, list(report.names)) == (1, 1, ["cpu"])
        assert await gateway.metric_names("default") == ["mémoire"]
        assert await gateway.tag_values("default", "host") == ["b"]
        await gateway.stop()


async def test_another_domain_sees_nothing() -> None:
    gateway = await started()
    await gateway.write(batch_of(gateway, [("cpu", TAGS[0], NOW_MS, 1, 0)]))
    assert await gateway.metric_names("other") == []
    assert await gateway.find_series(Selection("other", "cpu"), MIN_TIME_MS, MAX_TIME_MS) == []
    await gateway.stop()
