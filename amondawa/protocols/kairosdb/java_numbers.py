"""Conversions of JSON values as Java and Gson make them: texts, 64-bit integers, doubles.

Source: suites ingest, ingest_errors and internal_errors.
"""

from __future__ import annotations

import re
from decimal import Decimal

from amondawa.protocols.kairosdb.tokens import Element, Number

INTEGER = re.compile(r"[+-]?[0-9]+")
"""What Long.parseLong takes."""
DOUBLE = re.compile(r"[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?)")
"""What Double.parseDouble takes, blanks around it apart."""

_TWO_POINTS = re.compile(r"[+-]?[0-9]*\.[0-9]*\.")
_JAVA_BLANKS = "".join(map(chr, range(33)))
"""What String.trim cuts off."""
_LONG_DIGITS = 19
_EXPONENT_DIGITS = 9
_MAX_EXPONENT = 1000


class InternalFailure(Exception):
    """A conversion that breaks the whole request off in KairosDB (500).

    Args:
        text: what to answer; None when Java's exception says nothing.
    """

    def __init__(self, text: str | None) -> None:
        super().__init__("" if text is None else text)
        self.text = text


def as_text(value: Element) -> str:
    """Return a value as text; an array of one counts as its element.

    Raises:
        InternalFailure: null, an object, or a longer array.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list) and len(value) == 1:
        return as_text(value[0])
    if isinstance(value, list):
        raise InternalFailure(None)
    raise InternalFailure("JsonNull" if value is None else "JsonObject")


def as_long(value: Element) -> int:
    """Return a value as a signed 64-bit integer; numbers beyond it wrap round and fractions are cut, as in Java.

    Raises:
        InternalFailure: not a number.
    """
    if isinstance(value, list) and len(value) == 1:
        return as_long(value[0])
    text = as_text(value)
    if isinstance(value, Number):
        return wrapped(value)
    number = long_of(text)
    if number is None:
        raise InternalFailure(f'For input string: "{text}"')
    return number


def long_of(text: str, bits: int = 63) -> int | None:
    """Return the integer that a text of digits stands for; None when it is no such text or needs more bits and a sign."""
    if INTEGER.fullmatch(text) is None:
        return None
    digits = text.lstrip("+-").lstrip("0") or "0"
    if len(digits) > _LONG_DIGITS:
        return None
    number = -int(digits) if text[0] == "-" else int(digits)
    return number if -(1 << bits) <= number < 1 << bits else None


def _whole_of(text: str) -> int:
    """Return the whole part of a JSON number, exact in its low 64 bits."""
    mantissa, _, exponent = text.lower().partition("e")
    if not exponent:
        # Ten to the 64th power and up has no low bits, so that the last 64 digits decide.
        digits = mantissa.partition(".")[0].lstrip("-")[-64:]
        return -int(digits) if text[0] == "-" else int(digits)
    if len(exponent) > _EXPONENT_DIGITS or len(mantissa) > _MAX_EXPONENT:
        return 0
    exact = Decimal(text)
    return 0 if exact and exact.adjusted() > _MAX_EXPONENT else int(exact)


def wrapped(number: int | Number, bits: int = 63) -> int:
    """Return a number without its fraction, cut to its lowest so many bits and a sign."""
    whole = _whole_of(number) if isinstance(number, Number) else number
    return (whole + (1 << bits)) % (2 << bits) - (1 << bits)


def as_double(value: Element) -> float:
    """Return a value as a double.

    Raises:
        InternalFailure: not a number.
    """
    if isinstance(value, list) and len(value) == 1:
        return as_double(value[0])
    text = as_text(value).strip()
    if DOUBLE.fullmatch(text):
        return double_of(text)
    raise InternalFailure(no_double(text))


def no_double(text: str) -> str:
    """Return what Double.parseDouble says of a text that it does not take."""
    text = text.strip(_JAVA_BLANKS)
    if not text:
        return "empty String"
    return "multiple points" if _TWO_POINTS.match(text) else f'For input string: "{text}"'


def double_of(text: str) -> float:
    """Return the double that a text in the form of DOUBLE stands for."""
    return float(text.strip().rstrip("fFdD"))
