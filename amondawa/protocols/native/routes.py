"""The routes of the native API.

POST   /api/v1/{domain}/datapoints               an array of series: write; an object with `metrics`: query
POST   /api/v1/{domain}/datapoints/query         query
POST   /api/v1/{domain}/datapoints/query/tags    tags of the series that match
POST   /api/v1/{domain}/datapoints/delete        delete the points that a query would read
DELETE /api/v1/{domain}/metric/{name}            delete a metric
GET    /api/v1/{domain}/metricnames|tagnames|tagvalues
GET    /api/v1/{domain}/queries                  running queries
DELETE /api/v1/{domain}/queries/{id}             end one
GET    /api/v1/version
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from amondawa import __version__
from amondawa.errors import AmondawaError, BadRequest, NotFound, TooOld
from amondawa.protocols.base import Scope
from amondawa.protocols.http import gunzip, read_body
from amondawa.protocols.native.errors import Invalid, answer, with_values
from amondawa.protocols.native.plan import Request, plan_request
from amondawa.protocols.native.points import build_batch, parse_series, series_at
from amondawa.protocols.native.render import collect_tags, render_results
from amondawa.protocols.ruled import LABEL_MARK

RESERVED = ("datapoints", "metadata", "metric", "features", "health", "rollups", "admin", "domains")
"""First words of the other dialects' paths below /api/v1; no domain of the path may be called so."""
DOMAIN = "{domain:(?!(?:" + "|".join(RESERVED) + ")/)[^/]+}"
THREAD_FROM_BYTES = 128 * 1024
"""bodies from this size on are parsed off the event loop"""

Handler = Callable[[web.Request], Awaitable[web.Response]]


def add_routes(app: web.Application, scope: Scope, prefix: str = "") -> None:
    """Add the native API's routes.

    Args:
        app: where to add them.
        scope: what they work on.
        prefix: put in front of every path.
    """
    native = NativeApi(scope)
    base = f"{prefix}/api/v1/{DOMAIN}"
    routes: tuple[tuple[str, str, Handler], ...] = (
        ("POST", f"{base}/datapoints", native.write_or_query),
        ("POST", f"{base}/datapoints/query", native.query),
        ("POST", f"{base}/datapoints/query/tags", native.query_tags),
        ("POST", f"{base}/datapoints/delete", native.delete),
        ("DELETE", f"{base}/metric/{{name:[^/]+}}", native.delete_metric),
        ("GET", f"{base}/metricnames", native.metric_names),
        ("GET", f"{base}/tagnames", native.tag_names),
        ("GET", f"{base}/tagvalues", native.tag_values),
        ("GET", f"{base}/queries", native.running_queries),
        ("DELETE", f"{base}/queries/{{id}}", native.end_query),
        ("GET", f"{prefix}/api/v1/version", native.version),
    )
    for method, path, handler in routes:
        # The slash is optional; as a pattern it also lets the dialect whose routes were added first win where paths collide.
        app.router.add_route(method, path + "{slash:/?}", _with_errors(handler))


def application(scope: Scope) -> web.Application:
    """Return an application that speaks the native API only."""
    app = web.Application()
    add_routes(app, scope)
    return app


def _with_errors(handler: Handler) -> Handler:
    """Wrap a handler so that errors become answers."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except AmondawaError as error:
            return refusal(request, error)

    return handle


def refusal(request: web.Request, error: AmondawaError) -> web.Response:
    """Return the answer for an error."""
    status, body, headers = answer(error)
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")


def astray(miss: web.HTTPException) -> web.Response:
    """Return the answer for a path that nothing answers on, or not to that method."""
    allow = miss.headers.get("Allow")
    text = "no such path" if allow is None else f"not for this method; allowed: {allow}"
    headers = {} if allow is None else {"Allow": allow}
    return web.json_response({"errors": {"": [text]}}, status=miss.status, headers=headers)


class NativeApi:
    """The handlers.

    Args:
        scope: what they work on.
    """

    def __init__(self, scope: Scope) -> None:
        self._gateway = scope.gateway
        self._settings = scope.settings

    async def write_or_query(self, request: web.Request) -> web.Response:
        """Write an array of series; run an object with `metrics` as a query, as the first documented sample does."""
        body = await self._body(request)
        if body.lstrip()[:1] == b"{" and _has_metrics(body):
            return await self._run(request, body)
        return await self._write(request, body)

    async def _write(self, request: web.Request, body: bytes) -> web.Response:
        gateway, domain, limit = self._gateway, request.match_info["domain"], self._settings.text_limit_bytes
        if len(body) < THREAD_FROM_BYTES:
            series = parse_series(body, limit)
        else:
            series = await asyncio.to_thread(parse_series, body, limit)
        batch = build_batch(series, lambda name, tags: gateway.resolve(domain, name, tags), gateway.now_ms)
        if len(batch):
            try:
                await gateway.write(batch)
            except TooOld as error:
                raise _with_address(error, series_at(series, error.index or 0)) from error
        return web.Response(status=204)

    async def query(self, request: web.Request) -> web.Response:
        """Run the queries of a request."""
        return await self._run(request, await self._body(request))

    async def _run(self, request: web.Request, body: bytes) -> web.Response:
        planned = self._plan(request, body)
        label = f"native {planned.domain}: {', '.join(one.selection.metric for one in planned.queries)}"
        rendered = await self._gateway.query(planned.queries, render_results, label)
        return _json(rendered)

    async def query_tags(self, request: web.Request) -> web.Response:
        """Answer with the tags of the series that a query would read."""
        planned = self._plan(request, await self._body(request))
        results = []
        for one in planned.queries:
            found = await self._gateway.find_series(one.selection, one.start_ms, one.end_ms)
            results.append({"name": one.selection.metric, "tags": collect_tags(found)})
        return _json(orjson.dumps({"results": results}))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete the points that a query would read."""
        planned = self._plan(request, await self._body(request))
        for one in planned.queries:
            await self._gateway.delete(one.selection, one.start_ms, one.end_ms)
        return web.Response(status=204)

    async def delete_metric(self, request: web.Request) -> web.Response:
        """Delete a metric; one that is not there is gone already."""
        await self._gateway.delete_metric(request.match_info["domain"], request.match_info["name"])
        return web.Response(status=204)

    async def metric_names(self, request: web.Request) -> web.Response:
        """List the domain's metrics; `?prefix=` narrows."""
        names = await self._gateway.metric_names(request.match_info["domain"], request.query.get("prefix", ""))
        return _names(names)

    async def tag_names(self, request: web.Request) -> web.Response:
        """List the domain's tag names."""
        return _names(await self._gateway.tag_names(request.match_info["domain"]))

    async def tag_values(self, request: web.Request) -> web.Response:
        """List the domain's tag values; `?tag=` takes those of one tag."""
        return _names(await self._gateway.tag_values(request.match_info["domain"], request.query.get("tag")))

    async def running_queries(self, request: web.Request) -> web.Response:
        """List the domain's queries in flight."""
        found = self._queries_of(request.match_info["domain"])
        shown = [{**one, "label": str(one.get("label", "")).replace(LABEL_MARK, " ")} for one in found]
        return _json(orjson.dumps({"queries": shown}))

    async def end_query(self, request: web.Request) -> web.Response:
        """End one of the domain's queries; its client is told so."""
        text = request.match_info["id"]
        known = [one["id"] for one in self._queries_of(request.match_info["domain"]) if str(one["id"]) == text]
        if not known or not self._gateway.end_query(int(text)):
            raise NotFound(f"no query {text} is running")
        return web.Response(status=204)

    async def version(self, _request: web.Request) -> web.Response:
        """Say what this is."""
        return _json(orjson.dumps({"version": f"Amondawa {__version__}"}))

    def _queries_of(self, domain: str) -> list[dict[str, object]]:
        return [one for one in self._gateway.running_queries() if one.get("domain", domain) == domain]

    async def _body(self, request: web.Request) -> bytes:
        """Read a body and unpack it where the client says that it is packed."""
        limit = self._settings.body_limit_bytes
        body = await read_body(request, limit)
        packing = request.headers.get("Content-Encoding", "").strip().lower()
        if "gzip" in packing:
            return gunzip(body, limit)
        if packing not in ("", "identity"):
            raise Invalid({"Content-Encoding": with_values(["must be gzip"], packing)})
        return body

    def _plan(self, request: web.Request, body: bytes) -> Request:
        return plan_request(request.match_info["domain"], _parse(body), self._gateway.now_ms)


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error


def _has_metrics(body: bytes) -> bool:
    """Say whether an object is a query; bytes that are no JSON are left to the reader of writes, who says why."""
    if b'"metrics"' not in body:
        return False
    try:
        return "metrics" in orjson.loads(body)
    except orjson.JSONDecodeError:
        return False


def _with_address(error: TooOld, place: tuple[int, int]) -> TooOld:
    index, point = place
    return TooOld(error.message, field=f"datapoints/{point}", index=index, value=error.value)


def _names(names: list[str]) -> web.Response:
    return _json(orjson.dumps({"results": names}))


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
