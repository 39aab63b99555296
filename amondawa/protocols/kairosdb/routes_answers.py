"""HTTP around every handler: answers with KairosDB's headers, errors in its shape, and which methods a path has.

A path is one aiohttp route for all methods. So a wrong method, an Accept without JSON and a preflight are answered the same
way wherever the routes are added, and no middleware of the application is needed.

Source: suite http.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import orjson
import structlog
from aiohttp import web

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
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.problems import RequestRefused

Handler = Callable[[web.Request], Awaitable[web.Response]]

JSON = "application/json"
JSON_UTF8 = "application/json;charset=utf-8"
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
NO_CACHE = {**ANY_ORIGIN, "Pragma": "no-cache", "Cache-Control": "no-cache", "Expires": "0"}

_GZIP_LEVEL = 2
_THREAD_BYTES = 128 * 1024
"""Bodies from here on are packed in a worker thread."""
_WADL = (
    b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    b'<application xmlns="http://wadl.dev.java.net/2009/02"><resources base="/"/></application>\n'
)

log = structlog.get_logger(__name__)


class Resource:
    """One path: its handlers by method.

    Args:
        handlers: GET also answers HEAD.
        preflight: answer OPTIONS as a CORS preflight; otherwise with a description, as Jersey does.
        produces: media types that an Accept may ask GET for; other methods answer in JSON alone.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], preflight: bool = False, produces: tuple[str, ...] = (JSON,)
    ) -> None:
        self._handlers = dict(handlers)
        self._preflight = preflight
        self._produces = produces
        if "GET" in handlers:
            self._handlers["HEAD"] = handlers["GET"]

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request of any method."""
        handler = self._handlers.get(request.method)
        if handler is None:
            if request.method == "OPTIONS":
                return preflight(request) if self._preflight else self._description()
            return web.Response(status=405, headers={"Allow": self._allowed()})
        produced = self._produces if request.method in ("GET", "HEAD") else (JSON,)
        if not accepts(request.headers.get("Accept"), produced):
            return web.Response(status=406)
        return await packed(request, await guarded(handler, request))

    def _allowed(self) -> str:
        return ",".join(sorted({*self._handlers, "OPTIONS"}))

    def _description(self) -> web.Response:
        headers = {"Allow": self._allowed(), "Content-Type": "application/vnd.sun.wadl+xml"}
        return web.Response(body=_WADL, headers=headers)


async def guarded(handler: Handler, request: web.Request) -> web.Response:
    """Call a handler; turn what it raises into an answer."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - the outermost place: every error becomes an answer here
        return error_answer(error, request)


class Asked(Protocol):
    """What of a request is told when it failed."""

    @property
    def path(self) -> str:
        """Path, unquoted."""

    @property
    def method(self) -> str:
        """Method, in capitals."""


def _pattern(request: Asked) -> str:
    """Return a path without what clients put into it: in a log it would outlive what they delete, or have hashed."""
    resource = request.match_info.route.resource if isinstance(request, web.Request) else None
    return request.path if resource is None else resource.canonical


def error_answer(error: Exception, request: Asked) -> web.Response:
    """Return the answer for an error; what is not the caller's doing is logged and not shown."""
    if isinstance(error, RequestRefused):
        return refused(error.texts)
    if isinstance(error, BodyTooLarge):
        return refused([str(error)], 413)
    if isinstance(error, (BadRequest, LimitExceeded, web.RequestPayloadError)):
        return refused([str(error)])
    if isinstance(error, (Unauthorized, Forbidden)):
        return refused([str(error)], 401 if isinstance(error, Unauthorized) else 403)
    if isinstance(error, NotFound):
        return failed([str(error)], 404)
    if isinstance(error, Unavailable):
        return failed([str(error)], 503, retry_after(error))
    if isinstance(error, InternalFailure):
        return failed([error.text])
    if isinstance(error, (ComputeError, Cancelled)):
        return failed([str(error)])
    log.error("request failed", path=_pattern(request), method=request.method, exc_info=error)
    shown = "The store failed" if isinstance(error, AmondawaError) else "Internal error"
    return failed([shown])


def json_answer(body: bytes, status: int = 200) -> web.Response:
    """Return a JSON answer with the headers against caching."""
    return web.Response(body=body, status=status, headers={**NO_CACHE, "Content-Type": JSON_UTF8})


def value_answer(value: Any, status: int = 200) -> web.Response:
    """Return a value as JSON."""
    return json_answer(orjson.dumps(value), status)


def nothing(status: int = 204) -> web.Response:
    """Return an answer without a body."""
    return web.Response(status=status, headers={**NO_CACHE, "Content-Type": JSON_UTF8})


def refused(texts: list[str], status: int = 400) -> web.Response:
    """Return the answer to a request that is wrong: no headers against caching, no charset."""
    return web.Response(
        body=orjson.dumps({"errors": texts}), status=status, headers={**ANY_ORIGIN, "Content-Type": JSON}
    )


def failed(texts: list[str | None], status: int = 500, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the answer when the server could not do what was asked; a text that is None is null."""
    answer = value_answer({"errors": texts}, status)
    answer.headers.update(headers or {})
    return answer


def preflight(request: web.Request) -> web.Response:
    """Answer a CORS preflight. The method's header is misspelt, as the original's."""
    headers = {**ANY_ORIGIN, "Access-Control-Max-Age": "86400", "Content-Type": JSON_UTF8}
    wanted = request.headers.get("Access-Control-Request-Headers")
    method = request.headers.get("Access-Control-Request-Method")
    if wanted is not None:
        headers["Access-Control-Allow-Headers"] = wanted
    if method is not None:
        headers["Access-Control-Allow_Method"] = method
    return web.Response(headers=headers)


def accepts(accept: str | None, produced: tuple[str, ...]) -> bool:
    """Say whether an Accept header allows one of some media types; none allows all."""
    return accept is None or not accept.strip() or preferred(accept, produced) is not None


def preferred(accept: str, produced: tuple[str, ...]) -> str | None:
    """Return the produced media type that an Accept header likes best, or None."""
    best: tuple[float, int, str] | None = None
    for at, part in enumerate(accept.split(",")):
        wanted, _, parameters = part.partition(";")
        fits = _fitting(wanted.strip().lower(), produced)
        quality = _quality(parameters)
        if fits is not None and quality > 0 and (best is None or quality > best[0]):
            best = (quality, at, fits)
    return None if best is None else best[2]


def _fitting(wanted: str, produced: tuple[str, ...]) -> str | None:
    for one in produced:
        if wanted in ("*", "*/*", one, one.partition("/")[0] + "/*"):
            return one
    return None


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def takes_gzip(request: web.Request) -> bool:
    """Say whether the client takes a packed answer."""
    for part in request.headers.get("Accept-Encoding", "").lower().split(","):
        name, _, parameters = part.partition(";")
        if name.strip() == "gzip":
            return _quality(parameters) > 0
    return False


def pack(body: bytes) -> bytes:
    """Pack a body; worth a worker thread when it is large."""
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)


async def packed(request: web.Request, answer: web.Response) -> web.Response:
    """Pack an answer when the client takes it and nobody has yet."""
    body = answer.body
    if not isinstance(body, bytes) or not body or "Content-Encoding" in answer.headers or not takes_gzip(request):
        return answer
    return _zipped(answer, pack(body) if len(body) < _THREAD_BYTES else await asyncio.to_thread(pack, body))


def zip_answer(answer: web.Response) -> web.Response:
    """Pack a short answer."""
    body = answer.body
    return _zipped(answer, pack(body)) if isinstance(body, bytes) and body else answer


def _zipped(answer: web.Response, body: bytes) -> web.Response:
    answer.body = body
    answer.headers["Content-Encoding"] = "gzip"
    answer.headers["Vary"] = "Accept-Encoding"
    return answer
