"""The compiled reader of JSON arrays of points. Importing this module compiles it, or loads it from numba's cache.

One pass over `[{"metric":"m","timestamp":1,"value":2.5,"tags":{"k":"v"}}, …]`, fields in any order, with or without blanks
between the signs. Any other field, an escape, a number as text or a field that comes twice makes the whole body unusual: it
is left to the dialect. A series is found by the raw bytes of its metric and tags, as lines_compiled does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.types import float64, int32, int64, uint8, uint64

from amondawa.kernels.compile import BYTES, kernel
from amondawa.kernels.lines_compiled import Bytes, UInt64s, count_byte, look_up, mix, read_time, read_value
from amondawa.kernels.lines_compiled import CompiledTable as LineTable
from amondawa.model.points import Float64s, Int32s, Int64s, UInt8s

UNKNOWN = -1
"""the ref of a series that the table does not hold"""
INEXACT = 255
"""the kind of a number that the dialect must read itself"""
OFFSETS = 6
"""columns of offsets: metric, tags and value, first byte and the byte behind each"""

_LONG = 0
_UNUSUAL = -1
_ALL_FIELDS = 15


@kernel(int64(BYTES, int64))
def skip_blanks(data: Bytes, at: int) -> int:
    """Return the offset of the first byte that is no blank, or the size."""
    while at < len(data) and (data[at] == 32 or data[at] == 10 or data[at] == 13 or data[at] == 9):
        at += 1
    return at


@kernel(int64(BYTES, int64))
def end_of_text(data: Bytes, at: int) -> int:
    """Return the offset of the quote that ends a text without escapes and control characters, or -1."""
    while at < len(data):
        byte = data[at]
        if byte == 34:
            return at
        if byte == 92 or byte < 32:
            return _UNUSUAL
        at += 1
    return _UNUSUAL


@kernel(int64(BYTES, int64))
def end_of_object(data: Bytes, at: int) -> int:
    """Return the offset behind an object without inner ones, `at` its brace; -1 when it is not that plain."""
    at += 1
    while at < len(data):
        byte = data[at]
        if byte == 34:
            at = end_of_text(data, at + 1)
            if at < 0:
                return _UNUSUAL
        elif byte == 125:
            return at + 1
        elif byte == 123 or byte == 91:
            return _UNUSUAL
        at += 1
    return _UNUSUAL


@kernel(int64(BYTES, int64))
def end_of_number(data: Bytes, start: int) -> int:
    """Return the offset behind a number in JSON's spelling; -1 when there is none."""
    at = start
    if at < len(data) and data[at] == 45:
        at += 1
    if at >= len(data) or data[at] < 48 or data[at] > 57:
        return _UNUSUAL
    if data[at] == 48 and at + 1 < len(data) and 48 <= data[at + 1] <= 57:
        return _UNUSUAL
    while at < len(data) and 48 <= data[at] <= 57:
        at += 1
    if at < len(data) and data[at] == 46:
        at += 1
        if at >= len(data) or data[at] < 48 or data[at] > 57:
            return _UNUSUAL
        while at < len(data) and 48 <= data[at] <= 57:
            at += 1
    if at < len(data) and (data[at] == 101 or data[at] == 69):
        at += 1
        if at < len(data) and (data[at] == 43 or data[at] == 45):
            at += 1
        if at >= len(data) or data[at] < 48 or data[at] > 57:
            return _UNUSUAL
        while at < len(data) and 48 <= data[at] <= 57:
            at += 1
    return at


@kernel(int64(BYTES, int64, int64))
def field_of(data: Bytes, start: int, end: int) -> int:
    """Return the bit of a field by its name: metric 1, timestamp 2, value 4, tags 8; 0 for any other."""
    size = end - start
    if size == 6 and data[start] == 109 and data[start + 1] == 101 and data[start + 5] == 99:
        return 1 if data[start + 2] == 116 and data[start + 3] == 114 and data[start + 4] == 105 else 0
    if size == 5 and data[start] == 118 and data[start + 1] == 97 and data[start + 4] == 101:
        return 4 if data[start + 2] == 108 and data[start + 3] == 117 else 0
    if size == 4 and data[start] == 116 and data[start + 1] == 97:
        return 8 if data[start + 2] == 103 and data[start + 3] == 115 else 0
    if (
        size == 9
        and data[start] == 116
        and data[start + 1] == 105
        and data[start + 2] == 109
        and data[start + 3] == 101
    ):
        last = data[start + 4] == 115 and data[start + 5] == 116 and data[start + 6] == 97
        return 2 if last and data[start + 7] == 109 and data[start + 8] == 112 else 0
    return 0


@kernel(int64(BYTES, int64, int64, int64[:, ::1], int64[::1]))
def read_fields(data: Bytes, at: int, row: int, offsets: Int64s, times: Int64s) -> int:
    """Read the fields of a point, `at` behind its brace; return the offset behind its last one, or -1."""
    seen = 0
    while True:
        at = skip_blanks(data, at)
        if at >= len(data) or data[at] != 34:
            return _UNUSUAL
        name_end = end_of_text(data, at + 1)
        if name_end < 0:
            return _UNUSUAL
        field = field_of(data, at + 1, name_end)
        if field == 0 or seen & field:
            return _UNUSUAL
        seen |= field
        at = skip_blanks(data, name_end + 1)
        if at >= len(data) or data[at] != 58:
            return _UNUSUAL
        at = skip_blanks(data, at + 1)
        if at >= len(data):
            return _UNUSUAL
        start = at
        if field == 1:
            end = end_of_text(data, at + 1) if data[at] == 34 else _UNUSUAL
            offsets[row, 0] = at + 1
            offsets[row, 1] = end
            at = end + 1
        elif field == 8:
            end = end_of_object(data, at) if data[at] == 123 else _UNUSUAL
            offsets[row, 2] = at
            offsets[row, 3] = end
            at = end
        else:
            end = end_of_number(data, at)
            at = end
            if field == 2:
                times[row] = read_time(data, start, end)
                if times[row] == 0:
                    return _UNUSUAL
            else:
                offsets[row, 4] = start
                offsets[row, 5] = end
        if end < 0:
            return _UNUSUAL
        at = skip_blanks(data, at)
        if at < len(data) and data[at] == 44:
            at += 1
        elif at < len(data) and data[at] == 125 and seen == _ALL_FIELDS:
            return at + 1
        else:
            return _UNUSUAL


@kernel(
    int64(
        BYTES, uint64[::1], uint64[::1], int64, int32[::1], int64[::1], uint8[::1], int64[::1], float64[::1],
        int64[:, ::1],
    )
)  # fmt: skip
def scan_points(
    data: Bytes,
    slots: UInt64s,
    key: UInt64s,
    seconds_below: int,
    refs: Int32s,
    times_ms: Int64s,
    kinds: UInt8s,
    bits: Int64s,
    numbers: Float64s,
    offsets: Int64s,
) -> int:
    """Fill one row a point; return the number of points, -1 for an unusual body.

    `numbers` is the same memory as `bits`.
    """
    at = skip_blanks(data, 0)
    if at >= len(data) or data[at] != 91:
        return _UNUSUAL
    hashes = np.empty((len(refs), 2), np.uint64)
    count = 0
    while True:
        at = skip_blanks(data, at + 1)  # behind the bracket or the comma
        if count >= len(refs) or at >= len(data) or data[at] != 123:
            return _UNUSUAL
        at = read_fields(data, at + 1, count, offsets, times_ms)
        if at < 0:
            return _UNUSUAL
        kind, whole, number = read_value(data, offsets[count, 4], offsets[count, 5], False)
        kinds[count] = kind
        if kind == _LONG:
            bits[count] = whole
        else:
            numbers[count] = number
        first, second = mix(data, offsets[count, 0], offsets[count, 1], key[0], key[1], key)
        first, second = mix(data, offsets[count, 2], offsets[count, 3], first, second, key)
        hashes[count, 0] = first
        hashes[count, 1] = second
        if times_ms[count] < seconds_below:
            times_ms[count] *= 1000
        count += 1
        at = skip_blanks(data, at)
        if at >= len(data) or (data[at] != 44 and data[at] != 93):
            return _UNUSUAL
        if data[at] == 93:
            break
    if skip_blanks(data, at + 1) < len(data):
        return _UNUSUAL
    for row in range(count):  # on its own, so that the processor fetches many slots at once
        refs[row] = look_up(slots, hashes[row, 0], hashes[row, 1])
    return count


@dataclass(frozen=True, slots=True, eq=False)
class ScannedPoints:
    """Columns of n points, in order.

    Attributes:
        refs: int32[n]; UNKNOWN where the table does not hold the series.
        times_ms, kinds, bits: int64[n], uint8[n], int64[n], as in a WriteBatch; INEXACT kinds have no bits.
        offsets: int64[n, 6]: where metric (without quotes), tags and value begin and end in the body.
    """

    refs: Int32s
    times_ms: Int64s
    kinds: UInt8s
    bits: Int64s
    offsets: Int64s


class CompiledTable(LineTable):
    """The kernel with its table of series by the raw bytes of metric and tags."""

    def scan_points(self, body: bytes) -> ScannedPoints | None:
        """Read a whole body; None when it is unusual."""
        data: Any = np.frombuffer(body, np.uint8)
        room = count_byte(data, 123) // 2  # a point has its own brace and that of its tags
        refs = np.empty(room, np.int32)
        times_ms, bits = np.empty(room, np.int64), np.empty(room, np.int64)
        kinds, offsets = np.empty(room, np.uint8), np.empty((room, OFFSETS), np.int64)
        below = self._rules.seconds_below
        numbers = bits.view(np.float64)
        count = scan_points(data, self._slots, self._key, below, refs, times_ms, kinds, bits, numbers, offsets)
        if count < 1:
            return None
        return ScannedPoints(refs[:count], times_ms[:count], kinds[:count], bits[:count], offsets[:count])
