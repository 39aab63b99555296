"""Results to the bytes of KairosDB's answers.

Numbers print as Java prints them, with trailing zeros and a bare point cut: 3.0 is 3, 2.50 is 2.5; from 1e7 on and below
1e-3 they print uncut in E notation (1.0E7, 9.0E-4). Numbers that JSON has no words for are null.

Source: suites query, ingest and group_by.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson

from amondawa.aggregate.merge import merged
from amondawa.errors import LimitExceeded
from amondawa.model.points import Float64s, Kind, Points
from amondawa.model.result import Frame, Result
from amondawa.model.series import Series
from amondawa.protocols.kairosdb.java_hash import hash_order
from amondawa.protocols.kairosdb.queries import MetricRequest

ANSWER_BYTES = 256 * 1024 * 1024
"""Largest answer to a query."""

_SLICE_POINTS = 50_000
_EXACT = 2**53
"""Times and longs from here on do not pass through a double."""
_ESCAPED = re.compile("[\u0080-\u009f\u2000-\u20ff]")
"""What KairosDB's writer escapes although it need not."""
_NAME_SLOTS = 16
_VALUE_SLOTS = 4
_SMALLEST_E = 1e-300


def render_query(results: Sequence[Result], metrics: Sequence[MetricRequest]) -> bytes:
    """Render the answer of a query, one entry a metric.

    Raises:
        LimitExceeded: the answer is larger than ANSWER_BYTES.
    """
    answer = _Answer()
    answer.add(b'{"queries":[')
    for at, (result, metric) in enumerate(zip(results, metrics, strict=True)):
        answer.add(b"," if at else b"")
        _render_metric(result, metric, answer)
    answer.add(b"]}")
    return answer.joined()


class _Answer:
    """Pieces of an answer, up to a limit."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._room = ANSWER_BYTES

    def add(self, piece: bytes) -> None:
        """Add a piece."""
        self._room -= len(piece)
        if self._room < 0:
            raise LimitExceeded(
                f"the answer is larger than the limit of {ANSWER_BYTES} bytes; ask for a shorter range, fewer series, or an "
                "aggregator with a longer sampling"
            )
        self._pieces.append(piece)

    def joined(self) -> bytes:
        """Return the whole."""
        return b"".join(self._pieces)


def render_tags(found: Sequence[Sequence[Series]], metrics: Sequence[MetricRequest]) -> bytes:
    """Render the answer of a query for tags."""
    queries = [
        b'{"results":[{"name":' + quote(metric.name) + b',"tags":' + tags_json(series) + b',"values":[]}]}'
        for series, metric in zip(found, metrics, strict=True)
    ]
    return b'{"queries":[' + b",".join(queries) + b"]}"


def _render_metric(result: Result, metric: MetricRequest, answer: _Answer) -> None:
    hashed = any(one.name != "tag" for one in metric.groupings)
    answer.add(b'{"sample_size":%d,"results":[' % result.sample_size)
    for at, frame in enumerate(result.frames):
        answer.add(b"," if at else b"")
        _render_frame(frame, metric.exclude_tags, hashed, answer)
    answer.add(b"]}")


def _render_frame(frame: Frame, exclude_tags: bool, hashed: bool, answer: _Answer) -> None:
    answer.add(b'{"name":' + quote(frame.metric))
    if frame.groups:
        answer.add(b',"group_by":' + _escaped(orjson.dumps(_java(list(frame.groups)))))
    if not exclude_tags:
        answer.add(b',"tags":' + tags_json(frame.members, hashed))
    answer.add(b',"values":[')
    for piece in values_json(merged(frame)):
        answer.add(piece)
    answer.add(b"]}")


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


def values_json(points: Points) -> Iterator[bytes]:
    """Render points as [time, value] pairs with commas between them; yields pieces to be joined."""
    for start in range(0, len(points), _SLICE_POINTS):
        # Slices bound the memory of what stands between columns and text.
        piece = _pairs_json(points.take(slice(start, start + _SLICE_POINTS)))
        yield b"," + piece if start else piece


def _pairs_json(points: Points) -> bytes:
    if points.only(Kind.LONG):
        table = np.column_stack((points.times_ms, points.bits))
        return orjson.dumps(table, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    texts = bool(((points.kinds == Kind.TEXT.value) | (points.kinds == Kind.BLOB.value)).any())
    if not texts:
        numbers = points.numbers()
        if _is_ordinary(points, numbers) and bool((np.abs(points.times_ms) < _EXACT).all()):
            return _ordinary_json(points, numbers)[1:-1]
    times = points.times_ms.tolist()
    if texts:
        return _escaped(orjson.dumps(list(zip(times, _loose_values(points), strict=True))))[1:-1]
    return b"[" + b"],[".join([b"%d,%b" % pair for pair in zip(times, _tokens(points), strict=True)]) + b"]"


def _is_ordinary(points: Points, numbers: Float64s) -> bool:
    """Say whether all doubles print without an exponent, and all longs are exact as doubles; nulls are NaN."""
    size = np.abs(numbers)
    limits = 1e7 if points.only(Kind.DOUBLE) else np.where(points.kinds == Kind.LONG.value, float(_EXACT), 1e7)
    return not bool(((size >= limits) | ((size < 1e-3) & (size > 0))).any())


def _ordinary_json(points: Points, numbers: Float64s) -> bytes:
    """Render numbers that print without an exponent: the shortest digits are the same everywhere. NaN prints as null."""
    table = np.column_stack((points.times_ms.astype(np.float64), numbers))
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


def _loose_values(points: Points) -> list[Any]:
    """Return the values of points with texts among them for JSON; opaque bytes as base64."""
    texts = points.texts
    values: list[Any] = [None] * len(points)
    for at, (kind, bits) in enumerate(zip(points.kinds.tolist(), points.bits.tolist(), strict=True)):
        if kind == Kind.TEXT:
            values[at] = texts[bits].decode("utf-8", "replace")
        elif kind == Kind.BLOB:
            values[at] = base64.b64encode(texts[bits]).decode()
        elif kind == Kind.LONG:
            values[at] = bits
        elif kind == Kind.DOUBLE:
            values[at] = orjson.Fragment(double_text(struct.unpack("<d", struct.pack("<q", bits))[0]))
    return values


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
