"""A strict DynamoDB in this process: refuses what AWS refuses, bills as AWS bills, and has faults when told to.

`StrictFake` is the service; `client()` returns what answers like botocore's low-level client. It knows the calls that the
store makes and no others: an argument that it does not know is an error.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sortedcontainers import SortedDict

from tests.store import strict_fake_rules as rules
from tests.store.strict_fake_faults import Faults
from tests.store.strict_fake_rules import Attributes, Condition, Key, invalid, refusal

Answer = dict[str, Any]


@dataclass(slots=True)
class FakeTable:
    """One table: items by hash key, ordered by range key."""

    names: tuple[str, str]
    billing: Answer
    status: str = "ACTIVE"
    polls_left: int = 0
    expiry: str | None = None
    rows: dict[bytes, SortedDict] = field(default_factory=dict)

    def get(self, key: Key) -> Attributes | None:
        found: Attributes | None = self.rows.get(key[0], {}).get(key[1])
        return found

    def put(self, key: Key, item: Attributes) -> None:
        self.rows.setdefault(key[0], SortedDict())[key[1]] = item

    def delete(self, key: Key) -> None:
        row = self.rows.get(key[0])
        if row is not None:
            row.pop(key[1], None)
            if not row:
                del self.rows[key[0]]


class StrictFake:
    """The service.

    Args:
        create_polls: DescribeTable calls until a new table is active, and until a deleted one is gone.
        faults: of data requests; none unless given.
    """

    def __init__(self, create_polls: int = 0, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
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

    def bill_write(self, name: str, key: Key, *items: Attributes | None) -> float:
        """Meter one write of an item over another."""
        units = float(rules.write_units(*(rules.item_bytes(item) for item in items if item is not None)))
        self.write_units[name, key[0]] += units
        return units

    def bill_read(self, name: str, hash_key: bytes, size: int, consistent: bool) -> float:
        """Meter one read."""
        units = rules.read_units(size, consistent)
        self.read_units[name, hash_key] += units
        return units

    def data_request(self, operation: str, effect: Callable[[], Answer]) -> Answer:
        """Carry out a data request under the lock, with faults."""
        with self.lock:
            self.requests[operation] += 1
            self.before_request(operation)
            return self.faults.around(operation, effect)


class FakeClient:
    """Answers like botocore's DynamoDB client; safe in any thread."""

    def __init__(self, service: StrictFake) -> None:
        self._service = service

    def close(self) -> None:
        """As botocore's."""

    # tables -----------------------------------------------------------------------------------------------------------

    def create_table(
        self,
        *,
        TableName: str,
        KeySchema: list[Answer],
        AttributeDefinitions: list[Answer],
        BillingMode: str,
        ProvisionedThroughput: Answer | None = None,
    ) -> Answer:
        rules.check_table_name("CreateTable", TableName)
        names = {one["KeyType"]: one["AttributeName"] for one in KeySchema}
        if {one["AttributeName"]: one["AttributeType"] for one in AttributeDefinitions} != dict.fromkeys(
            names.values(), "B"
        ):
            raise invalid("CreateTable", "attribute definitions must be those of the keys")
        billing = rules.billing("CreateTable", BillingMode, ProvisionedThroughput)
        with self._service.lock:
            if TableName in self._service.tables:
                raise refusal("CreateTable", "ResourceInUseException", f"Table already exists: {TableName}")
            polls = self._service.create_polls
            status = "CREATING" if polls else "ACTIVE"
            self._service.tables[TableName] = FakeTable((names["HASH"], names["RANGE"]), billing, status, polls)
        return {}

    def describe_table(self, *, TableName: str) -> Answer:
        with self._service.lock:
            table = self._table("DescribeTable", TableName)
            if table.polls_left:
                table.polls_left -= 1
            elif table.status == "DELETING":
                del self._service.tables[TableName]
                raise refusal("DescribeTable", "ResourceNotFoundException", f"Table: {TableName} not found")
            else:
                table.status = "ACTIVE"
            return {"Table": {"TableName": TableName, "TableStatus": table.status, **table.billing}}

    def delete_table(self, *, TableName: str) -> Answer:
        with self._service.lock:
            table = self._table("DeleteTable", TableName)
            if table.status != "ACTIVE":
                raise refusal("DeleteTable", "ResourceInUseException", f"Table is being changed: {TableName}")
            table.status, table.polls_left = "DELETING", self._service.create_polls
        return {}

    def update_table(self, *, TableName: str, BillingMode: str, ProvisionedThroughput: Answer | None = None) -> Answer:
        billing = rules.billing("UpdateTable", BillingMode, ProvisionedThroughput)
        with self._service.lock:
            table = self._table("UpdateTable", TableName)
            if table.status != "ACTIVE":
                raise refusal("UpdateTable", "ResourceInUseException", f"Table is being changed: {TableName}")
            if billing == table.billing:
                raise invalid("UpdateTable", "the table already has this throughput")
            table.billing, table.status, table.polls_left = billing, "UPDATING", self._service.create_polls
        return {}

    def list_tables(self, *, ExclusiveStartTableName: str = "") -> Answer:
        with self._service.lock:
            names = sorted(name for name in self._service.tables if name > ExclusiveStartTableName)
        page = names[:100]
        return {"TableNames": page, **({"LastEvaluatedTableName": page[-1]} if len(names) > 100 else {})}

    def describe_time_to_live(self, *, TableName: str) -> Answer:
        with self._service.lock:
            expiry = self._table("DescribeTimeToLive", TableName).expiry
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED" if expiry else "DISABLED"}}

    def update_time_to_live(self, *, TableName: str, TimeToLiveSpecification: Answer) -> Answer:
        with self._service.lock:
            table = self._table("UpdateTimeToLive", TableName)
            if table.status != "ACTIVE":
                raise refusal("UpdateTimeToLive", "ResourceInUseException", f"Table is being changed: {TableName}")
            if table.expiry:
                raise invalid("UpdateTimeToLive", "TimeToLive is already enabled")
            table.expiry = TimeToLiveSpecification["AttributeName"]
        return {}

    def _table(self, operation: str, name: str) -> FakeTable:
        table = self._service.tables.get(name)
        if table is None:
            raise refusal(operation, "ResourceNotFoundException", f"Requested resource not found: Table: {name}")
        return table

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
            stored = table.get(key)
            units = service.bill_write(TableName, key, stored, Item)
            if not rules.condition_holds(ConditionExpression, ExpressionAttributeValues or {}, stored, table.names):
                more = {"Item": stored} if stored and ReturnValuesOnConditionCheckFailure == "ALL_OLD" else {}
                raise refusal("PutItem", "ConditionalCheckFailedException", "The conditional request failed", **more)
            table.put(key, Item)
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
            if self._service.faults.met("leftover", self._service.faults.leftover):
                left[name].append(original)
                continue
            units[name] += self._write_one(name, key, item)
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
            table.put(key, item)
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
            item = table.get(key)
            length = rules.item_bytes(item) if item else 0
            faults = self._service.faults
            if size + length > rules.REQUEST_LIMIT or faults.met("leftover", faults.leftover):
                left.append(asked)
                continue
            size += length
            units += self._service.bill_read(name, key[0], length, request["ConsistentRead"])
            found += [item] if item else []
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
        items: list[Attributes] = []
        size, units = 0, 0.0
        for hash_key in hashes:
            if start and hash_key < start[0]:
                continue
            own = 0
            for range_key in _range_keys(table, hash_key, forward):
                if not condition.holds(range_key) or (start and _passed(hash_key, range_key, start, forward)):
                    continue
                item: Attributes = table.rows[hash_key][range_key]
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


def _range_keys(table: FakeTable, hash_key: bytes, forward: bool) -> list[bytes]:
    keys = list(table.rows.get(hash_key, ()))
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
