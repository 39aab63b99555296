"""The compiled reader of put lines. Importing this module compiles it, or loads it from numba's cache.

One pass over a buffer: a line of the common spelling `put METRIC TIME VALUE TAGS` whose raw metric and tags are in the table
becomes one row of columns; any other line gets the ref UNKNOWN and is left to the dialect.

The table holds slots of three words in open addressing (linear probing): two halves of a 128-bit hash of the raw bytes, and
ref + 1 (0 = free). The hash is keyed with random numbers of this process, so that nobody can build lines that collide.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
from numba.types import Tuple, boolean, float64, int32, int64, uint8, uint64, void

from amondawa.kernels.compile import BYTES, first_byte, kernel, load_word
from amondawa.kernels.line_columns import ScannedLines, ScanRules
from amondawa.model.points import Float64s, Int32s, Int64s, UInt8s

UInt64s = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

ENTRIES = 1_500_000
"""series known at most; then the table starts anew"""
SLOT_WORDS = 3
_FIRST_SLOTS = 4_096
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_BLANKS = np.uint64(0x2020202020202020)
_PUT = np.uint64(int.from_bytes(b"put ", "little"))
_LOW_HALF = np.uint64(0xFFFFFFFF)
_ONES = np.uint64(0x0101010101010101)
_HIGHS = np.uint64(0x8080808080808080)
_POWERS = np.array([10.0**e for e in range(23)])
_EXACT_MANTISSA = 1 << 53
_EXACT_EXPONENT = 22
_MANTISSA_DIGITS = 18
_TIME_DIGITS = 13
_LONG = 0
_DOUBLE = 1
_OTHER = 255

_STATE = Tuple((uint64, uint64))
_NUMBER = Tuple((int64, int64, float64))


@kernel(uint64(BYTES, int64, int64))
def load_part(data: Bytes, at: int, count: int) -> Any:
    """Return 1 to 7 bytes as one little-endian word."""
    if at + 8 <= len(data):
        return load_word(data, at) & ((np.uint64(1) << np.uint64(8 * count)) - np.uint64(1))
    word = np.uint64(0)
    for i in range(count):
        word |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return word


@kernel(int64(BYTES, int64))
def find_newline(data: Bytes, at: int) -> int:
    """Return the offset of the first newline at or after `at`, or -1; looks at eight bytes at once."""
    size = len(data)
    while at + 8 <= size:
        word = load_word(data, at) ^ _NEWLINES
        zeros = (word - _ONES) & ~word & _HIGHS  # the lowest bit of all is certainly of a byte that is zero
        if zeros:
            return at + first_byte(zeros)
        at += 8
    while at < size:
        if data[at] == 10:
            return at
        at += 1
    return -1


@kernel(_STATE(BYTES, int64, int64, uint64, uint64, uint64[::1]))
def mix(data: Bytes, start: int, end: int, first: Any, second: Any, key: UInt64s) -> tuple[Any, Any]:
    """Mix the bytes of a range, then their count, into both halves of a hash."""
    at = start
    while at + 8 <= end:
        word = load_word(data, at)
        first = (first ^ word) * key[2]
        first ^= first >> np.uint64(32)
        second = (second ^ word) * key[3]
        second ^= second >> np.uint64(29)
        at += 8
    if at < end:
        word = load_part(data, at, end - at)
        first = (first ^ word) * key[2]
        first ^= first >> np.uint64(32)
        second = (second ^ word) * key[3]
        second ^= second >> np.uint64(29)
    count = np.uint64(end - start)
    first = (first ^ count) * key[4]
    second = (second ^ count) * key[5]
    return first ^ (first >> np.uint64(31)), second ^ (second >> np.uint64(33))


@kernel(int32(uint64[::1], uint64, uint64))
def look_up(slots: UInt64s, first: Any, second: Any) -> Any:
    """Return the ref stored under a hash, or -1."""
    mask = np.int64(len(slots) // SLOT_WORDS - 1)
    slot = np.int64(first & np.uint64(mask))
    while True:
        at = slot * SLOT_WORDS
        stored = slots[at + 2]
        if stored == np.uint64(0):
            return -1
        if slots[at] == first and slots[at + 1] == second:
            return np.int32(stored) - 1
        slot = (slot + 1) & mask


@kernel(boolean(uint64[::1], uint64, uint64, int64))
def place(slots: UInt64s, first: Any, second: Any, ref: Any) -> bool:
    """Store a ref under a hash; say whether the hash was new."""
    mask = np.int64(len(slots) // SLOT_WORDS - 1)
    slot = np.int64(first & np.uint64(mask))
    while True:
        at = slot * SLOT_WORDS
        fresh = slots[at + 2] == np.uint64(0)
        if fresh or (slots[at] == first and slots[at + 1] == second):
            slots[at] = first
            slots[at + 1] = second
            slots[at + 2] = np.uint64(ref + 1)
            return bool(fresh)
        slot = (slot + 1) & mask


@kernel(boolean(uint64[::1], uint64[::1], BYTES, int64, int64))
def insert(slots: UInt64s, key: UInt64s, raw: Bytes, metric_size: int, ref: int) -> bool:
    """Store a ref under the hash of a metric (the first bytes of `raw`) and its tags; say whether it was new."""
    first, second = mix(raw, 0, metric_size, key[0], key[1], key)
    first, second = mix(raw, metric_size, len(raw), first, second, key)
    return place(slots, first, second, ref)


@kernel(void(uint64[::1], uint64[::1]))
def rehash(old: UInt64s, new: UInt64s) -> None:
    """Copy every entry into another table."""
    for slot in range(len(old) // SLOT_WORDS):
        at = slot * SLOT_WORDS
        if old[at + 2] != np.uint64(0):
            place(new, old[at], old[at + 1], np.int64(old[at + 2]) - 1)


@kernel(int64(BYTES, int64, int64))
def read_time(data: Bytes, start: int, end: int) -> int:
    """Return 1 to 13 digits as a number; 0 when it is anything else."""
    if end <= start or end - start > _TIME_DIGITS:
        return 0
    time = 0
    for i in range(start, end):
        digit: Any = np.int64(data[i]) - 48
        if digit < 0 or digit > 9:
            return 0
        time = time * 10 + digit
    return time


@kernel(int64(BYTES, int64, int64))
def read_exponent(data: Bytes, start: int, end: int) -> int:
    """Return a signed exponent of up to three digits; 1000 when it is anything else."""
    negative = False
    if start < end and (data[start] == 45 or data[start] == 43):
        negative = data[start] == 45
        start += 1
    if start >= end or end - start > 3:
        return 1000
    exponent = 0
    for i in range(start, end):
        digit: Any = np.int64(data[i]) - 48
        if digit < 0 or digit > 9:
            return 1000
        exponent = exponent * 10 + digit
    return -exponent if negative else exponent


@kernel(_NUMBER(BYTES, int64, int64, boolean))
def read_value(data: Bytes, start: int, end: int, exponent_needs_point: bool) -> tuple[int, int, float]:
    """Return kind, long and double of a decimal number that is certainly exact; kind 255 for anything else."""
    other = (_OTHER, 0, 0.0)
    at = start
    negative = at < end and data[at] == 45
    if negative:
        at += 1
    mantissa = 0
    digits = 0
    fraction = 0
    pointed = False
    while at < end:
        digit: Any = np.int64(data[at]) - 48
        if 0 <= digit <= 9:
            mantissa = mantissa * 10 + digit
            digits += 1
            if pointed:
                fraction += 1
            if digits > _MANTISSA_DIGITS:
                return other
        elif data[at] == 46 and not pointed:
            pointed = True
        else:
            break
        at += 1
    if digits == 0:
        return other
    if at == end and not pointed:
        return (_LONG, -mantissa if negative else mantissa, 0.0)
    exponent = -fraction
    if at < end:
        if (data[at] != 101 and data[at] != 69) or (exponent_needs_point and not pointed):
            return other
        exponent += read_exponent(data, at + 1, end)
    if mantissa > _EXACT_MANTISSA or exponent > _EXACT_EXPONENT or exponent < -_EXACT_EXPONENT:
        return other
    number = np.float64(mantissa)
    number = number * _POWERS[exponent] if exponent >= 0 else number / _POWERS[-exponent]
    return (_DOUBLE, 0, -number if negative else number)


@kernel(int64(BYTES, uint8))
def count_byte(data: Bytes, byte: int) -> int:
    """Count one byte: eight times as fast as `bytes.count` where it stands every 100 bytes."""
    count = 0
    for at in range(len(data)):
        count += data[at] == byte
    return count


@kernel(int64(BYTES, int64))
def find_break(data: Bytes, at: int) -> int:
    """Return the offset of the first space or newline at or after `at`, or the size of the buffer."""
    size = len(data)
    while at + 8 <= size:
        word = load_word(data, at)
        blank, newline = word ^ _BLANKS, word ^ _NEWLINES
        zeros = ((blank - _ONES) & ~blank | (newline - _ONES) & ~newline) & _HIGHS
        if zeros:
            return at + first_byte(zeros)
        at += 8
    while at < size and data[at] != 32 and data[at] != 10:
        at += 1
    return at


@kernel(
    void(
        BYTES,
        uint64[::1],
        uint64[::1],
        int64,
        boolean,
        int64,
        int32[::1],
        int64[::1],
        uint8[::1],
        int64[::1],
        float64[::1],
        int64[::1],
        int64[::1],
    )
)
def scan_lines(
    data: Bytes,
    slots: UInt64s,
    key: UInt64s,
    seconds_below: int,
    exponent_needs_point: bool,
    longest: int,
    refs: Int32s,
    times_ms: Int64s,
    kinds: UInt8s,
    bits: Int64s,
    numbers: Float64s,
    starts: Int64s,
    ends: Int64s,
) -> None:
    """Fill one row per line; `numbers` is the same memory as `bits`."""
    at = 0
    size = len(data)
    hashes = np.empty((len(refs), 2), np.uint64)
    for row in range(len(refs)):
        start = at
        metric_end, time_end, value_end = at, at, at
        if start + 8 <= size and load_word(data, start) & _LOW_HALF == _PUT:
            metric_end = find_break(data, start + 4)
            time_end = find_break(data, metric_end + 1) if data[metric_end] == 32 else metric_end
            value_end = find_break(data, time_end + 1) if data[time_end] == 32 else time_end
        newline = find_newline(data, value_end)
        end = newline - 1 if newline > start and data[newline - 1] == 13 else newline
        starts[row] = start
        ends[row] = end
        refs[row] = -1
        at = newline + 1
        if value_end == start or value_end >= end or end - start > longest:
            continue
        time = read_time(data, metric_end + 1, time_end)
        if time == 0:
            continue
        kind, whole, number = read_value(data, time_end + 1, value_end, exponent_needs_point)
        if kind == _OTHER:
            continue
        first, second = mix(data, start + 4, metric_end, key[0], key[1], key)
        first, second = mix(data, value_end + 1, end, first, second, key)
        hashes[row, 0] = first
        hashes[row, 1] = second
        refs[row] = 0
        times_ms[row] = time * 1000 if time < seconds_below else time
        kinds[row] = kind
        if kind == _LONG:
            bits[row] = whole
        else:
            numbers[row] = number
    for row in range(len(refs)):  # on its own, so that the processor fetches many slots at once
        if refs[row] == 0:
            refs[row] = look_up(slots, hashes[row, 0], hashes[row, 1])


def _fresh_key() -> UInt64s:
    """Return two random start values and four random odd multipliers (uint64[6])."""
    key = np.frombuffer(os.urandom(48), np.uint64).copy()
    key[2:] |= np.uint64(1)
    return key


class CompiledTable:
    """The kernel with its table of series; see LineTable.

    Args:
        rules: the dialect's rules.
        entries: series known at most.
    """

    def __init__(self, rules: ScanRules, entries: int = ENTRIES) -> None:
        self._rules = rules
        self._entries = entries
        self._key = _fresh_key()
        self._slots = np.zeros(_FIRST_SLOTS * SLOT_WORDS, np.uint64)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def clear(self) -> None:
        """Forget all series and give their memory back."""
        self._slots = np.zeros(_FIRST_SLOTS * SLOT_WORDS, np.uint64)
        self._used = 0

    def add(self, metric: bytes, tags: bytes, ref: int) -> None:
        """Learn a series; see LineTable."""
        if self._used >= self._entries:
            self.clear()
        if self._used * SLOT_WORDS * 4 >= len(self._slots) * 3:
            grown = np.zeros(len(self._slots) * 2, np.uint64)
            rehash(self._slots, grown)
            self._slots = grown
        raw = np.frombuffer(metric + tags, np.uint8)
        self._used += insert(self._slots, self._key, raw, len(metric), ref)

    def scan(self, data: bytes) -> ScannedLines:
        """Read whole lines; see LineTable."""
        codes: Any = np.frombuffer(data, np.uint8)
        out = ScannedLines.room_for(count_byte(codes, 10))
        if len(out):
            scan_lines(
                codes,
                self._slots,
                self._key,
                self._rules.seconds_below,
                self._rules.exponent_needs_point,
                self._rules.longest,
                out.refs,
                out.times_ms,
                out.kinds,
                out.bits,
                out.bits.view(np.float64),
                out.starts,
                out.ends,
            )
        return out
