"""Reads, strongly consistent unless told otherwise: by key, by hash key in pages, whole hash keys 50 a statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from amondawa.store.base import RANGE_BYTES, Item, Key
from amondawa.store.dynamodb.capacity import Meter
from amondawa.store.dynamodb.client import Client
from amondawa.store.dynamodb.items import HASH, RANGE, Attributes, item_of, key_attributes
from amondawa.store.dynamodb.parallel import in_parallel
from amondawa.store.dynamodb.retry import Refused, Retrier
from amondawa.store.limits import item_bytes, pages

BATCH_KEYS = 100
STATEMENT_KEYS = 50
"""Hash keys that one statement may list after IN."""
_FULL_ANSWER_BYTES = 12 * 1024 * 1024
"""A batch answer of this size left keys out because it was full (16 MB), not because of throttling."""
_NO_STATEMENTS = frozenset({"ValidationException", "AccessDeniedException", "UnknownOperationException"})
"""How a service without PartiQL, or a role without the right to it, refuses a statement."""

log = structlog.get_logger()


class Bounds:
    """start <= range key < end, as inclusive bounds that DynamoDB takes; what they let through too much is dropped.

    A key bound must be 1 to 1,024 bytes. No stored key is longer, so a longer bound can be cut without losing any.
    """

    def __init__(self, start: bytes | None, end: bytes | None) -> None:
        self.start = start or None
        self.end = end
        self.low = self.start[:RANGE_BYTES] if self.start else None
        self.high = end[:RANGE_BYTES] if end is not None else None

    @property
    def empty(self) -> bool:
        """Whether no key can be inside."""
        return self.end is not None and (self.end == b"" or (self.start is not None and self.start >= self.end))

    def holds(self, item: Item) -> bool:
        """Whether the item is inside."""
        return (self.start is None or item.range >= self.start) and (self.end is None or item.range < self.end)

    def values(self) -> list[bytes]:
        """Return the bounds there are, the low one first."""
        return [bound for bound in (self.low, self.high) if bound is not None]

    def condition(self, low: str, high: str) -> str:
        """Return the condition on the range key with these placeholders, beginning with AND; '' when unbounded."""
        if self.low is not None and self.high is not None:
            return f" AND {RANGE} BETWEEN {low} AND {high}"
        if self.low is not None:
            return f" AND {RANGE} >= {low}"
        return f" AND {RANGE} <= {high}" if self.high is not None else ""


class Reader:
    """Reads items; safe in any thread.

    Args:
        client, retrier, meter: see there.
        pool: where requests are made in parallel.
        statements: whether many hash keys may be read by PartiQL statements; else by a Query each.
    """

    def __init__(
        self, client: Client, retrier: Retrier, meter: Meter, pool: ThreadPoolExecutor, *, statements: bool
    ) -> None:
        self._client = client
        self._retrier = retrier
        self._meter = meter
        self._pool = pool
        self._statements = statements

    # by key -----------------------------------------------------------------------------------------------------------

    def get(self, name: str, keys: Sequence[Key]) -> list[Item | None]:
        """Return the items of the keys of a table (its full name), in the keys' order; None for absent ones."""
        distinct = list(dict.fromkeys(keys))
        batches = [distinct[at : at + BATCH_KEYS] for at in range(0, len(distinct), BATCH_KEYS)]
        found: dict[Key, Item] = {}
        for part in in_parallel(self._pool, lambda batch: self._get_batch(name, batch), batches):
            found.update(part)
        return [found.get(key) for key in keys]

    def _get_batch(self, name: str, keys: Sequence[Key]) -> dict[Key, Item]:
        """Read one batch; keys that DynamoDB leaves out are asked for again."""
        found: dict[Key, Item] = {}
        tries = self._retrier.tries()
        asked = [key_attributes(key) for key in keys]
        while asked:
            response = tries.send(
                self._client.batch_get_item,
                RequestItems={name: {"Keys": asked, "ConsistentRead": True}},
                ReturnConsumedCapacity="TOTAL",
            )
            self._meter.read(name, response)
            items = [item_of(one) for one in response.get("Responses", {}).get(name, ())]
            found.update({(item.hash, item.range): item for item in items})
            left = (response.get("UnprocessedKeys") or {}).get(name, {}).get("Keys", [])
            if left and sum(map(item_bytes, items)) < _FULL_ANSWER_BYTES:
                tries.throttled(progressed=len(left) < len(asked))
            asked = left
        tries.succeeded()
        return found

    # by hash key ------------------------------------------------------------------------------------------------------

    def query(
        self, name: str, hash_key: bytes, bounds: Bounds, descending: bool, *, consistent: bool = True
    ) -> Iterator[list[Item]]:
        """Yield the items of one hash key of a table (its full name) in pages of at most 1 MB.

        Without `consistent` a read costs half and may miss what was written in the last moment.
        """
        if bounds.empty:
            return
        values = [{"B": bound} for bound in bounds.values()]
        low, high = (":a", ":b") if len(values) == 2 else (":a", ":a")
        arguments: dict[str, Any] = {
            "TableName": name,
            "KeyConditionExpression": f"{HASH} = :h" + bounds.condition(low, high),
            "ExpressionAttributeValues": {":h": {"B": hash_key}, **dict(zip((low, high), values, strict=False))},
            "ScanIndexForward": not descending,
            "ConsistentRead": consistent,
            "ReturnConsumedCapacity": "TOTAL",
        }
        while True:
            response = self._retrier.call(self._client.query, **arguments)
            self._meter.read(name, response)
            yield from pages(filter(bounds.holds, map(item_of, response["Items"])))
            if not response.get("LastEvaluatedKey"):
                return
            arguments["ExclusiveStartKey"] = response["LastEvaluatedKey"]

    def query_many(self, name: str, hash_keys: Sequence[bytes], bounds: Bounds) -> dict[bytes, list[Item]]:
        """Return the items of many hash keys of a table (its full name); those without items are left out.

        With bounds each hash key is a Query, for those are sure to read only what is inside; AWS does not say whether a
        statement with IN does.
        """
        distinct = list(dict.fromkeys(hash_keys))
        if bounds.empty:
            return {}
        if self._statements and len(distinct) > 1 and not bounds.values():
            try:
                return self._by_statements(name, distinct)
            except Refused as error:
                if error.code not in _NO_STATEMENTS:
                    raise
                log.warning("statements are refused, each hash key is queried instead", error=str(error))
                self._statements = False
        found = in_parallel(self._pool, lambda key: self._query_all(name, key, bounds), distinct)
        return {key: items for key, items in zip(distinct, found, strict=True) if items}

    def _query_all(self, name: str, hash_key: bytes, bounds: Bounds) -> list[Item]:
        return [item for page in self.query(name, hash_key, bounds, False) for item in page]

    # by statement -----------------------------------------------------------------------------------------------------

    def _by_statements(self, name: str, hash_keys: list[bytes]) -> dict[bytes, list[Item]]:
        groups = [hash_keys[at : at + STATEMENT_KEYS] for at in range(0, len(hash_keys), STATEMENT_KEYS)]
        gathered: dict[bytes, list[Item]] = {}
        for items in in_parallel(self._pool, lambda group: self._by_statement(name, group), groups):
            for item in items:
                gathered.setdefault(item.hash, []).append(item)
        for items in gathered.values():
            items.sort(key=_range)
        return gathered

    def _by_statement(self, name: str, hash_keys: list[bytes]) -> list[Item]:
        """Return the items of up to 50 hash keys, in no order."""
        listed = ", ".join("?" * len(hash_keys))
        arguments: dict[str, Any] = {
            "Statement": f'SELECT * FROM "{name}" WHERE {HASH} IN [{listed}]',
            "Parameters": [{"B": hash_key} for hash_key in hash_keys],
            "ConsistentRead": True,
            "ReturnConsumedCapacity": "TOTAL",
        }
        found: list[Attributes] = []
        while True:
            response = self._retrier.call(self._client.execute_statement, **arguments)
            self._meter.read(name, response)
            found += response["Items"]
            if not response.get("NextToken"):
                return list(map(item_of, found))
            arguments["NextToken"] = response["NextToken"]


def _range(item: Item) -> bytes:
    return item.range
