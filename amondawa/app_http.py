"""Which dialect answers on which HTTP port, and what surrounds every request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from amondawa import __version__
from amondawa.auth.caller import context_of
from amondawa.errors import AmondawaError
from amondawa.listeners.quick_http import QuickLane, QuickRoute
from amondawa.model.acknowledgement import noting_acknowledgements
from amondawa.model.rollup import joined, noting_uses
from amondawa.protocols.access import OPERATOR_ROUTES, HttpAccess, Refuse, route_of
from amondawa.protocols.base import QuickAnswer, QuickBegin, Scope
from amondawa.protocols.kairosdb import routes as kairosdb
from amondawa.protocols.native import routes as native
from amondawa.protocols.native import routes_health
from amondawa.protocols.opentsdb import routes as opentsdb
from amondawa.telemetry import Metrics, Readiness

DOMAIN_PREFIX = "/domains/{domain}"

DIALECTS = (("kairosdb", kairosdb), ("native", native), ("opentsdb", opentsdb))
"""All dialects of the common port; where paths collide the first one wins."""

QUICK_WAYS = (("kairosdb", kairosdb.quick_ways), ("opentsdb", opentsdb.quick_ways))
"""the dialects with short ways"""

SERVER = f"Amondawa/{__version__}"
ACK_HEADER = "X-Amondawa-Ack"
ROLLUP_HEADER = "X-Amondawa-Rollup"
"""on the answer to a write: where what was written is durable, see model.acknowledgement"""
CLIENT_GONE = 499
"""counted for a request whose client went away"""
QUERIES = ("/query", "/query/tags", "/query/exp", "/query/gexp", "/query/last", "/q")
"""how the paths end that only read, whatever their method"""
LOOK_S = 0.25
"""how often it is looked whether the client of a long query is still there"""


def starting_application(readiness: Readiness, metrics: Metrics, access: HttpAccess) -> web.Application:
    """Return what every HTTP port answers until the gateway is up: alive, not ready, come back."""

    async def come_back(_request: web.Request) -> web.Response:
        errors = readiness.reasons() or ["starting"]
        return web.json_response({"errors": errors}, status=503, headers={"Retry-After": "1"})

    app = web.Application()
    routes_health.add_routes(app, readiness.reasons, readiness.notes, metrics.render, metrics.content_type)
    app.router.add_route("*", "/{tail:.*}", come_back)
    app.middlewares.append(_only_guarded(access))
    return app


def _only_guarded(access: HttpAccess) -> Middleware:
    """Return the middleware that guards the metrics while the gateway starts; all else is told to come back anyway."""
    guard = access.middleware(_operations_refusal)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await (guard(request, handler) if route_of(request) in OPERATOR_ROUTES else handler(request))

    return check


def common_application(scope: Scope, readiness: Readiness, metrics: Metrics, access: HttpAccess) -> web.Application:
    """Return the application of the common port: health, metrics and every dialect, also below /domains/{domain}."""
    app = web.Application()
    protocols: dict[web.AbstractRoute, str] = {}
    routes_health.add_routes(app, readiness.reasons, readiness.notes, metrics.render, metrics.content_type)
    _claim(app, protocols, "operations")
    for name, dialect in DIALECTS:
        dialect.add_routes(app, scope, prefix="")
        if dialect is not native:  # whose paths name the domain anyway
            dialect.add_routes(app, scope, prefix=DOMAIN_PREFIX)
        _claim(app, protocols, name)
    app.middlewares.append(_word_misses)
    _guard(app, metrics, access, lambda request: _protocol_of(request, protocols))
    return app


@web.middleware
async def _word_misses(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer in the native shape where no dialect has the path, or not for the method."""
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as miss:
        return native.astray(miss)


def dialect_application(name: str, scope: Scope, metrics: Metrics, access: HttpAccess) -> web.Application:
    """Return the application of a port that speaks one dialect only."""
    app: web.Application = dict(DIALECTS)[name].application(scope)
    _guard(app, metrics, access, lambda _request: name)
    return app


def quick_lane(name: str, scope: Scope, metrics: Metrics, access: HttpAccess) -> QuickLane:
    """Return the short way in front of a port's application: of one dialect, or of all on the common port."""

    def count(route: QuickRoute, status: int, seconds: float) -> None:
        metrics.count(route.protocol, "read" if route.reads else "write", "POST", status, seconds)

    def admit(remote: str) -> Context | None:
        caller = access.plain_caller(remote)
        return None if caller is None else context_of(caller)

    routes: dict[bytes, QuickRoute] = {}
    for protocol, ways_of in QUICK_WAYS:
        if name in ("common", protocol):
            for path, way in ways_of(scope).items():
                begin = _showing_rollup(way.begin) if way.reads else _showing_ack(way.begin)
                routes.setdefault(path, QuickRoute(protocol, begin, way.reads))
    server = f"\r\nServer: {SERVER}".encode()
    return QuickLane(routes, admit, lambda: access.version, count, server, scope.settings.http_idle_s)


def _showing_ack(begin: QuickBegin) -> QuickBegin:
    """Return a short way whose answers say what their acknowledgement stands on."""

    def begin_noting(body: bytes, takes_gzip: bool) -> Coroutine[Any, Any, QuickAnswer] | None:
        answering = begin(body, takes_gzip)
        return None if answering is None else answer(answering)

    async def answer(answering: Coroutine[Any, Any, QuickAnswer]) -> QuickAnswer:
        with noting_acknowledgements() as noted:
            head, body = await answering
        if noted.weakest is not None:
            head = b"%b\r\n%b: %b" % (head, ACK_HEADER.encode(), noted.weakest.value.encode())
        return head, body

    return begin_noting


def _showing_rollup(begin: QuickBegin) -> QuickBegin:
    """Return a short way whose answers say which rolled-up data they stand on."""

    def begin_noting(body: bytes, takes_gzip: bool) -> Coroutine[Any, Any, QuickAnswer] | None:
        answering = begin(body, takes_gzip)
        return None if answering is None else answer(answering)

    async def answer(answering: Coroutine[Any, Any, QuickAnswer]) -> QuickAnswer:
        with noting_uses() as uses:
            head, body = await answering
        use = joined(uses)
        return (head if use is None else b"%b\r\n%b: %b" % (head, ROLLUP_HEADER.encode(), str(use).encode())), body

    return begin_noting


def _guard(
    app: web.Application, metrics: Metrics, access: HttpAccess, protocol_of: Callable[[web.Request], str]
) -> None:
    """Put counters and access around all routes."""

    def refuse(request: web.Request, error: AmondawaError) -> web.StreamResponse:
        return _REFUSALS.get(protocol_of(request), _operations_refusal)(request, error)

    app.middlewares.insert(0, access.middleware(refuse))
    app.middlewares.insert(0, _surround(metrics, protocol_of))


def _operations_refusal(request: web.Request, error: AmondawaError) -> web.StreamResponse:
    """Refuse in the shape of /health: the native one."""
    return native.refusal(request, error)


_REFUSALS: dict[str, Refuse] = {name: dialect.refusal for name, dialect in DIALECTS}


def _claim(app: web.Application, protocols: dict[web.AbstractRoute, str], name: str) -> None:
    """Note whose routes were added since the last call."""
    for route in app.router.routes():
        protocols.setdefault(route, name)


def _protocol_of(request: web.Request, protocols: dict[web.AbstractRoute, str]) -> str:
    return protocols.get(request.match_info.route, "none")


def _surround(metrics: Metrics, protocol_of: Callable[[web.Request], str]) -> Middleware:
    """Return the middleware around every request: the end of abandoned queries, what it stands on, counters."""

    @web.middleware
    async def surround(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        reading = _only_reads(request)
        status = CLIENT_GONE
        try:
            with noting_acknowledgements() as noted, noting_uses() as uses:
                response = await (_while_its_client_waits(handler, request) if reading else handler(request))
            status = response.status
            if noted.weakest is not None and not reading:
                response.headers[ACK_HEADER] = noted.weakest.value
            use = joined(uses)
            if use is not None:
                response.headers[ROLLUP_HEADER] = str(use)
            response.headers.setdefault("Server", SERVER)
        except web.HTTPException as answer:
            status = answer.status
            raise
        except Exception:
            status = 500
            raise
        finally:
            kind = "read" if reading else "write"
            metrics.count(protocol_of(request), kind, request.method, status, time.perf_counter() - began)
        return response

    return surround


def _only_reads(request: web.Request) -> bool:
    """Say whether a request may be dropped half-way when its client goes away; a write that was sent is carried out."""
    return request.method in ("GET", "HEAD", "OPTIONS") or request.path.rstrip("/").endswith(QUERIES)


async def _while_its_client_waits(handler: Handler, request: web.Request) -> web.StreamResponse:
    """Carry a request out until its client goes away."""
    task = asyncio.ensure_future(handler(request))
    try:
        while not (await asyncio.wait((task,), timeout=LOOK_S))[0]:
            if request.transport is None or request.transport.is_closing():
                task.cancel()
        return await task
    finally:
        task.cancel()
