"""Write bodies to columns of points: the bulk path, and what both paths give.

Most bodies are plain JSON with plain points: they are read by orjson and converted with numpy. KairosDB reads JSON more
freely and tells 1e5 from 1.5e5 by their text, so the bulk path hands over to `writes_lenient` whenever it cannot be certain
that both would agree. What it makes certain of:

- orjson has read the whole text, so it is strict JSON;
- every field has its plain type, every point is a pair of an integer time and a number, text or boolean;
- no name occurs twice in an object: the quotes of the text are as many as the strings that were read;
- no float was written without a point: no exponent follows an integer in the text, and no float is beyond 64 bits.

Source: suites ingest and ingest_errors.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from amondawa.model.points import Float64s, Int32s, Int64s, Kind, UInt8s, WriteBatch, same_kind
from amondawa.model.series import Tags, sorted_tags
from amondawa.protocols.kairosdb.java_numbers import InternalFailure

TYPES = {"long": Kind.LONG, "double": Kind.DOUBLE, "string": Kind.TEXT}
"""The registered data point types."""

NUMBER_TEXT = re.compile(r"[+-]?[0-9]*\.?[0-9]+|\.[0-9]*\.[0-9]+")
"""Texts that count as numbers when no type is said; those with two points then break off."""

_BARE_EXPONENT = re.compile(rb"(?:^|[\[,:\s-])[0-9]+[eE]\Z")
_ANY_BARE_EXPONENT = re.compile(rb"[\[,:\s-][0-9]+[eE]")
_SMALL_BYTES = 768
"""Up to here a pattern finds exponents faster than numpy does."""
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_PLAIN_VALUES = frozenset((int, float, str, bool))
_FREE_VALUES = frozenset((int, float, str, bool, type(None)))
_PAIR = frozenset((2,))
_TIME = frozenset((int,))
_TEXTS = frozenset((str,))
_SERIES_AT_ONCE = 4096
_LONGEST_NUMBER = 400
"""A run of digits longer than this counts as a number, whatever stands before it."""
_INT32_MAX = 2**31 - 1
_INT64_LIMIT = 2.0**63
_FEW = 16
"""So few numbers are checked faster one by one than by numpy."""


@dataclass(slots=True)
class ParsedWrite:
    """What a write body held.

    Attributes:
        metrics, tags, counts: the series' names and tags and how many points of each follow one another in the columns.
        times_ms, kinds, bits, texts: the columns, see WriteBatch; order of the body.
        ttls_s: time to live of each series' points, 0 = for ever; None when none has any.
        errors: what was wrong with the rest (400).
        failure: what broke reading off inside the server's own conversions (500), or None.
    """

    metrics: list[str]
    tags: list[dict[str, str]]
    counts: list[int]
    times_ms: Int64s
    kinds: UInt8s
    bits: Int64s
    texts: Sequence[bytes] = ()
    ttls_s: list[int] | None = None
    errors: list[str] = field(default_factory=list)
    failure: InternalFailure | None = None

    def __len__(self) -> int:
        return len(self.times_ms)


class RefCache:
    """Refs of series by their names and tags as sent, so that a known series costs one look-up and no sorting.

    Args:
        resolve: the gateway's.
        limit: how many series are remembered; at the limit the older half is forgotten.
    """

    def __init__(self, resolve: Callable[[str, str, Tags], int], limit: int = 65_536) -> None:
        self._resolve = resolve
        self._limit = limit
        self._refs: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._refs)

    async def refs(self, domain: str, parsed: ParsedWrite) -> Int32s:
        """Return the ref of every point (int32[n]); lets others run in between when the series are many."""
        found: list[int] = []
        for start in range(0, len(parsed.metrics), _SERIES_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            end = start + _SERIES_AT_ONCE
            found.extend(self._of_series(domain, parsed.metrics[start:end], parsed.tags[start:end]))
        return np.repeat(np.array(found, np.int32), parsed.counts)

    def _of_series(self, domain: str, metrics: Sequence[str], all_tags: Sequence[dict[str, str]]) -> list[int]:
        known = self._refs
        found = []
        for metric, tags in zip(metrics, all_tags, strict=True):
            # One text takes a third of the memory of a tuple of pairs.
            key = "\0".join((domain, metric, *tags, *tags.values()))
            ref = known.get(key)
            found.append(self._learn(key, domain, metric, tags) if ref is None else ref)
        return found

    def _learn(self, key: str, domain: str, metric: str, tags: dict[str, str]) -> int:
        ref = self._resolve(domain, metric, sorted_tags(tags))
        if key.count("\0") != 1 + 2 * len(tags):
            return ref  # a name holds the separator: the key could be another series' too
        if len(self._refs) >= self._limit:
            for old in list(self._refs)[: self._limit // 2]:
                del self._refs[old]
        self._refs[key] = ref
        return ref


def batch_of(parsed: ParsedWrite, refs: Int32s, now_ms: int) -> WriteBatch:
    """Make the batch of a parsed body; a time to live counts from `now_ms`."""
    expires_ms: Int64s | None = None
    if parsed.ttls_s is not None and any(parsed.ttls_s):
        ttls_ms = np.repeat(np.array(parsed.ttls_s, np.int64) * 1000, parsed.counts)
        expires_ms = np.where(ttls_ms > 0, now_ms + ttls_ms, 0)
    return WriteBatch(refs, parsed.times_ms, parsed.kinds, parsed.bits, parsed.texts, expires_ms)


class _Unsure(Exception):
    """The lenient reader must decide."""


class _Header:
    """The series of a body, gathered metric by metric."""

    __slots__ = ("counts", "metrics", "pairs", "strings", "tag_values", "tags", "ttls_s")

    def __init__(self) -> None:
        self.metrics: list[str] = []
        self.tags: list[dict[str, str]] = []
        self.counts: list[int] = []
        self.pairs: list[Sequence[Any]] = []
        self.ttls_s: list[int] = []
        self.tag_values: list[Any] = []
        self.strings = 0

    def add(self, metric: Any) -> None:
        """Take one metric object."""
        if type(metric) is not dict:
            raise _Unsure
        name = metric.get("name")
        tags = metric.get("tags")
        if type(name) is not str or not name or type(tags) is not dict or not tags or "" in tags:
            raise _Unsure
        known = 2
        before = len(self.pairs)
        self.strings += 1 + len(metric) + 2 * len(tags)
        if "timestamp" in metric:
            self.pairs.append((metric["timestamp"], _value_of(metric)))
            known += 2
        points = metric.get("datapoints")
        if points is not None:
            if type(points) is not list:
                raise _Unsure
            self.pairs.extend(points)
            known += 1
        ttl_s = 0 if known == len(metric) else self._rest(metric, before)
        self.metrics.append(name)
        self.tags.append(tags)
        self.tag_values.extend(tags.values())
        self.counts.append(len(self.pairs) - before)
        self.ttls_s.append(ttl_s)

    def _rest(self, metric: dict[str, Any], before: int) -> int:
        """Take the fields that are rarely there; return the time to live."""
        ttl_s = 0
        for key, value in metric.items():
            if key in ("name", "tags", "timestamp", "value", "datapoints"):
                if value is None or (key == "value" and "timestamp" not in metric):
                    raise _Unsure
            elif key == "ttl":
                if type(value) is not int or not 0 <= value <= _INT32_MAX:
                    raise _Unsure
                ttl_s = value
            elif key in ("type", "time", "skip_validate"):
                if key != "type" or value not in ("long", "double"):
                    raise _Unsure
                self.strings += 1
                self._convert(before, value)
            elif type(value) is str:
                self.strings += 1
            elif type(value) not in _FREE_VALUES:
                raise _Unsure
        return ttl_s

    def _convert(self, before: int, type_name: str) -> None:
        """Bring the points of the metric being read to the type it says."""
        own = self.pairs[before:]
        if any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in own):
            raise _Unsure
        wanted = {int} if type_name == "long" else {int, float}
        if not {type(pair[1]) for pair in own} <= wanted:
            raise _Unsure
        if type_name == "double":
            self.pairs[before:] = [(pair[0], float(pair[1])) for pair in own]


def _value_of(metric: dict[str, Any]) -> Any:
    value = metric.get("value")
    if value is None:
        raise _Unsure
    return value


def parse_bulk(body: bytes) -> ParsedWrite | None:
    """Read a body in bulk.

    Returns:
        What it holds, without any error; None when the lenient reader must decide.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    header = _Header()
    try:
        for metric in document if type(document) is list else (document,):
            header.add(metric)
        return _columns(header, body)
    except (_Unsure, OverflowError, TypeError, ValueError):
        # OverflowError: an integer beyond 64 bits; TypeError: a point without a length; ValueError: thousands of digits.
        return None


def _columns(header: _Header, body: bytes) -> ParsedWrite:
    if header.tag_values and (set(map(type, header.tag_values)) != _TEXTS or not all(header.tag_values)):
        raise _Unsure
    pairs = header.pairs
    flat: list[Any] = []
    if pairs:
        if set(map(len, pairs)) != _PAIR:
            raise _Unsure
        flat = list(chain.from_iterable(pairs))
    times = flat[0::2]
    values = flat[1::2]
    if times and set(map(type, times)) != _TIME:
        raise _Unsure
    value_types = set(map(type, values))
    if not value_types <= _PLAIN_VALUES:
        raise _Unsure
    if float in value_types and _has_bare_exponent(body):
        raise _Unsure
    kinds, bits, texts = _values(values, value_types)
    strings = header.strings + (sum(type(value) is str for value in values) if str in value_types else 0)
    if _quotes(body) != 2 * strings:
        raise _Unsure
    ttls_s = header.ttls_s if any(header.ttls_s) else None
    times_ms = np.fromiter(times, np.int64, len(times))
    return ParsedWrite(header.metrics, header.tags, header.counts, times_ms, kinds, bits, texts, ttls_s)


def _has_bare_exponent(body: bytes) -> bool:
    """Say whether a number may have an exponent and no point; text that looks like one counts too."""
    if len(body) < _SMALL_BYTES:
        return _ANY_BARE_EXPONENT.search(body) is not None
    codes = np.frombuffer(body, np.uint8)
    letters = np.flatnonzero((codes | 0x20) == ord("e"))
    before = codes[letters - 1]
    after = codes[np.minimum(letters + 1, len(codes) - 1)]
    follows_digit = (before - np.uint8(ord("0"))) < 10
    goes_on = ((after - np.uint8(ord("0"))) < 10) | (after == ord("+")) | (after == ord("-"))
    return any(
        _BARE_EXPONENT.search(body[max(0, at - _LONGEST_NUMBER) : at + 1]) is not None
        for at in letters[follows_digit & goes_on].tolist()
    )


def _quotes(body: bytes) -> int:
    """Count the quotes that begin or end a string."""
    count = body.count(b'"')
    if b"\\" in body:
        count -= _ESCAPED.findall(body).count(b'"')
    return count


def _values(values: list[Any], types: set[type]) -> tuple[UInt8s, Int64s, Sequence[bytes]]:
    """Convert values to columns of kinds and bits, with the table of texts."""
    if types <= {int}:
        return same_kind(Kind.LONG, len(values)), np.fromiter(values, np.int64, len(values)), ()
    if types == {float}:
        return same_kind(Kind.DOUBLE, len(values)), _double_bits(np.fromiter(values, np.float64, len(values))), ()
    if types == {int, float}:
        return *_mixed_numbers(values), ()
    return _loose_values(values)


def _double_bits(doubles: Float64s) -> Int64s:
    """Return the bit patterns of doubles, unless one may have been a long integer in the text."""
    if len(doubles) <= _FEW:
        if not all(-_INT64_LIMIT < double < _INT64_LIMIT for double in doubles.tolist()):
            raise _Unsure
    elif not bool((np.abs(doubles) < _INT64_LIMIT).all()):
        raise _Unsure
    return doubles.view(np.int64)


def _mixed_numbers(values: list[Any]) -> tuple[UInt8s, Int64s]:
    is_double: npt.NDArray[np.bool_] = np.fromiter((type(value) is float for value in values), np.bool_, len(values))
    bits = np.empty(len(values), np.int64)
    bits[is_double] = _double_bits(np.array([value for value in values if type(value) is float], np.float64))
    bits[~is_double] = np.array([value for value in values if type(value) is int], np.int64)
    return is_double.astype(np.uint8), bits


def _loose_values(values: list[Any]) -> tuple[UInt8s, Int64s, Sequence[bytes]]:
    """Convert values with texts or booleans among them, one by one."""
    kinds = np.full(len(values), Kind.TEXT, np.uint8)
    bits = np.zeros(len(values), np.int64)
    texts: list[bytes] = []
    for index, value in enumerate(values):
        if type(value) is str:
            value = number_of_text(value)
        elif type(value) is bool:
            value = b"true" if value else b"false"
        if type(value) is int:
            kinds[index] = Kind.LONG
            bits[index] = value
        elif type(value) is float:
            kinds[index] = Kind.DOUBLE
            bits[index] = _double_bits(np.array([value]))[0]
        else:
            bits[index] = len(texts)
            texts.append(value)
    return kinds, bits, texts


def number_of_text(text: str) -> int | float | bytes:
    """Return what a text without a type is: a long, a double, or the text itself as UTF-8."""
    if not text:
        raise _Unsure
    if NUMBER_TEXT.fullmatch(text) is None:
        return text.encode()
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise _Unsure from None
