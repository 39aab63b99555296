"""The fake refuses what AWS refuses."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.store.strict_fake import FakeClient, StrictFake

KEY_SCHEMA = [{"AttributeName": "h", "KeyType": "HASH"}, {"AttributeName": "r", "KeyType": "RANGE"}]
DEFINITIONS = [{"AttributeName": name, "AttributeType": "B"} for name in "hr"]
TOTAL = {"ReturnConsumedCapacity": "TOTAL"}


@pytest.fixture
def client() -> FakeClient:
    client = StrictFake().client()
    make_table(client)
    return client


def make_table(client: FakeClient, name: str = "amdw_t") -> None:
    client.create_table(
        TableName=name, KeySchema=KEY_SCHEMA, AttributeDefinitions=DEFINITIONS, BillingMode="PAY_PER_REQUEST"
    )


def item(hash_key: bytes, range_key: bytes, value: bytes = b"v") -> dict[str, Any]:
    return {"h": {"B": hash_key}, "r": {"B": range_key}, "v": {"B": value}}


def put(hash_key: bytes, range_key: bytes, value: bytes = b"v") -> dict[str, Any]:
    return {"PutRequest": {"Item": item(hash_key, range_key, value)}}


def delete(hash_key: bytes, range_key: bytes) -> dict[str, Any]:
    return {"DeleteRequest": {"Key": {"h": {"B": hash_key}, "r": {"B": range_key}}}}


@pytest.mark.parametrize(
    "batch",
    [
        [],
        [put(b"h", b"%d" % n) for n in range(26)],
        [put(b"h", b"r", b"1"), put(b"h", b"r", b"2")],
        [put(b"h", b"r"), delete(b"h", b"r")],
        [put(b"", b"r")],
        [put(b"h", b"")],
        [put(b"h" * 2_049, b"r")],
        [put(b"h", b"r" * 1_025)],
        [put(b"h", b"r", b"v" * 409_596)],
    ],
    ids=["none", "26", "two puts", "put and delete", "no hash", "no range", "long hash", "long range", "large"],
)
def test_a_batch_that_aws_refuses_is_refused_whole(client: FakeClient, batch: list[dict[str, Any]]) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        client.batch_write_item(RequestItems={"amdw_t": [*batch[:0], *batch]}, **TOTAL)
    assert query(client)["Items"] == []


def query(client: FakeClient, condition: str = "h = :h", **values: bytes) -> dict[str, Any]:
    given = {":h": b"h", **{f":{name}": value for name, value in values.items()}}
    return client.query(
        TableName="amdw_t",
        KeyConditionExpression=condition,
        ExpressionAttributeValues={name: {"B": value} for name, value in given.items()},
        ScanIndexForward=True,
        ConsistentRead=True,
        **TOTAL,
    )


def test_an_item_of_the_largest_size_is_taken(client: FakeClient) -> None:
    client.batch_write_item(RequestItems={"amdw_t": [put(b"h", b"r", b"v" * 409_595)]}, **TOTAL)


def test_a_page_ends_at_a_megabyte(client: FakeClient) -> None:
    client.batch_write_item(RequestItems={"amdw_t": [put(b"h", b"%d" % n, b"v" * 300_000) for n in range(5)]}, **TOTAL)
    page = query(client)
    assert len(page["Items"]) == 3
    assert page["LastEvaluatedKey"] == {"h": {"B": b"h"}, "r": {"B": b"2"}}


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("h = :h AND r BETWEEN :a AND :b", {"a": b"2", "b": b"1"}),
        ("h = :h AND r >= :a", {"a": b""}),
        ("h = :h AND r >= :a", {"a": b"x" * 1_025}),
        ("h = :h AND r >= :a", {}),
        ("h = :h", {"a": b"unused"}),
        ("h > :h", {}),
    ],
)
def test_a_condition_that_aws_refuses_is_refused(client: FakeClient, condition: str, values: dict[str, bytes]) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        query(client, condition, **values)


def test_a_batch_get_takes_100_distinct_keys(client: FakeClient) -> None:
    keys = [{"h": {"B": b"h"}, "r": {"B": b"%d" % n}} for n in range(101)]
    for wrong in (keys, keys[:2] + keys[:1], []):
        with pytest.raises(ClientError, match="ValidationException"):
            client.batch_get_item(RequestItems={"amdw_t": {"Keys": wrong, "ConsistentRead": True}}, **TOTAL)
    client.batch_get_item(RequestItems={"amdw_t": {"Keys": keys[:100], "ConsistentRead": True}}, **TOTAL)


def test_a_batch_get_answers_16_megabytes_and_leaves_the_rest(client: FakeClient) -> None:
    for n in range(50):
        client.batch_write_item(RequestItems={"amdw_t": [put(b"h", b"%d" % n, b"v" * 400_000)]}, **TOTAL)
    keys = [{"h": {"B": b"h"}, "r": {"B": b"%d" % n}} for n in range(50)]
    answer = client.batch_get_item(RequestItems={"amdw_t": {"Keys": keys, "ConsistentRead": True}}, **TOTAL)
    assert len(answer["Responses"]["amdw_t"]) == 41
    assert len(answer["UnprocessedKeys"]["amdw_t"]["Keys"]) == 9


def test_a_statement_takes_50_hash_keys(client: FakeClient) -> None:
    for number in (51, 50):
        arguments = {
            "Statement": f'SELECT * FROM "amdw_t" WHERE h IN [{", ".join("?" * number)}]',
            "Parameters": [{"B": b"%d" % n} for n in range(number)],
        }
        if number > 50:
            with pytest.raises(ClientError, match="at most 50"):
                client.execute_statement(**arguments, ConsistentRead=True, **TOTAL)
        else:
            assert client.execute_statement(**arguments, ConsistentRead=True, **TOTAL)["Items"] == []


def test_units_are_billed_by_the_kilobyte_written_and_four_read(client: FakeClient) -> None:
    def written(*batch: dict[str, Any]) -> float:
        answer = client.batch_write_item(RequestItems={"amdw_t": list(batch)}, **TOTAL)
        return float(answer["ConsumedCapacity"][0]["CapacityUnits"])

    assert written(put(b"h", b"r", b"v" * 1_019)) == 1
    assert written(put(b"h", b"r", b"v" * 1_020)) == 2
    assert written(put(b"h", b"r", b"v")) == 2  # what is written over counts when it is larger
    assert written(delete(b"h", b"none"), put(b"i", b"r", b"v" * 5_000)) == 6
    assert written(delete(b"i", b"r")) == 5
    assert query(client)["ConsumedCapacity"]["CapacityUnits"] == 1


def test_a_table_that_is_being_created_or_deleted_takes_no_data() -> None:
    service = StrictFake(create_polls=1)
    client = service.client()
    make_table(client)
    for _ in range(2):
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            query(client)
        with pytest.raises(ClientError, match="ResourceInUseException"):
            make_table(client)
        status = client.describe_table(TableName="amdw_t")["Table"]["TableStatus"]
    assert status == "ACTIVE"
    assert query(client)["Items"] == []
    client.delete_table(TableName="amdw_t")
    assert client.describe_table(TableName="amdw_t")["Table"]["TableStatus"] == "DELETING"
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.describe_table(TableName="amdw_t")
