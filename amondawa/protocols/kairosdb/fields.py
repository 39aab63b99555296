"""marshmallow fields that read values as loosely as KairosDB does, and the time units and zones of its requests.

Source: suites query_errors, aggregators and sampling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, post_load, validate

from amondawa.errors import BadRequest
from amondawa.model.timespan import Span, Unit, Zone, find_zone, zone_ids
from amondawa.protocols.kairosdb.java_numbers import DOUBLE, double_of, long_of
from amondawa.protocols.kairosdb.problems import Place, problem

UNITS = tuple(Unit.__members__)

_LONGEST_MS = 2**61
_DAY_MS = 86_400_000
_UNIT_MS = {unit: unit.fixed_ms or (unit.day_count or 31 * unit.months) * _DAY_MS for unit in Unit}
"""At most this long is one unit."""
MISSING: dict[str, Any] = {"required": "may not be null", "null": "may not be null"}


def bad_unit(text: str) -> str:
    """Return the message for a unit that there is not."""
    return f"{text} is not a valid time unit, must be one of {','.join(UNITS)}"


def bad_number(text: str) -> str:
    """Return Java's message for a text that is no number."""
    return f'For input string: "{text}"' if text else "empty String"


class LooseNumber(fields.Field[Any]):
    """A whole number or a double, also as text.

    Args:
        whole: cut the fraction of a number and take only whole texts.
        bits: size of a whole number's absolute value.
        place: what precedes the message for a text that is no number.
    """

    default_error_messages = MISSING

    def __init__(self, *, whole: bool, bits: int = 63, place: Place = Place.PROPERTY, **options: Any) -> None:
        super().__init__(**options)
        self.whole = whole
        self.bits = bits
        self.place = place

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if isinstance(value, str):
            value = self._of_text(value)
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise problem(self._worded("IllegalStateException", "Expected a number"), self.place)
        return whole_number(value, self.bits) if self.whole else float(value)

    def _of_text(self, text: str) -> int | float:
        number = long_of(text, self.bits)
        if number is not None:
            return number
        if not self.whole and DOUBLE.fullmatch(text.strip()):
            return double_of(text)
        raise problem(self._worded("NumberFormatException", bad_number(text)), self.place)

    def _worded(self, kind: str, text: str) -> str:
        return f"java.lang.{kind}: {text}" if self.place is Place.NOWHERE else text


class LooseBool(fields.Field[bool]):
    """A boolean; any text but "true" is false."""

    default_error_messages = MISSING

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> bool:
        if isinstance(value, str):
            return value.lower() == "true"
        if isinstance(value, bool):
            return value
        raise problem("java.lang.IllegalStateException: Expected a boolean", Place.NOWHERE)


class Text(fields.Field[str]):
    """A text; numbers and booleans count as their text."""

    default_error_messages = MISSING

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        if isinstance(value, (list, dict)):
            raise problem("java.lang.IllegalStateException: Expected a string", Place.NOWHERE)
        return text_of(value)


class UnitField(fields.Field[Unit]):
    """A time unit, in any case."""

    default_error_messages = MISSING

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Unit:
        unit = Unit.__members__.get(str(value).upper())
        if unit is None:
            raise problem(bad_unit(str(value)), Place.OBJECT)
        return unit


class Word(fields.Field[str]):
    """One of some words, in any case; loads in lower case.

    Args:
        words: what is allowed, lower case.
        message: follows the word that was given instead.
    """

    default_error_messages = MISSING

    def __init__(self, words: tuple[str, ...], message: str, **options: Any) -> None:
        super().__init__(**options)
        self.words = words
        self.message = message

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        word = str(value).lower()
        if word not in self.words:
            raise problem(f"{value} {self.message}", Place.OBJECT)
        return word


class ZoneField(fields.Field[Zone]):
    """A time zone: an id, or an offset such as +05:30; nothing is UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Zone:
        try:
            return find_zone(str(value))
        except BadRequest:
            text = f"{value} is not a valid time zone, must be one of [{', '.join(zone_ids())}]"
            raise problem(text, Place.OBJECT) from None


def whole_number(value: int | float, bits: int = 63) -> int:
    """Cut the fraction of a number and keep it within so many bits and a sign, as Java does; NaN is 0."""
    limit = 1 << bits
    if isinstance(value, float) and not math.isfinite(value):
        return 0 if math.isnan(value) else limit - 1 if value > 0 else -limit
    return max(-limit, min(limit - 1, int(value)))


def text_of(value: Any) -> str:
    """Return a JSON scalar as the text that Java makes of it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class DurationSchema(Schema):
    """A number of time units: {"value": 1, "unit": "hours"}."""

    class Meta:
        """What else is in the object is not looked at."""

        unknown = EXCLUDE

    unit = UnitField(required=True)
    value = LooseNumber(
        whole=True,
        place=Place.NOWHERE,
        load_default=0,
        validate=validate.Range(min=0, error="must be greater than or equal to 0"),
    )

    @post_load
    def span(self, data: dict[str, Any], **options: Any) -> Span:
        """Return the span that was read; one of more than 70 million years is cut to that."""
        unit: Unit = data["unit"]
        return Span(min(data["value"], _LONGEST_MS // _UNIT_MS[unit]), unit)
