"""Units by domain: what is billed for a domain's points and questions counts as its own, and all of it adds up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from amondawa.gateway import Gateway
from amondawa.model.points import Kind, WriteBatch, same_kind
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Query, Selection
from amondawa.settings import read_settings
from amondawa.store.base import Item
from amondawa.store.dynamodb.capacity import MOST_PAYERS, Meter
from amondawa.store.dynamodb.retry import RetryPolicy
from amondawa.store.dynamodb.store import DynamoStore, Options
from amondawa.store.memory import MemoryStore
from amondawa.store.payer import GATEWAY, paid_by
from amondawa.telemetry import Metrics
from tests.store.strict_fake import StrictFake

QUICK = RetryPolicy(base_s=0.0001, cap_s=0.001, deadline_s=60.0, budget=1e9)
NOW_MS = 1_700_000_000_000


class Running:
    """A gateway on the strict fake."""

    def __init__(self) -> None:
        self.fake = StrictFake()
        self.store = DynamoStore(self.fake.client, "amdw", "one", Options(retry=QUICK))
        self.gateway: Gateway

    async def start(self, data: Path) -> None:
        self.store.open()
        settings = read_settings({"store": "dynamodb", "ack": "stored", "data": str(data)}, {})
        self.gateway = await Gateway.start(settings, self.store, lambda: NOW_MS)

    async def write(self, domain: str, series: int, points: int) -> None:
        refs = [self.gateway.resolve(domain, "m", (("host", str(n)),)) for n in range(series)]
        for step in range(points):
            times_ms = np.full(series, NOW_MS - step * 1_000, np.int64)
            bits = np.arange(series, dtype=np.int64)
            batch = WriteBatch(np.array(refs, np.int32), times_ms, same_kind(Kind.LONG, series), bits, [], None)
            await self.gateway.write(batch)

    async def query(self, domain: str) -> int:
        query = Query(Selection(domain, "m"), MIN_TIME_MS, MAX_TIME_MS)
        return await self.gateway.query([query], lambda results: results[0].sample_size)

    def used(self) -> dict[str, tuple[float, float]]:
        """Return (read, write) units by domain; they add up to what the service billed."""
        used = {name: (one.read_units, one.write_units) for name, one in self.store.consumed_by_domain().items()}
        sums = [sum(units[at] for units in used.values()) for at in (0, 1)]
        assert sums == pytest.approx(list(self.fake.units()))
        return used


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    running = Running()
    await running.start(tmp_path)
    yield running
    await running.gateway.stop()


async def test_each_domain_pays_for_the_journal_chunks_index_and_names_of_its_points(running: Running) -> None:
    assert set(running.used()) == {GATEWAY}
    await running.write("shop", 30, 3)
    await running.write("bank", 10, 3)
    journal = running.used()
    assert (journal["shop"][1] - 3, journal["bank"][1]) in ((0, 3), (1, 3))  # who writes first may list the segment
    await running.gateway.flush()
    used = running.used()
    chunks = {domain: used[domain][1] - journal[domain][1] for domain in ("shop", "bank")}
    assert chunks["shop"] + chunks["bank"] == 40 * 2 + 2 * 2 + 40  # chunks, index, names and domains, tag pairs
    assert chunks["shop"] == pytest.approx(3 * chunks["bank"])


async def test_a_domain_pays_for_its_questions_alone(running: Running) -> None:
    for domain in ("shop", "bank"):
        await running.write(domain, 20, 1)
    await running.gateway.flush()
    running.gateway._cache.forget(-(2**40), 2**40)
    before = running.used()
    assert await running.query("shop") == 20
    after = running.used()
    assert after["shop"][0] - before["shop"][0] >= 20
    assert after["bank"] == before["bank"]


async def test_names_deletes_and_documents_are_paid_for_too(running: Running) -> None:
    await running.write("shop", 5, 1)
    await running.gateway.flush()
    await running.write("bank", 1, 1)
    for work in (
        lambda: running.query("shop"),
        lambda: running.gateway.delete_metric("shop", "m"),
        lambda: running.gateway.put_document("shop", "annotations", "a", b"text"),
        lambda: running.gateway.list_documents("shop", "annotations"),
    ):
        before = running.used()
        await work()
        after = running.used()
        assert sum(after["shop"]) > sum(before["shop"])
        assert after["bank"] == before["bank"]


def test_domains_past_the_limit_count_as_the_gateways() -> None:
    meter = Meter()
    for number in range(MOST_PAYERS + 5):
        with paid_by({str(number): 1.0}):
            meter.wrote("t", {"ConsumedCapacity": {"CapacityUnits": 1.0}})
    used = meter.by_domain()
    assert len(used) == MOST_PAYERS + 1
    assert used[GATEWAY].write_units == 5


def test_a_store_that_bills_nothing_names_no_domain() -> None:
    store = MemoryStore()
    store.open()
    store.create_table("t")
    with paid_by({"shop": 1.0}):
        store.put("t", [Item(b"h", b"r", b"v")])
    assert store.consumed_by_domain() == {}
    metrics = Metrics()
    metrics.watch_units(dict)
    assert b"amondawa_store" not in metrics.render()


def test_units_are_shown_as_counters_with_the_domain_as_their_label() -> None:
    metrics = Metrics()
    metrics.watch_units(lambda: {"shop": (1.5, 20.0), "": (3.0, 4.0)})
    lines = metrics.render().decode().splitlines()
    for line in (
        'amondawa_store_read_units_total{domain="shop"} 1.5',
        'amondawa_store_write_units_total{domain="shop"} 20.0',
        'amondawa_store_read_units_total{domain=""} 3.0',
        'amondawa_store_write_units_total{domain=""} 4.0',
    ):
        assert line in lines
