"""The grammar `metric{name=value,…}` of look-ups, last points and meta data (not of queries, whose tags are filters)."""

from __future__ import annotations

from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.javamap import java_map_text


def split_metric(text: str) -> tuple[str, list[str]]:
    """Split into the metric and the texts of its tags.

    Raises:
        TsdbError: 400, a brace is not closed.
    """
    metric, brace, rest = text.partition("{")
    if not brace:
        return text, []
    if not rest.endswith("}"):
        raise TsdbError(f"Missing '}}' at the end of: {text}", 400, f"Missing '}}' at the end of: {text}")
    inside = rest[:-1]
    return metric, inside.split(",") if inside else []


def _invalid(part: str) -> TsdbError:
    message = f"When parsing tag '{part}': invalid tag: {part}"
    return TsdbError(message, 400, message)


def parse_exact(text: str) -> tuple[str, dict[str, str]]:
    """Read a metric with tags that all have names and values.

    Raises:
        TsdbError: 400, a tag is none or comes twice with two values.
    """
    metric, parts = split_metric(text)
    tags: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not name or not value or "=" in value:
            raise _invalid(part)
        if tags.setdefault(name, value) != value:
            message = f"When parsing tag '{part}': duplicate tag: {part}, tags={java_map_text(tags)}"
            raise TsdbError(message, 400, message)
    return metric, tags


def parse_open(text: str) -> tuple[str, list[tuple[str | None, str | None]]]:
    """Read a metric with tags whose name or value may be missing (None).

    Raises:
        TsdbError: 400, a tag is none.
    """
    metric, parts = split_metric(text)
    pairs: list[tuple[str | None, str | None]] = []
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or "=" in value or not (name or value):
            raise _invalid(part)
        pairs.append((name or None, value or None))
    return metric, pairs
