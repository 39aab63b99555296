"""One HTTP request and its answer as the handlers of this dialect see them, free of any web framework."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import msgspec
import orjson

from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.errors import (
    TsdbError,
    bad_json,
    method_not_allowed,
    missing_content,
    missing_parameter,
)
from amondawa.protocols.opentsdb.surrogates import without_surrogates

_DECODER = json.JSONDecoder()

JSON_TYPE = "application/json; charset=UTF-8"
TEXT_TYPE = "text/plain; charset=UTF-8"
HTML_TYPE = "text/html; charset=UTF-8"


class Params:
    """The query string's parameters: names to all their values, in order.

    `a` and `a=` both hold an empty text, as flags do.
    """

    def __init__(self, query_string: str = "") -> None:
        self._values: dict[str, list[str]] = {}
        for part in query_string.split("&"):
            if part:
                name, _, value = part.partition("=")
                self._values.setdefault(unquote_plus(name), []).append(unquote_plus(value))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the last value of a parameter, or the default when it is absent."""
        values = self._values.get(name)
        return values[-1] if values else default

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter, in order; none when it is absent."""
        return list(self._values.get(name, ()))

    def required(self, name: str) -> str:
        """Return the last value of a parameter that must be there and not be empty.

        Raises:
            TsdbError: 400 `Missing parameter <code>name</code>`.
        """
        value = self.get(name)
        if not value:
            raise missing_parameter(name)
        return value

    def names(self) -> list[str]:
        """Return the names of all parameters in order of first appearance."""
        return list(self._values)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: JSON unless it says otherwise.

    Attributes:
        body: the bytes; wrapped in the JSONP callback by the guard when `content_type` is JSON.
        status, content_type, headers: as on the wire.
        reason: reason phrase; empty = the usual one of the status.
    """

    body: bytes = b""
    status: int = 200
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Answer:
        """Render a value as compact JSON."""
        return cls(orjson.dumps(value), status)

    @classmethod
    def text(cls, text: str, status: int = 200) -> Answer:
        """Answer plain text."""
        return cls(text.encode(), status, TEXT_TYPE)

    @classmethod
    def html(cls, text: str, status: int = 200) -> Answer:
        """Answer a page."""
        return cls(text.encode(), status, HTML_TYPE)


NO_CONTENT = Answer(status=204)
NOT_MODIFIED = Answer(status=304)


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        scope, domain: what it works on.
        method: the HTTP method as sent, in capitals.
        path: the path below the prefix and the API version, without slashes at its ends: "api/query/last", "q", "".
        target: path and query string as sent.
        params: the query string.
        headers: request headers; look-up ignores case.
        read: returns the body, unpacked, as often as it is called; raises BodyTooLarge.
    """

    scope: Scope
    domain: str
    method: str
    path: str
    target: str
    params: Params
    headers: Mapping[str, str]
    read: Callable[[], Awaitable[bytes]]

    @property
    def api_method(self) -> str:
        """The method after `method_override` (GET requests only), for the endpoints that honour it.

        Raises:
            TsdbError: 405, the override names no method.
        """
        if self.method != "GET" or "method_override" not in self.params:
            return self.method
        override = (self.params.get("method_override") or "").upper()
        if not override:
            raise TsdbError("Missing method override value", 405)
        if override not in ("GET", "POST", "PUT", "DELETE"):
            raise TsdbError("Unknown or unsupported method override value", 405)
        return override

    def allow(self, *methods: str) -> None:
        """Raise the 405 of the dialect unless the method (as sent) is one of these."""
        if self.method not in methods:
            raise method_not_allowed(self.method)

    async def json(self) -> Any:
        """Return the body as JSON (numbers as written: integers of any size, floats).

        Raises:
            TsdbError: 400, empty body or no JSON.
        """
        body = await self.read()
        if not body.strip():
            raise missing_content()
        return parse_json(body)


Handler = Callable[[Call], Awaitable[Answer]]


def parse_json(body: bytes) -> Any:
    """Parse JSON.

    Raises:
        TsdbError: 400 `Unable to parse the given JSON`.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _first_value(body)


def _first_value(body: bytes) -> Any:
    """Parse the value at the beginning of a body; what follows it is not looked at, as in the original."""
    try:
        text = body.decode(errors="replace").lstrip()
        return without_surrogates(_DECODER.raw_decode(text)[0], text)
    except (ValueError, RecursionError) as error:
        raise bad_json() from error
