"""A strict DynamoDB in this process: refuses what AWS refuses, bills as AWS bills, and has faults when told to.

`StrictFake` is the service; `client()` returns what answers like botocore's low-level client. It knows the calls that the
store makes and no others: an argument that it does not know is an error.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.store import strict_fake_rules as rules
from tests.store.strict_fake_calls import FakeTableCalls
from tests.store.strict_fake_faults import Faults
from tests.store.strict_fake_rules import Attributes, Condition, Key, invalid, refusal
from tests.store.strict_fake_table import REMEMBERED_WRITES, FakeTable, partition_of

Answer = dict[str, Any]


class StrictFake:
    """The service.

    Args:
        create_polls: DescribeTable calls until a new table is active, and until a deleted one is gone.
        faults: of data requests; none unless given.
        clock_s: seconds since 1970, or since anything where nothing expires; without one nothing ever expires.
        expiry_lag_s: how long after their time items may stay.
        limited: whether more than a table or a partition stands is throttled; needs a clock.
        takes_warmth: whether WarmThroughput is known.
    """

    def __init__(
        self,
        create_polls: int = 0,
        faults: Faults | None = None,
        *,
        clock_s: Callable[[], float] | None = None,
        expiry_lag_s: float = 0.0,
        limited: bool = False,
        takes_warmth: bool = True,
    ) -> None:
        self.faults = faults or Faults()
        self.clock_s = clock_s
        self.expiry_lag_s = expiry_lag_s
        self.limited = limited
        self.takes_warmth = takes_warmth
        self._random = random.Random(self.faults.seed)
        self.written_at: dict[tuple[str, int, int], float] = defaultdict(float)
        """write units by table, partition and second, where there is a clock"""
        self.create_polls = create_polls
        self.tables: dict[str, FakeTable] = {}
        self.lock = threading.RLock()
        self.requests: dict[str, int] = defaultdict(int)
        self.write_units: dict[tuple[str, bytes], float] = defaultdict(float)
        """by table and hash key"""
        self.read_units: dict[tuple[str, bytes], float] = defaultdict(float)
        self.before_request: Callable[[str], None] = lambda operation: None

    def client(self) -> FakeClient:
        """Return a client of this service."""
        return FakeClient(self)

    def units(self, table: str = "") -> tuple[float, float]:
        """Return the read and write units of a table, or of all."""
        with self.lock:
            read = sum(units for (name, _), units in self.read_units.items() if table in ("", name))
            written = sum(units for (name, _), units in self.write_units.items() if table in ("", name))
        return read, written

    def active(self, operation: str, name: str) -> FakeTable:
        """Return a table that takes data requests."""
        table = self.tables.get(name)
        if table is None or table.status in ("CREATING", "DELETING"):
            raise refusal(operation, "ResourceNotFoundException", "Requested resource not found")
        return table

    def now_s(self) -> float:
        return self.clock_s() if self.clock_s is not None else 0.0

    def lag(self, consistent: bool) -> int:
        """Return how many writes ago a read sees a hash key."""
        if consistent or not self.faults.met("stale", self.faults.stale):
            return 0
        return self._random.randint(1, REMEMBERED_WRITES)

    def expiry_lag(self) -> float:
        return self._random.uniform(0.0, self.expiry_lag_s)

    def is_open(self, name: str, hash_key: bytes, *, write: bool) -> bool:
        """Say whether a table and the partition of a hash key stand one more request."""
        if not self.limited:
            return True
        table = self.tables[name]
        opened = (table.writes if write else table.reads).are_open(hash_key, self.now_s())
        if not opened:
            self.faults.counts["limit"] = self.faults.counts.get("limit", 0) + 1
        return opened

    def require_open(self, operation: str, name: str, hash_keys: Iterable[bytes], *, write: bool) -> None:
        """Refuse a request for more than a table stands."""
        if all(self.is_open(name, hash_key, write=write) for hash_key in hash_keys):
            return
        given = self.tables[name].billing["ProvisionedThroughput"]["WriteCapacityUnits"]
        code = "ProvisionedThroughputExceededException" if given else "ThrottlingException"
        raise refusal(operation, code, "the level of throughput is exceeded")

    def bill_write(self, name: str, key: Key, *items: Attributes | None) -> float:
        """Meter one write of an item over another."""
        units = float(rules.write_units(*(rules.item_bytes(item) for item in items if item is not None)))
        self.write_units[name, key[0]] += units
        table = self.tables[name]
        if self.limited:
            table.writes.take(key[0], units)
        if self.clock_s is not None:
            self.written_at[name, partition_of(key[0], table.partitions), int(self.clock_s())] += units
        return units

    def bill_read(self, name: str, hash_key: bytes, size: int, consistent: bool) -> float:
        """Meter one read."""
        units = rules.read_units(size, consistent)
        self.read_units[name, hash_key] += units
        if self.limited:
            self.tables[name].reads.take(hash_key, units)
        return units

    def data_request(self, operation: str, effect: Callable[[], Answer]) -> Answer:
        """Carry out a data request under the lock, with faults."""
        with self.lock:
            self.requests[operation] += 1
            self.before_request(operation)
            if self.clock_s is not None:
                for table in self.tables.values():
                    table.drop_expired(self.clock_s())
            return self.faults.around(operation, effect)


class FakeClient(FakeTableCalls):
    """Answers like botocore's DynamoDB client; safe in any thread."""

    def __init__(self, service: StrictFake) -> None:
        super().__init__(service)
        self._service = service

    def close(self) -> None:
        """As botocore's."""

    # writes -----------------------------------------------------------------------------------------------------------

    def put_item(
        self,
        *,
        TableName: str,
        Item: Attributes,
        ReturnConsumedCapacity: str,
        ConditionExpression: str = "",
        ExpressionAttributeValues: Attributes | None = None,
        ReturnValuesOnConditionCheckFailure: str = "NONE",
    ) -> Answer:
        service = self._service

        def effect() -> Answer:
            table = service.active("PutItem", TableName)
            key = rules.check_item("PutItem", Item, table.names)
            service.require_open("PutItem", TableName, [key[0]], write=True)
            stored = table.get(key)
            units = service.bill_write(TableName, key, stored, Item)
            if not rules.condition_holds(ConditionExpression, ExpressionAttributeValues or {}, stored, table.names):
                more = {"Item": stored} if stored and ReturnValuesOnConditionCheckFailure == "ALL_OLD" else {}
                raise refusal("PutItem", "ConditionalCheckFailedException", "The conditional request failed", **more)
            table.put(key, Item, service.expiry_lag())
            return {"ConsumedCapacity": {"TableName": TableName, "CapacityUnits": units}}

        return service.data_request("PutItem", effect)

    def batch_write_item(self, *, RequestItems: dict[str, list[Answer]], ReturnConsumedCapacity: str) -> Answer:
        return self._service.data_request("BatchWriteItem", lambda: self._batch_write(RequestItems))

    def _batch_write(self, requests: dict[str, list[Answer]]) -> Answer:
        writes = [(name, *self._write_of(name, one)) for name, listed in requests.items() for one in listed]
        if not 1 <= len(writes) <= rules.MOST_WRITES:
            raise invalid("BatchWriteItem", f"a batch has 1 to {rules.MOST_WRITES} requests, not {len(writes)}")
        rules.check_distinct("BatchWriteItem", ((name, key) for name, key, _ in writes))
        if sum(rules.item_bytes(item) for _, _, item in writes if item) > rules.REQUEST_LIMIT:
            raise invalid("BatchWriteItem", "request is larger than 16 MB")
        left: dict[str, list[Answer]] = defaultdict(list)
        units: dict[str, float] = defaultdict(float)
        originals = [one for listed in requests.values() for one in listed]
        for (name, key, item), original in zip(writes, originals, strict=True):
            is_open = self._service.is_open(name, key[0], write=True)
            if not is_open or self._service.faults.met("leftover", self._service.faults.leftover):
                left[name].append(original)
                continue
            units[name] += self._write_one(name, key, item)
        for name in left if not units else ():  # a batch of which nothing can be written is refused as one request is
            self._service.require_open("BatchWriteItem", name, [key[0] for _, key, _ in writes], write=True)
        consumed = [{"TableName": name, "CapacityUnits": used} for name, used in units.items()]
        return {"UnprocessedItems": dict(left), "ConsumedCapacity": consumed}

    def _write_of(self, name: str, request: Answer) -> tuple[Key, Attributes | None]:
        """Return the key and the item (None: a delete) of one entry of a batch."""
        table = self._service.active("BatchWriteItem", name)
        ((kind, content),) = request.items()
        if kind == "PutRequest":
            item: Attributes = content["Item"]
            return rules.check_item("BatchWriteItem", item, table.names), item
        return rules.check_key("BatchWriteItem", content["Key"], table.names, whole=False), None

    def _write_one(self, name: str, key: Key, item: Attributes | None) -> float:
        table = self._service.tables[name]
        units = self._service.bill_write(name, key, table.get(key), item)
        if item is None:
            table.delete(key)
        else:
            table.put(key, item, self._service.expiry_lag())
        return units

    # reads ------------------------------------------------------------------------------------------------------------

    def batch_get_item(self, *, RequestItems: dict[str, Answer], ReturnConsumedCapacity: str) -> Answer:
        return self._service.data_request("BatchGetItem", lambda: self._batch_get(RequestItems))

    def _batch_get(self, requests: dict[str, Answer]) -> Answer:
        ((name, request),) = requests.items()
        table = self._service.active("BatchGetItem", name)
        keys = [rules.check_key("BatchGetItem", key, table.names, whole=False) for key in request["Keys"]]
        if not 1 <= len(keys) <= rules.MOST_KEYS:
            raise invalid("BatchGetItem", f"a batch has 1 to {rules.MOST_KEYS} keys, not {len(keys)}")
        rules.check_distinct("BatchGetItem", ((name, key) for key in keys))
        found: list[Attributes] = []
        left: list[Answer] = []
        size, units = 0, 0.0
        for key, asked in zip(keys, request["Keys"], strict=True):
            item = table.get(key, self._service.lag(request["ConsistentRead"]))
            length = rules.item_bytes(item) if item else 0
            faults = self._service.faults
            full = size + length > rules.REQUEST_LIMIT or not self._service.is_open(name, key[0], write=False)
            if full or faults.met("leftover", faults.leftover):
                left.append(asked)
                continue
            size += length
            units += self._service.bill_read(name, key[0], length, request["ConsistentRead"])
            found += [item] if item else []
        if not units:
            self._service.require_open("BatchGetItem", name, [key[0] for key in keys], write=False)
        return {
            "Responses": {name: found},
            "UnprocessedKeys": {name: {**request, "Keys": left}} if left else {},
            "ConsumedCapacity": [{"TableName": name, "CapacityUnits": units}],
        }

    def query(
        self,
        *,
        TableName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Attributes,
        ScanIndexForward: bool,
        ConsistentRead: bool,
        ReturnConsumedCapacity: str,
        ExclusiveStartKey: Attributes | None = None,
    ) -> Answer:
        def effect() -> Answer:
            table = self._service.active("Query", TableName)
            condition = parse(table)
            return self._page(TableName, table, condition, ScanIndexForward, ConsistentRead, ExclusiveStartKey)

        def parse(table: FakeTable) -> Condition:
            return rules.parse_condition(KeyConditionExpression, ExpressionAttributeValues, table.names)

        return self._service.data_request("Query", effect)

    def execute_statement(
        self,
        *,
        Statement: str,
        Parameters: list[Attributes],
        ConsistentRead: bool,
        ReturnConsumedCapacity: str,
        NextToken: str | None = None,
    ) -> Answer:
        def effect() -> Answer:
            name, condition = rules.parse_statement(Statement, Parameters, ("h", "r"))
            table = self._service.active("ExecuteStatement", name)
            after = _parse_token(NextToken, table.names) if NextToken else None
            answer = self._page(name, table, condition, True, ConsistentRead, after)
            last = answer.pop("LastEvaluatedKey", None)
            return {**answer, **({"NextToken": _token(last, table.names)} if last else {})}

        return self._service.data_request("ExecuteStatement", effect)

    def _page(
        self,
        name: str,
        table: FakeTable,
        condition: Condition,
        forward: bool,
        consistent: bool,
        after: Attributes | None,
    ) -> Answer:
        """Return items until a megabyte is full, partition by partition; each partition touched is billed by itself."""
        start = rules.check_key("Query", after, table.names, whole=False) if after else None
        hashes = sorted(set(condition.hashes)) if len(condition.hashes) > 1 else condition.hashes
        self._service.require_open("Query", name, hashes, write=False)
        items: list[Attributes] = []
        size, units = 0, 0.0
        for hash_key in hashes:
            if start and hash_key < start[0]:
                continue
            own = 0
            row = table.row(hash_key, self._service.lag(consistent))
            for range_key in _range_keys(row, forward):
                if not condition.holds(range_key) or (start and _passed(hash_key, range_key, start, forward)):
                    continue
                item = row[range_key]
                if items and size + rules.item_bytes(item) > rules.PAGE_LIMIT:
                    units += self._service.bill_read(name, hash_key, own, consistent) if own else 0.0
                    last = {one: items[-1][one] for one in table.names}
                    return self._page_answer(name, items, units) | {"LastEvaluatedKey": last}
                items.append(item)
                size += rules.item_bytes(item)
                own += rules.item_bytes(item)
            units += self._service.bill_read(name, hash_key, own, consistent)
        return self._page_answer(name, items, units)

    @staticmethod
    def _page_answer(name: str, items: list[Attributes], units: float) -> Answer:
        return {"Items": items, "ConsumedCapacity": {"TableName": name, "CapacityUnits": units}}


def _range_keys(row: Mapping[bytes, Attributes], forward: bool) -> list[bytes]:
    keys = list(row)
    return keys if forward else keys[::-1]


def _passed(hash_key: bytes, range_key: bytes, start: Key, forward: bool) -> bool:
    """Whether an item comes at or before the last one of the page before."""
    if hash_key != start[0]:
        return False
    return range_key <= start[1] if forward else range_key >= start[1]


def _token(last: Attributes, names: tuple[str, str]) -> str:
    return "/".join(last[name]["B"].hex() for name in names)


def _parse_token(token: str, names: tuple[str, str]) -> Attributes:
    return {name: {"B": bytes.fromhex(part)} for name, part in zip(names, token.split("/"), strict=True)}
