"""`/api/histogram`: histograms in, one opaque value a point. Source: suite histogram_rollup."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from amondawa.errors import BadRequest
from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.calls import Answer, Call
from amondawa.protocols.opentsdb.histogram_blob import (
    CutShort,
    Histogram,
    blob_of_base64,
    encode_histogram,
    simple_codec,
)
from amondawa.protocols.opentsdb.incoming import Incoming, read_points
from amondawa.protocols.opentsdb.javamap import java_map_text, java_ordered
from amondawa.protocols.opentsdb.numbers_text import NotANumber, java_bytes, parse_double
from amondawa.protocols.opentsdb.point_schemas import HistogramBody
from amondawa.protocols.opentsdb.put import write_exactly
from amondawa.protocols.opentsdb.put_points import NO_NUMBER, Columns, Refused, check_tags
from amondawa.protocols.opentsdb.report import Flags
from amondawa.protocols.opentsdb.uid import Uids, uids_of
from amondawa.protocols.opentsdb.values import LAST_MS, time_in_ms

NO_BUCKETS = "Histogram buckets cannot be null or empty if 'value' is empty."
NO_CODEC = "No histogram codec is configured"
UNEXPECTED = "Unexpected exception"
_FLOAT = struct.Struct(">f")
_CODECS = 256


class HistogramPoint(Incoming):
    """A histogram of a request; its further fields are in `extra`."""

    def echo(self) -> dict[str, Any]:
        """Return the point as an error of it repeats it."""
        shown = super().echo()
        shown["id"] = self.extra.get("id", 0)
        if self.extra.get("buckets") is not None:
            shown["buckets"] = java_ordered(self.extra["buckets"])
        shown["underflow"] = self.extra.get("underflow", 0)
        shown["overflow"] = self.extra.get("overflow", 0)
        return shown


async def histogram(call: Call) -> Answer:
    """Store the histograms of a request."""
    call.allow("POST")
    flags = Flags.of(call.params)
    points = await read_points(await call.read(), HistogramBody, HistogramPoint)
    uids = await uids_of(call.scope, call.domain)
    return await write_exactly(call.scope, uids, points, flags, _collect)


def _collect(scope: Scope, uids: Uids, point: Incoming, columns: Columns) -> None:
    """Put a histogram into columns.

    Raises:
        Refused: it is not right.
    """
    _refuse_incomplete(point)
    assert point.metric and point.tags
    codec = simple_codec(scope.settings.opentsdb_histograms)
    if codec is None:
        raise Refused(NO_CODEC)
    blob = _from_base64(point, codec) if point.value else _from_buckets(point, codec)
    if point.timestamp > LAST_MS:
        where = f"metric={point.metric}, tags={java_map_text(point.tags)}"
        text = f"bad timestamp={point.timestamp} when trying to add value={java_bytes(blob)}/0 to {where}"
        raise Refused(text)
    tags = check_tags(point.metric, point.tags, scope.settings.opentsdb_max_tags)
    metric, tags = uids.register(point.metric, tags)
    columns.add(scope.gateway.resolve(uids.domain, metric, tags), time_in_ms(point.timestamp), blob)


def _refuse_incomplete(point: Incoming) -> None:
    if not point.metric:
        raise Refused("Metric name was empty")
    if point.timestamp <= 0:
        raise Refused("Invalid timestamp")
    if not point.tags:
        raise Refused("Missing tags")
    if not point.value:
        if not point.extra.get("buckets"):
            raise Refused(NO_BUCKETS)
    elif not 0 <= point.extra.get("id", 0) < _CODECS:
        raise Refused("Invalid type. Must be from 0 to 255.")


def _from_base64(point: Incoming, codec: int) -> bytes:
    if point.extra.get("id", 0) != codec:
        raise Refused(f"No codec found mapped to ID {point.extra.get('id', 0)}")
    try:
        return blob_of_base64(point.value or "", codec)
    except CutShort as error:
        raise Refused(UNEXPECTED) from error
    except BadRequest as error:
        raise Refused(error.message) from error


def _from_buckets(point: Incoming, codec: int) -> bytes:
    extra = point.extra
    try:
        counted = simple_histogram(extra["buckets"], extra.get("underflow", 0), extra.get("overflow", 0))
        return encode_histogram(counted, codec)
    except NotANumber as error:
        raise Refused(NO_NUMBER) from error
    except BadRequest as error:
        raise Refused(error.message) from error


def simple_histogram(buckets: Mapping[str, int], underflow: int, overflow: int) -> Histogram:
    """Build a histogram from buckets named `lower,upper`.

    Raises:
        BadRequest: a name has not two bounds.
        NotANumber: a bound is no number.
    """
    parsed: dict[tuple[float, float], int] = {}
    for name, count in buckets.items():
        bounds = name.split(",")
        if len(bounds) != 2:
            raise BadRequest(f"Unable to parse bucket bounds: {name}")
        parsed[_single(bounds[0]), _single(bounds[1])] = count
    return Histogram(tuple((*bounds, count) for bounds, count in sorted(parsed.items())), underflow, overflow)


def _single(text: str) -> float:
    """Read a number as a 32-bit float."""
    number = parse_double(text)
    try:
        single: float = _FLOAT.unpack(_FLOAT.pack(number))[0]
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
    return single
