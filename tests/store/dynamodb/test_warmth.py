"""Warm tables: by parameter, by switching, where neither is to be had, and for blocks that are there already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from amondawa.errors import Unavailable
from amondawa.index.blocks import OpenBlocks
from amondawa.ingest.maintenance import Maintainer, Rules
from amondawa.settings import Settings, read_settings
from amondawa.store.base import Capacity
from amondawa.store.blocks import Block, BlockPlan, Throughput
from amondawa.store.dynamodb.retry import RetryPolicy
from amondawa.store.dynamodb.store import DynamoStore, Options
from amondawa.store.dynamodb.warmth import BY_PARAMETER, BY_SWITCH
from tests.store.strict_fake import FakeClient, StrictFake

QUICK = RetryPolicy(base_s=0.0002, cap_s=0.002, deadline_s=60.0, budget=1e9)
WARM = Capacity(warm_read_units=15_000, warm_write_units=20_000)
DAY_S = 86_400


class Recording(FakeClient):
    """Remembers what tables were made and changed with."""

    def __init__(self, service: StrictFake) -> None:
        super().__init__(service)
        self.calls: list[dict[str, Any]] = []

    def create_table(self, **arguments: Any) -> Any:
        if arguments["TableName"].endswith("_t"):
            self.calls.append(arguments)
        return super().create_table(**arguments)

    def update_table(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        return super().update_table(**arguments)

    def given(self) -> list[dict[str, Any]]:
        """Return the throughput of each call."""
        named = ("BillingMode", "ProvisionedThroughput", "WarmThroughput")
        return [{name: call[name] for name in named if name in call} for call in self.calls]


def opened(fake: StrictFake, client: FakeClient, by: str = BY_PARAMETER) -> DynamoStore:
    store = DynamoStore(lambda: client, "amdw", "one", Options(retry=QUICK, warm_by=by))
    store.open()
    return store


@pytest.fixture
def fake() -> StrictFake:
    return StrictFake(create_polls=1)


@pytest.fixture
def client(fake: StrictFake) -> Recording:
    return Recording(fake)


@pytest.fixture
def store(fake: StrictFake, client: Recording) -> Iterator[DynamoStore]:
    store = opened(fake, client)
    yield store
    store.close()


def provisioned(reads: int, writes: int) -> dict[str, Any]:
    units = {"ReadCapacityUnits": reads, "WriteCapacityUnits": writes}
    return {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units}


ON_DEMAND = {"BillingMode": "PAY_PER_REQUEST"}
ASKED = {"WarmThroughput": {"ReadUnitsPerSecond": 15_000, "WriteUnitsPerSecond": 20_000}}


def test_a_warm_table_is_made_with_the_parameter(fake: StrictFake, client: Recording, store: DynamoStore) -> None:
    store.create_table("t", WARM)
    assert client.given() == [{**ON_DEMAND, **ASKED}]
    assert fake.tables["amdw_t"].partitions == 20
    assert store.capacity("t") == Capacity()


def test_less_than_every_new_table_stands_is_not_asked_for(client: Recording, store: DynamoStore) -> None:
    store.create_table("t", Capacity(warm_write_units=9_000))
    assert client.given()[0]["WarmThroughput"] == {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 9_000}


def test_a_provisioned_table_may_be_warm_beyond_what_it_is_given(client: Recording, store: DynamoStore) -> None:
    store.create_table("t", Capacity(100, 200, 15_000, 20_000))
    assert client.given() == [{**provisioned(100, 200), **ASKED}]


@pytest.mark.parametrize("by", [BY_SWITCH, BY_PARAMETER])
@pytest.mark.parametrize(("given", "left"), [((None, None), ON_DEMAND), ((100, 200), provisioned(100, 200))])
def test_by_switching_or_where_the_parameter_is_refused_a_table_is_made_provisioned_and_then_switched(
    by: str, given: tuple[Any, Any], left: dict[str, Any]
) -> None:
    fake = StrictFake(create_polls=1, takes_warmth=False)
    client = Recording(fake)
    store = opened(fake, client, by)
    store.create_table("t", Capacity(*given, 15_000, 20_000))
    tried = [] if by == BY_SWITCH else [{**left, **ASKED}]
    assert client.given() == [*tried, provisioned(15_000, 20_000), left]
    assert fake.tables["amdw_t"].partitions == 20
    assert store.capacity("t") == Capacity(*given)
    store.close()


def test_a_switch_that_a_crash_cut_short_is_finished_by_whoever_makes_the_table_next() -> None:
    fake = StrictFake()
    first = opened(fake, fake.client())
    first.create_table("t", Capacity(15_000, 20_000))  # as it stands before the switch
    first.close()
    client = Recording(fake)
    second = opened(fake, client, BY_SWITCH)
    second.create_table("t", WARM)
    assert client.given() == [ON_DEMAND]
    second.create_table("t", WARM)
    assert len(client.calls) == 1
    second.close()


class NoProvisioned(FakeClient):
    """An account that may not provision that much."""

    def create_table(self, **arguments: Any) -> Any:
        if "ProvisionedThroughput" in arguments:
            arguments["ProvisionedThroughput"] = {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
        return super().create_table(**arguments)


def test_where_no_warm_table_is_to_be_had_a_cold_one_is_made() -> None:
    fake = StrictFake(takes_warmth=False)
    store = opened(fake, NoProvisioned(fake))
    store.create_table("t", WARM)
    assert fake.tables["amdw_t"].partitions == 4
    store.close()


def test_an_error_that_is_no_refusal_of_warmth_is_not_hidden() -> None:
    fake = StrictFake()
    store = DynamoStore(fake.client, "amdw", "one", Options(retry=RetryPolicy(0.001, 0.01, 0.05)))
    store.open()
    fake.create_polls = 10**9
    store._retrier.clock = iter(range(0, 10**6, 100)).__next__  # type: ignore[assignment]
    with pytest.raises(Unavailable, match="become active"):
        store.create_table("t", WARM)
    store.close()


def test_a_table_that_is_there_is_made_warm_once_and_is_not_made_colder(client: Recording, store: DynamoStore) -> None:
    store.create_table("t")
    store.set_capacity("t", WARM)
    store.set_capacity("t", WARM)
    store.set_capacity("t", Capacity(warm_write_units=5_000))
    assert client.given()[1:] == [ASKED]


@pytest.mark.parametrize("by", [BY_SWITCH, BY_PARAMETER])
def test_a_table_that_is_there_is_left_as_it_is_where_the_parameter_is_not_to_be_had(by: str) -> None:
    fake = StrictFake(takes_warmth=False)
    store = opened(fake, fake.client(), by)
    store.create_table("t")
    store.set_capacity("t", WARM)
    assert (fake.tables["amdw_t"].partitions, store.capacity("t")) == (4, Capacity())
    store.close()


# blocks ---------------------------------------------------------------------------------------------------------------


def warm_settings(**changes: int) -> Settings:
    options = {"tp_warm_write_datapoints": 20_000, "tp_warm_read_index_key": 30_000, **changes}
    return read_settings({"store": "dynamodb", **options}, {})


def test_the_settings_say_what_each_table_of_a_block_stands() -> None:
    assert Throughput.of_settings(warm_settings()) == Throughput(
        Capacity(warm_write_units=20_000), Capacity(warm_read_units=30_000)
    )
    provisioned = warm_settings(tp_write_datapoints=160, tp_read_datapoints=80)
    assert Throughput.of_settings(provisioned).datapoints == Capacity(80, 160, 0, 20_000)


def test_the_way_is_a_setting() -> None:
    assert DynamoStore.of_settings(warm_settings())._options.warm_by == BY_PARAMETER
    assert DynamoStore.of_settings(Settings(store="dynamodb", tp_warm_by="switch"))._options.warm_by == BY_SWITCH


def test_a_block_is_made_warm_ahead_of_its_time_and_is_not_changed_again(fake: StrictFake, store: DynamoStore) -> None:
    blocks = OpenBlocks(store, BlockPlan(DAY_S, 10 * DAY_S, 10), Throughput.of_settings(warm_settings()))
    blocks.load()
    maintainer = Maintainer(store, blocks, Rules(turndown_min_s=0, turndown_pct=0), "one", lambda _: None)
    start_s = 20_000 * DAY_S
    maintainer.run(start_s * 1_000)
    report = maintainer.run((start_s + DAY_S - 3_600) * 1_000)
    assert (len(report.created), report.retuned) == (1, [])
    assert [partitions_of(fake, block) for block in blocks.all()] == [(20, 10), (20, 10)]
    report = maintainer.run((start_s + DAY_S) * 1_000)
    assert (report.turned_down, report.failed) == ([blocks.all()[0].name], [])
    assert blocks.all()[0].capacity == Capacity()


def partitions_of(fake: StrictFake, block: Block) -> tuple[int, int]:
    """Return how many partitions the tables of a block have."""
    points, index = (fake.tables[f"amdw_{name}"].partitions for name in (block.datapoints_table, block.index_table))
    return points, index
