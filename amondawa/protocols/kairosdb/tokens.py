"""What a JSON text consists of, and how reading it fails.

Source: suites ingest and ingest_errors; the grammar of Gson 2.2.
"""

from __future__ import annotations

from enum import Enum


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


Element = None | bool | str | list["Element"] | dict[str, "Element"]
"""A JSON value; numbers are Number, which is a str."""


class JsonSyntaxError(Exception):
    """The text is not JSON, not even leniently, or holds another type than was asked for."""


class MalformedJson(JsonSyntaxError):
    """The text breaks the grammar. Where Gson fills an object, its message is preceded by the exception's name."""


class BadEscape(JsonSyntaxError):
    """What follows a backslash and u is no character."""


class EndOfInput(JsonSyntaxError):
    """The text ends too early."""


class Token(Enum):
    """What comes next; the names are those of Gson's messages."""

    BEGIN_ARRAY = "BEGIN_ARRAY"
    END_ARRAY = "END_ARRAY"
    BEGIN_OBJECT = "BEGIN_OBJECT"
    END_OBJECT = "END_OBJECT"
    NAME = "NAME"
    STRING = "STRING"
    NUMBER = "NUMBER"
    BOOLEAN = "BOOLEAN"
    NULL = "NULL"
    END_DOCUMENT = "END_DOCUMENT"
