"""Units: what was used of each table, and what a table is given."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from amondawa.store.base import Capacity, Consumed


@dataclass(slots=True)
class TableUse:
    """What was used of one table since the store was opened."""

    read_units: float = 0.0
    write_units: float = 0.0
    reads: int = 0
    """requests"""
    writes: int = 0
    """requests"""


class Meter:
    """Adds up ReturnConsumedCapacity, a table at a time; safe in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: dict[str, TableUse] = {}

    def read(self, table: str, response: dict[str, Any]) -> None:
        """Note the answer to a read of a table (its full name)."""
        units = _units(response)
        with self._lock:
            use = self._tables.setdefault(table, TableUse())
            use.read_units += units
            use.reads += 1

    def wrote(self, table: str, response: dict[str, Any]) -> None:
        """Note the answer to a write to a table (its full name)."""
        units = _units(response)
        with self._lock:
            use = self._tables.setdefault(table, TableUse())
            use.write_units += units
            use.writes += 1

    def by_table(self) -> dict[str, TableUse]:
        """Return what was used, by full table name."""
        with self._lock:
            return {
                name: TableUse(use.read_units, use.write_units, use.reads, use.writes)
                for name, use in self._tables.items()
            }

    def total(self) -> Consumed:
        """Return the units used of all tables."""
        uses = self.by_table().values()
        return Consumed(sum(use.read_units for use in uses), sum(use.write_units for use in uses))


def _units(response: dict[str, Any]) -> float:
    """Return the units that an answer states; batch operations state a list, one entry a table."""
    consumed = response.get("ConsumedCapacity") or ()
    entries = [consumed] if isinstance(consumed, dict) else consumed
    return float(sum(entry.get("CapacityUnits", 0.0) for entry in entries))


def throughput_arguments(capacity: Capacity) -> dict[str, Any]:
    """Return the arguments of CreateTable and UpdateTable that give a table its throughput.

    Raises:
        ValueError: only one of the two numbers is given; DynamoDB takes both or none.
    """
    if capacity.read_units is None and capacity.write_units is None:
        return {"BillingMode": "PAY_PER_REQUEST"}
    if capacity.read_units is None or capacity.write_units is None:
        raise ValueError("a table is given read and write units or neither")
    units = {"ReadCapacityUnits": capacity.read_units, "WriteCapacityUnits": capacity.write_units}
    return {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units}


def capacity_of(description: dict[str, Any]) -> Capacity:
    """Return the throughput of a table from its DescribeTable answer."""
    given = description.get("ProvisionedThroughput") or {}
    units = int(given.get("ReadCapacityUnits", 0)), int(given.get("WriteCapacityUnits", 0))
    mode = (description.get("BillingModeSummary") or {}).get("BillingMode")
    if mode == "PAY_PER_REQUEST" or not all(units):
        return Capacity()
    return Capacity(*units)
