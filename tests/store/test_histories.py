"""Random histories of writes and reads on every engine against a dictionary."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amondawa.store.base import BlockStore, Item, Key
from amondawa.store.dynamodb.store import DynamoStore, Options
from amondawa.store.memory import MemoryStore
from amondawa.store.sqlite import SqliteStore
from tests.store.engines import QUICK
from tests.store.strict_fake import StrictFake
from tests.store.strict_fake_faults import Faults

TABLES = ("datapoints_b", "index_b", "metadata")
HASHES = st.sampled_from([b"a", b"a\0", b"b" * 19, b"b" * 20, b"b" * 300])
RANGES = st.sampled_from([b"\0", b"\0\0", b"m", b"m\xff", b"\xff"])
VALUES = st.sampled_from([0, 1, 200, 201, 2_900, 5_000, 8_150, 30_000]).map(lambda size: b"v" * size)
KEYS = st.tuples(HASHES, RANGES)
ITEMS = st.builds(lambda key, value: Item(*key, value), KEYS, VALUES)
PER_TABLE = st.sampled_from(TABLES)
STEPS = st.one_of(
    st.tuples(
        st.just("change"),
        st.dictionaries(PER_TABLE, st.lists(ITEMS, max_size=6), max_size=2),
        st.dictionaries(PER_TABLE, st.lists(KEYS, max_size=4), max_size=2),
    ),
    st.tuples(st.just("put_if"), PER_TABLE, ITEMS, st.none() | VALUES),
    st.tuples(st.just("recreate"), PER_TABLE),
    st.tuples(st.just("tidy")),
    st.tuples(st.just("reopen")),
)
Model = dict[str, dict[Key, Item]]


def play(store: BlockStore, model: Model, step: tuple[object, ...]) -> None:
    match step:
        case ("change", dict(puts), dict(deletes)):
            store.change(puts, deletes)
            for table, items in puts.items():
                model[table].update(((item.hash, item.range), item) for item in items)
            for table, keys in deletes.items():
                for key in keys:
                    model[table].pop(key, None)
        case ("put_if", str(table), Item() as item, expected):
            now = model[table].get((item.hash, item.range))
            due = (now.value if now else None) == expected
            assert store.put_if(table, item, expected) == due  # type: ignore[arg-type]
            if due:
                model[table][(item.hash, item.range)] = item
        case ("recreate", str(table)):
            store.delete_table(table)
            store.create_table(table)
            model[table] = {}
        case ("tidy",):
            store.tidy()
        case ("reopen",):
            store.close()
            store.open()


def compare(store: BlockStore, model: Model) -> None:
    assert store.tables() == sorted(TABLES)
    for table, held in model.items():
        by_hash: dict[bytes, list[Item]] = {}
        for key in sorted(held):
            by_hash.setdefault(key[0], []).append(held[key])
        hashes = [b"a", b"a\0", b"b" * 19, b"b" * 20, b"b" * 300]
        assert store.query_many(table, hashes) == by_hash
        assert store.get(table, sorted(held)) == [held[key] for key in sorted(held)]
        for hash_key in hashes:
            down = [item for page in store.query(table, hash_key, b"\0\0", b"\xff", descending=True) for item in page]
            assert down == [item for item in reversed(by_hash.get(hash_key, [])) if b"\0\0" <= item.range < b"\xff"]


def check(store: BlockStore, history: list[tuple[object, ...]]) -> None:
    store.open()
    try:
        model: Model = {table: {} for table in TABLES}
        for table in TABLES:
            store.create_table(table)
        for step in history:
            play(store, model, step)
        compare(store, model)
    finally:
        store.close()


@settings(max_examples=120, deadline=None)
@given(st.lists(STEPS, max_size=15))
def test_any_history_in_memory_agrees_with_a_dictionary(history: list[tuple[object, ...]]) -> None:
    check(MemoryStore(), history)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(STEPS, max_size=15))
def test_any_history_on_sqlite_agrees_with_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[object, ...]]
) -> None:
    check(SqliteStore(tmp_path_factory.mktemp("store")), history)


@pytest.mark.parametrize("faults", [(), (0.1, 0.3, 0.1, 0.1, 0.15)], ids=["well", "faults"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(STEPS, max_size=15), seed=st.integers(0, 2**32))
def test_any_history_on_dynamodb_agrees_with_a_dictionary(
    faults: tuple[float, ...], history: list[tuple[object, ...]], seed: int
) -> None:
    fake = StrictFake(faults=Faults(*faults, seed=seed, stale=1.0))
    check(DynamoStore(fake.client, "amdw", "one", Options(4, 4, QUICK)), history)
