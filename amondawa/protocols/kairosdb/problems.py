"""What can be wrong with a request, and the texts that say so.

A schema raises `Problem`s; `load` words them with the place they occurred at, the way KairosDB does.

Source: suite query_errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from marshmallow import Schema, ValidationError
from marshmallow.exceptions import SCHEMA

from amondawa.protocols.kairosdb.java_numbers import InternalFailure


class Place(Enum):
    """What a message is preceded by."""

    CONSTRAINT = 0
    """the place of the object, a point, and the field's inner name; all of an object's are listed"""
    PROPERTY = 1
    """the place of the object, a point, and the field's name"""
    OBJECT = 2
    """the place of the object and a point"""
    NOWHERE = 3
    """nothing: Gson's own words"""
    BROKEN = 4
    """nothing; the request breaks off (500)"""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        text: the message without its place; None when what broke off has none.
        place: what precedes it. Anything but a CONSTRAINT stops the reading of a request: it is answered alone.
    """

    text: str | None
    place: Place = Place.CONSTRAINT


class RequestRefused(Exception):
    """A request that is wrong (400).

    Args:
        texts: the messages to answer.
    """

    def __init__(self, *texts: str) -> None:
        super().__init__("; ".join(texts))
        self.texts = list(texts)


class SyntaxRefused(RequestRefused):
    """A request that is wrong in Gson's words, or has a property that nothing takes; 500 when it is a roll-up."""


class PlacedRefused(RequestRefused):
    """A request with a word that is not known, at the place where it stands."""


def problem(text: str | None, place: Place = Place.CONSTRAINT) -> ValidationError:
    """Return the error that a field or schema raises."""
    return ValidationError([Problem(text, place)])


def load(schema: Schema, raw: dict[str, Any], context: str, of_object: str | None = None) -> Any:
    """Load with a schema.

    Args:
        schema: what to load with.
        raw: the parsed JSON.
        context: the place of the object, which may be empty.
        of_object: what precedes messages of place OBJECT, when that is not the context.

    Raises:
        RequestRefused: worded with the context.
        InternalFailure: a problem of place BROKEN.
    """
    try:
        return schema.load(raw)
    except ValidationError as error:
        words = _Words(context, context if of_object is None else of_object)
        found = list(words.of(_messages(error), schema, raw))
        raise_first(found)
        raise RequestRefused(*(text or "" for text, _ in found)) from error


def load_properties(schema: Schema, raw: dict[str, Any], context: str, partial: bool = False) -> Any:
    """Load the properties of an aggregator or grouping, which are set and checked one by one; only then the whole is.

    Args:
        schema: what to load with.
        raw: the parsed JSON.
        context: the place of the object.
        partial: check the properties only, not the whole.

    Raises:
        RequestRefused: worded with the context.
        InternalFailure: a problem of place BROKEN.
    """
    try:
        return schema.load(raw, partial=tuple(schema.fields) if partial else None)
    except ValidationError as error:
        words, messages = _Words(context, context), _messages(error)
        for key in raw:
            found = list(words.of({key: messages[key]}, schema, raw)) if key in messages else []
            raise_first(found)
            if isinstance(messages.get(key), dict):
                raise RequestRefused(*(text or "" for text, _ in found)) from error
        if not partial:
            raise RequestRefused(*(text or "" for text, _ in words.of(messages, schema, raw))) from error


def raise_first(found: list[tuple[str | None, Place]]) -> None:
    """Raise the first problem that stops the reading of a request, if there is one."""
    for text, place in found:
        if place is Place.BROKEN:
            raise InternalFailure(text)
        if place is not Place.CONSTRAINT:
            raise _REFUSALS.get(place, RequestRefused)(text or "")


_REFUSALS = {Place.NOWHERE: SyntaxRefused, Place.OBJECT: PlacedRefused}


@dataclass(frozen=True, slots=True)
class _Words:
    """What words messages.

    Attributes:
        context: the place of the object, which may be empty.
        of_object: what precedes messages of place OBJECT.
    """

    context: str
    of_object: str

    def of(self, messages: dict[str, Any], schema: Schema, raw: Any) -> Iterator[tuple[str | None, Place]]:
        """Yield the messages in the order in which what they are about was sent."""
        prefix = f"{self.context}." if self.context else ""
        sent = list(raw) if isinstance(raw, dict) else []
        for key, value in sorted(messages.items(), key=lambda one: sent.index(one[0]) if one[0] in sent else len(sent)):
            if isinstance(value, dict):
                one = schema.fields.get(_attribute(schema, key))
                place = key if one is None else one.metadata.get("place", key)
                inner = _Words(f"{prefix}{place}", self.of_object)
                yield from inner.of(value, getattr(one, "schema", schema), raw.get(key))
                continue
            for one in value:
                yield self._word(one, key, schema, prefix), getattr(one, "place", Place.CONSTRAINT)

    def _word(self, one: Any, key: str, schema: Schema, prefix: str) -> str | None:
        if not isinstance(one, Problem):
            return f"{prefix}{_inner_name(schema, key)} {one}"
        if one.place in (Place.NOWHERE, Place.BROKEN):
            return one.text
        if one.place is Place.OBJECT:
            return f"{self.of_object}.{one.text}" if self.of_object else one.text
        name = key if one.place is Place.PROPERTY else _inner_name(schema, key)
        return f"{prefix}{name} {one.text}"


def _messages(error: ValidationError) -> dict[str, Any]:
    """Return the messages of an error by field."""
    return error.messages if isinstance(error.messages, dict) else {SCHEMA: error.messages}


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
