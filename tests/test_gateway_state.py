"""What the gateway tells of its state to those who operate it."""

import asyncio
from typing import Any

import numpy as np
import pytest

from amondawa.errors import Cancelled, StorageFull
from amondawa.gateway import FULL_MS, Gateway
from amondawa.model.points import Kind, WriteBatch
from amondawa.model.query import Query, Selection
from amondawa.settings import Settings
from amondawa.store.memory import MemoryStore


class FullStore(MemoryStore):
    """A store whose journal has no room while `full`."""

    full = False

    def journal_append(self, segment: int, sequence: int, payload: bytes) -> None:
        if self.full:
            raise StorageFull("no room")
        super().journal_append(segment, sequence, payload)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time_ms = 1_000_000

    def __call__(self) -> int:
        return self.time_ms


def one_point(gateway: Gateway) -> WriteBatch:
    ref = gateway.resolve("d", "m", ())
    return WriteBatch(
        np.array([ref], np.int32), np.array([5], np.int64), np.array([Kind.LONG], np.uint8), np.array([7], np.int64)
    )


async def test_the_store_counts_as_full_until_a_write_succeeds_or_some_time_has_passed():
    store, clock = FullStore(), Clock()
    store.open()
    gateway = await Gateway.start(Settings(store="memory"), store, clock)
    try:
        assert gateway.statistics()["storage_full"] == 0
        store.full = True
        with pytest.raises(StorageFull):
            await gateway.write(one_point(gateway))
        assert gateway.statistics()["storage_full"] == 1
        clock.time_ms += FULL_MS
        assert gateway.statistics()["storage_full"] == 0
        with pytest.raises(StorageFull):
            await gateway.write(one_point(gateway))
        store.full = False
        await gateway.write(one_point(gateway))
        assert gateway.statistics()["storage_full"] == 0
    finally:
        await gateway.stop()


async def test_a_running_query_is_listed_with_its_domain_and_can_be_ended():
    store = MemoryStore()
    store.open()
    gateway = await Gateway.start(Settings(store="memory"), store)
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Waiting:
        """A stage that goes on until its query is ended."""

        def apply(self, frames: Any, clock: Any) -> Any:
            loop.call_soon_threadsafe(begun.set)
            while True:
                clock.check()

    try:
        await gateway.write(one_point(gateway))
        query = Query(Selection("d", "m"), 0, 10, stages=(Waiting(),))
        running = asyncio.ensure_future(gateway.query([query], len, "label"))
        await begun.wait()
        (listed,) = gateway.running_queries()
        assert (listed["domain"], listed["label"]) == ("d", "label")
        assert gateway.end_query(int(str(listed["id"])))
        with pytest.raises(Cancelled):
            await running
        assert gateway.running_queries() == []
    finally:
        await gateway.stop()
