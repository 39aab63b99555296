"""Compiled pieces for reading JSON: blanks, texts eight bytes at once, and numbers that are certainly exact.

Importing this module compiles them, or loads them from numba's cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.types import Tuple, float64, int64, uint64

from amondawa.kernels.compile import BYTES, kernel, load_word
from amondawa.kernels.lines_compiled import Bytes, read_exponent

UNUSUAL = -1
"""instead of an offset: what stands there is not of the plain kind"""
LONG = 0
DOUBLE = 1
INEXACT = 255
"""the kind of a double whose nearest value is not certain"""

_ONES = np.uint64(0x0101010101010101)
_HIGHS = np.uint64(0x8080808080808080)
_BLANKS = np.uint64(0x2020202020202020)
_QUOTES = np.uint64(0x2222222222222222)
_BACKSLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)
_ONE = np.uint64(1)
_TOP_BYTE = np.uint64(56)
_POWERS = np.array([10.0**e for e in range(23)])
_EXACT_MANTISSA = 1 << 53
_EXACT_EXPONENT = 22
_MANTISSA_DIGITS = 18
_SPLITTER = 134217729.0
_DOUBT = 2.0**-48
_NUMBER = Tuple((int64, int64, int64, float64))
_LEFT = (UNUSUAL, INEXACT, 0, 0.0)


@kernel(int64(BYTES, int64))
def skip_blanks(data: Bytes, at: int) -> int:
    """Return the offset of the first byte that is no blank, or the size."""
    while at < len(data) and data[at] <= 32:
        if data[at] != 32 and data[at] != 10 and data[at] != 13 and data[at] != 9:
            return at
        at += 1
    return at


@kernel(int64(BYTES, int64, int64))
def skip_sign(data: Bytes, at: int, sign: int) -> int:
    """Return the offset of what follows blanks, a sign and blanks; UNUSUAL when another sign stands there."""
    at = skip_blanks(data, at)
    if at >= len(data) or data[at] != sign:
        return UNUSUAL
    return skip_blanks(data, at + 1)


@kernel(uint64(uint64))
def zero_bytes(word: Any) -> Any:
    """Return a word with the high bit set in the lowest byte that is zero (and maybe in bytes above that)."""
    return (word - _ONES) & ~word & _HIGHS


@kernel(int64(BYTES, int64))
def end_of_text(data: Bytes, at: int) -> int:
    """Return the offset of the quote that ends a text without escapes and control characters, or UNUSUAL."""
    while at + 8 <= len(data):
        word = load_word(data, at)
        found = zero_bytes(word ^ _QUOTES) | zero_bytes(word ^ _BACKSLASHES) | ((word - _BLANKS) & ~word & _HIGHS)
        if found:
            # The lowest bit is the high bit of the first such byte: count the bytes up to it.
            end: Any = at + np.int64(((((found & (~found + _ONE)) - _ONE) & _ONES) * _ONES) >> _TOP_BYTE) - 1
            return end if data[end] == 34 else UNUSUAL
        at += 8
    while at < len(data):
        if data[at] == 34:
            return at
        if data[at] == 92 or data[at] < 32:
            return UNUSUAL
        at += 1
    return UNUSUAL


@kernel(int64(BYTES, int64))
def end_of_object(data: Bytes, at: int) -> int:
    """Return the offset behind an object without inner ones, `at` its brace; UNUSUAL when it is not that plain."""
    at += 1
    while at < len(data):
        byte = data[at]
        if byte == 34:
            at = end_of_text(data, at + 1)
            if at < 0:
                return UNUSUAL
        elif byte == 125:
            return at + 1
        elif byte == 123 or byte == 91:
            return UNUSUAL
        at += 1
    return UNUSUAL


@kernel(float64(float64, float64, float64))
def remainder_of(dividend: float, quotient: float, divisor: float) -> float:
    """Return dividend - quotient * divisor without any rounding, for a quotient that is the nearest double (Dekker)."""
    big = _SPLITTER * quotient
    quotient_high = big - (big - quotient)
    quotient_low = quotient - quotient_high
    big = _SPLITTER * divisor
    divisor_high = big - (big - divisor)
    divisor_low = divisor - divisor_high
    product = quotient * divisor
    error = quotient_high * divisor_high - product
    error += quotient_high * divisor_low
    error += quotient_low * divisor_high
    error += quotient_low * divisor_low
    return (dividend - product) - error


@kernel(Tuple((int64, float64))(int64, int64))
def scaled(mantissa: int, exponent: int) -> tuple[int, float]:
    """Return DOUBLE and the double nearest to mantissa * 10**exponent; INEXACT when it is not certain which that is."""
    if exponent > _EXACT_EXPONENT or exponent < -_EXACT_EXPONENT:
        return INEXACT, 0.0
    number = np.float64(mantissa)
    if mantissa <= _EXACT_MANTISSA:
        return DOUBLE, number * _POWERS[exponent] if exponent >= 0 else number / _POWERS[-exponent]
    if exponent >= 0:
        return INEXACT, 0.0
    divisor = _POWERS[-exponent]
    quotient = number / divisor
    lost = np.float64(mantissa - np.int64(number))
    rest = (remainder_of(number, quotient, divisor) + lost) / divisor
    nearest = quotient + rest * (1.0 - _DOUBT)
    return (DOUBLE, nearest) if nearest == quotient + rest * (1.0 + _DOUBT) else (INEXACT, 0.0)


@kernel(int64(BYTES, int64))
def end_of_digits(data: Bytes, at: int) -> int:
    """Return the offset of the first byte that is no digit, or the size."""
    while at < len(data) and 48 <= data[at] <= 57:
        at += 1
    return at


@kernel(int64(BYTES, int64))
def end_of_exponent(data: Bytes, at: int) -> int:
    """Return the offset behind an exponent, `at` behind its letter; UNUSUAL when there are no digits."""
    start = at + (at < len(data) and (data[at] == 43 or data[at] == 45))
    end = end_of_digits(data, start)
    return end if end > start else UNUSUAL


@kernel(int64(BYTES, int64, int64, int64))
def append_digits(data: Bytes, start: int, end: int, number: Any) -> Any:
    """Return a number with further decimal digits; it wraps around past 18 of them."""
    for at in range(start, end):
        number = number * 10 + (np.int64(data[at]) - 48)
    return number


@kernel(_NUMBER(BYTES, int64))
def read_number(data: Bytes, at: int) -> tuple[int, int, int, float]:
    """Read a number in JSON's spelling; return the offset behind it, its kind and its value as a long or a double.

    The offset is UNUSUAL when there is no number, when it has an exponent but no point, and when a whole number has more
    than 18 digits. A number with a point is a double.
    """
    negative = at < len(data) and data[at] == 45
    start = at + negative
    point = end_of_digits(data, start)
    digits = point - start
    if digits == 0 or (digits > 1 and data[start] == 48):
        return _LEFT
    if point >= len(data) or data[point] != 46:
        if digits > _MANTISSA_DIGITS or (point < len(data) and (data[point] | 32) == 101):
            return _LEFT
        whole = append_digits(data, start, point, 0)
        return point, LONG, -whole if negative else whole, 0.0
    end = end_of_digits(data, point + 1)
    fraction = end - point - 1
    if fraction == 0:
        return _LEFT
    mantissa = append_digits(data, point + 1, end, append_digits(data, start, point, 0))
    exponent = -fraction
    if end < len(data) and (data[end] | 32) == 101:
        letter = end
        end = end_of_exponent(data, letter + 1)
        if end < 0:
            return _LEFT
        exponent += read_exponent(data, letter + 1, end)
    if digits + fraction > _MANTISSA_DIGITS:
        return end, INEXACT, 0, 0.0
    kind, number = scaled(mantissa, exponent)
    return end, kind, 0, -number if negative else number
