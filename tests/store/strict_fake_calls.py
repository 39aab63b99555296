"""The calls of the strict fake that make, show, change and delete tables."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from tests.store import strict_fake_rules as rules
from tests.store.strict_fake_rules import invalid, refusal
from tests.store.strict_fake_table import FakeTable

Answer = dict[str, Any]


class Service(Protocol):
    """What these calls need of the service."""

    create_polls: int
    takes_warmth: bool
    tables: dict[str, FakeTable]
    lock: threading.RLock

    def now_s(self) -> float: ...


class FakeTableCalls:
    """Answers like botocore's DynamoDB client; safe in any thread."""

    def __init__(self, service: Service) -> None:
        self._tables_of = service

    def create_table(
        self,
        *,
        TableName: str,
        KeySchema: list[Answer],
        AttributeDefinitions: list[Answer],
        BillingMode: str,
        ProvisionedThroughput: Answer | None = None,
        WarmThroughput: dict[str, int] | None = None,
    ) -> Answer:
        rules.check_table_name("CreateTable", TableName)
        warm = self._warmth("CreateTable", WarmThroughput)
        names = {one["KeyType"]: one["AttributeName"] for one in KeySchema}
        if {one["AttributeName"]: one["AttributeType"] for one in AttributeDefinitions} != dict.fromkeys(
            names.values(), "B"
        ):
            raise invalid("CreateTable", "attribute definitions must be those of the keys")
        billing = rules.billing("CreateTable", BillingMode, ProvisionedThroughput)
        with self._tables_of.lock:
            if TableName in self._tables_of.tables:
                raise refusal("CreateTable", "ResourceInUseException", f"Table already exists: {TableName}")
            polls = self._tables_of.create_polls
            status = "CREATING" if polls else "ACTIVE"
            table = FakeTable((names["HASH"], names["RANGE"]), billing, status, polls, warm=warm)
            table.settle(self._tables_of.now_s())
            self._tables_of.tables[TableName] = table
        return {}

    def _warmth(self, operation: str, wanted: dict[str, int] | None) -> dict[str, int]:
        if wanted is not None and not self._tables_of.takes_warmth:
            raise invalid(operation, "WarmThroughput is unknown here")
        return rules.check_warmth(operation, wanted or {})

    def describe_table(self, *, TableName: str) -> Answer:
        with self._tables_of.lock:
            table = self._table("DescribeTable", TableName)
            if table.polls_left:
                table.polls_left -= 1
            elif table.status == "DELETING":
                del self._tables_of.tables[TableName]
                raise refusal("DescribeTable", "ResourceNotFoundException", f"Table: {TableName} not found")
            else:
                table.status = "ACTIVE"
            shown = {**table.billing, **({"WarmThroughput": table.warm} if self._tables_of.takes_warmth else {})}
            return {"Table": {"TableName": TableName, "TableStatus": table.status, **shown}}

    def delete_table(self, *, TableName: str) -> Answer:
        with self._tables_of.lock:
            table = self._table("DeleteTable", TableName)
            if table.status != "ACTIVE":
                raise refusal("DeleteTable", "ResourceInUseException", f"Table is being changed: {TableName}")
            table.status, table.polls_left = "DELETING", self._tables_of.create_polls
        return {}

    def update_table(
        self,
        *,
        TableName: str,
        BillingMode: str | None = None,
        ProvisionedThroughput: Answer | None = None,
        WarmThroughput: dict[str, int] | None = None,
    ) -> Answer:
        warm = self._warmth("UpdateTable", WarmThroughput)
        with self._tables_of.lock:
            table = self._table("UpdateTable", TableName)
            billing = rules.billing("UpdateTable", BillingMode, ProvisionedThroughput) if BillingMode else table.billing
            if table.status != "ACTIVE":
                raise refusal("UpdateTable", "ResourceInUseException", f"Table is being changed: {TableName}")
            if billing == table.billing and not warm:
                raise invalid("UpdateTable", "the table already has this throughput")
            if any(units < table.warm[name] for name, units in warm.items()):
                raise invalid("UpdateTable", "decreasing WarmThroughput is not supported")
            table.billing, table.status, table.polls_left = billing, "UPDATING", self._tables_of.create_polls
            table.warm = {**table.warm, **warm}
            table.settle(self._tables_of.now_s())
        return {}

    def list_tables(self, *, ExclusiveStartTableName: str = "") -> Answer:
        with self._tables_of.lock:
            names = sorted(name for name in self._tables_of.tables if name > ExclusiveStartTableName)
        page = names[:100]
        return {"TableNames": page, **({"LastEvaluatedTableName": page[-1]} if len(names) > 100 else {})}

    def describe_time_to_live(self, *, TableName: str) -> Answer:
        with self._tables_of.lock:
            expiry = self._table("DescribeTimeToLive", TableName).expiry
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED" if expiry else "DISABLED"}}

    def update_time_to_live(self, *, TableName: str, TimeToLiveSpecification: Answer) -> Answer:
        with self._tables_of.lock:
            table = self._table("UpdateTimeToLive", TableName)
            if table.status != "ACTIVE":
                raise refusal("UpdateTimeToLive", "ResourceInUseException", f"Table is being changed: {TableName}")
            if table.expiry:
                raise invalid("UpdateTimeToLive", "TimeToLive is already enabled")
            table.let_expire(TimeToLiveSpecification["AttributeName"])
        return {}

    def _table(self, operation: str, name: str) -> FakeTable:
        table = self._tables_of.tables.get(name)
        if table is None:
            raise refusal(operation, "ResourceNotFoundException", f"Requested resource not found: Table: {name}")
        return table
