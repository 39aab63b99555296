"""Items as DynamoDB writes them: one letter an attribute, for names are paid for in every item."""

from __future__ import annotations

from typing import Any

from amondawa.store.base import Item, Key

HASH, RANGE, VALUE, EXPIRES, WRITE = "h", "r", "v", "e", "w"
"""hash key B, range key B, value B, expiry time in seconds N (the tables' TTL attribute), token of a conditional put B"""

Attributes = dict[str, Any]


def attributes_of(item: Item) -> Attributes:
    """Return an item's attributes."""
    attributes: Attributes = {HASH: {"B": item.hash}, RANGE: {"B": item.range}, VALUE: {"B": item.value}}
    if item.expires_s:
        attributes[EXPIRES] = {"N": str(item.expires_s)}
    return attributes


def item_of(attributes: Attributes) -> Item:
    """Return the item of attributes that a read returned."""
    expires = attributes.get(EXPIRES)
    return Item(
        bytes(attributes[HASH]["B"]),
        bytes(attributes[RANGE]["B"]),
        bytes(attributes[VALUE]["B"]),
        int(expires["N"]) if expires else 0,
    )


def key_attributes(key: Key) -> Attributes:
    """Return a key's attributes."""
    return {HASH: {"B": key[0]}, RANGE: {"B": key[1]}}
