"""Signed writes that a former process applied: acknowledged and not applied again, on every engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amondawa.auth.replay import AppliedSignatures
from amondawa.errors import Corrupt, StorageFull, Unavailable
from amondawa.ingest.entry import PointsEntry, decode, encode_points
from amondawa.ingest.receipts import ReceiptBook, split_receipts, with_receipts
from amondawa.ingest.writer import Writer
from amondawa.model.points import Points, WriteBatch
from amondawa.model.receipt import RECEIPT_BYTES, Receipt, accompanied_by, take_receipt
from amondawa.store.base import BlockStore
from amondawa.store.dynamodb.store import DynamoStore, Options
from amondawa.store.memory import MemoryStore
from amondawa.store.sqlite import SqliteStore
from tests.auth.gateways import Guarded, Key, guarded
from tests.auth.test_http_access import POINTS, points, send, signed, value_of
from tests.auth.test_replay import NOW, apply
from tests.auth.test_replay import signed as caller_of
from tests.store.engines import QUICK
from tests.store.strict_fake import StrictFake
from tests.test_app import port_settings

Reopen = Callable[[], BlockStore]


class KeptMemory(MemoryStore):
    """A memory store whose data outlives its closing."""

    def close(self) -> None:
        """Keep everything."""


@pytest.fixture(params=["memory", "sqlite", "dynamodb"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reopen:
    """Return what opens the same data again."""
    monkeypatch.setenv("AMDW_MASTER_KEY", "0" * 64)
    memory, fake = KeptMemory(), StrictFake()
    make: dict[str, Reopen] = {
        "memory": lambda: memory,
        "sqlite": lambda: SqliteStore(tmp_path / "data"),
        "dynamodb": lambda: DynamoStore(fake.client, "amdw", "one", Options(4, 4, QUICK)),
    }

    def opened() -> BlockStore:
        store = make[request.param]()
        store.open()
        return store

    return opened


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what makes the gateway end without a flush, as one that is killed."""

    async def never(*_: Any) -> None:
        raise Unavailable("killed")

    return lambda: monkeypatch.setattr(Writer, "flush", never)


async def two_writes(gateway: Guarded, key: Key) -> dict[str, str]:
    """Write 1, then 2 over it; return the headers of the first."""
    first, second = (signed(gateway, key, "POST", POINTS, points(value)) for value in (1, 2))
    assert (await send(gateway, "POST", POINTS, points(1), first)).status == 204
    assert (await send(gateway, "POST", POINTS, points(2), second)).status == 204
    return first


@pytest.mark.parametrize("end", ["stopped", "killed", "flushed and killed"])
async def test_a_replayed_write_overwrites_nothing_after_a_restart(reopen: Reopen, crash: Callable[[], None], end: str):
    ports = port_settings()
    async with guarded(reopen(), **ports) as gateway:
        key = gateway.add_key("shop:rw")
        first = await two_writes(gateway, key)
        if "flushed" in end:
            assert gateway.process._gateway is not None
            await gateway.process._gateway.flush()
        if "killed" in end:
            crash()
    for _ in range(2):  # what was recovered is handed on to the process after the next one
        async with guarded(reopen(), **ports) as gateway:
            assert (await send(gateway, "POST", POINTS, points(1), first)).status == 204
            assert await value_of(gateway, key) == 2


async def test_a_replayed_delete_or_document_changes_nothing_after_a_restart(reopen: Reopen):
    ports = port_settings()
    tree = "/domains/shop/api/tree"
    made = b'{"name":"one"}'
    async with guarded(reopen(), **ports) as gateway:
        key = gateway.add_key("shop:rw")
        await two_writes(gateway, key)
        removal = signed(gateway, key, "DELETE", "/api/v1/shop/metric/m")
        assert (await send(gateway, "DELETE", "/api/v1/shop/metric/m", b"", removal)).status == 204
        third = signed(gateway, key, "POST", POINTS, points(3))
        assert (await send(gateway, "POST", POINTS, points(3), third)).status == 204
        planted = signed(gateway, key, "POST", tree, made)
        assert (await send(gateway, "POST", tree, made, planted)).status == 200
    async with guarded(reopen(), **ports) as gateway:
        assert (await send(gateway, "DELETE", "/api/v1/shop/metric/m", b"", removal)).status == 204
        assert await value_of(gateway, key) == 3
        assert (await send(gateway, "POST", tree, made, planted)).status == 200
        assert len((await gateway.ask("http_port", "GET", tree, None, key.basic)).json()) == 1


async def test_a_write_that_failed_may_come_again_after_a_restart(reopen: Reopen, monkeypatch: pytest.MonkeyPatch):
    ports = port_settings()
    async with guarded(reopen(), **ports) as gateway:
        key = gateway.add_key("shop:rw")
        headers = signed(gateway, key, "POST", POINTS, points(1))
        with monkeypatch.context() as full:

            def no_room(*_: Any) -> None:
                raise StorageFull("no room")

            full.setattr(type(gateway.process._store), "journal_append", no_room)
            assert (await send(gateway, "POST", POINTS, points(1), headers)).status == 503
    async with guarded(reopen(), **ports) as gateway:
        assert (await send(gateway, "POST", POINTS, points(1), headers)).status == 204
        assert await value_of(gateway, key) == 1


async def test_a_signed_write_costs_no_commit_of_its_own_more_than_any_other():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        await send(gateway, "POST", POINTS, points(0), key.basic)
        door = gateway.process._gateway
        assert door is not None
        entries = []
        for headers in (key.basic, signed(gateway, key, "POST", POINTS, points(1))):
            before = door.statistics()["journal_entries"]
            assert (await send(gateway, "POST", POINTS, points(1), headers)).status == 204
            entries.append(door.statistics()["journal_entries"] - before)
        assert entries == [1, 1]


async def test_a_delete_whose_receipt_is_not_durable_is_not_acknowledged(monkeypatch: pytest.MonkeyPatch):
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        await send(gateway, "POST", POINTS, points(0), key.basic)

        async def no_room(*_: Any) -> None:
            raise StorageFull("no room")

        monkeypatch.setattr(Writer, "note", no_room)
        monkeypatch.setattr(gateway.process.access._applied, "_note", no_room)
        path = "/api/v1/shop/metric/m"
        answer = await send(gateway, "DELETE", path, b"", signed(gateway, key, "DELETE", path))
        assert answer.status == 503


# what is kept ---------------------------------------------------------------------------------------------------------


async def nowhere(_receipts: bytes) -> None:
    """Note nothing."""


async def test_what_one_process_remembers_the_next_one_knows_and_old_signatures_are_left_behind():
    former, now = AppliedSignatures(), AppliedSignatures()
    for number in range(20_000):
        await apply(former, caller_of(number, NOW - number % 100))
    kept = former.receipts()
    now.recover(kept + kept, nowhere, NOW)
    assert len(now) == len(former)
    assert not any([await apply(now, caller_of(n, NOW - n % 100)) for n in range(0, 20_000, 97)])
    assert await apply(now, caller_of(20_001))
    late = AppliedSignatures()
    late.recover(kept, nowhere, NOW + 2_000)
    assert len(late) == 0


async def test_a_horizon_outlives_the_process_too():
    former, now = AppliedSignatures(most=20_000), AppliedSignatures()
    for number in range(30_000):
        await apply(former, caller_of(number, NOW + number // 1_000))
    now.recover(former.receipts(), nowhere, NOW)
    assert now._forgotten_s == former._forgotten_s >= NOW


async def test_a_write_that_is_durable_but_not_answered_yet_is_among_what_is_kept():
    applied = AppliedSignatures()
    caller = caller_of(1)
    await applied.begin(caller)
    assert applied.receipts() == b""
    assert caller.receipt is not None
    caller.receipt.durable = True
    assert applied.receipts() == caller.receipt.data


def test_a_receipt_is_taken_by_the_first_write_only():
    receipt = Receipt(b"r" * RECEIPT_BYTES)
    assert take_receipt() is None
    with accompanied_by(receipt):
        assert take_receipt() is receipt
        assert take_receipt() is None


def test_receipts_in_front_of_an_entry_are_read_back_and_change_nothing_of_it():
    receipts = bytes(range(RECEIPT_BYTES)) * 3
    columns = WriteBatch.of(np.arange(3, dtype=np.int32), Points.longs(np.arange(3), np.arange(3)))
    whole = encode_points(columns, np.zeros(0, np.int32), [])
    payload = with_receipts(whole, receipts)
    assert split_receipts(payload) == (whole, receipts)
    assert split_receipts(whole) == (whole, b"")
    assert isinstance(decode(payload), PointsEntry)
    for cut in (5, 13, 30):
        with pytest.raises(Corrupt):
            decode(payload[:cut])
    damaged = bytearray(payload)
    damaged[20] ^= 1
    with pytest.raises(Corrupt, match="receipts"):
        split_receipts(bytes(damaged))


def test_the_book_hands_over_what_it_recovered_until_somebody_keeps_it():
    book = ReceiptBook()
    book.recovered = b"one"
    assert book.living() == b"one"
    book.kept_by(lambda: b"two")
    assert book.living() == b"two"
