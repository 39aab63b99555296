"""The fake is late, forgetful and limited where AWS is: stale reads, expiry, throughput of tables and partitions."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.store.strict_fake import FakeClient, StrictFake
from tests.store.strict_fake_faults import Faults
from tests.store.strict_fake_table import partition_of
from tests.store.test_strict_fake_rules import DEFINITIONS, KEY_SCHEMA, TOTAL, item, put

TABLE = "amdw_t"


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self, now_s: float = 2_000_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client_of(fake: StrictFake, write: int = 0, read: int = 0, **more: Any) -> FakeClient:
    client = fake.client()
    given: dict[str, Any] = {"BillingMode": "PAY_PER_REQUEST"}
    if write:
        units = {"ReadCapacityUnits": read or write, "WriteCapacityUnits": write}
        given = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units}
    client.create_table(TableName=TABLE, KeySchema=KEY_SCHEMA, AttributeDefinitions=DEFINITIONS, **given, **more)
    return client


def put_one(client: FakeClient, hash_key: bytes = b"h", size: int = 1) -> None:
    client.put_item(TableName=TABLE, Item=item(hash_key, b"r", b"v" * size), **TOTAL)


def values(client: FakeClient, *, consistent: bool) -> list[bytes]:
    answer = client.query(
        TableName=TABLE,
        KeyConditionExpression="h = :h",
        ExpressionAttributeValues={":h": {"B": b"h"}},
        ScanIndexForward=True,
        ConsistentRead=consistent,
        **TOTAL,
    )
    return [one["v"]["B"] for one in answer["Items"]]


def get(client: FakeClient, *, consistent: bool) -> bytes | None:
    keys = [{"h": {"B": b"h"}, "r": {"B": b"r"}}]
    answer = client.batch_get_item(RequestItems={TABLE: {"Keys": keys, "ConsistentRead": consistent}}, **TOTAL)
    found = answer["Responses"][TABLE]
    return found[0]["v"]["B"] if found else None


# stale reads ----------------------------------------------------------------------------------------------------------


def test_an_eventually_consistent_read_may_be_some_writes_old_and_a_consistent_one_never() -> None:
    client = client_of(StrictFake(faults=Faults(stale=1.0)))
    seen = set()
    for number in range(50):
        value = b"%d" % number
        client.put_item(TableName=TABLE, Item=item(b"h", b"r", value), **TOTAL)
        assert (values(client, consistent=True), get(client, consistent=True)) == ([value], value)
        for old in [*values(client, consistent=False), get(client, consistent=False) or b"0"]:
            seen.add(number - int(old))
            assert int(old) <= number
    assert max(seen) > 1
    assert min(seen) >= 0


def test_a_stale_read_misses_what_is_new_and_still_sees_what_was_deleted() -> None:
    client = client_of(StrictFake(faults=Faults(stale=1.0)))
    client.put_item(TableName=TABLE, Item=item(b"h", b"r", b"first"), **TOTAL)
    assert get(client, consistent=False) is None
    delete = {"DeleteRequest": {"Key": {"h": {"B": b"h"}, "r": {"B": b"r"}}}}
    client.batch_write_item(RequestItems={TABLE: [delete]}, **TOTAL)
    assert get(client, consistent=True) is None
    assert b"first" in {get(client, consistent=False) for _ in range(40)}


def test_reads_are_not_stale_unless_asked_for() -> None:
    client = client_of(StrictFake())
    put_one(client)
    assert get(client, consistent=False) == b"v"


# expiry ---------------------------------------------------------------------------------------------------------------


def expiring(clock: Clock, lag_s: float) -> tuple[StrictFake, FakeClient]:
    fake = StrictFake(clock_s=clock, expiry_lag_s=lag_s)
    client = client_of(fake)
    client.update_time_to_live(TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "e"})
    return fake, client


def put_until(client: FakeClient, expires_s: float) -> None:
    client.put_item(TableName=TABLE, Item={**item(b"h", b"r"), "e": {"N": str(int(expires_s))}}, **TOTAL)


def test_an_item_goes_some_time_after_it_expired_and_nothing_is_billed_for_that(clock: Clock) -> None:
    fake, client = expiring(clock, 3_600.0)
    put_until(client, clock.now_s + 10)
    written = fake.units()[1]
    clock.now_s += 10
    assert values(client, consistent=True) == [b"v"], "still there the moment it expires"
    clock.now_s += 3_600
    assert values(client, consistent=True) == []
    assert fake.units()[1] == written


def test_an_item_that_was_written_anew_without_expiry_stays(clock: Clock) -> None:
    _, client = expiring(clock, 0.0)
    put_until(client, clock.now_s + 10)
    put_one(client)
    clock.now_s += 1_000
    assert values(client, consistent=True) == [b"v"]


@pytest.mark.parametrize(("years", "left"), [(4, []), (6, [b"v"])])
def test_what_expired_more_than_five_years_ago_stays(clock: Clock, years: int, left: list[bytes]) -> None:
    _, client = expiring(clock, 0.0)
    put_until(client, clock.now_s - years * 365 * 86_400)
    assert values(client, consistent=True) == left


def test_items_from_before_expiry_was_turned_on_expire_too(clock: Clock) -> None:
    client = client_of(StrictFake(clock_s=clock))
    put_until(client, clock.now_s + 1)
    client.update_time_to_live(TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "e"})
    clock.now_s += 2
    assert values(client, consistent=True) == []


# throughput -----------------------------------------------------------------------------------------------------------


def taken(client: FakeClient, code: str, hash_key: bytes = b"h", size: int = 1_000, most: int = 20_000) -> int:
    """Return how many writes of one unit are taken before one is throttled."""
    for number in range(most):
        try:
            put_one(client, hash_key, size)
        except ClientError as error:
            assert error.response["Error"]["Code"] == code
            return number
    return most


def test_a_provisioned_table_takes_five_minutes_of_unused_units_at_once_and_then_its_rate(clock: Clock) -> None:
    client = client_of(StrictFake(clock_s=clock, limited=True), write=3)
    code = "ProvisionedThroughputExceededException"
    assert taken(client, code) == 900
    clock.now_s += 10
    assert taken(client, code) == 30
    clock.now_s += 10_000
    assert taken(client, code) == 900


def test_one_hash_key_takes_no_more_than_a_partition_whatever_the_table_has(clock: Clock) -> None:
    client = client_of(StrictFake(clock_s=clock, limited=True), write=10_000)
    code = "ProvisionedThroughputExceededException"
    assert taken(client, code) == 1_000
    assert taken(client, code) == 0
    clock.now_s += 1
    assert taken(client, code) == 1_000


def test_a_new_table_on_demand_stands_four_thousand_writes_a_second(clock: Clock) -> None:
    fake = StrictFake(clock_s=clock, limited=True)
    client = client_of(fake)
    table = fake.tables[TABLE]
    assert table.partitions == 4
    one_of_each = {partition_of(b"%d" % n, 4): b"%d" % n for n in range(100)}
    assert [taken(client, "ThrottlingException", one_of_each[n]) for n in range(4)] == [1_000] * 4


def test_reads_are_limited_at_three_thousand_units_a_partition_and_eventual_ones_count_half(clock: Clock) -> None:
    client = client_of(StrictFake(clock_s=clock, limited=True))
    put_one(client)
    for consistent, most in ((True, 3_000), (False, 6_000)):
        clock.now_s += 1
        for _ in range(most):
            values(client, consistent=consistent)
        with pytest.raises(ClientError, match="ThrottlingException"):
            values(client, consistent=consistent)


def test_of_a_batch_what_is_too_much_is_left_and_a_batch_of_nothing_but_that_is_refused(clock: Clock) -> None:
    client = client_of(StrictFake(clock_s=clock, limited=True), write=1)
    batch = [put(b"h", b"%d" % n, b"v" * 19_000) for n in range(25)]
    left = client.batch_write_item(RequestItems={TABLE: batch}, **TOTAL)["UnprocessedItems"][TABLE]
    assert len(left) == 25 - 16  # 300 units at 19 each, the last one overdraws
    with pytest.raises(ClientError, match="ProvisionedThroughputExceeded"):
        client.batch_write_item(RequestItems={TABLE: left}, **TOTAL)


def test_a_warm_table_has_its_partitions_from_the_beginning(clock: Clock) -> None:
    fake = StrictFake(clock_s=clock, limited=True)
    client_of(fake, WarmThroughput={"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 20_000})
    assert fake.tables[TABLE].partitions == 20


def test_a_table_keeps_the_partitions_of_its_peak_when_it_is_switched(clock: Clock) -> None:
    fake = StrictFake(clock_s=clock, limited=True)
    client = client_of(fake, write=9_000, read=1)
    assert fake.tables[TABLE].partitions == 9
    client.update_table(TableName=TABLE, BillingMode="PAY_PER_REQUEST")
    assert fake.tables[TABLE].partitions == 9


def test_warmth_is_never_taken_back() -> None:
    client = client_of(StrictFake())
    with pytest.raises(ClientError, match="decreasing"):
        client.update_table(TableName=TABLE, WarmThroughput={"WriteUnitsPerSecond": 3_999})
    client.update_table(TableName=TABLE, WarmThroughput={"WriteUnitsPerSecond": 8_000})
    assert client.describe_table(TableName=TABLE)["Table"]["WarmThroughput"]["WriteUnitsPerSecond"] == 8_000


def test_a_fake_without_warmth_refuses_it_as_an_older_endpoint_does() -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        client_of(StrictFake(takes_warmth=False), WarmThroughput={"WriteUnitsPerSecond": 8_000})


def test_write_units_are_known_by_partition_and_second(clock: Clock) -> None:
    fake = StrictFake(clock_s=clock)
    client = client_of(fake)
    for size in (500, 1_500):
        put_one(client, b"h", size)
    clock.now_s += 1
    put_one(client, b"h", 100)
    own = partition_of(b"h", 4)
    assert fake.written_at == {
        (TABLE, own, int(clock.now_s) - 1): 3.0,
        (TABLE, own, int(clock.now_s)): 2.0,  # an item is billed by the larger of what was and what is
    }
