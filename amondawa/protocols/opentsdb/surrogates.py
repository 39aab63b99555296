"""Halves of surrogate pairs, which JSON can spell and UTF-8 cannot: they become question marks, as Java writes them."""

from __future__ import annotations

import re
from typing import Any

_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")


def without_surrogates(value: Any, text: str) -> Any:
    """Return a value that was read from a JSON text without halves of surrogate pairs, in names of fields too."""
    return _replaced(value) if _ESCAPED.search(text) else value


def _replaced(value: Any) -> Any:
    if type(value) is str:
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_replaced(one) for one in value]
    if isinstance(value, dict):
        return {_replaced(name): _replaced(one) for name, one in value.items()}
    return value
