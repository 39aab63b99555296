"""The short ways of this dialect: points and queries without anything unusual. See protocols.base.QuickBegin."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from amondawa.auth.caller import current_caller
from amondawa.errors import AmondawaError
from amondawa.model.points import WriteBatch
from amondawa.model.result import Result
from amondawa.protocols.base import QuickAnswer, QuickWay, Scope
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.lower import Lowered, lower
from amondawa.protocols.kairosdb.problems import RequestRefused
from amondawa.protocols.kairosdb.queries import QueryRequest, parse_query, read_json
from amondawa.protocols.kairosdb.render import render_query
from amondawa.protocols.kairosdb.routes_answers import JSON_UTF8, NO_CACHE, error_answer, pack, zip_answer
from amondawa.protocols.kairosdb.routes_points import known_series
from amondawa.protocols.kairosdb.running import label_of
from amondawa.protocols.kairosdb.save import write_saved


def head_bytes(status: str, headers: Mapping[str, str]) -> bytes:
    """Return the beginning of an answer's head."""
    return "\r\n".join([f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]).encode()


NOTHING: QuickAnswer = (head_bytes("204 No Content", {**NO_CACHE, "Content-Type": JSON_UTF8}), b"")


FOUND = head_bytes("200 OK", {**NO_CACHE, "Content-Type": JSON_UTF8})
FOUND_PACKED = head_bytes(
    "200 OK",
    {**NO_CACHE, "Content-Type": JSON_UTF8, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"},
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is told of a request that failed."""

    path: str
    method: str = "POST"


_QUERY = _Asked("/api/v1/datapoints/query")


class QuickPoints:
    """Begins what PointRoutes would do."""

    def __init__(self, scope: Scope) -> None:
        self._gateway = scope.gateway
        self._known = known_series(scope.gateway)

    def ways(self) -> dict[bytes, QuickWay]:
        """Return the paths by method and path."""
        return {
            b"POST /api/v1/datapoints": QuickWay(self.begin_write),
            b"POST /api/v1/datapoints/query": QuickWay(self.begin_query, reads=True),
        }

    def begin_write(self, body: bytes, _takes_gzip: bool) -> Coroutine[Any, Any, QuickAnswer] | None:
        """Begin to store a body whose every point is right."""
        caller = current_caller()
        if caller is None:
            return None
        batch = self._known.quick.batch_at_once(caller.domain, body, self._gateway.now_ms)
        return None if batch is None else self._write(batch)

    def begin_query(self, body: bytes, takes_gzip: bool) -> Coroutine[Any, Any, QuickAnswer] | None:
        """Begin to answer a query that is right."""
        caller = current_caller()
        if caller is None:
            return None
        try:
            asked = parse_query(read_json(body), self._gateway.now_ms)
            lowered = lower(asked, caller.domain)
        except (RequestRefused, InternalFailure, AmondawaError):
            return None
        return self._query(caller.domain, body, asked, lowered, takes_gzip) if asked.metrics else None

    async def _query(
        self, domain: str, body: bytes, asked: QueryRequest, lowered: Lowered, takes_gzip: bool
    ) -> QuickAnswer:
        """Answer a query, or tell why it failed: it may have taken long, so it is not tried again."""

        def finish(results: list[Result]) -> bytes:
            answer = render_query(results, asked.metrics)
            return pack(answer) if takes_gzip else answer

        label = label_of(domain, asked.metrics[0].name, body)
        try:
            answer = await self._gateway.query(lowered.queries, finish, label)
            await write_saved(self._gateway, domain, lowered.saved)
        except Exception as error:  # noqa: BLE001 - the outermost place: every error becomes an answer here
            return _answer_of(error_answer(error, _QUERY), takes_gzip)
        return FOUND_PACKED if takes_gzip else FOUND, answer

    async def _write(self, batch: WriteBatch) -> QuickAnswer:
        if len(batch):
            await self._gateway.write(batch)
        return NOTHING


def _answer_of(response: web.Response, takes_gzip: bool) -> QuickAnswer:
    """Return an answer that was made for the ordinary way."""
    if takes_gzip:
        zip_answer(response)
    body = response.body
    head = head_bytes(f"{response.status} {response.reason}", response.headers)
    return head, body if isinstance(body, bytes) else b""
