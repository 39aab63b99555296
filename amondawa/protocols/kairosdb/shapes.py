"""Memory of what was read from JSON: dashboards ask the same again and again, for other times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from amondawa.protocols.kairosdb.elements import json_of

T = TypeVar("T")

SHAPES = 512
SHAPE_BYTES = 4_096
"""longer texts are read anew each time"""


class Shapes(Generic[T]):
    """Results of reading by the text that was read; nothing is remembered of what is wrong. Safe in any thread.

    What is read must not be changed by anyone, and must follow from the text alone.

    Args:
        limit: how many are remembered; at the limit all are forgotten.
    """

    def __init__(self, limit: int = SHAPES) -> None:
        self._limit = limit
        self._known: dict[bytes, T] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, raw: Any, read: Callable[[Any], T]) -> T:
        """Return what `read(raw)` does, for parsed JSON; raises what it raises."""
        key = text_of_shape(raw)
        if key is None:
            return read(raw)
        known = self._known.get(key)
        if known is None:
            known = read(raw)
            if len(self._known) >= self._limit:
                self._known.clear()
            self._known[key] = known
        return known


def text_of_shape(raw: Any) -> bytes | None:
    """Return a text that parsed JSON shares with nothing else; None when it has none, or a long one."""
    try:
        text = json_of(raw)
    except TypeError:  # integers beyond 64 bits, halves of surrogate pairs
        return None
    # Numbers that are none, as lenient readers make them, become null too.
    return None if len(text) > SHAPE_BYTES or b"null" in text else text
