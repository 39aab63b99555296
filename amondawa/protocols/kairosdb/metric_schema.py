"""The envelope of a metric in a write body: what it must have before its points are looked at.

The texts are what the original says, behind the place of the metric. Source: suite ingest_errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from amondawa.protocols.kairosdb.java_numbers import as_text
from amondawa.protocols.kairosdb.tokens import Element

_NULL_NAME = ".name may not be null."
_ADDRESSES = ("name", "value", "tags")
"""the order in which faults are told"""


class TagTexts(fields.Field[dict[str, str]]):
    """{name: value}: at least one tag, names and values of at least one character; every fault is told."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        faults = [] if value else [".tags count must be greater than or equal to 1."]
        for position, (name, text) in enumerate(value.items()):
            if not name:
                faults.append(f".tag[{position}].name may not be empty.")
            if not text:
                is_null = text is None
                faults.append(f".tag[{name or position}].value may not be {'null' if is_null else 'empty'}.")
        if faults:
            raise ValidationError(faults)
        return value


class MetricSchema(Schema):
    """One metric: a name, tags, and where it has a time a value, or a value a time.

    `value` is absent when none was sent; every other field is loaded whether it was sent or not.
    """

    name = fields.String(
        required=True,
        validate=validate.Length(min=1, error=".name may not be empty."),
        error_messages={"null": _NULL_NAME, "required": _NULL_NAME},
    )
    time_ms = fields.Integer(allow_none=True)
    value = fields.Raw(allow_none=True)
    tags = TagTexts()

    @validates_schema(skip_on_field_errors=False)
    def check_value(self, data: Mapping[str, Any], **options: Any) -> None:
        """Check that a time has a value that can be stored, and a value a time."""
        if data["time_ms"] is None:
            if data.get("value") is not None:
                raise ValidationError(".timestamp may not be null.", "value")
        elif "value" not in data:
            raise ValidationError(".value may not be null.", "value")
        elif problem := value_problem(data["value"]):
            raise ValidationError(f".value {problem}", "value")


_SCHEMA = MetricSchema()


def envelope_faults(envelope: Mapping[str, Any], named: str) -> list[str]:
    """Return what is wrong with a metric before its points are looked at; `named` is its place in the body."""
    messages = cast(Mapping[str, list[str]], _SCHEMA.validate(envelope))
    return [named + text for address in _ADDRESSES for text in messages.get(address, ())]


def value_problem(value: Element) -> str | None:
    """Return why a value cannot be stored, or None."""
    if value is None:
        return "may not be empty."
    if isinstance(value, list):
        if not value:
            return "may not be an empty array."
        return None if as_text(value) else "may not be empty."
    return "may not be empty." if isinstance(value, str) and not value else None
