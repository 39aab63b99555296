"""Points over HTTP: write, query, tags, names and delete.

Source: suites ingest, query, names_and_tags, delete and http.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from weakref import WeakValueDictionary

from aiohttp import web

from amondawa.errors import BadRequest
from amondawa.gateway import GatewayDoor
from amondawa.model.result import Result
from amondawa.protocols.base import Scope
from amondawa.protocols.http import domain_of, gunzip, read_body
from amondawa.protocols.kairosdb.ingest import parse_write
from amondawa.protocols.kairosdb.java_numbers import InternalFailure, long_of
from amondawa.protocols.kairosdb.lower import lower, selection_of
from amondawa.protocols.kairosdb.problems import RequestRefused
from amondawa.protocols.kairosdb.queries import QueryRequest, parse_query, read_json
from amondawa.protocols.kairosdb.render import render_query, render_tags
from amondawa.protocols.kairosdb.routes_answers import (
    Resource,
    json_answer,
    nothing,
    pack,
    refused,
    takes_gzip,
    value_answer,
)
from amondawa.protocols.kairosdb.running import label_of
from amondawa.protocols.kairosdb.save import write_saved
from amondawa.protocols.kairosdb.write_columns import QuickWrites
from amondawa.protocols.kairosdb.writes import RefCache, batch_of


class KnownSeries:
    """What is remembered of a gateway's series, for the short way of a body and for the others."""

    def __init__(self, gateway: GatewayDoor) -> None:
        self.refs = RefCache(gateway.resolve)
        self.quick = QuickWrites(gateway.resolve)


_KNOWN: WeakValueDictionary[int, KnownSeries] = WeakValueDictionary()
"""One memory a gateway (by its id, which the memory keeps from being used again), however many applications use it."""
GZIP_MAGIC = b"\x1f\x8b"
_THREAD_BYTES = 128 * 1024
"""Bodies from here on are parsed in a worker thread."""


class PointRoutes:
    """Handlers of everything below /api/v1 that touches points."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._known = known_series(scope.gateway)

    def resources(self) -> Mapping[str, Resource]:
        """Return the paths and what answers them."""
        tags = Resource({"POST": self.query_tags}, preflight=True)
        return {
            "/datapoints": Resource({"POST": self.write}, preflight=True),
            "/datapoints/query": Resource({"POST": self.query, "GET": self.query_by_get}, preflight=True),
            "/datapoints/query/tags": tags,
            "/datapoints/query/indextags": tags,
            "/datapoints/delete": Resource({"POST": self.delete}, preflight=True),
            "/datapoints/index": Resource({"GET": self.index}),
            "/metric/{name:[^/]+}": Resource({"DELETE": self.delete_metric}, preflight=True),
            "/metricnames": Resource({"GET": self.metric_names}, preflight=True),
        }

    async def write(self, request: web.Request) -> web.Response:
        """Store points: 204 when all were good; what is good is stored in any case."""
        body = await self._write_body(request)
        gateway, domain = self._scope.gateway, domain_of(request, self._scope)
        batch = await self._known.quick.batch(domain, body, gateway.now_ms)
        if batch is not None:
            if len(batch):
                await gateway.write(batch)
            return nothing()
        parse_here = len(body) < _THREAD_BYTES
        parsed = parse_write(body) if parse_here else await asyncio.to_thread(parse_write, body)
        if len(parsed):
            refs = await self._known.refs.refs(domain, parsed)
            await gateway.write(batch_of(parsed, refs, gateway.now_ms))
        if parsed.failure is not None:
            raise parsed.failure
        return refused(parsed.errors) if parsed.errors else nothing()

    async def query(self, request: web.Request) -> web.Response:
        """Answer a query that was posted."""
        return await self._query(request, await self._body(request))

    async def query_by_get(self, request: web.Request) -> web.Response:
        """Answer a query that is in the URL."""
        text = request.query.get("query")
        if text is None:
            raise RequestRefused("query json must not be null or empty")
        return await self._query(request, text.encode("utf-8", "replace"))

    async def query_tags(self, request: web.Request) -> web.Response:
        """Answer which tags the series of metrics have, from the index alone."""
        asked = self._parse(await self._body(request))
        domain = domain_of(request, self._scope)
        find = self._scope.gateway.find_series
        found = [await find(selection_of(metric, domain), asked.start_ms, asked.end_ms) for metric in asked.metrics]
        return json_answer(await asyncio.to_thread(render_tags, found, asked.metrics))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete the points that a query names."""
        asked = self._parse(await self._body(request))
        domain = domain_of(request, self._scope)
        for metric in asked.metrics:
            await self._scope.gateway.delete(selection_of(metric, domain), asked.start_ms, asked.end_ms)
        return nothing()

    async def delete_metric(self, request: web.Request) -> web.Response:
        """Delete a metric whole."""
        await self._scope.gateway.delete_metric(domain_of(request, self._scope), request.match_info["name"])
        return nothing()

    async def metric_names(self, request: web.Request) -> web.Response:
        """List the names of metrics."""
        domain = domain_of(request, self._scope)
        names = await self._scope.gateway.metric_names(domain, request.query.get("prefix", ""))
        return value_answer({"results": names})

    async def index(self, request: web.Request) -> web.Response:
        """Accept the wish to index tags: they always are. The original breaks off unless all is said."""
        said = [request.query.get(name, "") for name in ("start_absolute", "end_absolute")]
        if any(text and long_of(text) is None for text in said):
            return web.Response(status=404)
        if not all(said) or not request.query.get("metric"):
            raise InternalFailure(None)
        return nothing()

    # inside -------------------------------------------------------------------------------------------------------

    async def _query(self, request: web.Request, body: bytes) -> web.Response:
        asked = self._parse(body)
        domain = domain_of(request, self._scope)
        lowered = lower(asked, domain)
        zipped = takes_gzip(request)
        if not asked.metrics:
            return json_answer(render_query((), ()))

        def finish(results: list[Result]) -> bytes:
            answer = render_query(results, asked.metrics)
            return pack(answer) if zipped else answer

        label = label_of(domain, asked.metrics[0].name, body)
        answer = json_answer(await self._scope.gateway.query(lowered.queries, finish, label))
        if zipped:
            answer.headers.update({"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
        await write_saved(self._scope.gateway, domain, lowered.saved)
        return answer

    def _parse(self, body: bytes) -> QueryRequest:
        return parse_query(read_json(body), self._scope.gateway.now_ms)

    async def _body(self, request: web.Request) -> bytes:
        """Read a body, unpacked when it is packed. The original unpacks writes only, whatever other requests say."""
        limit = self._scope.settings.body_limit_bytes
        body = await read_body(request, limit)
        return await _unpack(body, limit) if _says_gzip(request) and body.startswith(GZIP_MAGIC) else body

    async def _sent_points(self, request: web.Request) -> bytes:
        limit = self._scope.settings.body_limit_bytes
        body = await read_body(request, limit)
        if not _says_gzip(request):
            return body
        if not body:
            raise InternalFailure(None)
        try:
            return await _unpack(body, limit)
        except BadRequest as error:
            # The original unpacks outside of the part that answers 400.
            raise InternalFailure(str(error)) from error

    async def _write_body(self, request: web.Request) -> bytes:
        if request.content_type != "application/gzip":
            return await self._sent_points(request)
        limit = self._scope.settings.body_limit_bytes
        return await _unpack(await read_body(request, limit), limit)


def _says_gzip(request: web.Request) -> bool:
    return "gzip" in request.headers.get("Content-Encoding", "").lower()


def known_series(gateway: GatewayDoor) -> KnownSeries:
    """Return what is remembered of a gateway's series."""
    known = _KNOWN.get(id(gateway))
    if known is None:
        known = _KNOWN[id(gateway)] = KnownSeries(gateway)
    return known


async def _unpack(body: bytes, limit_bytes: int) -> bytes:
    if len(body) < _THREAD_BYTES // 4:
        return gunzip(body, limit_bytes)
    return await asyncio.to_thread(gunzip, body, limit_bytes)
