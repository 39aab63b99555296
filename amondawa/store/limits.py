"""The limits of the store contract, checked alike by every engine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from amondawa.store.base import HASH_BYTES, ITEM_BYTES, PAGE_BYTES, RANGE_BYTES, Item, Key

_ATTRIBUTE_BYTES = 16
_TABLE = re.compile(r"[A-Za-z0-9_.-]{1,200}")


def check_table(table: str) -> str:
    """Return the name of a table. Raises ValueError unless it is 1 to 200 letters, digits, `_`, `.` and `-`."""
    if not _TABLE.fullmatch(table) or table in (".", ".."):
        raise ValueError(f"table name {table!r} is not 1 to 200 letters, digits, underscores, dots and dashes")
    return table


def check_items(items: Sequence[Item]) -> None:
    """Raise ValueError for an item or a key past its limit, or an empty key."""
    for item in items:
        check_key(item.hash, item.range)
        if item_bytes(item) > ITEM_BYTES:
            raise ValueError(f"item of {len(item.value)} bytes is past the limit of {ITEM_BYTES} bytes with its keys")
        if item.expires_s < 0:
            raise ValueError(f"expiry time {item.expires_s} is before 1970")


def item_bytes(item: Item) -> int:
    """Return what an item counts towards the limits."""
    return len(item.hash) + len(item.range) + len(item.value) + _ATTRIBUTE_BYTES


def check_keys(keys: Iterable[Key]) -> None:
    """Raise ValueError for a key that is empty or past its limit."""
    for hash_key, range_key in keys:
        check_key(hash_key, range_key)


def check_key(hash_key: bytes, range_key: bytes) -> None:
    """Raise ValueError when either key is empty or past its limit."""
    if not 0 < len(hash_key) <= HASH_BYTES:
        raise ValueError(f"hash key of {len(hash_key)} bytes is not 1 to {HASH_BYTES} bytes long")
    if not 0 < len(range_key) <= RANGE_BYTES:
        raise ValueError(f"range key of {len(range_key)} bytes is not 1 to {RANGE_BYTES} bytes long")


def pages(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Cut items into lists of at most 1 MB each; none is empty."""
    page: list[Item] = []
    size = 0
    for item in items:
        length = item_bytes(item)
        if page and size + length > PAGE_BYTES:
            yield page
            page, size = [], 0
        page.append(item)
        size += length
    if page:
        yield page
