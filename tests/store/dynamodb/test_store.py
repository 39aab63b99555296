"""What DynamoDB asks of its engine beyond the contract."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from amondawa.errors import ConfigError, NotFound, StoreError, Unavailable
from amondawa.settings import Settings
from amondawa.store.base import Capacity, Item
from amondawa.store.dynamodb.capacity import capacity_of, throughput_arguments
from amondawa.store.dynamodb.retry import RetryPolicy
from amondawa.store.dynamodb.store import JOURNAL, DynamoStore, Options
from tests.store.strict_fake import FakeClient, StrictFake
from tests.store.strict_fake_faults import Faults

QUICK = RetryPolicy(base_s=0.0002, cap_s=0.002, deadline_s=60.0, budget=1e9)
IMPATIENT = RetryPolicy(base_s=0.001, cap_s=0.01, deadline_s=0.05)


@pytest.fixture
def fake() -> StrictFake:
    return StrictFake()


@pytest.fixture
def store(fake: StrictFake) -> Iterator[DynamoStore]:
    store = opened(fake)
    store.create_table("t")
    yield store
    store.close()


def opened(fake: StrictFake, shard: str = "one", **options: Any) -> DynamoStore:
    store = DynamoStore(fake.client, "amdw", shard, Options(**{"retry": QUICK, **options}))
    store.open()
    return store


def items(number: int, size: int = 10) -> list[Item]:
    return [Item(b"h%d" % (n % 7), b"%04d" % n, b"x" * size) for n in range(number)]


# open -----------------------------------------------------------------------------------------------------------------


def test_importing_the_engine_loads_no_boto() -> None:
    code = "import sys, amondawa.store.dynamodb.store; print([m for m in sys.modules if m.startswith('boto')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_store_of_settings_names_its_shard_after_the_gateway_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "host-a")
    assert DynamoStore.of_settings(Settings(store="dynamodb"))._shard == "host-a"
    assert DynamoStore.of_settings(Settings(store="dynamodb", gateway_id="g7"))._shard == "g7"


def test_a_client_retries_nothing_by_itself_and_has_a_connection_for_each_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    settings = Settings(store="dynamodb", mt_readers=30, mt_writers=20, region="eu-central-1")
    client = DynamoStore.of_settings(settings)._make_client()
    assert client.meta.config.retries["total_max_attempts"] == 1
    assert client.meta.config.max_pool_connections >= 50
    assert client.meta.region_name == "eu-central-1"
    client.close()


def test_a_service_that_cannot_be_reached_is_a_setting_error(fake: StrictFake) -> None:
    fake.faults.down = True
    with pytest.raises(ConfigError, match=r"table(s| space).*amdw"):
        opened(fake, retry=IMPATIENT)


def test_a_store_that_is_not_open_says_so(fake: StrictFake) -> None:
    store = DynamoStore(fake.client, "amdw", "one")
    with pytest.raises(StoreError, match="not open"):
        store.tables()


def test_a_store_opens_once(store: DynamoStore) -> None:
    with pytest.raises(ConfigError, match="open already"):
        store.open()


def test_tables_can_be_opened_beside_a_gateway(fake: StrictFake, store: DynamoStore) -> None:
    beside = opened(fake, tables_only=True)
    beside.put("t", items(3))
    assert beside.tables() == ["t"]
    with pytest.raises(Unavailable):
        beside.journal_append(1, 1, b"entry")
    beside.close()
    store.journal_append(1, 1, b"entry")


# tables ---------------------------------------------------------------------------------------------------------------


def test_spaces_do_not_see_each_other(fake: StrictFake, store: DynamoStore) -> None:
    other = DynamoStore(fake.client, "other", "one", Options(retry=QUICK))
    other.open()
    other.create_table("t")
    store.put("t", items(1))
    assert other.query_many("t", [b"h0"]) == {}
    assert sorted(fake.tables) == ["amdw_journal", "amdw_t", "other_journal", "other_t"]
    other.close()


def test_a_table_that_is_slow_to_come_and_go_is_waited_for() -> None:
    fake = StrictFake(create_polls=2)
    store = opened(fake)
    store.create_table("t")
    store.put("t", items(1))
    store.delete_table("t")
    assert store.tables() == []
    store.create_table("t")
    assert store.query_many("t", [b"h0"]) == {}
    store.close()


def test_two_gateways_may_create_one_table_at_once() -> None:
    fake = StrictFake(create_polls=2)
    stores = [opened(fake, shard) for shard in ("one", "two", "three")]
    threads = [threading.Thread(target=store.create_table, args=("t",)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.put("t", items(1))
        store.close()


def test_items_of_every_table_expire(fake: StrictFake, store: DynamoStore) -> None:
    assert {name: table.expiry for name, table in fake.tables.items()} == {"amdw_t": "e", "amdw_journal": "e"}


def test_more_tables_than_a_page_are_listed(store: DynamoStore) -> None:
    for number in range(130):
        store.create_table(f"t{number:03}")
    assert store.tables() == ["t", *(f"t{number:03}" for number in range(130))]


def test_a_table_is_on_demand_or_has_the_capacity_it_was_given(fake: StrictFake, store: DynamoStore) -> None:
    store.create_table("p", Capacity(5, 10))
    assert (store.capacity("t"), store.capacity("p")) == (Capacity(), Capacity(5, 10))
    store.set_capacity("p", Capacity(5, 1))
    store.set_capacity("p", Capacity(5, 1))
    store.set_capacity("t", Capacity(1, 1))
    assert (store.capacity("t"), store.capacity("p")) == (Capacity(1, 1), Capacity(5, 1))
    store.set_capacity("p", Capacity())
    assert store.capacity("p") == Capacity()


def test_half_a_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="or neither"):
        throughput_arguments(Capacity(5, None))
    assert capacity_of({}) == Capacity()


@pytest.mark.parametrize("name", [JOURNAL, "x" * 200])
def test_a_name_that_is_taken_or_too_long_with_the_space_is_refused(fake: StrictFake, name: str) -> None:
    store = DynamoStore(fake.client, "s" * 60, "one", Options(retry=QUICK))
    store.open()
    with pytest.raises(ValueError, match="table name"):
        store.create_table(name)
    store.close()


def test_a_table_that_another_gateway_deleted_is_not_found(fake: StrictFake, store: DynamoStore) -> None:
    other = opened(fake, "two")
    other.delete_table("t")
    with pytest.raises(NotFound, match="no table t|no table amdw_t"):
        store.put("t", items(1))
    other.create_table("t")
    store.refresh()
    store.put("t", items(1))
    other.close()


def test_without_the_journals_table_nothing_can_be_stored_for_now(fake: StrictFake, store: DynamoStore) -> None:
    table = fake.tables.pop("amdw_journal")
    with pytest.raises(Unavailable, match="the journal's table is gone"):
        store.journal_append(1, 1, b"entry")
    fake.tables["amdw_journal"] = table
    store.journal_append(1, 1, b"entry")
    assert list(store.journal_read(1)) == [b"entry"]


def test_deleting_everything_leaves_other_tables_of_the_region_alone(fake: StrictFake) -> None:
    of_this, of_that = opened(fake), DynamoStore(fake.client, "amdw_prod", "one", Options(retry=QUICK))
    of_that.open()
    of_this.create_table("users")  # another program's
    for store in (of_this, of_that):
        for table in ("config", "credentials", "master", "metadata", "datapoints_0-60", "index_n60-60"):
            store.create_table(table)
        store.journal_append(1, 1, b"entry")
    of_this.delete_everything()
    assert {name for name in fake.tables if not name.startswith("amdw_prod_")} == {"amdw_users"}
    assert len(fake.tables) == 1 + 7
    of_that.delete_everything()
    assert set(fake.tables) == {"amdw_users"}
    of_this.close()
    of_that.close()


def test_a_store_is_used_while_another_gateway_holds_its_lease(fake: StrictFake) -> None:
    one, two = opened(fake, lease_s=0.6), opened(fake, "two", lease_s=0.6)
    assert one.used_by() == "two"
    two.close()
    assert one.used_by() == ""
    one.close()


# units ----------------------------------------------------------------------------------------------------------------


def test_units_are_those_that_the_service_bills(fake: StrictFake, store: DynamoStore) -> None:
    before = fake.units()
    store.put("t", items(60, 1_500))
    store.delete("t", [(one.hash, one.range) for one in items(3, 1_500)])
    store.get("t", [(one.hash, one.range) for one in items(10)])
    list(store.query("t", b"h1"))
    store.query_many("t", [b"h1", b"h2", b"none"])
    store.put_if("t", Item(b"h", b"r", b"v"), None)
    read, written = fake.units("amdw_t")
    assert (store.consumed_by_table()["t"].read_units, store.consumed_by_table()["t"].write_units) == (read, written)
    assert written == 60 * 2 + 3 * 2 + 1
    assert read == 10 + 3 + (3 + 3 + 1)  # absent keys are billed too; pages by 4 KB of each hash key
    total = store.consumed()
    after = fake.units()
    assert (total.read_units, total.write_units) == after
    assert before < after


def test_whole_hash_keys_are_read_in_few_requests(fake: StrictFake, store: DynamoStore) -> None:
    store.put("t", [Item(b"h%03d" % n, b"r%d" % part, b"x" * 2_000) for n in range(120) for part in range(2)])
    fake.requests.clear()
    found = store.query_many("t", [b"h%03d" % n for n in range(200)])
    assert {key: [item.range for item in rows] for key, rows in found.items()} == {
        b"h%03d" % n: [b"r0", b"r1"] for n in range(120)
    }
    assert dict(fake.requests) == {"ExecuteStatement": 4}


def test_parts_of_many_hash_keys_are_billed_for_no_more_than_is_inside(fake: StrictFake, store: DynamoStore) -> None:
    store.put("t", [Item(b"h%d" % n, b"r%d" % part, b"x" * 40_000) for n in range(8) for part in range(5)])
    before = fake.units()[0]
    found = store.query_many("t", [b"h%d" % n for n in range(8)], b"r2", b"r2\0")
    assert [len(rows) for rows in found.values()] == [1] * 8
    assert fake.units()[0] - before == 8 * 10


def test_where_statements_are_refused_each_hash_key_is_queried(fake: StrictFake) -> None:
    class WithoutStatements(FakeClient):
        def execute_statement(self, **arguments: Any) -> Any:
            return super().execute_statement(**{**arguments, "Statement": "SELECT"})

    store = DynamoStore(lambda: WithoutStatements(fake), "amdw", "one", Options(retry=QUICK))
    store.open()
    store.create_table("t")
    store.put("t", items(70))
    for _ in range(2):
        assert sum(map(len, store.query_many("t", [b"h%d" % n for n in range(9)]).values())) == 70
    assert (fake.requests["ExecuteStatement"], fake.requests["Query"]) == (1, 18)
    store.close()


# errors ---------------------------------------------------------------------------------------------------------------


def test_a_service_that_stays_away_is_unavailable_and_later_serves_again(fake: StrictFake) -> None:
    store = opened(fake, retry=IMPATIENT)
    store.create_table("t")
    fake.faults.down = True
    for use in (
        lambda: store.put("t", items(60)),
        lambda: store.get("t", [(b"h", b"r")]),
        lambda: store.query_many("t", [b"h", b"i"]),
        lambda: store.journal_append(1, 1, b"entry"),
    ):
        with pytest.raises(Unavailable, match="DynamoDB"):
            use()
    fake.faults.clear()
    store.put("t", items(60))
    store.close()


def test_a_batch_that_is_never_taken_whole_is_unavailable(fake: StrictFake) -> None:
    store = opened(fake, retry=IMPATIENT)
    store.create_table("t")
    fake.faults.leftover = 1.0
    with pytest.raises(Unavailable, match="unprocessed"):
        store.put("t", items(3))
    with pytest.raises(Unavailable, match="unprocessed"):
        store.get("t", [(b"h", b"r")])
    fake.faults.clear()
    store.close()


@pytest.mark.parametrize("seed", range(20))
def test_a_conditional_put_knows_its_own_write_after_a_lost_answer(seed: int) -> None:
    fake = StrictFake(faults=Faults(timeout_before=0.3, timeout_after=0.5, seed=seed))
    store = opened(fake)
    store.create_table("t")
    assert store.put_if("t", Item(b"lease", b"r", b"same"), None)
    assert not store.put_if("t", Item(b"lease", b"r", b"same"), None)
    assert store.put_if("t", Item(b"lease", b"r", b"same"), b"same")
    store.close()
