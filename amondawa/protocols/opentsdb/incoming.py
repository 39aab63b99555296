"""Points as clients send them over HTTP: the exact way, for bodies that the columnar way (put_columns) refuses.

A body is read as the original's JSON library reads it, and each point by its schema into a small object.
Source: suite put_http.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Self, cast

from marshmallow import ValidationError

from amondawa.protocols.opentsdb.errors import TsdbError, bad_json
from amondawa.protocols.opentsdb.javamap import java_order
from amondawa.protocols.opentsdb.point_schemas import NumberText, PointBody
from amondawa.protocols.opentsdb.surrogates import without_surrogates

MISSING_CONTENT = "Missing request content"
NOT_A_COLLECTION = "The JSON must start as an object or an array"
NO_POINTS = "No datapoints found in content"
THREAD_BYTES = 16 * 1024
"""bodies from here on, a hundred points, are read beside the event loop"""
_FIELDS = frozenset(("metric", "timestamp", "value", "tags"))
_DECODER = json.JSONDecoder(parse_int=NumberText, parse_float=NumberText, parse_constant=NumberText)


@dataclass(slots=True)
class Incoming:
    """One point of a request.

    Attributes:
        metric, value: as text; None when absent or null.
        timestamp: seconds or milliseconds; 0 when absent.
        tags: None when absent or null; a value may be null.
        extra: the further fields of the other kinds of points (rollups, histograms), as their schemas load them.
    """

    metric: str | None = None
    timestamp: int = 0
    value: str | None = None
    tags: dict[str, str | None] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, loaded: dict[str, Any]) -> Self:
        """Make a point of what its schema loaded."""
        extra = {name: value for name, value in loaded.items() if name not in _FIELDS}
        return cls(loaded["metric"], loaded["timestamp"], loaded["value"], loaded["tags"], extra)

    def echo(self) -> dict[str, Any]:
        """Return the point as an error of it repeats it: absent fields left out, the value always as text."""
        shown: dict[str, Any] = {}
        if self.metric is not None:
            shown["metric"] = self.metric
        shown["timestamp"] = self.timestamp
        if self.value is not None:
            shown["value"] = self.value
        if self.tags is not None:
            shown["tags"] = {name: self.tags[name] for name in java_order(self.tags)}
        return shown


def parse_points(
    body: bytes, schema: type[PointBody] = PointBody, shape: type[Incoming] = Incoming
) -> list[Incoming | None]:
    """Read a body: one point or an array of points, null points as None.

    Args:
        body: unpacked JSON; what follows the first value is not looked at.
        schema: the fields of the points.
        shape: the class of the points.

    Raises:
        TsdbError: 400, no points can be read from it; 500 when it is blank.
    """
    value = _parse_collection(body)
    sent = [value] if isinstance(value, dict) else value
    if not sent:
        raise TsdbError(NO_POINTS)
    reader = schema()
    try:
        return [None if one is None else shape.of(reader.load(one)) for one in sent]
    except ValidationError as error:
        raise bad_json() from error


async def read_points(
    body: bytes, schema: type[PointBody] = PointBody, shape: type[Incoming] = Incoming
) -> list[Incoming | None]:
    """Read a body as `parse_points` does; a large one beside the event loop."""
    if len(body) < THREAD_BYTES:
        return parse_points(body, schema, shape)
    return await asyncio.to_thread(parse_points, body, schema, shape)


def _parse_collection(body: bytes) -> dict[str, Any] | list[Any]:
    text = body.decode(errors="replace").strip()
    if not body:
        raise TsdbError(MISSING_CONTENT)
    if not text:
        raise TsdbError("String index out of range: 0", 500)
    if text[0] not in "{[":
        raise TsdbError(NOT_A_COLLECTION)
    try:
        value = _DECODER.raw_decode(text)[0]
    except (ValueError, RecursionError) as error:
        raise bad_json() from error
    assert isinstance(value, dict | list)
    return cast("dict[str, Any] | list[Any]", without_surrogates(value, text))
