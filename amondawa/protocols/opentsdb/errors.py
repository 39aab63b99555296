"""The errors of the OpenTSDB dialect and how they look on the wire.

Shape: `{"error": {"code", "message", "details"?}}`, never a stack trace. Source: suites endpoints, query_errors.
"""

from __future__ import annotations

import orjson

from amondawa.errors import (
    AmondawaError,
    BadRequest,
    BodyTooLarge,
    Cancelled,
    Forbidden,
    LimitExceeded,
    NotFound,
    Unauthorized,
    Unavailable,
)
from amondawa.protocols.http import retry_after

REASON_CHARS = 200
"""longest reason phrase; proxies refuse very long status lines"""


class TsdbError(Exception):
    """An error with the status and texts that the client sees.

    Args:
        message: the `message` of the answer.
        status: the HTTP status, also the `code` of the answer.
        details: the `details` of the answer; left out when empty.
        headers: headers of the answer.
    """

    def __init__(
        self, message: str, status: int = 400, details: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.details = details
        self.headers = headers or {}


class NoSuchName(TsdbError):
    """A name that was never given a UID.

    Args:
        kind: "metrics", "tagk" or "tagv".
        name: the name asked for.
    """

    def __init__(self, kind: str, name: str) -> None:
        text = f"No such name for '{kind}': '{name}'"
        super().__init__(text, 400, text)
        self.kind = kind
        self.name = name


class NoSuchId(TsdbError):
    """A UID that was never given to a name.

    Args:
        kind: "metrics", "tagk" or "tagv".
        uid: the id asked for, big-endian; shown as signed bytes.
    """

    def __init__(self, kind: str, uid: bytes) -> None:
        shown = ", ".join(str(byte - 256 if byte > 127 else byte) for byte in uid)
        text = f"No such unique ID for '{kind}': [{shown}]"
        super().__init__(text, 400, text)


def endpoint_not_found() -> TsdbError:
    """Return the error of a path under /api that leads nowhere."""
    return TsdbError("Endpoint not found", 404)


def method_not_allowed(method: str) -> TsdbError:
    """Return the error of a method that an endpoint does not serve."""
    return TsdbError("Method not allowed", 405, f"The HTTP method [{method}] is not permitted for this endpoint")


def missing_parameter(name: str) -> TsdbError:
    """Return the error of a query string that lacks a parameter."""
    return TsdbError(f"Missing parameter <code>{name}</code>")


def missing_content() -> TsdbError:
    """Return the error of an empty body where JSON is wanted (everywhere but /api/put)."""
    return TsdbError("Missing message content", 400, "Supply valid JSON formatted data in the body of your request")


def internal_null() -> TsdbError:
    """Return the error of a null where the original reads on."""
    return TsdbError("An internal null pointer exception was thrown", 500)


def bad_json() -> TsdbError:
    """Return the error of a body that is not the JSON wanted."""
    return TsdbError("Unable to parse the given JSON")


_STATUS: tuple[tuple[type[AmondawaError], int], ...] = (
    (Unauthorized, 401),
    (Forbidden, 403),
    (BodyTooLarge, 413),
    (LimitExceeded, 413),
    (Cancelled, 400),
    (Unavailable, 503),
    (NotFound, 404),
    (BadRequest, 400),
)


def translate(error: AmondawaError) -> TsdbError:
    """Return the wire form of an error from the layers below; what a client cannot mend gives 500 without its text."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return TsdbError(str(error), status, headers=retry_after(error))
    return TsdbError("The request could not be carried out", 500)


def error_body(status: int, message: str, details: str = "") -> bytes:
    """Render the error object as JSON."""
    error: dict[str, object] = {"code": status, "message": message}
    if details:
        error["details"] = details
    return orjson.dumps({"error": error})


def reason_phrase(message: str) -> str:
    """Return a message as it may stand in a status line: printable ASCII, not too long."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in message)
    return plain[:REASON_CHARS]
