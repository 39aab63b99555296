"""The order in which Java's hash tables hold texts."""

from __future__ import annotations

from collections.abc import Iterable


def hash_code(text: str) -> int:
    """Return String.hashCode as an unsigned 32-bit integer."""
    code = 0
    units = text.encode("utf-16-be", "surrogatepass")
    for at in range(0, len(units), 2):
        code = (31 * code + (units[at] << 8 | units[at + 1])) & 0xFFFFFFFF
    return code


def hash_order(texts: Iterable[str], slots: int) -> list[str]:
    """Return distinct texts in the order of a HashSet that began with so many slots (a power of two).

    Texts of one slot keep the order in which they come.
    """
    found = list(texts)
    while len(found) > slots * 3 // 4:
        slots *= 2

    def slot(text: str) -> int:
        code = hash_code(text)
        return (code ^ code >> 16) & (slots - 1)

    return sorted(found, key=slot)
