"""Results to the bytes of KairosDB's answers.

Numbers print as Java prints them, with trailing zeros and a bare point cut: 3.0 is 3, 2.50 is 2.5; from 1e7 on and below
1e-3 they print uncut in E notation (1.0E7, 9.0E-4). Numbers that JSON has no words for are null.

Source: suites query, ingest and group_by.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson

from amondawa.aggregate.merge import merged
from amondawa.model.points import Float64s, Kind, Points
from amondawa.model.result import Frame, Result
from amondawa.model.series import Series
from amondawa.protocols.kairosdb.java_hash import hash_order
from amondawa.protocols.kairosdb.queries import MetricRequest

_EXACT_TIME_MS = 2**53
"""Times beyond this do not pass through a double."""
_ESCAPED = re.compile("[\u0080-\u009f\u2000-\u20ff]")
"""What KairosDB's writer escapes although it need not."""
_NAME_SLOTS = 16
_VALUE_SLOTS = 4
_SMALLEST_E = 1e-300


def render_query(results: Sequence[Result], metrics: Sequence[MetricRequest]) -> bytes:
    """Render the answer of a query, one entry a metric."""
    queries = [_render_metric(result, metric) for result, metric in zip(results, metrics, strict=True)]
    return b'{"queries":[' + b",".join(queries) + b"]}"


def render_tags(found: Sequence[Sequence[Series]], metrics: Sequence[MetricRequest]) -> bytes:
    """Render the answer of a query for tags."""
    queries = [
        b'{"results":[{"name":' + quote(metric.name) + b',"tags":' + tags_json(series) + b',"values":[]}]}'
        for series, metric in zip(found, metrics, strict=True)
    ]
    return b'{"queries":[' + b",".join(queries) + b"]}"


def _render_metric(result: Result, metric: MetricRequest) -> bytes:
    hashed = any(one.name != "tag" for one in metric.groupings)
    frames = b",".join(_render_frame(frame, metric.exclude_tags, hashed) for frame in result.frames)
    return b'{"sample_size":%d,"results":[%b]}' % (result.sample_size, frames)


def _render_frame(frame: Frame, exclude_tags: bool, hashed: bool) -> bytes:
    pieces = [b'{"name":' + quote(frame.metric)]
    if frame.groups:
        pieces.append(b'"group_by":' + _escaped(orjson.dumps(_java(list(frame.groups)))))
    if not exclude_tags:
        pieces.append(b'"tags":' + tags_json(frame.members, hashed))
    pieces.append(b'"values":' + b"".join(values_json(merged(frame))) + b"}")
    return b",".join(pieces)


def tags_json(members: Iterable[Series], hashed: bool = False) -> bytes:
    """Render the tags of some series: names in order, each with its values in order.

    Args:
        members: the series.
        hashed: the order of Java's hash tables instead of that of texts.
    """
    found: dict[str, dict[str, None]] = {}
    for series in members:
        for name, value in series.tags:
            values = found.get(name)
            if values is None:
                found[name] = {value: None}
            else:
                values[value] = None
    if hashed:
        ordered = {name: hash_order(found[name], _VALUE_SLOTS) for name in hash_order(found, _NAME_SLOTS)}
    else:
        ordered = {name: sorted(found[name]) for name in sorted(found)}
    return _escaped(orjson.dumps(ordered))


def quote(text: str) -> bytes:
    """Return a text as a JSON string."""
    return _escaped(orjson.dumps(text))


def _escaped(json: bytes) -> bytes:
    """Escape what KairosDB escapes beyond JSON's need: "</", C1 controls and general punctuation."""
    if b"</" in json:
        json = json.replace(b"</", b"<\\/")
    if json.isascii():
        return json
    return _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", json.decode()).encode()


def _java(value: Any) -> Any:
    """Replace doubles in descriptions of groups by their printed form."""
    if isinstance(value, float):
        return orjson.Fragment(double_text(value))
    if isinstance(value, dict):
        return {key: _java(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_java(one) for one in value]
    return value


# values -----------------------------------------------------------------------------------------------------------


def values_json(points: Points) -> tuple[bytes, ...]:
    """Render points as an array of [time, value] pairs, in pieces to be joined."""
    if len(points) == 0:
        return (b"[]",)
    if points.only(Kind.LONG):
        table = np.column_stack((points.times_ms, points.bits))
        return (orjson.dumps(table, option=orjson.OPT_SERIALIZE_NUMPY),)
    if points.only(Kind.DOUBLE):
        doubles = points.bits.view(np.float64)
        if _is_ordinary(doubles) and bool((np.abs(points.times_ms) < _EXACT_TIME_MS).all()):
            return (_ordinary_json(points, doubles),)
    times = points.times_ms.tolist()
    if bool(((points.kinds == Kind.TEXT) | (points.kinds == Kind.BLOB)).any()):
        pairs = [[time, _scalar(points, at)] for at, time in enumerate(times)]
        return (_escaped(orjson.dumps(pairs)),)
    return b"[[", b"],[".join([b"%d,%b" % pair for pair in zip(times, _tokens(points), strict=True)]), b"]]"


def _is_ordinary(doubles: Float64s) -> bool:
    """Say whether all doubles print without an exponent."""
    size = np.abs(doubles)
    return bool((((size >= 1e-3) & (size < 1e7)) | (size == 0)).all())


def _ordinary_json(points: Points, doubles: Float64s) -> bytes:
    """Render doubles that print without an exponent: the shortest digits are the same everywhere."""
    table = np.column_stack((points.times_ms.astype(np.float64), doubles))
    text = orjson.dumps(table, option=orjson.OPT_SERIALIZE_NUMPY)
    return text.replace(b".0,", b",").replace(b".0]", b"]")


def _tokens(points: Points) -> list[bytes]:
    """Print numbers and nulls one by one."""
    doubles = points.bits.view(np.float64).tolist()
    if points.only(Kind.DOUBLE):
        return [double_text(double) for double in doubles]
    longs = points.bits.tolist()
    kinds = points.kinds.tolist()
    return [
        double_text(double) if kind == Kind.DOUBLE else b"%d" % long if kind == Kind.LONG else b"null"
        for kind, double, long in zip(kinds, doubles, longs, strict=True)
    ]


def _scalar(points: Points, at: int) -> Any:
    """Return one value for JSON; opaque bytes as base64."""
    kind = points.kinds[at]
    if kind == Kind.TEXT:
        return points.texts[int(points.bits[at])].decode("utf-8", "replace")
    if kind == Kind.BLOB:
        return base64.b64encode(points.texts[int(points.bits[at])]).decode()
    value = points.value_at(at)
    return orjson.Fragment(double_text(value)) if isinstance(value, float) else value


def double_text(value: float) -> bytes:
    """Return a double as KairosDB prints it; null when it is not finite."""
    if not math.isfinite(value):
        return b"null"
    text = repr(value)
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return text.removesuffix(".0").encode()
    sign, digits = ("-", text[1:]) if text[0] == "-" else ("", text)
    digits, exponent = _scientific(digits)
    if len(digits) == 1:
        # Java prints two digits at least, and picks them closest to the value.
        digits = f"{abs(value):.1e}"[:3:2] if abs(value) < _SMALLEST_E else digits + "0"
    return f"{sign}{digits[0]}.{digits[1:]}E{exponent}".encode()


def _scientific(text: str) -> tuple[str, int]:
    """Return the significant digits of a positive number's repr, and the exponent of the first one."""
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    shift = int(exponent or 0)
    if whole != "0":
        return (whole + fraction).rstrip("0") or "0", len(whole) - 1 + shift
    digits = fraction.lstrip("0")
    return digits.rstrip("0"), shift - (len(fraction) - len(digits)) - 1
