from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from amondawa.errors import ConfigError, Corrupt, Unavailable
from amondawa.store.dynamodb import lease as leasing
from amondawa.store.dynamodb.retry import RetryPolicy
from amondawa.store.dynamodb.store import DynamoStore, Options
from tests.store.strict_fake import StrictFake

TABLE = "amdw_journal"
QUICK = RetryPolicy(base_s=0.0002, cap_s=0.002, deadline_s=60.0, budget=1e9)
IMPATIENT = RetryPolicy(base_s=0.001, cap_s=0.002, deadline_s=0.02)


@pytest.fixture
def fake() -> StrictFake:
    return StrictFake()


@pytest.fixture
def store(fake: StrictFake) -> Iterator[DynamoStore]:
    store = opened(fake)
    yield store
    store.close()


def opened(fake: StrictFake, shard: str = "one", **options: Any) -> DynamoStore:
    store = DynamoStore(fake.client, "amdw", shard, Options(**{"retry": QUICK, **options}))
    store.open()
    return store


def entries(fake: StrictFake) -> list[tuple[bytes, bytes]]:
    rows = fake.tables[TABLE].rows
    return [(hash_key, range_key) for hash_key in rows if hash_key.startswith(b"one#") for range_key in rows[hash_key]]


def test_each_gateway_reads_its_own_shard(fake: StrictFake, store: DynamoStore) -> None:
    other = opened(fake, "two")
    store.journal_append(1, 1, b"mine")
    other.journal_append(1, 1, b"theirs")
    assert (list(store.journal_read(1)), list(other.journal_read(1))) == ([b"mine"], [b"theirs"])
    other.journal_drop(1)
    assert (store.journal_segments(), other.journal_segments()) == ([1], [])
    other.close()


def test_entries_of_a_segment_are_spread_over_hash_keys_and_come_back_in_order(
    fake: StrictFake, store: DynamoStore
) -> None:
    for sequence in range(40):
        store.journal_append(5, sequence, b"%d" % sequence)
    assert len({hash_key for hash_key, _ in entries(fake)}) == 4
    assert list(store.journal_read(5)) == [b"%d" % sequence for sequence in range(40)]


def test_dropping_a_segment_costs_one_unit_however_much_it_holds(fake: StrictFake, store: DynamoStore) -> None:
    for sequence in range(30):
        store.journal_append(1, sequence, os.urandom(3_000))
    before = fake.units()
    store.journal_drop(1)
    after = fake.units()
    assert (after[0] - before[0], after[1] - before[1]) == (0, 1)
    assert len(entries(fake)) == 30


def test_every_entry_expires(fake: StrictFake) -> None:
    store = opened(fake, journal_keep_s=1_000)
    store.journal_append(1, 1, os.urandom(900_000))
    store.journal_drop(1)
    for hash_key, row in fake.tables[TABLE].rows.items():
        for item in row.values():
            if hash_key != b"leases":
                assert abs(int(item["e"]["N"]) - time.time() - 1_000) < 100
    store.close()


def test_a_refused_entry_that_arrives_late_does_not_replace_the_one_after_it(fake: StrictFake) -> None:
    store = opened(fake, retry=IMPATIENT)
    store.journal_append(1, 1, b"first")
    fake.faults.timeout_before = 1.0
    with pytest.raises(Unavailable):
        store.journal_append(1, 2, b"refused")
    fake.faults.clear()
    store.journal_append(1, 2, b"acknowledged")
    late = opened(fake, "late")
    late.journal_append(1, 2, b"refused")
    rows = fake.tables[TABLE].rows
    ((range_key, item),) = rows[b"late#%016x#2" % 1].items()
    rows[b"one#%016x#2" % 1][range_key] = item
    assert list(store.journal_read(1)) == [b"first", b"acknowledged"]
    late.close()
    store.close()


def test_an_entry_of_which_a_part_is_missing_never_was_acknowledged_and_is_left_out(
    fake: StrictFake, store: DynamoStore
) -> None:
    store.journal_append(1, 1, os.urandom(900_000))
    store.journal_append(1, 2, b"after")
    row = fake.tables[TABLE].rows[b"one#%016x#1" % 1]
    assert len(row) == 3
    del row[next(iter(row))]
    assert list(store.journal_read(1)) == [b"after"]


def test_parts_of_two_appends_do_not_mix(fake: StrictFake, store: DynamoStore) -> None:
    payload = os.urandom(900_000)
    store.journal_append(1, 1, payload)
    row = fake.tables[TABLE].rows[b"one#%016x#1" % 1]
    kept = dict(row)
    store.journal_append(1, 1, payload)
    last = list(row)[-1]
    row[last] = kept[last]
    assert list(store.journal_read(1)) == []


@pytest.mark.parametrize("value", [b"\x09abc", b"\x01abc"])
def test_an_entry_that_cannot_be_read_is_corrupt(fake: StrictFake, store: DynamoStore, value: bytes) -> None:
    store.journal_append(1, 1, b"entry")
    ((_, item),) = fake.tables[TABLE].rows[b"one#%016x#1" % 1].items()
    item["v"] = {"B": value}
    with pytest.raises(Corrupt):
        list(store.journal_read(1))


# the lease ------------------------------------------------------------------------------------------------------------


def test_a_shard_that_another_process_holds_is_refused_with_what_to_change(fake: StrictFake) -> None:
    store = opened(fake, lease_s=0.3)
    with pytest.raises(ConfigError, match=r"'one' is in use by process \d+ .*AMDW_GATEWAY_ID"):
        opened(fake, lease_s=0.3)
    store.journal_append(1, 1, b"entry")
    store.close()


def test_a_shard_is_free_at_once_after_an_orderly_end(fake: StrictFake, store: DynamoStore) -> None:
    store.close()
    store.open()
    store.journal_append(1, 1, b"entry")


def test_the_shard_of_a_process_that_ended_without_a_word_is_taken_when_its_lease_has_run_out(
    fake: StrictFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing.Lease, "_keep", lambda self: None)
    gone = opened(fake, lease_s=0.2)
    gone.journal_append(1, 1, b"entry")
    began = time.monotonic()
    heir = opened(fake, lease_s=0.2)
    assert time.monotonic() - began >= 0.2
    assert list(heir.journal_read(1)) == [b"entry"]
    with pytest.raises(Unavailable, match="lease"):
        gone.journal_append(1, 2, b"too late")
    heir.close()


def test_the_shard_of_a_process_of_this_machine_that_is_gone_is_taken_at_once(
    fake: StrictFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = leasing.process_identity(child.pid)
    assert identity is not None
    with monkeypatch.context() as patch:
        patch.setattr(leasing, "process_identity", lambda pid="self": identity)
        patch.setattr(leasing.Lease, "_keep", lambda self: None)
        opened(fake, lease_s=3_600.0)
    child.communicate(b"\n")
    heir = opened(fake, lease_s=3_600.0)
    heir.journal_append(1, 1, b"entry")
    heir.close()


def test_a_holder_that_was_replaced_acknowledges_nothing_more(fake: StrictFake) -> None:
    store = opened(fake, lease_s=0.15)
    fake.tables[TABLE].rows[b"leases"][b"one"] = {
        "h": {"B": b"leases"},
        "r": {"B": b"one"},
        "v": {"B": b'{"host":"elsewhere","pid":"7"}'},
    }
    deadline = time.monotonic() + 5
    with pytest.raises(Unavailable, match="lease"):
        while time.monotonic() < deadline:
            store.journal_append(1, 1, b"entry")
            time.sleep(0.01)
    store.close()


def test_a_renewal_whose_answer_was_lost_does_not_lose_the_lease(fake: StrictFake) -> None:
    store = opened(fake, lease_s=0.15, retry=IMPATIENT)
    fake.faults.timeout_after = 1.0
    time.sleep(0.1)
    fake.faults.clear()
    time.sleep(0.1)
    store.journal_append(1, 1, b"entry")
    store.close()
