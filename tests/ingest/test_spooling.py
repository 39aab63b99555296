"""Writes while DynamoDB is away: spooled, answered, brought home in order, never applied twice with another meaning."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amondawa.errors import StorageFull, Unavailable
from amondawa.gateway import Gateway
from amondawa.ingest.spooling import spool_directory
from amondawa.model.acknowledgement import Ack, noting_acknowledgements
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Query, Selection
from amondawa.settings import Settings
from amondawa.store.dynamodb.retry import RetryPolicy
from amondawa.store.dynamodb.store import DynamoStore, Options
from tests.store.strict_fake import StrictFake
from tests.test_gateway import METRICS, NOW_MS, STEP, TAGS, Pair, abandon, batch_of, settings_of, shown

IMPATIENT = RetryPolicy(base_s=0.0001, cap_s=0.001, deadline_s=0.1, budget=1e9, away_s=0.02)


def store_on(fake: StrictFake, gateway_id: str = "one") -> DynamoStore:
    return DynamoStore(fake.client, "amdw", gateway_id, Options(4, 4, IMPATIENT, append_s=0.02, lease_s=4.0))


def spooling_settings(data: Path, **changes: Any) -> Settings:
    return settings_of(store="dynamodb", data=str(data), gateway_id="one", **changes)


async def started(fake: StrictFake, data: Path, **changes: Any) -> Gateway:
    store = store_on(fake)
    store.open()
    return await Gateway.start(spooling_settings(data, **changes), store, lambda: NOW_MS)


async def write(gateway: Gateway, *values: Any) -> Ack | None:
    """Write points, one a second; return how they were acknowledged."""
    with noting_acknowledgements() as noted:
        points = [("cpu", TAGS[0], NOW_MS + at * 1000, value, 0) for at, value in enumerate(values)]
        await gateway.write(batch_of(gateway, points))
    return noted.weakest


async def answer(gateway: Gateway) -> Any:
    return await gateway.query([Query(Selection("default", "cpu"), MIN_TIME_MS, MAX_TIME_MS)], shown)


async def values_of(gateway: Gateway) -> list[int]:
    ((_, _, frames),) = await answer(gateway)
    return [bits for frame in frames.values() for _, _, bits in frame]


def come_back(gateway: Gateway, fake: StrictFake) -> None:
    """Let the service answer again; the probe, which comes once a second, is not waited for."""
    fake.faults.clear()
    store = gateway._store
    assert isinstance(store, DynamoStore)
    store._retrier.breaker.answered()


async def drained(gateway: Gateway) -> None:
    """Return when nothing is in the spool."""
    async with asyncio.timeout(30.0):
        while gateway.statistics()["spooling"]:  # noqa: ASYNC110 - it changes in another thread
            await asyncio.sleep(0.01)


async def renewed(gateway: Gateway) -> None:
    """Return when the lease on the journal holds: an outage may have lasted longer than that does, on a slow machine too."""
    store = gateway._store
    assert isinstance(store, DynamoStore)
    lease = store._open.lease
    async with asyncio.timeout(30.0):
        while True:
            try:
                return lease.check()
            except Unavailable:
                lease.hasten()
                await asyncio.sleep(0.01)


async def end_looking(gateway: Gateway) -> None:
    """End what looks at the store by itself, and would go on looking after a crash that ends no process."""
    assert gateway._foresight is not None
    await gateway._foresight.stop()
    if gateway._writer.fellowship._others is not None:
        await asyncio.to_thread(gateway._writer.fellowship._others.stop)


async def crash(gateway: Gateway) -> None:
    """Leave a gateway as a crash would."""
    await end_looking(gateway)
    await abandon(gateway)


def journal_keys(fake: StrictFake) -> list[tuple[int, int]]:
    """Return (sequence, attempt) of all entries in the journal's table."""
    rows = fake.tables["amdw_journal"].rows
    found = [key for hash_key, row in rows.items() if hash_key.startswith(b"one#") for key in row]
    return sorted((int.from_bytes(key[:8], "big"), int.from_bytes(key[8:10], "big")) for key in found)


@pytest.fixture
def fake() -> Iterator[StrictFake]:
    yield StrictFake()


@pytest.mark.parametrize("faults", [{"down": True}, {"throttle": 1.0}, {"timeout_before": 1.0}, {"timeout_after": 1.0}])
async def test_writes_are_spooled_answered_and_brought_home(
    fake: StrictFake, tmp_path: Path, faults: dict[str, Any]
) -> None:
    gateway = await started(fake, tmp_path)
    assert await write(gateway, 1) is Ack.STORED
    for name, value in faults.items():
        setattr(fake.faults, name, value)
    assert await write(gateway, 1, 2) is Ack.SPOOLED
    assert await write(gateway, 10, 2, 3) is Ack.SPOOLED
    assert await values_of(gateway) == [10, 2, 3]
    assert gateway.outage
    assert gateway.statistics()["spool_entries"] == 2
    come_back(gateway, fake)
    await drained(gateway)
    assert gateway.outage == ""
    assert list(spool_directory(spooling_settings(tmp_path)).glob("*.spool")) == []
    assert await write(gateway, 10, 2, 3, 4) is Ack.STORED
    assert await values_of(gateway) == [10, 2, 3, 4]
    await crash(gateway)
    gateway._store.close()
    again = await started(fake, tmp_path / "elsewhere")
    assert await values_of(again) == [10, 2, 3, 4]
    await again.stop()


async def test_an_entry_that_landed_without_an_answer_keeps_its_place_and_its_meaning(
    fake: StrictFake, tmp_path: Path
) -> None:
    gateway = await started(fake, tmp_path)
    await write(gateway, 1)
    before = journal_keys(fake)
    fake.faults.timeout_after = 1.0
    assert await write(gateway, 1, 2) is Ack.SPOOLED
    landed = journal_keys(fake)
    assert len(landed) == len(before) + 1
    assert await write(gateway, 3) is Ack.SPOOLED
    assert journal_keys(fake) == landed
    come_back(gateway, fake)
    await drained(gateway)
    after = journal_keys(fake)
    assert len(after) == len(landed) + 1
    assert {attempt for _, attempt in after} == {0}
    assert [sequence for sequence, _ in after] == list(range(len(after)))
    await gateway.stop()


async def test_what_a_process_left_in_the_spool_is_there_after_its_next_start(fake: StrictFake, tmp_path: Path) -> None:
    gateway = await started(fake, tmp_path)
    await write(gateway, 1)
    fake.faults.down = True
    await write(gateway, 5, 6, "text")
    await gateway.stop(1.0)
    fake.faults.clear()
    again = await started(fake, tmp_path)
    expected = await answer(again)
    assert (expected[0][0], again.statistics()["points_recovered"]) == (3, 4)
    await drained(again)
    await again.flush()
    assert await answer(again) == expected
    await again.stop()
    last = await started(fake, tmp_path / "elsewhere")
    assert await answer(last) == expected
    await last.stop()


async def test_what_needs_the_store_is_refused_while_writes_are_spooled(fake: StrictFake, tmp_path: Path) -> None:
    gateway = await started(fake, tmp_path, spool_drain=1_024)
    await write(gateway, 1)
    fake.faults.down = True
    assert await write(gateway, *(7919 * at**3 % 1_000_003 for at in range(2_000))) is Ack.SPOOLED
    assert await write(gateway, 2) is Ack.SPOOLED
    with pytest.raises(Unavailable):
        await gateway.delete(Selection("default", "cpu"), MIN_TIME_MS, MAX_TIME_MS)
    with pytest.raises(Unavailable):
        await gateway.flush()
    come_back(gateway, fake)
    assert gateway.statistics()["spooling"]
    with pytest.raises(Unavailable, match="points cannot be deleted while writes are spooled"):
        await gateway.delete(Selection("default", "cpu"), MIN_TIME_MS, MAX_TIME_MS)
    with pytest.raises(Unavailable, match="a segment cannot be ended while writes are spooled"):
        await gateway.flush()
    assert await write(gateway, 3) is Ack.SPOOLED
    await gateway.stop(1.0)


async def test_the_spool_is_drained_at_the_rate_that_is_set(
    fake: StrictFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = 100
    gateway = await started(fake, tmp_path, spool_drain=rate)
    spooling = gateway._writer.spooling
    assert spooling is not None
    fake.faults.down = True
    for number in range(10):
        assert await write(gateway, f"{number}" * 300) is Ack.SPOOLED
    size = spooling.spool.size_bytes
    pauses: list[float] = []
    monkeypatch.setattr(spooling._stop, "wait", lambda pause_s: pauses.append(pause_s))
    come_back(gateway, fake)
    await drained(gateway)
    assert size > 500
    assert 0.5 * size / rate < max(pauses) <= size / rate
    await gateway.stop()


async def test_past_the_limit_of_the_spool_writes_are_refused(fake: StrictFake, tmp_path: Path) -> None:
    gateway = await started(fake, tmp_path, spool_limit=2_000)
    await write(gateway, 1)
    fake.faults.down = True
    kept = 0
    with pytest.raises(StorageFull, match="AMDW_SPOOL_LIMIT"):
        for number in range(100):
            assert await write(gateway, f"{number}" * 300) is Ack.SPOOLED
            kept = number
    statistics = gateway.statistics()
    assert statistics["spool_full"] == 1
    assert statistics["spool_bytes"] <= 2_000
    assert (await answer(gateway))[0][2].popitem()[1][0][2] == (f"{kept}" * 300).encode()
    come_back(gateway, fake)
    await drained(gateway)
    assert await write(gateway, 2) is Ack.STORED
    assert gateway.statistics()["spool_full"] == 0
    await gateway.stop()


async def test_where_only_stored_counts_writes_are_refused_and_an_old_spool_is_brought_home(
    fake: StrictFake, tmp_path: Path
) -> None:
    gateway = await started(fake, tmp_path, ack="stored")
    assert await write(gateway, 1) is Ack.STORED
    fake.faults.down = True
    with pytest.raises(Unavailable):
        await write(gateway, 2)
    assert not spool_directory(spooling_settings(tmp_path)).exists()
    await gateway.stop(1.0)
    fake.faults.clear()
    spooling = await started(fake, tmp_path)
    fake.faults.down = True
    assert await write(spooling, 3) is Ack.SPOOLED
    await spooling.stop(1.0)
    fake.faults.clear()
    again = await started(fake, tmp_path, ack="stored")
    await drained(again)
    assert await values_of(again) == [3]
    assert await write(again, 4) is Ack.STORED
    await again.stop()


async def test_where_only_stored_counts_a_start_does_not_wait_for_an_old_spool(
    fake: StrictFake, tmp_path: Path
) -> None:
    spooling = await started(fake, tmp_path)
    fake.faults.down = True
    for value in range(60):
        assert await write(spooling, value) is Ack.SPOOLED
    await spooling.stop(1.0)
    fake.faults.clear()
    again = await started(fake, tmp_path, ack="stored", spool_drain=1_024)  # which takes seconds
    assert again.statistics()["spooling"]
    with pytest.raises(Unavailable, match="being drained"):
        await write(again, 60)
    await drained(again)
    assert await values_of(again) == [59]
    assert await write(again, 61) is Ack.STORED
    await again.stop()


async def test_after_an_outage_longer_than_the_lease_what_needs_the_store_works_once_it_is_renewed(
    fake: StrictFake, tmp_path: Path
) -> None:
    gateway = await started(fake, tmp_path)
    store = gateway._store
    assert isinstance(store, DynamoStore)
    assert await write(gateway, 1) is Ack.STORED
    fake.faults.down = True
    store._open.lease._valid_until = 0.0
    with pytest.raises(Unavailable):
        await gateway.flush()
    come_back(gateway, fake)
    await renewed(gateway)
    await gateway.flush()
    assert await write(gateway, 2) is Ack.STORED
    assert await values_of(gateway) == [2]
    await gateway.stop()


# histories ------------------------------------------------------------------------------------------------------------

OUTAGE_STEP = st.one_of(STEP, STEP, st.tuples(st.just("down")), st.tuples(st.just("up")))


class OutagePair(Pair):
    """A gateway on a service that comes and goes, and a naive one that knows nothing of it."""

    def __init__(self, fake: StrictFake, data: Path) -> None:
        super().__init__(lambda: store_on(fake), keep_store=False)
        self.fake = fake
        self.data = data

    async def open(self) -> None:
        self.fake.faults.clear()  # a start needs the service
        self.store.open()
        self.real = await Gateway.start(spooling_settings(self.data), self.store, lambda: NOW_MS)

    async def reopen(self, *, crash: bool) -> None:
        if crash:
            await end_looking(self.real)
        await super().reopen(crash=crash)

    async def step(self, step: tuple[Any, ...]) -> None:
        what = step[0]
        if what == "down":
            self.fake.faults.down = True
        elif what == "up":
            come_back(self.real, self.fake)
        elif what == "delete" and self.fake.faults.down:
            await self._delete_nothing(*step[1:])
        elif what not in ("flush", "sweep") or not self.fake.faults.down:
            if what in ("delete", "flush", "sweep"):
                await drained(self.real)
                await renewed(self.real)
            await super().step(step)

    async def _delete_nothing(self, metric: str, filters: Any, one: int, other: int) -> None:
        """Ask for a delete, which is refused as a whole unless there is nothing to delete."""
        try:
            report = await self.real.delete(Selection("default", metric, filters), min(one, other), max(one, other))
        except Unavailable:
            return
        assert (report.points, report.series) == (0, 0)

    async def compare(self, *asked: Any) -> None:
        try:
            await super().compare(*asked)
        except Unavailable:
            assert self.fake.faults.down  # while it is away a query answers as ever, or not at all


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(OUTAGE_STEP, max_size=16))
def test_any_history_with_outages_answers_as_without(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[Any, ...]]
) -> None:
    asyncio.run(_play(OutagePair(StrictFake(), tmp_path_factory.mktemp("data")), history))


async def _play(pair: OutagePair, history: list[tuple[Any, ...]]) -> None:
    await pair.open()
    try:
        for step in history:
            await pair.step(step)
        come_back(pair.real, pair.fake)
        for metric in METRICS:
            await pair.compare(metric, (), MIN_TIME_MS, MAX_TIME_MS, False, 0)
        await drained(pair.real)
        for crash in (True, False):
            await pair.reopen(crash=crash)
            for metric in METRICS:
                await pair.compare(metric, (), MIN_TIME_MS, MAX_TIME_MS, False, 0)
    finally:
        await pair.real.stop()
