"""What can be wrong with a request, and the texts that say so.

A schema raises `Problem`s; `texts_of` words them with the place they occurred at, the way KairosDB does.

Source: suite query_errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from marshmallow import Schema, ValidationError
from marshmallow.exceptions import SCHEMA


class Place(Enum):
    """What a message is preceded by."""

    CONSTRAINT = 0
    """the place of the object, a point, and the field's inner name; all of an object's are listed"""
    PROPERTY = 1
    """the place of the object, a point, and the field's name"""
    OBJECT = 2
    """the place of the object and a point"""
    NOWHERE = 3
    """nothing"""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        text: the message without its place.
        place: what precedes it. Anything but a CONSTRAINT stops the reading of a request: it is answered alone.
    """

    text: str
    place: Place = Place.CONSTRAINT


class RequestRefused(Exception):
    """A request that is wrong (400).

    Args:
        texts: the messages to answer.
    """

    def __init__(self, *texts: str) -> None:
        super().__init__("; ".join(texts))
        self.texts = list(texts)


def problem(text: str, place: Place = Place.CONSTRAINT) -> ValidationError:
    """Return the error that a field or schema raises."""
    return ValidationError([Problem(text, place)])


def load(schema: Schema, raw: Any, context: str, of_object: str | None = None) -> Any:
    """Load with a schema.

    Args:
        schema: what to load with.
        raw: the parsed JSON.
        context: the place of the object, which may be empty.
        of_object: what precedes messages of place OBJECT, when that is not the context.

    Raises:
        RequestRefused: worded with the context.
    """
    try:
        return schema.load(raw)
    except ValidationError as error:
        raise RequestRefused(*texts_of(error, schema, context, of_object)) from error


def texts_of(error: ValidationError, schema: Schema, context: str, of_object: str | None = None) -> list[str]:
    """Word the messages of a schema's error."""
    top = context if of_object is None else of_object
    found = list(_walk(_messages(error), schema, context, top))
    for text, place in found:
        if place is not Place.CONSTRAINT:
            return [text]
    return [text for text, _ in found]


def _messages(error: ValidationError) -> dict[str, Any]:
    """Return the messages of an error by field."""
    return error.messages if isinstance(error.messages, dict) else {SCHEMA: error.messages}


def _walk(messages: dict[str, Any], schema: Schema, context: str, top: str) -> Iterator[tuple[str, Place]]:
    prefix = f"{context}." if context else ""
    for key, value in messages.items():
        if isinstance(value, dict):
            one = schema.fields.get(_attribute(schema, key))
            place = key if one is None else one.metadata.get("place", key)
            yield from _walk(value, getattr(one, "schema", schema), f"{prefix}{place}", top)
            continue
        for one in value:
            yield _word(one, key, schema, top, prefix), getattr(one, "place", Place.CONSTRAINT)


def _word(one: Any, key: str, schema: Schema, top: str, prefix: str) -> str:
    if key == SCHEMA:
        return "java.lang.IllegalStateException: Expected BEGIN_OBJECT"
    if not isinstance(one, Problem):
        return f"{prefix}{_inner_name(schema, key)} {one}"
    if one.place is Place.NOWHERE:
        return one.text
    if one.place is Place.OBJECT:
        return f"{top}.{one.text}" if top else one.text
    name = key if one.place is Place.PROPERTY else _inner_name(schema, key)
    return f"{prefix}{name} {one.text}"


def _attribute(schema: Schema, key: str) -> str:
    """Return the name of the field that is read from a key."""
    for name, one in schema.fields.items():
        if (one.data_key or name) == key:
            return name
    return key


def _inner_name(schema: Schema, key: str) -> str:
    """Return the name that a constraint's message gives a field."""
    one = schema.fields.get(_attribute(schema, key))
    return key if one is None else str(one.metadata.get("inner", key))
