"""What AWS refuses and what it bills, for the strict fake: sizes, keys, batches, units."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

ITEM_LIMIT = 409_600
HASH_LIMIT = 2_048
RANGE_LIMIT = 1_024
REQUEST_LIMIT = 16 * 1024 * 1024
PAGE_LIMIT = 1_048_576
MOST_WRITES = 25
MOST_KEYS = 100
MOST_IN = 50
STATEMENT_LENGTH = 8_192

Attributes = dict[str, Any]
Key = tuple[bytes, bytes]

_CONDITION = re.compile(r"(\w+) = (\S+)(?: AND (\w+) (?:BETWEEN (\S+) AND (\S+)|(>=|<=|<|>|=) (\S+)))?")
_STATEMENT = re.compile(r'SELECT \* FROM "([^"]+)" WHERE (\w+) IN \[((?:\?, )*\?)\]')


def refusal(operation: str, code: str, message: str, status: int = 400, **more: Any) -> ClientError:
    """Return the error that botocore raises for an answer with this code."""
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(response, operation)  # type: ignore[arg-type]


def invalid(operation: str, message: str) -> ClientError:
    return refusal(operation, "ValidationException", message)


def attribute_bytes(value: Attributes) -> int:
    """Return what one attribute value counts."""
    ((kind, content),) = value.items()
    if kind == "B":
        return len(content)
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return (len(content.strip("-0.")) + 1) // 2 + 1
    raise AssertionError(f"the fake knows no attribute of type {kind}")


def item_bytes(item: Attributes) -> int:
    """Return an item's size: names and values."""
    return sum(len(name.encode()) + attribute_bytes(value) for name, value in item.items())


def write_units(*sizes: int) -> int:
    """Return the units of writing over an item: the larger of both sizes counts, 1 KB each."""
    return max(1, math.ceil(max(sizes, default=0) / 1024))


def read_units(size: int, consistent: bool) -> float:
    """Return the units of reading so many bytes at once, 4 KB each."""
    return max(1, math.ceil(size / 4096)) * (1.0 if consistent else 0.5)


def check_table_name(operation: str, name: object) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[a-zA-Z0-9_.-]{3,255}", name):
        raise invalid(operation, f"table name {name!r} must be 3 to 255 of a-z, A-Z, 0-9, '_', '-' and '.'")


def check_key_value(operation: str, value: object, limit: int) -> bytes:
    """Return a key attribute's bytes."""
    if not isinstance(value, dict) or set(value) != {"B"}:
        raise invalid(operation, "type mismatch for key: expected B")
    content = value["B"]
    assert isinstance(content, bytes)
    if not content:
        raise invalid(operation, "one or more parameter values are not valid: key value must not be empty")
    if len(content) > limit:
        raise invalid(operation, f"size of key exceeds the limit of {limit} bytes")
    return content


def check_key(operation: str, key: Attributes, names: tuple[str, str], *, whole: bool) -> Key:
    """Return the key of an item, or of a key (whole=False: it may have no other attribute)."""
    if not set(names) <= set(key) or (not whole and set(key) != set(names)):
        raise invalid(operation, "the provided key element does not match the schema")
    return (
        check_key_value(operation, key[names[0]], HASH_LIMIT),
        check_key_value(operation, key[names[1]], RANGE_LIMIT),
    )


def check_item(operation: str, item: Attributes, names: tuple[str, str]) -> Key:
    """Return an item's key."""
    key = check_key(operation, item, names, whole=True)
    if item_bytes(item) > ITEM_LIMIT:
        raise invalid(operation, "item size has exceeded the maximum allowed size")
    return key


def check_distinct(operation: str, keys: Iterable[tuple[str, Key]]) -> None:
    listed = list(keys)
    if len(set(listed)) != len(listed):
        raise invalid(operation, "provided list of item keys contains duplicates")


class Condition:
    """A parsed key condition: one or more hash keys, and bounds of the range key."""

    def __init__(self, operation: str, hashes: list[Attributes], how: str | None, bounds: list[Attributes]) -> None:
        self.hashes = [check_key_value(operation, one, HASH_LIMIT) for one in hashes]
        values = [check_key_value(operation, one, RANGE_LIMIT) for one in bounds]
        if how == "BETWEEN" and values[0] > values[1]:
            raise invalid(operation, "the BETWEEN operator requires upper bound to be at least the lower bound")
        self._how = how
        self._values = values

    def holds(self, range_key: bytes) -> bool:
        values = self._values
        match self._how:
            case None:
                return True
            case "BETWEEN":
                return values[0] <= range_key <= values[1]
            case ">=":
                return range_key >= values[0]
            case "<=":
                return range_key <= values[0]
            case ">":
                return range_key > values[0]
            case "<":
                return range_key < values[0]
        return range_key == values[0]


def parse_condition(text: str, values: dict[str, Attributes], names: tuple[str, str]) -> Condition:
    """Return a Query's key condition; every placeholder must be given and every given one be used."""
    found = _CONDITION.fullmatch(text)
    if found is None or found[1] != names[0] or found[3] not in (None, names[1]):
        raise invalid("Query", f"invalid KeyConditionExpression {text!r}")
    placeholders = [found[at] for at in (2, 4, 5, 7) if found[at]]
    if set(placeholders) != set(values):
        raise invalid("Query", "an expression attribute value is missing or unused")
    how = "BETWEEN" if found[4] else found[6]
    return Condition("Query", [values[placeholders[0]]], how, [values[one] for one in placeholders[1:]])


def parse_statement(text: str, parameters: list[Attributes], names: tuple[str, str]) -> tuple[str, Condition]:
    """Return the table and the key condition of a SELECT of many hash keys."""
    found = _STATEMENT.fullmatch(text)
    if found is None or len(text) > STATEMENT_LENGTH or found[2] != names[0]:
        raise invalid("ExecuteStatement", f"the fake does not take the statement {text!r}")
    count = found[3].count("?")
    if count > MOST_IN:
        raise invalid("ExecuteStatement", f"an IN list may have at most {MOST_IN} hash keys")
    if count != len(parameters):
        raise invalid("ExecuteStatement", "number of parameters in request and statement don't match")
    return found[1], Condition("ExecuteStatement", parameters, None, [])


def condition_holds(text: str, values: Attributes, stored: Attributes | None, names: tuple[str, str]) -> bool:
    """Return whether a put's condition holds of the stored item."""
    if not text:
        return True
    if text == f"attribute_not_exists({names[0]})":
        return stored is None
    name, _, placeholder = text.partition(" = ")
    if set(values) != {placeholder}:
        raise invalid("PutItem", f"the fake does not take the condition {text!r}")
    return stored is not None and stored.get(name) == values[placeholder]


def check_warmth(operation: str, wanted: dict[str, int]) -> dict[str, int]:
    """Return the units a second that a table is to stand."""
    if set(wanted) - {"ReadUnitsPerSecond", "WriteUnitsPerSecond"} or any(units < 1 for units in wanted.values()):
        raise invalid(operation, f"invalid WarmThroughput {wanted!r}")
    return wanted


def billing(operation: str, mode: str, throughput: dict[str, Any] | None) -> dict[str, Any]:
    """Return what DescribeTable shows of a table's throughput."""
    if mode == "PAY_PER_REQUEST" and throughput is None:
        zero = {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
        return {"BillingModeSummary": {"BillingMode": mode}, "ProvisionedThroughput": zero}
    if mode != "PROVISIONED" or throughput is None or min(throughput.values()) < 1:
        raise invalid(operation, "throughput must be given for PROVISIONED and only for it, each at least 1")
    return {"BillingModeSummary": {"BillingMode": mode}, "ProvisionedThroughput": throughput}
