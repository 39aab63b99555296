"""Values and times of telnet lines in OpenTSDB's spelling, with its texts where they are wrong.

Source: suite telnet (error_*, put_ms) and put_http (ts_14_digits, values_kinds).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping

from amondawa.errors import BadRequest
from amondawa.model.points import Kind
from amondawa.protocols.opentsdb.javamap import java_map_text
from amondawa.protocols.opentsdb.numbers_text import NotANumber, java_bytes, java_double, parse_double, stored_bytes

SECONDS_BELOW = 1 << 32
"""a time of more than 32 bits counts milliseconds"""
LAST_MS = 9_999_999_999_999

_TWO_POINTS = re.compile(r"[+-]?[0-9]*\.[0-9]*\.")
_BLANKS = "".join(map(chr, range(0x21)))


class BadNumber(BadRequest):
    """A value or time that is no number."""


def parse_long(text: str) -> int:
    """Read a 64-bit integer: a sign, then ASCII digits.

    Raises:
        BadNumber: with OpenTSDB's text.
    """
    if not text:
        raise BadNumber("Empty string", value=text)
    signed = text[0] in "+-"
    if signed and len(text) == 1:
        raise BadNumber(f"Just a sign, no value: {text}", value=text)
    if len(text) > (20 if signed else 19):
        raise BadNumber(f"Value too long: {text}", value=text)
    for char in text[signed:]:
        if not "0" <= char <= "9":
            raise BadNumber(f"Invalid character '{char}' in {text}", value=text)
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise BadNumber(f"Overflow in {text}", value=text)
    return number


def parse_value(text: str) -> int | float:
    """Read a value: an int unless a point or an e is in it, else a float (which may be infinite).

    Raises:
        BadNumber: with the text of OpenTSDB or of Java.
    """
    if not ("." in text or "e" in text or "E" in text):
        return parse_long(text)
    try:
        return parse_double(text)
    except NotANumber:
        raise BadNumber(_java_complaint(text), value=text) from None


def _java_complaint(text: str) -> str:
    """Return what Java says of a text that is no double."""
    word = text.strip(_BLANKS)
    return "multiple points" if _TWO_POINTS.match(word) else f'For input string: "{word}"'


def parse_time(text: str) -> int:
    """Read a time, seconds or milliseconds alike; a point in it is simply removed.

    Raises:
        BadNumber: it is no integer.
        BadRequest: it is not above zero.
    """
    time = parse_long(text.replace(".", ""))
    if time <= 0:
        raise BadRequest(f"invalid timestamp: {time}", field="timestamp", value=time)
    return time


def time_in_ms(time: int) -> int:
    """Turn a time of either unit into milliseconds."""
    return time * 1000 if time < SECONDS_BELOW else time


def value_bits(value: int | float) -> tuple[Kind, int]:
    """Return a value as it is stored: kind and 64 bits."""
    if isinstance(value, int):
        return Kind.LONG, value
    return Kind.DOUBLE, struct.unpack("<q", struct.pack("<d", value))[0]


def check_finite(metric: str, time: int, value: int | float) -> None:
    """Check that a value is finite.

    Raises:
        BadRequest: with OpenTSDB's text.
    """
    if isinstance(value, float) and not math.isfinite(value):
        text = f"value is NaN or Infinite: {java_double(value)} for metric={metric} timestamp={time}"
        raise BadRequest(text, field="value")


def check_point(metric: str, time: int, value: int | float, tags: Mapping[str, str]) -> None:
    """Check what the real server checks before it looks at the names: a finite value, a time of 13 digits at most.

    Raises:
        BadRequest: with OpenTSDB's text.
    """
    check_finite(metric, time, value)
    if time > LAST_MS:
        check_time(metric, time, *stored_bytes(value), tags)


def check_time(metric: str, time: int, stored: bytes, flags: int, tags: Mapping[str, str], last: int = LAST_MS) -> None:
    """Check that a time is not too large: as a rule, that it has 13 digits at most.

    Args:
        metric: of the point.
        time: of the point, in either unit.
        stored: its value as the original stores it.
        flags: of its value, as the original has them.
        tags: of the point.
        last: largest time.

    Raises:
        BadRequest: with OpenTSDB's text.
    """
    if time > last:
        where = f"metric={metric}, tags={java_map_text(tags)}"
        text = f"bad timestamp={time} when trying to add value={java_bytes(stored)}/{flags} to {where}"
        raise BadRequest(text, field="timestamp", value=time)
