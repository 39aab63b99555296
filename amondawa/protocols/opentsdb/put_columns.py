"""The short way from a body of points to a write batch, in columns: a quarter of a microsecond a point.

It takes bodies whose every point is right: anything else makes it give up, and the exact way (put_points) has the word.
Series are found by their metric and the bytes of their tags as sent, so that tags are taken apart once a series. Bodies in
the usual spelling go through the compiled reader; others, and all while it is being loaded, through msgspec (a microsecond).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from amondawa.kernels.lines import Loader
from amondawa.kernels.points import POINT_LOADER, PointTable, Scanned, point_table
from amondawa.model.points import Float64s, Int64s, Kind, UInt8s, WriteBatch, same_kind
from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.put_points import Refused, check_tags
from amondawa.protocols.opentsdb.uid import Uids
from amondawa.protocols.opentsdb.values import LAST_MS, SECONDS_BELOW, BadNumber, parse_value

CACHED_SERIES = 500_000
LONGEST_TIME = 13
"""digits of a time"""


class Unusual(Exception):
    """A body for the exact way."""


class _Point(msgspec.Struct, gc=False):
    metric: str
    timestamp: int | str
    value: int | float | str
    tags: msgspec.Raw


_DECODE_MANY: Callable[[bytes], list[_Point]] = msgspec.json.Decoder(list[_Point]).decode
_DECODE_ONE: Callable[[bytes], _Point] = msgspec.json.Decoder(_Point).decode
_DECODE_TAGS: Callable[[bytes], dict[str, str]] = msgspec.json.Decoder(dict[str, str]).decode


class SeriesCache:
    """Refs of series by metric and the bytes of their tags; forgets everything when it is full.

    Args:
        scope, uids: where new series are made known.
        limit: series that are remembered beside the compiled reader's own table.
        loader: where the compiled reader comes from.
    """

    def __init__(self, scope: Scope, uids: Uids, limit: int = CACHED_SERIES, loader: Loader = POINT_LOADER) -> None:
        self._scope = scope
        self._uids = uids
        self._limit = limit
        self._loader = loader
        self._refs: dict[tuple[str, bytes], int] = {}
        self._table: PointTable | None = None
        self._names_version = uids.version
        loader.start()

    @property
    def table(self) -> PointTable | None:
        """The compiled reader, once it is loaded."""
        self._forget_renamed()
        if self._table is None:
            self._table = point_table(SECONDS_BELOW, self._loader)
        return self._table

    def _forget_renamed(self) -> None:
        if self._names_version == self._uids.version:
            return
        self._names_version = self._uids.version  # names mean other series now
        self._refs.clear()
        if self._table is not None:
            self._table.clear()

    def refs_of(self, keys: list[tuple[str, bytes]]) -> list[int]:
        """Return the refs of series.

        Raises:
            Unusual: a series whose names are not right.
        """
        self._forget_renamed()
        try:
            return list(map(self._refs.__getitem__, keys))
        except KeyError:
            return [self._ref_of(key) for key in keys]

    def _ref_of(self, key: tuple[str, bytes]) -> int:
        ref = self._refs.get(key)
        if ref is None:
            ref = self.resolve(*key)
            if len(self._refs) >= self._limit:
                self._refs.clear()
            self._refs[key] = ref
        return ref

    def resolve(self, metric: str, raw_tags: bytes) -> int:
        """Return the ref of a series, made known when it is new.

        Raises:
            Unusual: its names are not right.
        """
        try:
            tags = _DECODE_TAGS(raw_tags)
            if not metric or not tags:
                raise Unusual
            ordered = check_tags(metric, tags, self._scope.settings.opentsdb_max_tags)
        except (msgspec.DecodeError, UnicodeDecodeError, Refused) as error:
            raise Unusual from error
        stored_metric, stored_tags = self._uids.register(metric, ordered)
        return self._scope.gateway.resolve(self._uids.domain, stored_metric, stored_tags)


def parse_columns(body: bytes, cache: SeriesCache) -> WriteBatch:
    """Read a body whose every point is right.

    Raises:
        Unusual: it is not, or it is written in a way that only the exact way reads.
    """
    table = cache.table
    scanned = table.scan_points(body) if table is not None else None
    if table is not None and scanned is not None:
        return _complete(body, scanned, table, cache)
    try:
        points = [_DECODE_ONE(body)] if body[:1] == b"{" else _DECODE_MANY(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unusual from error
    if not points:
        raise Unusual
    times_ms = _times_ms([point.timestamp for point in points])
    kinds, bits = parse_values([point.value for point in points])
    refs = cache.refs_of([(point.metric, bytes(point.tags)) for point in points])
    return WriteBatch(np.array(refs, np.int32), times_ms, kinds, bits)


def _complete(body: bytes, scanned: Scanned, table: PointTable, cache: SeriesCache) -> WriteBatch:
    """Fill in what the compiled reader left open: numbers that need more care, then new series.

    Names of a point with a bad number are not made known.
    """
    inexact = np.flatnonzero(scanned.kinds > Kind.DOUBLE)
    if len(inexact):
        texts = [body[start:end] for start, end in scanned.offsets[inexact, 4:].tolist()]
        scanned.kinds[inexact], scanned.bits[inexact] = parse_values([_of_text(_text(text)) for text in texts])
    fresh: dict[tuple[bytes, bytes], int] = {}
    for row in np.flatnonzero(scanned.refs < 0).tolist():
        metric_at, metric_end, tags_at, tags_end, _, _ = scanned.offsets[row].tolist()
        key = (body[metric_at:metric_end], body[tags_at:tags_end])
        if key not in fresh:
            fresh[key] = cache.resolve(_text(key[0]), key[1])
            table.add(*key, fresh[key])
        scanned.refs[row] = fresh[key]
    return WriteBatch(scanned.refs, scanned.times_ms, scanned.kinds, scanned.bits)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Unusual from error


def _times_ms(timestamps: Sequence[int | str]) -> Int64s:
    try:
        times = np.array([one if type(one) is int else _time_of_text(one) for one in timestamps], np.int64)
    except OverflowError as error:
        raise Unusual from error
    if times.min() <= 0 or times.max() > LAST_MS:
        raise Unusual
    if times.min() >= SECONDS_BELOW:
        return times
    return np.where(times >= SECONDS_BELOW, times, times * 1000)


def _time_of_text(text: int | str) -> int:
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= LONGEST_TIME:
        return int(text)
    raise Unusual


def parse_values(values: Sequence[int | float | str]) -> tuple[UInt8s, Int64s]:
    """Bring values into columns (uint8[n], int64[n]).

    Raises:
        Unusual: a text that is no number, an integer past 64 bits, or a double that is not finite.
    """
    types = set(map(type, values))
    if str in types:
        values = [_of_text(value) if isinstance(value, str) else value for value in values]
        types = set(map(type, values))
    try:
        if types == {int}:
            return same_kind(Kind.LONG, len(values)), np.array(values, np.int64)
        if types == {float}:
            return same_kind(Kind.DOUBLE, len(values)), _finite(values).view(np.int64)
        return _mixed(values)
    except OverflowError as error:
        raise Unusual from error


def _of_text(text: str) -> int | float:
    try:
        return parse_value(text)
    except BadNumber as error:
        raise Unusual from error


def _finite(values: Sequence[Any]) -> Float64s:
    doubles = np.array(values, np.float64)
    if not np.isfinite(doubles).all():
        raise Unusual
    return doubles


def _mixed(values: Sequence[int | float | str]) -> tuple[UInt8s, Int64s]:
    whole = np.fromiter((type(value) is int for value in values), bool, len(values))
    longs = np.array([value if type(value) is int else 0 for value in values], np.int64)
    bits = np.where(whole, longs, _finite(values).view(np.int64))
    return np.where(whole, np.uint8(Kind.LONG), np.uint8(Kind.DOUBLE)), bits
