"""Fair shares of the journal."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.gateway import Gateway
from amondawa.ingest.fairness import SHARED_POINTS, FairQueue, Shares, cut
from amondawa.ingest.journal import PENDING_BYTES
from amondawa.model.points import Points, WriteBatch
from amondawa.model.receipt import RECEIPT_BYTES, Receipt, accompanied_by
from amondawa.settings import Settings
from amondawa.store.memory import MemoryStore


def drained(queue: FairQueue[str], most: int) -> list[list[str]]:
    groups = []
    while queue:
        groups.append(queue.take(most))
    return groups


# the queue ------------------------------------------------------------------------------------------------------------


def test_a_domain_alone_has_everything_up_to_the_size_of_a_commit():
    queue: FairQueue[str] = FairQueue(turn_points=10)
    for number in range(6):
        queue.put("one", str(number), 10)
    assert drained(queue, 30) == [["0", "1", "2"], ["3", "4", "5"]]


def test_a_small_write_does_not_wait_for_what_another_domain_queued_before_it():
    queue: FairQueue[str] = FairQueue(turn_points=10)
    for number in range(100):
        queue.put("loud", f"l{number}", 10)
    queue.put("quiet", "q", 1)
    assert "q" in queue.take(30)


def test_a_batch_larger_than_a_turn_is_paid_off_over_several():
    queue: FairQueue[str] = FairQueue(turn_points=10)
    queue.put("loud", "large", 35)
    queue.put("loud", "next", 1)
    for number in range(6):
        queue.put("quiet", f"q{number}", 10)
    order = [one for group in drained(queue, 1_000) for one in group]
    assert order.index("next") - order.index("large") == 4
    assert order[0] == "large"


def test_what_goes_alone_goes_alone_and_keeps_its_place_in_its_domain():
    queue: FairQueue[str] = FairQueue(turn_points=10)
    queue.put("one", "before", 1)
    queue.put("one", "delete", None)
    queue.put("one", "after", 1)
    queue.put("two", "other", 1)
    groups = drained(queue, 100)
    assert ["delete"] in groups
    order = [one for group in groups for one in group]
    assert [one for one in order if one != "other"] == ["before", "delete", "after"]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.integers(0, 50))), max_size=60),
    st.integers(1, 100),
)
def test_nothing_is_lost_or_overtaken_within_its_domain(operations: list[tuple[str, int | None]], most: int):
    queue: FairQueue[str] = FairQueue(turn_points=16)
    names: dict[str, list[str]] = {}
    alone = set()
    for number, (domain, points) in enumerate(operations):
        name = f"{domain}{number}"
        queue.put(domain, name, points)
        names.setdefault(domain, []).append(name)
        if points is None:
            alone.add(name)
    assert len(queue) == len(operations)
    groups = drained(queue, most)
    assert all(len(group) == 1 for group in groups if alone & set(group))
    for domain, wanted in names.items():
        assert [one for group in groups for one in group if one[0] == domain] == wanted


# shares and pieces ----------------------------------------------------------------------------------------------------


def test_a_full_journal_turns_away_who_filled_it():
    shares = Shares(100)
    shares.add("loud", 101)
    assert shares.full_for("loud")
    assert not shares.full_for("quiet")
    assert shares.most_is_of("loud") is False  # nobody else has anything
    shares.add("quiet", 10)
    assert shares.most_is_of("loud")
    assert not shares.full_for("quiet")
    shares.add("quiet", 20)
    assert shares.full_for("quiet")
    shares.add("loud", -101)
    assert not shares.full_for("quiet")
    assert shares.total == 30


def test_many_domains_together_stay_within_a_few_limits():
    shares = Shares(1_000)
    for number in range(50):
        while not shares.full_for(str(number)):
            shares.add(str(number), 1)
    assert shares.total <= 1_000 * (1 + math.log(50) / 2) + 50


def columns(count: int, texts: tuple[bytes, ...] = ()) -> WriteBatch:
    points = Points.longs(np.arange(count), np.arange(count))
    return WriteBatch(np.arange(count, dtype=np.int32), points.times_ms, points.kinds, points.bits, texts)


def test_a_large_batch_is_cut_unless_it_must_stay_whole():
    batch = columns(2 * SHARED_POINTS + 5)
    pieces = cut(batch)
    assert [len(one) for one in pieces] == [SHARED_POINTS, SHARED_POINTS, 5]
    assert np.array_equal(np.concatenate([one.times_ms for one in pieces]), batch.times_ms)
    assert np.array_equal(np.concatenate([one.refs for one in pieces]), batch.refs)
    assert len(cut(columns(SHARED_POINTS))) == 1
    assert len(cut(columns(3 * SHARED_POINTS, (b"text",)))) == 1
    with accompanied_by(Receipt(bytes(RECEIPT_BYTES))):
        assert len(cut(batch)) == 1


# the journal ----------------------------------------------------------------------------------------------------------


class HeldStore(MemoryStore):
    """A store whose journal waits to be told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Semaphore(0)

    def journal_append(self, segment: int, sequence: int, payload: bytes) -> None:
        """Append when told to."""
        self.go_on.acquire()
        super().journal_append(segment, sequence, payload)


@pytest.fixture
async def held() -> AsyncIterator[tuple[Gateway, HeldStore]]:
    store = HeldStore()
    store.open()
    gateway = await Gateway.start(Settings(store="memory"), store)
    yield gateway, store
    store.go_on.release(1_000)
    await gateway.stop()


def batch_of(gateway: Gateway, domain: str, count: int) -> WriteBatch:
    ref = gateway.resolve(domain, "m", (("a", "b"),))
    times = np.arange(count) + gateway.now_ms
    return WriteBatch.of(np.full(count, ref, np.int32), Points.longs(times, times))


async def test_a_quiet_domains_write_is_in_the_next_commit_whatever_a_loud_one_has_queued(
    held: tuple[Gateway, HeldStore],
):
    gateway, store = held
    loud = [asyncio.create_task(gateway.write(batch_of(gateway, "loud", 5_000))) for _ in range(40)]
    await asyncio.sleep(0.05)  # the first is on its way
    quiet = asyncio.create_task(gateway.write(batch_of(gateway, "quiet", 10)))
    await asyncio.sleep(0.05)
    store.go_on.release(3)
    await asyncio.wait_for(quiet, 10)
    assert sum(one.done() for one in loud) < len(loud)
    store.go_on.release(1_000)
    await asyncio.gather(*loud)


async def test_a_journal_full_of_one_domain_still_takes_another(held: tuple[Gateway, HeldStore]):
    gateway, store = held
    large = batch_of(gateway, "loud", 700_000)
    loud = [asyncio.create_task(gateway.write(large)) for _ in range(PENDING_BYTES // large.memory_bytes + 2)]
    await asyncio.sleep(0.1)
    assert gateway.congested_for("loud")
    assert not gateway.congested_for("quiet")
    quiet = asyncio.create_task(gateway.write(batch_of(gateway, "quiet", 10)))
    store.go_on.release(1_000)
    await asyncio.wait_for(quiet, 20)
    outcomes = await asyncio.gather(*loud, return_exceptions=True)
    assert any(isinstance(one, Exception) for one in outcomes)  # past the limit, and its own doing
