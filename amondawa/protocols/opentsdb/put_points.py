"""The exact way from points to a write batch: one point at a time, the original's checks in its order."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from amondawa.errors import BadRequest
from amondawa.model.points import Kind, WriteBatch
from amondawa.model.series import Tags
from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.incoming import Incoming
from amondawa.protocols.opentsdb.javamap import java_order
from amondawa.protocols.opentsdb.names import check_metric, check_series, check_tag, check_tag_count
from amondawa.protocols.opentsdb.report import refusal
from amondawa.protocols.opentsdb.uid import Uids
from amondawa.protocols.opentsdb.values import BadNumber, check_finite, check_point, parse_value, time_in_ms

NULL_POINT = "Unexpected null datapoint encountered in set."
NO_NUMBER = "Unable to parse value to a number"
YIELD_POINTS = 500
"""points between two chances for other requests"""


class Refused(Exception):
    """A point that is not stored; the text is what the client reads."""


def refuse_incomplete(metric: str | None, timestamp: int, value: str | None, tags: Mapping[str, Any] | None) -> None:
    """Check that a point has all it needs.

    Raises:
        Refused: it lacks something; the first thing, in the original's order.
    """
    if not metric:
        raise Refused("Metric name was empty")
    if timestamp <= 0:
        raise Refused("Invalid timestamp")
    if not value:
        raise Refused("Empty value")
    if not tags:
        raise Refused("Missing tags")


def check_tags(metric: str, tags: Mapping[str, str | None], max_tags: int) -> Tags:
    """Check the names of a series; return its tags sorted by name.

    Raises:
        Refused: too many tags, or characters that are not allowed.
    """
    try:
        if None not in tags.values():
            plain = {name: value or "" for name, value in tags.items()}
            check_series(metric, plain, max_tags)
            return tuple(sorted(plain.items()))
        _refuse_null(metric, tags, max_tags)
    except BadRequest as error:
        raise Refused(error.message) from error


def _refuse_null(metric: str, tags: Mapping[str, str | None], max_tags: int) -> NoReturn:
    """Refuse tags of which a value is null, in the words for the first thing that is wrong."""
    check_tag_count(metric, {name: str(value) for name, value in tags.items()}, max_tags)
    check_metric(metric)
    for name in java_order(tags):
        value = tags[name]
        check_tag(name, "null" if value is None else value)
        if value is None:
            break
    raise Refused(f"Invalid tag value with key [{name}]: null")


def read_value(metric: str, timestamp: int, text: str) -> int | float:
    """Read a value.

    Raises:
        Refused: no number, or not finite.
    """
    try:
        value = parse_value(text)
    except BadNumber as error:
        raise Refused(NO_NUMBER) from error
    try:
        check_finite(metric, timestamp, value)
    except BadRequest as error:
        raise Refused(error.message) from error
    return value


def check_value(metric: str, timestamp: int, text: str, tags: Mapping[str, str | None]) -> int | float:
    """Read a value and check the timestamp that goes with it.

    Raises:
        Refused: no number, not finite, or a timestamp of more than 13 digits.
    """
    value = read_value(metric, timestamp, text)
    try:
        check_point(metric, timestamp, value, {name: value or "null" for name, value in tags.items()})
    except BadRequest as error:
        raise Refused(error.message) from error
    return value


class Columns:
    """A write batch in the making, a point at a time."""

    def __init__(self) -> None:
        self._refs = array("i")
        self._times_ms = array("q")
        self._kinds = array("B")
        self._longs = array("q")
        self._doubles = array("d")
        self._texts: list[bytes] = []

    def __len__(self) -> int:
        return len(self._refs)

    def add(self, ref: int, time_ms: int, value: int | float | bytes) -> None:
        """Append a point."""
        self._refs.append(ref)
        self._times_ms.append(time_ms)
        self._doubles.append(value if isinstance(value, float) else 0.0)
        if isinstance(value, bytes):
            self._kinds.append(Kind.BLOB)
            self._longs.append(len(self._texts))
            self._texts.append(value)
        else:
            self._kinds.append(Kind.DOUBLE if isinstance(value, float) else Kind.LONG)
            self._longs.append(0 if isinstance(value, float) else value)

    def batch(self) -> WriteBatch:
        """Return the batch."""
        kinds = np.array(self._kinds, np.uint8)
        doubles = np.array(self._doubles, np.float64).view(np.int64)
        bits = np.where(kinds == Kind.DOUBLE, doubles, np.array(self._longs, np.int64))
        return WriteBatch(np.array(self._refs, np.int32), np.array(self._times_ms, np.int64), kinds, bits, self._texts)


Collect = Callable[[Scope, Uids, Incoming, Columns], None]
"""puts one point into columns; raises Refused"""


async def collect_points(
    scope: Scope, uids: Uids, points: list[Incoming | None], columns: Columns, collect: Collect
) -> tuple[list[int], list[dict[str, Any]]]:
    """Put the good points into columns.

    Returns:
        The positions of the points in the columns, and the entries of the refused ones.
    """
    kept: list[int] = []
    refused: list[dict[str, Any]] = []
    for at, point in enumerate(points):
        if at % YIELD_POINTS == YIELD_POINTS - 1:
            await asyncio.sleep(0)
        if point is None:
            refused.append(refusal(None, NULL_POINT))
            continue
        try:
            collect(scope, uids, point, columns)
            kept.append(at)
        except Refused as error:
            refused.append(refusal(point.echo(), str(error)))
    return kept, refused


def collect_number(scope: Scope, uids: Uids, point: Incoming, columns: Columns) -> None:
    """Put a point with a number into columns.

    Raises:
        Refused: it is not right.
    """
    refuse_incomplete(point.metric, point.timestamp, point.value, point.tags)
    assert point.metric and point.value and point.tags
    value = check_value(point.metric, point.timestamp, point.value, point.tags)
    tags = check_tags(point.metric, point.tags, scope.settings.opentsdb_max_tags)
    metric, tags = uids.register(point.metric, tags)
    columns.add(scope.gateway.resolve(uids.domain, metric, tags), time_in_ms(point.timestamp), value)
