"""Writes: batches of 25 in parallel, each sent until nothing of it is left; conditional puts."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from amondawa.store.base import BATCH_ITEMS, Item, Key
from amondawa.store.dynamodb.capacity import Meter
from amondawa.store.dynamodb.client import Client
from amondawa.store.dynamodb.items import HASH, VALUE, WRITE, Attributes, attributes_of, key_attributes
from amondawa.store.dynamodb.parallel import in_parallel
from amondawa.store.dynamodb.retry import ConditionFailed, Retrier
from amondawa.store.limits import item_bytes

BATCH_BYTES = 4 * 1024 * 1024
"""A batch is cut here, well below DynamoDB's 16 MB, so that one request never takes long."""
_TOKEN_BYTES = 4
_Request = dict[str, Any]


class Writer:
    """Writes items; safe in any thread.

    Args:
        client, retrier, meter: see there.
        pool: where batches are written in parallel.
    """

    def __init__(self, client: Client, retrier: Retrier, meter: Meter, pool: ThreadPoolExecutor) -> None:
        self._client = client
        self._retrier = retrier
        self._meter = meter
        self._pool = pool

    def put(self, name: str, items: Sequence[Item]) -> None:
        """Write items to a table (its full name); of one key twice the last wins."""
        distinct = {(item.hash, item.range): item for item in items}
        self._write(name, _put_batches(distinct.values()))

    def delete(self, name: str, keys: Iterable[Key]) -> None:
        """Delete items of a table (its full name)."""
        requests = [{"DeleteRequest": {"Key": key_attributes(key)}} for key in dict.fromkeys(keys)]
        self._write(name, (requests[at : at + BATCH_ITEMS] for at in range(0, len(requests), BATCH_ITEMS)))

    def _write(self, name: str, batches: Iterable[list[_Request]]) -> None:
        in_parallel(self._pool, lambda batch: self._write_batch(name, batch), list(batches))

    def _write_batch(self, name: str, requests: list[_Request]) -> None:
        """Write one batch; what DynamoDB leaves unprocessed is sent again."""
        tries = self._retrier.tries()
        while requests:
            response = tries.send(
                self._client.batch_write_item, RequestItems={name: requests}, ReturnConsumedCapacity="TOTAL"
            )
            self._meter.wrote(name, response)
            left = (response.get("UnprocessedItems") or {}).get(name, [])
            if left:
                tries.throttled(progressed=len(left) < len(requests))
            requests = left
        tries.succeeded()

    def put_one(self, name: str, item: Item) -> None:
        """Write one item to a table (its full name)."""
        self._meter.wrote(
            name,
            self._retrier.call(
                self._client.put_item, TableName=name, Item=attributes_of(item), ReturnConsumedCapacity="TOTAL"
            ),
        )

    def put_if(self, name: str, item: Item, expected: bytes | None) -> bool:
        """Write the item only when the stored value is `expected` (None: when absent); say whether it was.

        A try without an answer may have written; the next one then fails its condition. The item carries a random token
        to tell that from another writer's item of the same value.
        """
        token = secrets.token_bytes(_TOKEN_BYTES)
        tries = self._retrier.tries()
        try:
            response = tries.send(
                self._client.put_item,
                TableName=name,
                Item={**attributes_of(item), WRITE: {"B": token}},
                ReturnConsumedCapacity="TOTAL",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **_condition(expected),
            )
        except ConditionFailed as failed:
            tries.succeeded()
            stored = failed.item.get(WRITE, {}).get("B")
            return tries.unknown and stored is not None and bytes(stored) == token
        tries.succeeded()
        self._meter.wrote(name, response)
        return True


def _condition(expected: bytes | None) -> Attributes:
    if expected is None:
        return {"ConditionExpression": f"attribute_not_exists({HASH})"}
    return {"ConditionExpression": f"{VALUE} = :x", "ExpressionAttributeValues": {":x": {"B": expected}}}


def _put_batches(items: Iterable[Item]) -> Iterator[list[_Request]]:
    batch: list[_Request] = []
    size = 0
    for item in items:
        if batch and (len(batch) == BATCH_ITEMS or size + item_bytes(item) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append({"PutRequest": {"Item": attributes_of(item)}})
        size += item_bytes(item)
    if batch:
        yield batch
