"""Points as clients send them over HTTP, read the way the real server's JSON library reads them.

Every field is text or a number in any mix: `"value": 1.50` is the text 1.50, a timestamp may be text, unknown fields
are ignored. Each point becomes a small object here: the exact way, for bodies that the columnar way (put_columns) refuses.
Source: suite put_http.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from amondawa.protocols.opentsdb.errors import TsdbError, bad_json
from amondawa.protocols.opentsdb.javamap import java_order
from amondawa.protocols.opentsdb.surrogates import without_surrogates

MISSING_CONTENT = "Missing request content"
NOT_A_COLLECTION = "The JSON must start as an object or an array"
NO_POINTS = "No datapoints found in content"


class NumberText(str):
    """A JSON number, as it was written."""

    __slots__ = ()


_DECODER = json.JSONDecoder(parse_int=NumberText, parse_float=NumberText, parse_constant=NumberText)


@dataclass(slots=True)
class Incoming:
    """One point of a request.

    Attributes:
        metric, value: as text; None when absent or null.
        timestamp: seconds or milliseconds; 0 when absent.
        tags: None when absent or null; a value may be null.
        extra: further fields of the other kinds of points (rollups, histograms), as parsed.
    """

    metric: str | None = None
    timestamp: int = 0
    value: str | None = None
    tags: dict[str, str | None] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

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


def parse_text(value: Any) -> str | None:
    """Read a text field: texts as they are, numbers as written, booleans as words.

    Raises:
        TsdbError: 400, an object or an array.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    raise bad_json()


def parse_integer(value: Any) -> int:
    """Read an integer field: null and empty text are 0, fractions are cut off.

    Raises:
        TsdbError: 400, no number, or past 64 bits.
    """
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, str):
        raise bad_json()
    text = value.strip()
    if not text:
        return 0
    try:
        number = int(text) if text.lstrip("+-").isdigit() else _whole(value, text)
    except (ValueError, OverflowError) as error:
        raise bad_json() from error
    if not -(2**63) <= number < 2**63:
        raise bad_json()
    return number


def _whole(value: str, text: str) -> int:
    if not isinstance(value, NumberText):
        raise ValueError(text)  # a text must hold a plain integer
    return int(float(text))


def parse_tags(value: Any) -> dict[str, str | None] | None:
    """Read the tags: an object of texts, or null.

    Raises:
        TsdbError: 400, something else.
    """
    if value is None:
        return None
    if not isinstance(value, dict):
        raise bad_json()
    return {name: parse_text(one) for name, one in value.items()}


Extra = Callable[[Any], Any]


def parse_points(
    body: bytes, extra: dict[str, Extra] | None = None, shape: type[Incoming] = Incoming
) -> list[Incoming | None]:
    """Read a body: one point or an array of points, null points as None.

    Args:
        body: unpacked JSON; what follows the first value is not looked at.
        extra: further fields by name, with the functions that read them.
        shape: the class of the points.

    Raises:
        TsdbError: 400, no points can be read from it; 500 when it is blank.
    """
    value = _parse_collection(body)
    if isinstance(value, dict):
        return [_parse_point(value, extra or {}, shape)]
    if not value:
        raise TsdbError(NO_POINTS)
    return [None if one is None else _parse_point(one, extra or {}, shape) for one in value]


def _parse_collection(body: bytes) -> dict[str, Any] | list[Any]:
    try:
        text = body.decode().strip()
    except UnicodeDecodeError as error:
        raise bad_json() from error
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


def _parse_point(value: Any, extra: dict[str, Extra], shape: type[Incoming]) -> Incoming:
    if not isinstance(value, dict):
        raise bad_json()
    return shape(
        parse_text(value.get("metric")),
        parse_integer(value.get("timestamp")),
        parse_text(value.get("value")),
        parse_tags(value.get("tags")),
        {name: read(value[name]) for name, read in extra.items() if name in value},
    )
