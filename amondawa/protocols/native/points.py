"""Incoming series and points: the envelope by struct or schema, the points in bulk.

A body is decoded straight into structs. Only one that does not fit them is gone through again with the marshmallow
schema, whose work is to say what is wrong and where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from amondawa.errors import BadRequest
from amondawa.model.points import Int32s, Int64s, Kind, UInt8s, WriteBatch, same_kind
from amondawa.model.series import Tags, sorted_tags
from amondawa.protocols.native.errors import Invalid, with_values
from amondawa.protocols.native.schemas import LONG_MAX, LONG_MIN, TTL_LIMIT_S, SeriesSchema, load_many

Value = int | float | str


class _Series(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """One series with its points, as it comes over the wire."""

    name: str
    tags: dict[str, str] = {}
    timestamp: int | None = None
    value: Value | None = None
    datapoints: list[tuple[int, Value]] | None = None
    ttl: int = 0


_decoder = msgspec.json.Decoder(list[_Series])
_single_decoder = msgspec.json.Decoder(_Series)
_any_decoder = msgspec.json.Decoder(float_hook=float)
"""keeps whole numbers whole, however large; past the range of doubles it gives infinities, and the schema says where"""


@dataclass(frozen=True, slots=True)
class SeriesPoints:
    """One series with its points, checked.

    Attributes:
        name, tags: the series; tags sorted by name.
        times_ms, values: one entry a point, in order of arrival; longs fit 64 bits.
        ttl_s: seconds that the points are kept; 0 = for ever.
    """

    name: str
    tags: Tags
    times_ms: Sequence[int]
    values: Sequence[Value]
    ttl_s: int


def parse_series(body: bytes, text_limit_bytes: int) -> list[SeriesPoints]:
    """Read the body of a write: an array of series (one series alone is taken too).

    Raises:
        Invalid: with the address of everything that is wrong (of the first hundred things).
    """
    single = body.lstrip()[:1] == b"{"
    try:
        decoded = [_single_decoder.decode(body)] if single else _decoder.decode(body)
        incoming = [_plain(series, text_limit_bytes) for series in decoded]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _Unfit):
        return _explained(body, text_limit_bytes)
    return incoming


class _Unfit(Exception):  # noqa: N818  # a signal between the two ways to read, not an error
    """The series needs the schema."""


def _plain(series: _Series, text_limit_bytes: int) -> SeriesPoints:
    """Take a decoded series that leaves nothing to ask; raise _Unfit otherwise."""
    if not series.name or not 0 <= series.ttl <= TTL_LIMIT_S or "" in series.tags or "" in series.tags.values():
        raise _Unfit
    single = series.timestamp is not None and series.value is not None
    if single == (series.datapoints is not None):
        raise _Unfit
    times: list[Any] = [series.timestamp]
    values: list[Any] = [series.value]
    if series.datapoints is not None:
        times, values = _column(series.datapoints, 0), _column(series.datapoints, 1)
    if not (_fit_longs(times) and _fit_values(values, text_limit_bytes)):
        raise _Unfit
    return SeriesPoints(series.name, sorted_tags(series.tags), times, values, series.ttl)


def _column(points: Sequence[Sequence[Any]], at: int) -> list[Any]:
    return [point[at] for point in points]


def _fit_longs(numbers: Sequence[Any]) -> bool:
    return not numbers or (min(numbers) >= LONG_MIN and max(numbers) <= LONG_MAX)


def _fit_values(values: Sequence[Any], text_limit_bytes: int) -> bool:
    """Say whether all longs fit 64 bits and all texts their limit."""
    types = set(map(type, values))
    if types == {float}:
        return True
    if types == {int}:
        return _fit_longs(values)
    longs = [value for value in values if type(value) is int]
    # A character is 4 bytes at most: only a long text is measured.
    texts = [value for value in values if type(value) is str and len(value) * 4 > text_limit_bytes]
    return _fit_longs(longs) and all(len(text.encode()) <= text_limit_bytes for text in texts)


def _explained(body: bytes, text_limit_bytes: int) -> list[SeriesPoints]:
    """Read a body with the schema, which knows where and why it is wrong."""
    data = _parse(body)
    if isinstance(data, dict):
        data = [data]
    if not isinstance(data, list):
        raise Invalid({"": with_values(["the body must be an array of series"], data)})
    loaded = load_many(SeriesSchema(text_limit_bytes=text_limit_bytes), data)
    return [_from_schema(series) for series in loaded]


def _parse(body: bytes) -> Any:
    try:
        return _any_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error


def _from_schema(series: Mapping[str, Any]) -> SeriesPoints:
    points = series.get("datapoints")
    if points is None:
        points = [(series["timestamp"], series["value"])]
    tags = sorted_tags(series["tags"])
    return SeriesPoints(series["name"], tags, _column(points, 0), _column(points, 1), series["ttl"])


def build_batch(series: Sequence[SeriesPoints], resolve: Callable[[str, Tags], int], now_ms: int) -> WriteBatch:
    """Turn series with points into columns.

    Args:
        series: what `parse_series` returned.
        resolve: gives a series' ref.
        now_ms: points with a ttl expire that long after this.
    """
    counts = [len(one.times_ms) for one in series]
    refs: Int32s = np.repeat(np.array([resolve(one.name, one.tags) for one in series], np.int32), counts)
    times: Int64s = np.array([time for one in series for time in one.times_ms], np.int64)
    kinds, bits, texts = _value_columns([value for one in series for value in one.values])
    expires: Int64s | None = None
    if any(one.ttl_s for one in series):
        ends = [min(now_ms + one.ttl_s * 1000, LONG_MAX) if one.ttl_s else 0 for one in series]
        expires = np.repeat(np.array(ends, np.int64), counts)
    return WriteBatch(refs, times, kinds, bits, texts, expires)


def _value_columns(values: Sequence[Value]) -> tuple[UInt8s, Int64s, Sequence[bytes]]:
    """Return (kinds uint8[n], bits int64[n], texts) of values in order."""
    types = set(map(type, values))
    if types == {float}:
        return same_kind(Kind.DOUBLE, len(values)), np.array(values, np.float64).view(np.int64), ()
    if types <= {int}:
        return same_kind(Kind.LONG, len(values)), np.array(values, np.int64), ()
    kinds = np.fromiter((_KINDS[type(value)] for value in values), np.uint8, len(values))
    bits = np.empty(len(values), np.int64)
    floats = np.array([value for value in values if type(value) is float], np.float64)
    bits[kinds == Kind.LONG] = np.array([value for value in values if type(value) is int], np.int64)
    bits[kinds == Kind.DOUBLE] = floats.view(np.int64)
    texts = [value.encode() for value in values if isinstance(value, str)]
    bits[kinds == Kind.TEXT] = np.arange(len(texts))
    return kinds, bits, texts


_KINDS: Mapping[type, Kind] = {int: Kind.LONG, float: Kind.DOUBLE, str: Kind.TEXT}


def series_at(series: Sequence[SeriesPoints], point: int) -> tuple[int, int]:
    """Return (index of the series, index of its point) of a point's place in the batch."""
    for index, one in enumerate(series):
        if point < len(one.times_ms):
            return index, point
        point -= len(one.times_ms)
    raise Invalid({"": ["there is no such point"]})
