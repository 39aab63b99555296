"""Gathering: a write that comes alone does not wait, small ones that follow a commit share the next entry."""

from __future__ import annotations

import asyncio
import threading

from amondawa.gateway import Gateway
from amondawa.ingest.gathering import Gathering
from amondawa.settings import Settings
from amondawa.store.base import BlockStore
from amondawa.store.dynamodb.store import DynamoStore
from amondawa.store.memory import MemoryStore
from tests.store.strict_fake import StrictFake
from tests.test_gateway import NOW_MS, TAGS, batch_of


class Clock:
    """Seconds that pass while somebody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Passing(threading.Condition):
    """A condition of which a wait lets the time pass, or of which each wait ends early, as when something came."""

    def __init__(self, clock: Clock, step_s: float = 1e9) -> None:
        super().__init__()
        self._clock = clock
        self._step_s = step_s
        self.waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits += 1
        self._clock.now_s += min(timeout, self._step_s)
        return False


def test_a_commit_after_a_while_begins_at_once_and_one_soon_after_it_waits_for_the_rest() -> None:
    clock = Clock()
    gathering, changed = Gathering(0.02, clock), Passing(clock)
    gathering.wait(changed, lambda: False)
    assert clock.now_s == 0.0
    clock.now_s = 0.005
    gathering.wait(changed, lambda: False)
    assert clock.now_s == 0.02
    clock.now_s = 0.05
    gathering.wait(changed, lambda: False)
    assert (clock.now_s, changed.waits) == (0.05, 1)


def test_nothing_waits_once_enough_has_come() -> None:
    clock = Clock()
    gathering, changed = Gathering(0.02, clock), Passing(clock, 0.001)
    gathering.wait(changed, lambda: False)
    gathering.wait(changed, lambda: clock.now_s >= 0.003)
    assert clock.now_s == 0.003


def test_without_a_wait_every_commit_begins_at_once() -> None:
    clock = Clock()
    gathering, changed = Gathering(0.0, clock), Passing(clock)
    for _ in range(3):
        gathering.wait(changed, lambda: False)
    assert changed.waits == 0


async def entries_of(store: BlockStore, wait_ms: int, writes: int) -> float:
    """Return how many entries some writes became that came one after another without waiting for each other."""
    store.open()
    settings = Settings(store_column_height_s=3_600, query_threads=1, commit_wait_ms=wait_ms)
    gateway = await Gateway.start(settings, store, lambda: NOW_MS)
    batch = batch_of(gateway, [("m", TAGS[0], NOW_MS, 0, 0)])
    await gateway.write(batch)
    before = gateway.statistics()["journal_entries"]

    async def late(number: int) -> None:
        await asyncio.sleep(number * 0.001)
        await gateway.write(batch)

    await asyncio.gather(*map(late, range(writes)))
    entries = gateway.statistics()["journal_entries"] - before
    await gateway.stop()
    return entries


def dynamo() -> DynamoStore:
    return DynamoStore(StrictFake().client, "amdw", "one")


async def test_small_writes_share_entries_where_each_one_is_billed() -> None:
    assert await entries_of(dynamo(), 1_000, 10) <= 2


async def test_only_where_entries_are_billed_do_writes_wait() -> None:
    for store, wait_s in ((MemoryStore(), 0.0), (dynamo(), 1.0)):
        store.open()
        gateway = await Gateway.start(Settings(commit_wait_ms=1_000), store, lambda: NOW_MS)
        journal = gateway._writer.journal
        assert journal is not None
        assert journal._gathering._wait_s == wait_s
        await gateway.stop()
