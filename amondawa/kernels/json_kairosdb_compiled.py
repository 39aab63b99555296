"""The compiled reader of KairosDB's write bodies. Importing this module compiles it, or loads it from numba's cache.

One pass over `[{"name":"m","timestamp":1,"value":2.5,"tags":{"k":"v"}}, {"name":"n","datapoints":[[1,2],[3,4.5]], …}]` or
one such object, fields in any order, with or without blanks between the signs, with `ttl` and with `type` long or double. Any
other field, an escape, a number as text, an exponent without a point or a field that comes twice makes the whole body
unusual: it is left to the dialect. A series is found by its domain and the raw bytes of its name and tags, as lines_compiled
does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba.types import Tuple, boolean, float64, int32, int64, uint8, uint64, void

from amondawa.kernels.compile import BYTES, kernel, load_word
from amondawa.kernels.json_kairosdb import PLACE_BITS, ScannedMetrics
from amondawa.kernels.json_scan_compiled import (
    DOUBLE,
    LONG,
    UNUSUAL,
    end_of_object,
    end_of_text,
    read_number,
    skip_blanks,
    skip_sign,
)
from amondawa.kernels.lines_compiled import SLOT_WORDS, Bytes, UInt64s, load_part, look_up, mix, place, rehash
from amondawa.kernels.lines_compiled import CompiledTable as LineTable
from amondawa.model.points import Float64s, Int32s, Int64s, Kind, UInt8s, same_kind

_NAME, _TAGS, _TIME, _VALUE, _POINTS, _TTL, _TYPE = (1 << bit for bit in range(7))
_HEADER = _NAME | _TAGS
_FORMS = _TIME | _VALUE | _POINTS
_SINGLE = _TIME | _VALUE
_LONGEST_TTL = 2**31 - 1
_INEXACT_BIT = 2
_ALL_LONG = 1 << LONG
_ALL_DOUBLE = 1 << DOUBLE


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text[:8], "little"))


_NAME_WORD, _TAGS_WORD, _TTL_WORD, _TYPE_WORD = map(_word, (b"name", b"tags", b"ttl", b"type"))
_VALUE_WORD, _TIME_WORD, _POINTS_WORD = map(_word, (b"value", b"timestamp", b"datapoints"))
_LONG_WORD, _DOUBLE_WORD = map(_word, (b"long", b"double"))


@kernel(int64(BYTES, int64, int64))
def field_of(data: Bytes, start: int, end: int) -> int:
    """Return the bit of a field by its name; 0 for any that makes a body unusual."""
    size = end - start
    if size < 3 or size > 10:
        return 0
    word = load_part(data, start, size) if size < 8 else load_word(data, start)
    if size == 4:
        if word == _NAME_WORD:
            return _NAME
        if word == _TAGS_WORD:
            return _TAGS
        return _TYPE if word == _TYPE_WORD else 0
    if size == 5:
        return _VALUE if word == _VALUE_WORD else 0
    if size == 9:
        return _TIME if word == _TIME_WORD and data[start + 8] == 112 else 0
    if size == 10:
        return _POINTS if word == _POINTS_WORD and data[start + 8] == 116 and data[start + 9] == 115 else 0
    return _TTL if size == 3 and word == _TTL_WORD else 0


@kernel(int64(BYTES, int64, int64, int64[::1]))
def read_moment(data: Bytes, at: int, row: int, times_ms: Int64s) -> int:
    """Read a whole number as a point's time; return the offset behind it, or -1."""
    end, kind, whole, _ = read_number(data, at)
    if kind != LONG or row >= len(times_ms):
        return UNUSUAL
    times_ms[row] = whole
    return end


@kernel(int64(BYTES, int64, int64, uint8[::1], int64[::1], float64[::1]))
def read_value(data: Bytes, at: int, row: int, kinds: UInt8s, bits: Int64s, numbers: Float64s) -> int:
    """Read a point's value; return the offset behind it, or -1. `numbers` is the same memory as `bits`."""
    end, kind, whole, number = read_number(data, at)
    if end < 0 or row >= len(kinds) or end - at >= 1 << PLACE_BITS:
        return UNUSUAL
    kinds[row] = kind
    if kind == LONG:
        bits[row] = whole
    elif kind == DOUBLE:
        numbers[row] = number
    else:
        bits[row] = (at << PLACE_BITS) + end - at
    return end


@kernel(Tuple((int64, int64))(BYTES, int64, int64, int64[::1], uint8[::1], int64[::1], float64[::1]))
def read_pairs(
    data: Bytes, at: int, row: int, times_ms: Int64s, kinds: UInt8s, bits: Int64s, numbers: Float64s
) -> tuple[int, int]:
    """Read a list of pairs, `at` its bracket; return the offset behind it, or -1, and the row behind its last one."""
    unusual = (UNUSUAL, row)
    at = skip_sign(data, at, 91)
    if at < 0 or at >= len(data):
        return unusual
    if data[at] == 93:
        return at + 1, row
    while True:
        at = skip_sign(data, at, 91)
        if at < 0:
            return unusual
        at = read_moment(data, at, row, times_ms)
        if at < 0:
            return unusual
        at = skip_sign(data, at, 44)
        if at < 0:
            return unusual
        at = read_value(data, at, row, kinds, bits, numbers)
        if at < 0:
            return unusual
        row += 1
        at = skip_sign(data, at, 93)
        if at < 0 or at >= len(data):
            return unusual
        if data[at] == 93:
            return at + 1, row
        at = skip_sign(data, at, 44)
        if at < 0:
            return unusual


@kernel(int64(BYTES, int64, int64, int64, int64[:, ::1]))
def read_header_field(data: Bytes, at: int, field: int, row: int, series: Int64s) -> int:
    """Read a name, tags or a time to live; return the offset behind it, or -1."""
    if field == _NAME:
        end = end_of_text(data, at + 1) if data[at] == 34 else UNUSUAL
        series[row, 0] = at + 1
        series[row, 1] = end
        return end + 1 if end >= 0 else UNUSUAL
    if field == _TAGS:
        end = end_of_object(data, at) if data[at] == 123 else UNUSUAL
        series[row, 2] = at
        series[row, 3] = end
        return end
    end, kind, whole, _ = read_number(data, at)
    series[row, 5] = whole
    return end if kind == LONG and 0 <= whole <= _LONGEST_TTL else UNUSUAL


@kernel(int64(BYTES, int64, int64))
def type_of(data: Bytes, start: int, end: int) -> int:
    """Return the kind that a type's name says, -1 for any but long and double."""
    if end - start == 4 and load_part(data, start, 4) == _LONG_WORD:
        return LONG
    return DOUBLE if end - start == 6 and load_part(data, start, 6) == _DOUBLE_WORD else UNUSUAL


@kernel(boolean(int64, int64, int64, uint8[::1], int64[::1], float64[::1]))
def convert(kind: int, first: int, end: int, kinds: UInt8s, bits: Int64s, numbers: Float64s) -> bool:
    """Bring rows to a kind; say whether that changed no double into a long."""
    for row in range(first, end):
        if kind == DOUBLE and kinds[row] == LONG:
            numbers[row] = np.float64(bits[row])
            kinds[row] = DOUBLE
        elif kinds[row] != kind and kind == LONG:
            return False
    return True


@kernel(int64(BYTES, int64, int64, int64, int64[:, ::1], int64[::1], uint8[::1], int64[::1], float64[::1]))
def read_metric(
    data: Bytes,
    at: int,
    row: int,
    first: int,
    series: Int64s,
    times_ms: Int64s,
    kinds: UInt8s,
    bits: Int64s,
    numbers: Float64s,
) -> int:
    """Read a metric object, `at` behind its brace, its points from row `first` on; return the offset behind it, or -1."""
    seen = 0
    kind = UNUSUAL
    end = first
    series[row, 5] = 0
    while True:
        at = skip_blanks(data, at)
        name_end = end_of_text(data, at + 1) if at < len(data) and data[at] == 34 else UNUSUAL
        if name_end < 0:
            return UNUSUAL
        field = field_of(data, at + 1, name_end)
        if field == 0 or seen & field:
            return UNUSUAL
        seen |= field
        at = skip_sign(data, name_end + 1, 58)
        if at < 0 or at >= len(data):
            return UNUSUAL
        if field == _TIME:
            at = read_moment(data, at, first, times_ms)
        elif field == _VALUE:
            at = read_value(data, at, first, kinds, bits, numbers)
        elif field == _POINTS:
            at, end = read_pairs(data, at, first, times_ms, kinds, bits, numbers)
        elif field == _TYPE:
            start = at + 1
            at = end_of_text(data, start) + 1 if data[at] == 34 else UNUSUAL
            kind = type_of(data, start, at - 1)
            if kind < 0:
                return UNUSUAL
        else:
            at = read_header_field(data, at, field, row, series)
        if at < 0:
            return UNUSUAL
        at = skip_blanks(data, at)
        if at >= len(data) or data[at] != 44:
            break
        at += 1
    forms = seen & _FORMS
    if at >= len(data) or data[at] != 125 or seen & _HEADER != _HEADER or (forms != _SINGLE and forms != _POINTS):
        return UNUSUAL
    if forms == _SINGLE:
        end = first + 1
    series[row, 4] = end - first
    return at + 1 if kind < 0 or convert(kind, first, end, kinds, bits, numbers) else UNUSUAL


@kernel(void(BYTES, int64[::1]))
def count_signs(data: Bytes, counts: Int64s) -> None:
    """Count opening brackets and braces: a body has no more points and series than they allow."""
    brackets = 0
    braces = 0
    for at in range(len(data)):
        brackets += data[at] == 91
        braces += data[at] == 123
    counts[0] = brackets
    counts[1] = braces


@kernel(int64(BYTES, int64[:, ::1], int64[::1], uint8[::1], int64[::1], float64[::1]))
def read_body(data: Bytes, series: Int64s, times_ms: Int64s, kinds: UInt8s, bits: Int64s, numbers: Float64s) -> int:
    """Fill one row a series and one row a point; return the number of series, -1 for an unusual body."""
    at = skip_blanks(data, 0)
    many = at < len(data) and data[at] == 91
    if many:
        at += 1
    row = 0
    first = 0
    while True:
        at = skip_sign(data, at, 123)
        if at < 0 or row >= len(series):
            return UNUSUAL
        at = read_metric(data, at, row, first, series, times_ms, kinds, bits, numbers)
        if at < 0:
            return UNUSUAL
        first += series[row, 4]
        row += 1
        at = skip_blanks(data, at)
        if not many or at >= len(data) or data[at] != 44:
            break
        at += 1
    if many:
        at = skip_sign(data, at, 93)
    return row if at == len(data) else UNUSUAL


@kernel(
    int64(
        BYTES, BYTES, uint64[::1], uint64[::1], int32[::1], uint64[:, ::1], int64[:, ::1], int64[::1], uint8[::1],
        int64[::1], float64[::1], int64[::1],
    )
)  # fmt: skip
def scan_metrics(
    data: Bytes,
    domain: Bytes,
    slots: UInt64s,
    key: UInt64s,
    refs: Int32s,
    hashes: UInt64s,
    series: Int64s,
    times_ms: Int64s,
    kinds: UInt8s,
    bits: Int64s,
    numbers: Float64s,
    summary: Int64s,
) -> int:
    """Read a body and look its series up; return the number of series, -1 for an unusual body.

    `summary` gets the number of points, a bit for every kind among them, whether a series is unknown and whether one has a
    time to live.
    """
    count = read_body(data, series, times_ms, kinds, bits, numbers)
    if count < 0:
        return count
    points = 0
    expiring = 0
    start_first, start_second = mix(domain, 0, len(domain), key[0], key[1], key)
    for row in range(count):
        first, second = mix(data, series[row, 0], series[row, 1], start_first, start_second, key)
        first, second = mix(data, series[row, 2], series[row, 3], first, second, key)
        hashes[row, 0] = first
        hashes[row, 1] = second
        points += series[row, 4]
        expiring |= series[row, 5]
    unknown = 0
    for row in range(count):  # on its own, so that the processor fetches many slots at once
        refs[row] = look_up(slots, hashes[row, 0], hashes[row, 1])
        unknown |= refs[row] < 0
    seen = 0
    for row in range(points):
        kind: Any = np.int64(kinds[row])
        seen |= 1 << (kind if kind < _INEXACT_BIT else _INEXACT_BIT)
    summary[0] = points
    summary[1] = seen
    summary[2] = unknown
    summary[3] = expiring > 0
    return count


@kernel(int64(uint64[::1], uint64[:, ::1], int64[::1], int32[::1]))
def learn_hashes(slots: UInt64s, hashes: UInt64s, rows: Int64s, refs: Int32s) -> int:
    """Store the refs of some rows under their hashes; return how many hashes were new."""
    fresh = 0
    for row in rows:
        fresh += place(slots, hashes[row, 0], hashes[row, 1], refs[row])
    return fresh


class CompiledTable(LineTable):
    """The kernel with its table of series by domain and the raw bytes of name and tags."""

    def scan_metrics(self, body: bytes, domain: bytes) -> ScannedMetrics | None:
        """Read a whole body; None when it is unusual. May run in any thread while another one learns."""
        data: Any = np.frombuffer(body, np.uint8)
        summary = np.zeros(4, np.int64)
        count_signs(data, summary)
        brackets, braces = summary.item(0), summary.item(1)
        room, series_room = brackets + braces // 2, braces // 2
        series = np.empty((series_room, 6), np.int64)
        hashes = np.empty((series_room, 2), np.uint64)
        refs = np.empty(series_room, np.int32)
        times_ms, kinds, bits = np.empty(room, np.int64), np.empty(room, np.uint8), np.empty(room, np.int64)
        named: Any = np.frombuffer(domain, np.uint8)
        numbers = bits.view(np.float64)
        count = scan_metrics(
            data, named, self._slots, self._key, refs, hashes, series, times_ms, kinds, bits, numbers, summary
        )
        if count < 0:
            return None
        points, seen, unknown, expiring = summary.tolist()
        return ScannedMetrics(
            refs[:count],
            series[:count],
            hashes[:count],
            times_ms[:points],
            _narrowed(kinds[:points], seen),
            bits[:points],
            not unknown,
            seen <= _ALL_LONG + _ALL_DOUBLE,
            bool(expiring),
        )

    def learn(self, scanned: ScannedMetrics, rows: Int64s) -> None:
        """Remember the series of some rows by their refs; only ever called by one thread at a time."""
        if self._used + len(rows) > self._entries:
            self.clear()
        slots = self._slots
        while (self._used + len(rows)) * SLOT_WORDS * 4 >= len(slots) * 3:
            slots = np.zeros(len(slots) * 2, np.uint64)
        if slots is not self._slots:
            rehash(self._slots, slots)
        self._used += learn_hashes(slots, scanned.hashes, rows, scanned.refs)
        self._slots = slots


def _narrowed(kinds: UInt8s, seen: int) -> npt.NDArray[np.uint8]:
    """Return a column that takes no memory when all points are of one exact kind."""
    if seen == _ALL_LONG:
        return same_kind(Kind.LONG, len(kinds))
    return same_kind(Kind.DOUBLE, len(kinds)) if seen == _ALL_DOUBLE else kinds
