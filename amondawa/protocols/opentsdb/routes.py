"""The OpenTSDB dialect over HTTP: every path, and what surrounds every handler (CORS, JSONP, errors).

A path leads by its first word, or its first two below /api, whatever follows (`/api/aggregators/x`).
Source: suite endpoints.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from amondawa.errors import AmondawaError
from amondawa.protocols.base import QuickWay, Scope
from amondawa.protocols.http import domain_of, gunzip, read_body
from amondawa.protocols.opentsdb import cors, pages
from amondawa.protocols.opentsdb.calls import HTML_TYPE, JSON_TYPE, TEXT_TYPE, Answer, Call, Handler, Params
from amondawa.protocols.opentsdb.charset import in_utf8
from amondawa.protocols.opentsdb.endpoints import handlers
from amondawa.protocols.opentsdb.errors import TsdbError, endpoint_not_found, error_body, reason_phrase, translate
from amondawa.protocols.opentsdb.paths import check_version, guessed_type, in_api, led_by
from amondawa.protocols.opentsdb.put import Putter
from amondawa.protocols.opentsdb.query_routes import add_query_routes
from amondawa.protocols.opentsdb.routes_spelling import OtherSpellings

_log = structlog.get_logger(__name__)

WebHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Guard = Callable[[Handler], WebHandler]

ALLOWED = Answer(content_type="")
"""what a permitted OPTIONS request is told"""
INTERNAL_ERROR = "The request could not be carried out"


def add_routes(app: web.Application, scope: Scope, prefix: str = "") -> None:
    """Add every path of the dialect to an application, below a prefix such as `/domains/{domain}`."""
    guard = guard_of(scope)
    for route, handler in handlers(scope).items():
        app.router.add_route("*", prefix + path_pattern(route), guard(handler))
    add_query_routes(app, scope, prefix, guard)


def application(scope: Scope) -> web.Application:
    """Return the application of OpenTSDB's own port, where paths that lead nowhere answer as the original does."""
    app = web.Application()
    add_routes(app, scope)
    add_routes(app, scope, "/domains/{domain}")
    app.router.register_resource(OtherSpellings(app.router))
    app.router.add_route("*", "/{path:.*}", guard_of(scope)(_not_found))
    return app


def quick_ways(scope: Scope) -> dict[bytes, QuickWay]:
    """Return the paths with a short way, by method and path."""
    return {b"POST /api/put": QuickWay(Putter(scope).begin)}


def path_pattern(route: str) -> str:
    """Return aiohttp's pattern for a route such as `api/put` or `q`: any API version, anything behind it."""
    below_api = route.removeprefix("api/")
    if below_api == route:
        return f"/{route}{{tail:(/.*)?}}"
    return rf"/api{{version:(/v\d[^/]*)?}}/{below_api}{{tail:(/.*)?}}"


def guard_of(scope: Scope) -> Guard:
    """Return what turns a handler of this dialect into one of aiohttp: reading, CORS, JSONP and errors in one place."""

    def guard(handler: Handler) -> WebHandler:
        async def handle(request: web.Request) -> web.StreamResponse:
            call = _call_of(request, scope)
            headers: dict[str, str] = {}
            try:
                check_version(_words(request, call.target.partition("?")[0]))
                _check_serializer(call)
                headers = cors.check(call)
                answer = ALLOWED if call.method == "OPTIONS" else await handler(call)
            except TsdbError as error:
                answer = error_answer(call, error)
            except AmondawaError as error:
                answer = error_answer(call, _translated(call, error))
            except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer and the log the trace
                _log.exception("opentsdb request failed", method=call.method, path=call.path)
                answer = error_answer(call, TsdbError(INTERNAL_ERROR, 500))
            return _response(call, answer, headers)

        return handle

    return guard


def _translated(call: Call, error: AmondawaError) -> TsdbError:
    wire = translate(error)
    if wire.status == 500:
        _log.error("opentsdb request failed", method=call.method, path=call.path, error=repr(error))
    return wire


def error_answer(call: Call, error: TsdbError) -> Answer:
    """Render an error: JSON below /api, a page (or `{"err"}` for the parameter `json`) elsewhere."""
    return _error_answer(call.path, call.params, error)


def _error_answer(path: str, params: Params, error: TsdbError) -> Answer:
    reason = reason_phrase(error.message) if error.status >= 400 else ""
    if in_api(path) or error.status < 400:
        body = error_body(error.status, error.message, error.details)
        return Answer(body, error.status, JSON_TYPE, error.headers, reason)
    page = pages.error_page(error, as_json="json" in params)
    return Answer(page.body, page.status, page.content_type, error.headers, reason)


def refusal(request: web.Request, error: AmondawaError) -> web.Response:
    """Return the answer to a request that may not come in."""
    path, _, query_string = request.raw_path.partition("?")
    answer = _error_answer(_relative(request, path), Params(query_string), translate(error))
    headers = {**answer.headers, "Content-Type": answer.content_type}
    return web.Response(body=answer.body, status=answer.status, reason=answer.reason or None, headers=headers)


def _call_of(request: web.Request, scope: Scope) -> Call:
    path, _, query_string = request.raw_path.partition("?")
    limit_bytes = scope.settings.body_limit_bytes
    kept: list[bytes] = []

    async def read() -> bytes:
        if not kept:
            data = await read_body(request, limit_bytes)
            packed = "gzip" in request.headers.get("Content-Encoding", "").lower()
            unpacked = gunzip(data, limit_bytes) if packed and data else data
            kept.append(in_utf8(unpacked, request.headers.get("Content-Type", "")))
        return kept[0]

    return Call(
        scope=scope,
        domain=domain_of(request, scope),
        method=request.method,
        path=_relative(request, path),
        target=request.raw_path,
        params=Params(query_string),
        headers=request.headers,
        read=read,
    )


def _words(request: web.Request, path: str) -> list[str]:
    """Return the words of a path, without a domain in front."""
    words = [word for word in path.split("/") if word]
    return words[2:] if "domain" in request.match_info else words


def _relative(request: web.Request, path: str) -> str:
    """Return a path without prefix, API version and slashes at its ends."""
    return led_by(_words(request, path))


def _check_serializer(call: Call) -> None:
    """Refuse a serializer that is not there: there is one, for JSON."""
    name = call.params.get("serializer", "json")
    if name != "json":
        details = f"Could not find a serializer with the name: {name}"
        raise TsdbError("Requested serializer was not found", 400, details)


def _response(call: Call, answer: Answer, headers: dict[str, str]) -> web.Response:
    body = answer.body
    callback = call.params.get("jsonp")
    if callback and answer.content_type == JSON_TYPE and body and in_api(call.path):
        body = b"%s(%s)" % (callback.encode(), body)
    sent = {**headers, **answer.headers}
    content_type = _content_type(call, answer)
    if content_type and (body or answer.status not in (204, 304)):
        sent.setdefault("Content-Type", content_type)
    return web.Response(body=body, status=answer.status, reason=answer.reason or None, headers=sent)


def _content_type(call: Call, answer: Answer) -> str:
    """Return what the answer is said to be: outside /api it is guessed, pictures apart."""
    guesses = not in_api(call.path) and answer.content_type in (JSON_TYPE, TEXT_TYPE, HTML_TYPE)
    return guessed_type(call.target, answer.body) if guesses else answer.content_type


async def _not_found(call: Call) -> Answer:
    """Answer for a path that leads nowhere."""
    raise endpoint_not_found() if in_api(call.path) else TsdbError("Page Not Found", 404)
