"""Roll-up tasks of domains that keep tags as hashes: the filters of a task are kept, and shown, with hashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

Stored = Callable[[str, str], str]
"""returns the value of a tag (name, value) as it is stored"""


def with_stored_values(task: bytes, stored: Stored) -> bytes:
    """Return a task with the tag values of its filters as they are stored; the same bytes when none changes.

    Args:
        task: JSON of a task that was read and found right.
        stored: translates one value.
    """
    document = orjson.loads(task)
    changed = False
    for metric in _metrics(document):
        tags = metric.get("tags")
        if isinstance(tags, dict):
            metric["tags"] = {name: _translated(name, given, stored) for name, given in tags.items()}
            changed |= metric["tags"] != tags
    return orjson.dumps(document) if changed else task


def _metrics(document: dict[str, Any]) -> list[dict[str, Any]]:
    queries = [rollup["query"] for rollup in document.get("rollups") or ()]
    return [metric for query in queries for metric in query.get("metrics") or ()]


def _translated(name: str, given: Any, stored: Stored) -> Any:
    if isinstance(given, list):
        return [_translated(name, one, stored) for one in given]
    return stored(name, given) if isinstance(given, str) else given
