"""Doubles as text: Java's way of reading and printing them, and the bytes that the original stores for a value.

Source: suites put_http (values_kinds, ts_14_digits), query_last (value_is_text).
"""

from __future__ import annotations

import math
import re

import numpy as np

from amondawa.protocols.opentsdb.java_digits import DOUBLE, java_digits

_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEX = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+")
_NAMED = re.compile(r"[+-]?(?:NaN|Infinity)")
_BLANKS = "".join(map(chr, range(0x21)))


class NotANumber(ValueError):
    """A text that is no number."""


def parse_double(text: str) -> float:
    """Read a double as Java does: blanks around it, a type letter behind it and hexadecimal digits are allowed.

    Raises:
        NotANumber: the text is no number.
    """
    word = text.strip(_BLANKS)
    if _NAMED.fullmatch(word):
        return float(word)
    number = word[:-1] if word[-1:] in ("f", "F", "d", "D") else word
    if _DECIMAL.fullmatch(number):
        return float(number)
    if _HEX.fullmatch(number):
        try:
            return float.fromhex(number)
        except OverflowError:
            return -math.inf if number[0] == "-" else math.inf
    raise NotANumber(text)


def stored_bytes(value: int | float) -> tuple[bytes, int]:
    """Return the bytes and the flags with which the original stores a value; its error texts show them.

    An integer takes the fewest of 1, 2, 4 or 8 bytes, a double 4 when they hold it exactly.
    """
    if isinstance(value, float):
        with np.errstate(over="ignore"):
            single = np.float32(value)
        if float(single) == value:
            return np.array(value, ">f4").tobytes(), 0x8 | 3
        return np.array(value, ">f8").tobytes(), 0x8 | 7
    for width in (1, 2, 4):
        if -(1 << (8 * width - 1)) <= value < 1 << (8 * width - 1):
            return value.to_bytes(width, "big", signed=True), width - 1
    return value.to_bytes(8, "big", signed=True), 7


def java_bytes(data: bytes) -> str:
    """Return bytes as Java prints an array of them: `[1, -44]`."""
    return "[" + ", ".join(str(byte - 256 if byte > 127 else byte) for byte in data) + "]"


def pretty_bytes(data: bytes) -> str:
    """Return bytes as the original shows them to people: quoted when half of them are letters, else as an array."""
    printable = sum(0x20 <= byte <= 0x7E for byte in data)
    if printable < len(data) // 2:
        return java_bytes(data)
    named = {0x0A: "\\n", 0x09: "\\t"}
    shown = (chr(byte) if 0x20 <= byte <= 0x7E else named.get(byte, f"\\x{byte:02X}") for byte in data)
    return f'"{"".join(shown)}"'


def java_double(value: float, form: tuple[int, int] = DOUBLE) -> str:
    """Return a number of a format as the original's Java prints it: `1.0`, `1.0E10`, `1.0E-4`, `NaN`, `Infinity`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if value == 0:
        return f"{sign}0.0"
    digits, point = java_digits(abs(value), form)
    if 0 < point < 8:
        return f"{sign}{digits[:point].ljust(point, '0')}.{digits[point:] or '0'}"
    if -3 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{point - 1}"
