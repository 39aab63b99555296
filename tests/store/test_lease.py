"""The lease: one holder at a time, taken over when it runs out."""

from __future__ import annotations

import pytest

from amondawa.errors import Corrupt
from amondawa.store.base import Item
from amondawa.store.lease import MASTER, TimedLease
from amondawa.store.memory import MemoryStore

LENGTH_MS = 1_000


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.create_table(MASTER)
    return store


def lease(store: MemoryStore, holder: str) -> TimedLease:
    return TimedLease(store, "work", holder, LENGTH_MS)


def test_the_first_who_asks_has_it_and_keeps_it_by_renewing(store: MemoryStore) -> None:
    one, two = lease(store, "one"), lease(store, "two")
    for now_ms in (0, 999, 1_500, 2_400):
        assert one.take(now_ms)
        assert not two.take(now_ms)


def test_another_takes_over_when_it_has_run_out_and_not_before(store: MemoryStore) -> None:
    one, two = lease(store, "one"), lease(store, "two")
    assert one.take(0)
    assert not two.take(999)
    assert two.take(1_000)
    assert not one.take(1_001)


def test_a_holder_that_was_started_again_has_it_at_once(store: MemoryStore) -> None:
    assert lease(store, "one").take(0)
    assert lease(store, "one").take(1)


def test_two_leases_do_not_know_of_each_other(store: MemoryStore) -> None:
    assert lease(store, "one").take(0)
    assert TimedLease(store, "other work", "two", LENGTH_MS).take(0)


def test_a_released_lease_is_free_and_only_its_holder_releases_it(store: MemoryStore) -> None:
    one, two = lease(store, "one"), lease(store, "two")
    two.release(0)
    assert one.take(0)
    two.release(1)
    assert not two.take(2)
    one.release(3)
    assert two.take(3)


def test_of_two_that_ask_at_once_one_has_it(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    two = lease(store, "two")
    put_if = store.put_if
    taken: list[bool] = []

    def other_is_quicker(table: str, item: Item, expected: bytes | None) -> bool:
        monkeypatch.setattr(store, "put_if", put_if)
        taken.append(two.take(0))
        return put_if(table, item, expected)

    monkeypatch.setattr(store, "put_if", other_is_quicker)
    assert not lease(store, "one").take(0)
    assert taken == [True]


def test_what_is_no_lease_is_corrupt(store: MemoryStore) -> None:
    store.put(MASTER, [Item(b"lease", b"work", b"[]")])
    with pytest.raises(Corrupt):
        lease(store, "one").take(0)
