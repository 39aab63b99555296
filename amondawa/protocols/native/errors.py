"""Errors by address: `{"errors": {field: {index: ["what is wrong, not VALUE"]}}}`, and their status codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
import structlog

from amondawa.errors import (
    AmondawaError,
    BadRequest,
    BodyTooLarge,
    Cancelled,
    ComputeError,
    Forbidden,
    LimitExceeded,
    NotFound,
    Unauthorized,
    Unavailable,
)
from amondawa.protocols.http import retry_after

SHOWN_CHARACTERS = 100
"""how much of an offending value is shown"""
_encoder = json.JSONEncoder(ensure_ascii=False)

Address = dict[str, Any]

log = structlog.get_logger("amondawa.native")

_STATUS: tuple[tuple[type[AmondawaError], int], ...] = (
    (Unauthorized, 401),
    (Forbidden, 403),
    (BodyTooLarge, 413),
    (LimitExceeded, 422),
    (ComputeError, 422),
    (BadRequest, 400),
    (NotFound, 404),
    (Cancelled, 409),
    (Unavailable, 503),
)
"""The first class that fits decides; whatever is not here is the server's own failure."""


class Invalid(BadRequest):
    """Input that fails its schema.

    Args:
        errors: messages by address.
    """

    def __init__(self, errors: Address) -> None:
        super().__init__("the request is not valid")
        self.errors = errors


def with_values(errors: Any, data: Any) -> Any:
    """Return messages by address with the offending value added to each message whose address leads to one."""
    if isinstance(errors, Mapping):
        return {str(key): with_values(inner, _inside(data, key)) for key, inner in errors.items()}
    if data is _NOTHING:
        return errors
    return [f"{message} (was {_shown(data)})" if " (was " not in message else message for message in errors]


_NOTHING = object()


def _inside(data: Any, key: Any) -> Any:
    """Return what an address leads to, one step on."""
    if isinstance(data, Mapping):
        return data.get(key, _NOTHING)
    if isinstance(data, list) and isinstance(key, int) and 0 <= key < len(data):
        return data[key]
    return _NOTHING


def _shown(value: Any) -> str:
    text = ""
    for piece in _encoder.iterencode(value):  # no more of a long array than is shown
        text += piece
        if len(text) > SHOWN_CHARACTERS:
            break
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


class Answer(NamedTuple):
    """What an error is on the wire."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def answer(error: AmondawaError) -> Answer:
    """Translate an error into its answer."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    if status == 500:
        log.error("request failed", exc_info=error)
        return Answer(status, _render({"": ["the store failed; the server's log says why"]}), {})
    return Answer(status, _render(_address(error)), retry_after(error))


def _address(error: AmondawaError) -> Address:
    """Return an error's messages by address; the address of the request as a whole is the empty text."""
    if isinstance(error, Invalid):
        return error.errors
    if not isinstance(error, BadRequest):
        return {"": [str(error)]}
    messages: Any = [error.message]
    if error.field is not None:
        messages = {error.field: messages}
    if error.index is not None:
        messages = {str(error.index): messages}
    return messages if isinstance(messages, dict) else {"": messages}


def _render(errors: Address) -> bytes:
    return orjson.dumps({"errors": errors}, option=orjson.OPT_NON_STR_KEYS)
