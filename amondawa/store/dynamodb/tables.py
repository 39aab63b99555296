"""Tables of one space: names, creation, throughput, expiry, deletion."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from amondawa.errors import NotFound, StoreError, Unavailable
from amondawa.store.base import Capacity
from amondawa.store.dynamodb.capacity import capacity_of, throughput_arguments
from amondawa.store.dynamodb.client import Client
from amondawa.store.dynamodb.items import EXPIRES, HASH, RANGE
from amondawa.store.dynamodb.retry import Refused, Retrier
from amondawa.store.dynamodb.warmth import Warmth
from amondawa.store.limits import check_table

NAME_LENGTH = 255
READY_TIMEOUT_S = 600.0
"""How long a table may take to become active or to go away."""
_POLL_S = 0.05
_LONGEST_POLL_S = 5.0


class Tables:
    """The tables `{space}_{name}`; safe in any thread.

    Args:
        client: the low-level client.
        retrier: makes the requests.
        space: what the names begin with.
        warmth: makes tables warm that must be.
    """

    def __init__(self, client: Client, retrier: Retrier, space: str, warmth: Warmth | None = None) -> None:
        self._client = client
        self._warmth = warmth or Warmth()
        self._retrier = retrier
        self._prefix = space + "_"
        self._lock = threading.Lock()
        self._known: set[str] = set()

    def full(self, table: str) -> str:
        """Return a table's name in DynamoDB. Raises ValueError when the name cannot be a table's."""
        name = self._prefix + check_table(table)
        if len(name) > NAME_LENGTH:
            raise ValueError(f"table name {name!r} is longer than {NAME_LENGTH} characters")
        return name

    def require(self, tables: Iterable[str]) -> None:
        """Raise NotFound unless all the tables exist; those seen before are not asked for again."""
        for name in map(self.full, tables):
            if name not in self._known:
                self._describe(name)
                self._remember(name)

    def create(self, table: str, capacity: Capacity) -> None:
        """Create a table unless it exists; return when it is active and its items expire.

        Raises:
            Unavailable: it did not become active in time.
        """
        name = self.full(table)
        if name in self._known:
            return
        throughput_arguments(capacity)
        try:
            self._describe(name)
        except NotFound:
            self._warmth.create(lambda arguments: self._create(name, arguments), name, capacity)
        self._wait(name, "become active", self._is_active)
        self._let_expire(name)
        if capacity.is_warm and self._warmth.needs_switch(self._describe(name), capacity):  # or one left half done
            self._give(name, throughput_arguments(capacity))
        self._remember(name)

    def _create(self, name: str, throughput: dict[str, Any]) -> None:
        try:
            self._retrier.call(
                self._client.create_table,
                TableName=name,
                KeySchema=[{"AttributeName": HASH, "KeyType": "HASH"}, {"AttributeName": RANGE, "KeyType": "RANGE"}],
                AttributeDefinitions=[
                    {"AttributeName": HASH, "AttributeType": "B"},
                    {"AttributeName": RANGE, "AttributeType": "B"},
                ],
                **throughput,
            )
        except Refused as error:
            if error.code != "ResourceInUseException":  # another gateway was first, or this is a second try
                raise

    def _let_expire(self, name: str) -> None:
        """Have the table drop items past their expiry time."""
        state = self._retrier.call(self._client.describe_time_to_live, TableName=name)
        if state.get("TimeToLiveDescription", {}).get("TimeToLiveStatus") in ("ENABLED", "ENABLING"):
            return
        try:
            self._retrier.call(
                self._client.update_time_to_live,
                TableName=name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRES},
            )
        except Refused as error:
            if error.code != "ValidationException":  # another gateway was first
                raise

    def delete(self, table: str) -> None:
        """Delete a table unless it is gone; return when it is."""
        name = self.full(table)
        with self._lock:
            self._known.discard(name)
        self._wait(name, "go away", self._is_gone)

    def _is_gone(self, name: str) -> bool:
        """Ask for the deletion while the table is not being deleted; say whether it is gone."""
        try:
            if self._describe(name)["TableStatus"] != "DELETING":
                self._retrier.call(self._client.delete_table, TableName=name)
        except NotFound:
            return True
        except Refused as error:
            if error.code != "ResourceInUseException":  # still being created or changed
                raise
        return False

    def names(self) -> list[str]:
        """Return the names of the space's tables, without the space, sorted."""
        found: list[str] = []
        arguments: dict[str, str] = {}
        while True:
            response = self._retrier.call(self._client.list_tables, **arguments)
            found += [name for name in response["TableNames"] if name.startswith(self._prefix)]
            if "LastEvaluatedTableName" not in response:
                return sorted(name.removeprefix(self._prefix) for name in found)
            arguments = {"ExclusiveStartTableName": response["LastEvaluatedTableName"]}

    def set_capacity(self, table: str, capacity: Capacity) -> None:
        """Change a table's throughput; return when it is in force."""
        name = self.full(table)
        arguments = throughput_arguments(capacity)
        if capacity_of(self._describe(name)) != capacity.unwarmed():
            self._give(name, arguments)
        if capacity.is_warm:
            self._warmth.raise_to(lambda warmer: self._give(name, warmer), self._describe(name), capacity)

    def _give(self, name: str, arguments: dict[str, Any]) -> None:
        self._retrier.call(self._client.update_table, TableName=name, **arguments)
        self._wait(name, "change its throughput", self._is_active)

    def capacity(self, table: str) -> Capacity:
        """Return a table's throughput."""
        return capacity_of(self._describe(self.full(table)))

    # states -----------------------------------------------------------------------------------------------------------

    def _describe(self, name: str) -> dict[str, Any]:
        description: dict[str, Any] = self._retrier.call(self._client.describe_table, TableName=name)["Table"]
        return description

    def _is_active(self, name: str) -> bool:
        try:
            status = self._describe(name)["TableStatus"]
        except NotFound:  # DescribeTable is eventually consistent: a new table may not be seen yet
            return False
        if status not in ("ACTIVE", "CREATING", "UPDATING"):
            raise StoreError(f"table {name} is {status}")
        return bool(status == "ACTIVE")

    def _wait(self, name: str, what: str, done: Callable[[str], bool]) -> None:
        end = self._retrier.clock() + READY_TIMEOUT_S
        pause = _POLL_S
        while not done(name):
            if self._retrier.clock() > end:
                raise Unavailable(f"table {name} did not {what} within {READY_TIMEOUT_S:g} s")
            self._retrier.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_S)

    def _remember(self, name: str) -> None:
        with self._lock:
            self._known.add(name)

    def forget_all(self) -> None:
        """Ask DynamoDB again for every table when it is named next."""
        with self._lock:
            self._known.clear()

    def forget(self, table: str) -> None:
        """Ask DynamoDB again when the table is named next."""
        with self._lock:
            self._known.discard(self.full(table))
