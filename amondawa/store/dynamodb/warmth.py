"""Warm tables: made so that they stand a load from their first second on, and not only after DynamoDB has split them.

A new table on demand stands 4,000 write and 12,000 read units a second, later twice its former peak within half an hour.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import structlog

from amondawa.store.base import Capacity
from amondawa.store.dynamodb.capacity import capacity_of, throughput_arguments
from amondawa.store.dynamodb.retry import Refused

BY_PARAMETER = "parameter"
"""WarmThroughput of CreateTable and UpdateTable; where that is refused, a new table is made by switching"""
BY_SWITCH = "switch"
"""made provisioned for the load, which gives it the partitions for it, then switched to what it is to have; it keeps them"""
NEW_READ_UNITS = 12_000
NEW_WRITE_UNITS = 4_000
"""what every new table stands, units a second: less is not asked for"""
_UNKNOWN = frozenset({"ValidationException", "SerializationException", "UnknownParameter"})
"""how an endpoint that knows no WarmThroughput refuses it"""

log = structlog.get_logger()


class Warmth:
    """How warm tables are made; safe in any thread.

    Args:
        by: BY_PARAMETER or BY_SWITCH.
    """

    def __init__(self, by: str = BY_PARAMETER) -> None:
        self._by = by

    def create(self, make: Callable[[dict[str, Any]], None], name: str, capacity: Capacity) -> None:
        """Make a table, warm if possible: a cold one is better than none.

        Args:
            make: makes the table with these arguments of CreateTable.
            name: the table's full name, for the log.
            capacity: what it is to have, and to stand.

        Raises:
            Refused: also a plain table is refused.
        """
        for how, arguments in self._ways(capacity):
            try:
                make(arguments)
                return
            except Refused as error:
                if error.code not in _UNKNOWN:
                    raise
                log.warning("a warm table is refused, tried otherwise", table=name, way=how, error=str(error))
        make(throughput_arguments(capacity))

    def _ways(self, capacity: Capacity) -> Iterator[tuple[str, dict[str, Any]]]:
        if not capacity.is_warm:
            return
        if self._by == BY_PARAMETER:
            yield BY_PARAMETER, {**throughput_arguments(capacity), **warm_argument(capacity)}
        yield BY_SWITCH, throughput_arguments(peak_of(capacity))

    def needs_switch(self, description: dict[str, Any], capacity: Capacity) -> bool:
        """Say whether a table that must be warm, by its DescribeTable answer, still has what it was made with for that."""
        has = capacity_of(description)
        return has == peak_of(capacity) and has != capacity.unwarmed()

    def raise_to(
        self, change: Callable[[dict[str, Any]], None], description: dict[str, Any], capacity: Capacity
    ) -> None:
        """Make a table that exists as warm as it should be; one in use is not switched for it.

        Args:
            change: calls UpdateTable with these arguments.
            description: the table's DescribeTable answer.
            capacity: what it is to stand.
        """
        wanted = warm_argument(capacity)
        if self._by != BY_PARAMETER or _stands(description, wanted["WarmThroughput"]):
            return
        try:
            change(wanted)
        except Refused as error:
            if error.code not in _UNKNOWN:
                raise
            log.warning("a table cannot be made warm", table=description["TableName"], error=str(error))


def _stands(description: dict[str, Any], wanted: dict[str, int]) -> bool:
    has = description.get("WarmThroughput") or {}
    return all(has.get(name, 0) >= units for name, units in wanted.items())


def warm_argument(capacity: Capacity) -> dict[str, Any]:
    """Return the argument of CreateTable and UpdateTable that makes a table warm."""
    given = capacity.read_units or 0, capacity.write_units or 0
    return {
        "WarmThroughput": {
            "ReadUnitsPerSecond": max(capacity.warm_read_units, given[0], NEW_READ_UNITS),
            "WriteUnitsPerSecond": max(capacity.warm_write_units, given[1], NEW_WRITE_UNITS),
        }
    }


def peak_of(capacity: Capacity) -> Capacity:
    """Return the throughput, provisioned, that gives a table the partitions for what it must stand."""
    return Capacity(
        max(capacity.read_units or 1, capacity.warm_read_units),
        max(capacity.write_units or 1, capacity.warm_write_units),
    )
