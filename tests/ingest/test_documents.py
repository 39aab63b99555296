"""Documents: values of any size, and the condition that holds among gateways."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from amondawa.errors import BadRequest
from amondawa.ingest import documents
from amondawa.ingest.documents import Documents
from amondawa.store.base import BlockStore
from amondawa.store.dynamodb.store import DynamoStore, Options
from amondawa.store.memory import MemoryStore
from tests.store.engines import QUICK
from tests.store.strict_fake import StrictFake

PLACE = ("d", "c", "k")


def opened(store: BlockStore) -> Documents:
    """Return the documents of a gateway on a store."""
    made = Documents(store)
    made.open()
    return made


@pytest.fixture(params=["memory", "dynamodb"])
def two(request: pytest.FixtureRequest) -> Iterator[tuple[Documents, Documents]]:
    """The documents of two gateways on one table space."""
    stores: list[BlockStore] = [MemoryStore()]
    if request.param == "dynamodb":
        fake = StrictFake()
        stores = [DynamoStore(fake.client, "amdw", shard, Options(4, 4, QUICK)) for shard in ("one", "two")]
    for store in stores:
        store.open()
    yield opened(stores[0]), opened(stores[-1])
    for store in stores:
        store.close()


def test_only_one_of_two_gateways_puts_what_was_not_there(two: tuple[Documents, Documents]) -> None:
    first, second = two
    assert first.put_if(*PLACE, b"one", None)
    assert not second.put_if(*PLACE, b"two", None)
    assert second.get(*PLACE) == b"one"


def test_a_value_is_replaced_only_as_long_as_it_is_the_expected_one(two: tuple[Documents, Documents]) -> None:
    first, second = two
    first.put(*PLACE, b"one")
    assert not second.put_if(*PLACE, b"three", b"two")
    assert second.put_if(*PLACE, b"three", b"one")
    assert not first.put_if(*PLACE, b"four", b"one")
    assert first.get(*PLACE) == b"three"
    assert not first.put_if("d", "c", "other", b"four", b"one")


@pytest.mark.parametrize(("before", "after"), [(1, 25), (25, 1), (35, 34), (0, 10), (10, 0)])
def test_values_in_several_parts_are_replaced_whole(
    two: tuple[Documents, Documents], monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    monkeypatch.setattr(documents, "_PART_BYTES", 10)
    first, second = two
    assert first.put_if(*PLACE, b"a" * before, None)
    assert second.put_if(*PLACE, b"b" * after, b"a" * before)
    assert first.get(*PLACE) == b"b" * after
    assert first.list_all("d", "c") == [("k", b"b" * after)]
    assert not first.put_if(*PLACE, b"c", b"a" * before)


def test_a_key_that_is_too_long_is_refused(two: tuple[Documents, Documents]) -> None:
    with pytest.raises(BadRequest):
        two[0].put_if("d", "c", "k" * 2_000, b"v", None)


def test_of_many_that_count_together_none_is_lost(two: tuple[Documents, Documents]) -> None:
    def count(one: Documents) -> None:
        for _ in range(50):
            while True:
                before = one.get(*PLACE)
                if one.put_if(*PLACE, str(int(before or b"0") + 1).encode(), before):
                    break

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(count, two))
    assert two[0].get(*PLACE) == b"100"
