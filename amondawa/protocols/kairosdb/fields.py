"""marshmallow fields that read values as loosely as KairosDB does, and the time units and zones of its requests.

Source: suites query_errors, aggregators and sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, post_load, pre_load, validate

from amondawa.errors import BadRequest
from amondawa.model.timespan import Span, Unit, Zone, find_zone, zone_ids
from amondawa.protocols.kairosdb.elements import (
    BadNumber,
    IllegalState,
    read_double,
    read_flag,
    read_items,
    read_members,
    read_text,
    read_whole,
    read_word,
    text_of,
)
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.problems import Place, problem

UNITS = tuple(Unit.__members__)

_LONGEST_MS = 2**61
_DAY_MS = 86_400_000
_UNIT_MS = {unit: unit.fixed_ms or (unit.day_count or 31 * unit.months) * _DAY_MS for unit in Unit}
"""At most this long is one unit."""
MISSING: dict[str, Any] = {"required": "may not be null", "null": "may not be null"}
NULL = "cannot validate null"
"""What breaks a request off whose property is null, or a word that is not known."""


def bad_unit(text: str) -> str:
    """Return the message for a unit that there is not."""
    return f"{text} is not a valid time unit, must be one of {','.join(UNITS)}"


@contextmanager
def reading(number_place: Place = Place.NOWHERE) -> Iterator[None]:
    """Turn what Gson says about a value into a problem of the field.

    Args:
        number_place: what precedes the message for a text that is no number.
    """
    try:
        yield
    except IllegalState as error:
        raise problem(illegal_state(error), Place.NOWHERE) from error
    except BadNumber as error:
        kind = "java.lang.NumberFormatException: " if number_place is Place.NOWHERE else ""
        raise problem(f"{kind}{error}", number_place) from error
    except InternalFailure as error:
        raise problem(error.text, Place.BROKEN) from error


def illegal_state(error: IllegalState) -> str:
    """Return the text of an exception that wraps another."""
    return "java.lang.IllegalStateException" + ("" if error.text is None else f": {error.text}")


class Loose(fields.Field[Any]):
    """A value that a function reads.

    Args:
        read: makes a value of what was sent.
        number_place: what precedes the message for a text that is no number.
    """

    default_error_messages = MISSING

    def __init__(self, read: Callable[[Any], Any], number_place: Place = Place.NOWHERE, **options: Any) -> None:
        super().__init__(**options)
        self._read = read
        self._number_place = number_place

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        with reading(self._number_place):
            return self._read(value)


class Element(Loose):
    """A value that a function asks an element for, also when it is null."""

    def _validate_missing(self, value: Any) -> None:
        if value is not None:
            super()._validate_missing(value)


def whole_field(bits: int = 63, **options: Any) -> Loose:
    """Return the field of an integer of so many bits and a sign; fractions are cut, texts of digits taken."""
    return Loose(lambda value: read_whole(value, bits), **options)


def double_field(**options: Any) -> Loose:
    """Return the field of a double, also as text."""
    return Loose(read_double, Place.PROPERTY, **options)


def flag_field(**options: Any) -> Loose:
    """Return the field of a flag; any text but "true" is false."""
    return Loose(read_flag, **options)


def text_field(**options: Any) -> Loose:
    """Return the field of a text; numbers and flags count as their text."""
    return Loose(read_text, **options)


def list_field(read: Callable[[Any], Any], **options: Any) -> Loose:
    """Return the field of an array whose members are read by a function."""
    return Loose(lambda value: read_items(value, read), Place.PROPERTY, **options)


def unit_of(value: Any) -> Unit:
    """Return the time unit of an element, in any case.

    Raises:
        ValidationError: there is no such unit.
        IllegalState, InternalFailure: no text.
    """
    text = text_of(value)
    unit = Unit.__members__.get(text.upper())
    if unit is None:
        raise problem(bad_unit(text), Place.OBJECT)
    return unit


def unit_field(**options: Any) -> Loose:
    """Return the field of a time unit, in any case."""
    return Loose(unit_of, **options)


def word_field(words: tuple[str, ...], message: str, **options: Any) -> Loose:
    """Return the field of one of some words, in any case; loads in lower case.

    Args:
        words: what is allowed, lower case.
        message: follows the word that was given instead.
        options: of the field.
    """

    def read(value: Any) -> str:
        text = text_of(value)
        if text.lower() not in words:
            raise problem(f"{text} {message}", Place.OBJECT)
        return text.lower()

    return Loose(read, **options)


def enum_of(value: Any, words: tuple[str, ...]) -> str:
    """Return one of some words, in exactly their case.

    Raises:
        IllegalState: no text.
        InternalFailure: another word, which Gson makes null of.
    """
    text = read_word(value)
    if text not in words:
        raise InternalFailure(NULL)
    return text


def enum_field(words: tuple[str, ...], **options: Any) -> Loose:
    """Return the field of one of some words, in exactly their case."""
    return Loose(lambda value: enum_of(value, words), **options)


def zone_of(value: Any) -> Zone:
    """Return the time zone of an element: an id, or an offset such as +05:30; nothing is UTC.

    Raises:
        ValidationError: there is no such zone.
        IllegalState, InternalFailure: no text.
    """
    text = text_of(value)
    try:
        return find_zone(text)
    except BadRequest:
        raise problem(bad_zone(text), Place.OBJECT) from None


def bad_zone(text: str) -> str:
    """Return the message for a time zone that there is not."""
    return f"{text} is not a valid time zone, must be one of [{', '.join(zone_ids())}]"


def zone_field(**options: Any) -> Loose:
    """Return the field of a time zone."""
    return Loose(zone_of, **options)


class Members(Schema):
    """An object of a request: what else is in it is not looked at, and a field that is null was not sent."""

    class Meta:
        """Fields without a counterpart are left alone."""

        unknown = EXCLUDE

    @pre_load
    def present(self, data: Any, **options: Any) -> dict[str, Any]:
        """Return the fields that are not null."""
        with reading():
            return {key: one for key, one in read_members(data).items() if one is not None}


class DurationSchema(Members):
    """A number of time units: {"value": 1, "unit": "hours"}."""

    unit = unit_field(required=True)
    value = whole_field(load_default=0, validate=validate.Range(min=0, error="must be greater than or equal to 0"))

    @post_load
    def span(self, data: dict[str, Any], **options: Any) -> Span:
        """Return the span that was read."""
        return span_of(data["value"], data["unit"])


def span_of(value: int, unit: Unit) -> Span:
    """Return a span; one of more than 70 million years is cut to that."""
    return Span(min(value, _LONGEST_MS // _UNIT_MS[unit]), unit)
