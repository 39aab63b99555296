"""The order in which a Java hash map hands out its entries: the real server prints tags in it.

Source: suites put_http (nine_tags), endpoints (q_ascii): an entry's place is its key's hash, folded, modulo the size of
the table, which starts at 16 and doubles when it is more than three quarters full; entries of one place keep their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")
K = TypeVar("K", str, str | None)

USUAL_MAP = 16
SMALLEST_MAP = 1
"""of a map that was made for just the entries it gets"""


@lru_cache(maxsize=4_096)
def java_hash(text: str | None) -> int:
    """Return Java's hash of a string or of null, its upper half folded in, as 32 unsigned bits."""
    if text is None:
        return 0
    units = text.encode("utf-16-le", "surrogatepass")
    value = 0
    for at in range(0, len(units), 2):
        value = (value * 31 + units[at] + (units[at + 1] << 8)) & 0xFFFFFFFF
    return value ^ (value >> 16)


def java_order(names: Iterable[K], size: int = USUAL_MAP) -> list[K]:
    """Return names as the keys of a Java hash map that they were put into in the order given.

    Args:
        names: the keys.
        size: places that the map began with.
    """
    given = list(names)
    while len(given) > size * 3 // 4:
        size *= 2
    return sorted(given, key=lambda name: java_hash(name) & (size - 1))


def java_copied_order(names: Iterable[str]) -> list[str]:
    """Return names as the keys of a copy of a map that was made for just them; copies begin with room to spare."""
    given = java_order(names, SMALLEST_MAP)
    size = 1
    while size < int(len(given) / 0.75 + 1):
        size *= 2
    return java_order(given, size)


def java_ordered(tags: Mapping[str, T]) -> dict[str, T]:
    """Return tags in the order of a Java hash map."""
    return {name: tags[name] for name in java_order(tags)}


def java_map_text(tags: Mapping[K, object]) -> str:
    """Return a map as Java prints it: `{host=a, dc=x}`."""
    return "{" + ", ".join(f"{_text(name)}={_text(tags[name])}" for name in java_order(tags)) + "}"


def _text(value: object) -> object:
    return "null" if value is None else value
