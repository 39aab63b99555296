"""Retention by domain: hidden at once, refused, and swept, on every engine; it may change while the gateway runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from amondawa.errors import TooOld
from amondawa.ingest.writer import SETTLE_S
from amondawa.model.points import Kind, WriteBatch, same_kind
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Query, Selection
from tests.ingest.test_sweep import HOUR_MS, START_MS, Fixture
from tests.store.engines import ENGINES, open_engine

FLUSH_AGE_S = 600
SWEPT_MS = HOUR_MS + (FLUSH_AGE_S + SETTLE_S) * 1_000
"""on DynamoDB a row is swept this long after its beginning"""


class Domains(Fixture):
    """A gateway with two domains, whose retentions may be set."""

    def __init__(self, engine: str, directory: Path) -> None:
        store = open_engine(engine, directory)
        store.close()
        super().__init__(store)
        self.kept: dict[str, int] = {}

    async def open(self) -> None:
        await self.start(flush_age_s=FLUSH_AGE_S, retention="short=60")
        self.gateway.keep_by_domain(lambda: self.kept)

    async def write_to(self, domain: str, metric: str, *offsets_ms: int) -> None:
        ref = self.gateway.resolve(domain, metric, (("host", "a"),))
        count = len(offsets_ms)
        times_ms = np.array(offsets_ms, np.int64) + START_MS
        bits = np.arange(count, dtype=np.int64)
        await self.gateway.write(
            WriteBatch(np.full(count, ref, np.int32), times_ms, same_kind(Kind.LONG, count), bits, [], None)
        )

    async def seen(self, domain: str, metric: str = "m") -> list[int]:
        query = Query(Selection(domain, metric), MIN_TIME_MS, MAX_TIME_MS)
        return await self.gateway.query(
            [query], lambda results: [int(t) - START_MS for one in results[0].frames for t in one.points.times_ms]
        )


@pytest.fixture(params=ENGINES)
async def domains(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Domains]:
    domains = Domains(request.param, tmp_path)
    await domains.open()
    yield domains
    await domains.gateway.stop()


async def test_points_past_the_retention_of_their_domain_are_hidden_and_swept_and_others_stay(domains: Domains) -> None:
    for domain in ("shop", "bank"):
        await domains.write_to(domain, "m", 0, 10)
    await domains.gateway.flush()
    domains.kept = {"shop": 3_600}
    domains.clock.now_ms = START_MS + HOUR_MS + 5
    assert (await domains.seen("shop"), await domains.seen("bank")) == ([10], [0, 10])
    assert await domains.gateway.sweep() == 0, "the row as a whole is not past it"
    domains.clock.now_ms = START_MS + 2 * HOUR_MS + SWEPT_MS
    assert await domains.seen("shop") == []
    assert await domains.gateway.sweep() == 2
    assert await domains.gateway.metric_names("shop") == []
    assert await domains.gateway.metric_names("bank") == ["m"]
    assert await domains.seen("bank") == [0, 10]


async def test_what_is_past_it_and_not_in_chunks_yet_has_no_name_either(domains: Domains) -> None:
    for domain in ("shop", "bank"):
        await domains.write_to(domain, "m", 0)
    domains.kept = {"shop": 60}
    domains.clock.now_ms = START_MS + 60_000
    assert await domains.gateway.metric_names("shop") == ["m"]
    domains.clock.now_ms += 1
    assert await domains.gateway.metric_names("shop") == []
    assert (await domains.gateway.tag_names("shop"), await domains.gateway.tag_names("bank")) == ([], ["host"])


async def test_a_point_past_the_retention_of_its_domain_is_refused(domains: Domains) -> None:
    domains.kept = {"shop": 3_600}
    with pytest.raises(TooOld) as caught:
        await domains.write_to("shop", "m", 0, -HOUR_MS - 1, -HOUR_MS)
    assert caught.value.index == 1
    assert await domains.seen("shop") == [-HOUR_MS, 0]
    await domains.write_to("bank", "m", -HOUR_MS - 1)


async def test_of_a_metrics_and_a_domains_retention_the_shorter_counts(domains: Domains) -> None:
    domains.kept = {"shop": 3_600}
    for domain in ("shop", "bank"):
        await domains.write_to(domain, "short", 0)
        await domains.write_to(domain, "m", 0)
    domains.clock.now_ms = START_MS + 60_001
    assert [await domains.seen(*one) for one in (("shop", "short"), ("bank", "short"), ("shop", "m"))] == [[], [], [0]]


async def test_a_retention_that_is_taken_back_shows_what_was_not_swept_yet(domains: Domains) -> None:
    await domains.write_to("shop", "m", 0)
    await domains.gateway.flush()
    domains.kept = {"shop": 60}
    domains.clock.now_ms = START_MS + 60_001
    assert await domains.seen("shop") == []
    domains.kept = {}
    assert await domains.seen("shop") == [0]
    assert await domains.gateway.sweep() == 0
