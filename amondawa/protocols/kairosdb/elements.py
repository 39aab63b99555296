"""JSON values as Gson gives them out: what counts as a text, a number or a flag, and the words for what does not.

A document holds None, bool, int, Number (a number that is no plain integer of 64 bits, as it was written), str, list and
dict. There are two ways to a value. An element is asked for what it is: then an array of one counts as its only member.
A reader takes the next value and wants it to be of a kind. They refuse different things, in other words.

Source: suites query_errors, internal_errors and rollups.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from amondawa.protocols.kairosdb.java_numbers import DOUBLE, InternalFailure, double_of, long_of, wrapped
from amondawa.protocols.kairosdb.lenient import read_document
from amondawa.protocols.kairosdb.tokens import Element, Number

_NOT_PLAIN = re.compile(rb"[0-9](?:\.[0-9]|[eE][+-]?[0-9])|[0-9]{19}")
"""What may stand for a number that is no plain integer."""


class IllegalState(Exception):
    """A value of another kind than was asked for: where Gson fills an object it refuses the request, else it breaks it off.

    Args:
        text: what Java's exception says; None = nothing.
    """

    def __init__(self, text: str | None) -> None:
        super().__init__(text)
        self.text = text


class BadNumber(Exception):
    """A text that is no number."""


def read_elements(body: bytes) -> Any:
    """Read a JSON document as freely as KairosDB does; nothing at all is None.

    Raises:
        JsonSyntaxError: it is not JSON.
    """
    if _NOT_PLAIN.search(body) is None:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    return _plain(read_document(body.decode("utf-8", "replace")))


def _plain(element: Element) -> Any:
    """Make int of the numbers that are plain integers."""
    if isinstance(element, Number):
        number = long_of(element)
        return element if number is None or str(number) != element else number
    if isinstance(element, list):
        return [_plain(one) for one in element]
    if isinstance(element, dict):
        return {key: _plain(one) for key, one in element.items()}
    return element


def json_of(element: Any) -> bytes:
    """Return a document as JSON, without blanks; numbers stay as they were written."""
    return orjson.dumps(element, default=_written, option=orjson.OPT_PASSTHROUGH_SUBCLASS)


def _written(number: Number) -> orjson.Fragment:
    return orjson.Fragment(str(number))


def shown(element: Any) -> str:
    """Return a document as JSON, for messages."""
    return json_of(element).decode()


# asked of an element ------------------------------------------------------------------------------------------------


def text_of(element: Any) -> str:
    """Return the text of an element.

    Raises:
        IllegalState: an array of another length than one.
        InternalFailure: null or an object.
    """
    if isinstance(element, bool):
        return "true" if element else "false"
    if isinstance(element, (str, int)):
        return str(element)
    return text_of(_only(element))


def int_of(element: Any) -> int:
    """Return the signed 32-bit integer of an element; a number is cut to one, as Java casts.

    Raises:
        BadNumber: a text that is no such integer.
        IllegalState: an array of another length than one.
        InternalFailure: null or an object.
    """
    if element is None or isinstance(element, (list, dict)):
        return int_of(_only(element))
    return _whole(element if _is_number(element) else text_of(element), 31)


def flag_of(element: Any) -> bool:
    """Return the flag of an element: whether its text is "true", in any case.

    Raises:
        IllegalState: an array of another length than one.
        InternalFailure: null or an object.
    """
    return text_of(element).lower() == "true"


def members_of(element: Any) -> dict[str, Any]:
    """Return an object.

    Raises:
        IllegalState: it is none.
    """
    if not isinstance(element, dict):
        raise IllegalState(f"Not a JSON Object: {shown(element)}")
    return element


def items_of(element: Any) -> list[Any]:
    """Return an array.

    Raises:
        IllegalState: it is none.
    """
    if not isinstance(element, list):
        raise IllegalState("This is not a JSON Array.")
    return element


def _only(element: Any) -> Any:
    if element is None or isinstance(element, dict):
        raise InternalFailure("JsonNull" if element is None else "JsonObject")
    if len(element) != 1:
        raise IllegalState(None)
    return element[0]


# taken by a reader --------------------------------------------------------------------------------------------------


def read_text(element: Any) -> str:
    """Take a text; numbers and flags count as theirs.

    Raises:
        IllegalState: an array or object.
    """
    if isinstance(element, bool):
        return "true" if element else "false"
    _want("STRING", element, ("STRING", "NUMBER"))
    return str(element)


def read_word(element: Any) -> str:
    """Take a word, as for a value of an enumeration; a number counts as its text.

    Raises:
        IllegalState: anything else, flags too.
    """
    _want("STRING", element, ("NUMBER",))
    return str(element)


def read_flag(element: Any) -> bool:
    """Take a flag; a text is one, true when it says so.

    Raises:
        IllegalState: anything else.
    """
    _want("BOOLEAN", element, ("BOOLEAN", "STRING"))
    return element if isinstance(element, bool) else str(element).lower() == "true"


def read_whole(element: Any, bits: int) -> int:
    """Take an integer of so many bits and a sign; a number is cut to one, as Java casts.

    Raises:
        BadNumber: a text that is no such integer.
        IllegalState: anything else.
    """
    _want("NUMBER", element, ("NUMBER", "STRING"))
    return _whole(element, bits)


def read_double(element: Any) -> float:
    """Take a double, also as text.

    Raises:
        BadNumber: a text that is none.
        IllegalState: anything else.
    """
    _want("NUMBER", element, ("NUMBER", "STRING"))
    text = str(element)
    if DOUBLE.fullmatch(text.strip()):
        return double_of(text)
    raise BadNumber(f'For input string: "{text}"' if text.strip() else "empty String")


def read_members(element: Any) -> dict[str, Any]:
    """Take an object.

    Raises:
        IllegalState: anything else.
    """
    _want("BEGIN_OBJECT", element)
    return dict(element)


def read_items(element: Any, read: Callable[[Any], Any]) -> list[Any]:
    """Take an array, its members by a reader.

    Raises:
        IllegalState: anything else.
    """
    _want("BEGIN_ARRAY", element)
    return [read(one) for one in element]


def read_pair(element: Any) -> tuple[str, Any]:
    """Take an array of a text and something else.

    Raises:
        IllegalState: anything else.
    """
    items = read_items(element, lambda one: one)
    if len(items) < 2:
        raise IllegalState("Expected STRING but was END_ARRAY")
    if len(items) > 2:
        raise IllegalState(f"Expected END_ARRAY but was {_kind(items[2])}")
    return read_text(items[0]), items[1]


def _want(kind: str, element: Any, fits: Sequence[str] = ()) -> None:
    found = _kind(element)
    if found != kind and found not in fits:
        raise IllegalState(f"Expected {kind} but was {found}")


def _kind(element: Any) -> str:
    """Return Gson's name for what a value begins with."""
    if element is None:
        return "NULL"
    if isinstance(element, bool):
        return "BOOLEAN"
    if _is_number(element):
        return "NUMBER"
    if isinstance(element, str):
        return "STRING"
    return "BEGIN_ARRAY" if isinstance(element, list) else "BEGIN_OBJECT"


def _is_number(element: Any) -> bool:
    return isinstance(element, (int, Number)) and not isinstance(element, bool)


def _whole(element: Any, bits: int) -> int:
    """Return an integer of a number, which is cut to size, or of a text."""
    if _is_number(element):
        return wrapped(element, bits)
    number = long_of(element, bits)
    if number is None:
        raise BadNumber(f'For input string: "{element}"')
    return number
