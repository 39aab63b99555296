"""Units: what was used of each table, and what a table is given."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from amondawa.store.base import Capacity, Consumed
from amondawa.store.payer import GATEWAY, payers


@dataclass(slots=True)
class TableUse:
    """What was used of one table since the store was opened."""

    read_units: float = 0.0
    write_units: float = 0.0
    reads: int = 0
    """requests"""
    writes: int = 0
    """requests"""


MOST_PAYERS = 10_000
"""domains with units of their own; those of further ones count as the gateway's"""


class Meter:
    """Adds up ReturnConsumedCapacity, a table and a payer at a time; safe in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: dict[str, TableUse] = {}
        self._domains: dict[str, TableUse] = {}

    def read(self, table: str, response: dict[str, Any]) -> None:
        """Note the answer to a read of a table (its full name)."""
        units = _units(response)
        with self._lock:
            use = self._tables.setdefault(table, TableUse())
            use.read_units += units
            use.reads += 1
            for domain, share in payers().items():
                self._domain(domain).read_units += share * units

    def wrote(self, table: str, response: dict[str, Any]) -> None:
        """Note the answer to a write to a table (its full name)."""
        units = _units(response)
        with self._lock:
            use = self._tables.setdefault(table, TableUse())
            use.write_units += units
            use.writes += 1
            for domain, share in payers().items():
                self._domain(domain).write_units += share * units

    def _domain(self, domain: str) -> TableUse:
        known = domain in self._domains or len(self._domains) < MOST_PAYERS
        return self._domains.setdefault(domain if known else GATEWAY, TableUse())

    def by_table(self) -> dict[str, TableUse]:
        """Return what was used, by full table name."""
        with self._lock:
            return {
                name: TableUse(use.read_units, use.write_units, use.reads, use.writes)
                for name, use in self._tables.items()
            }

    def by_domain(self) -> dict[str, Consumed]:
        """Return what was used for each domain; GATEWAY for none."""
        with self._lock:
            return {name: Consumed(use.read_units, use.write_units) for name, use in self._domains.items()}

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
