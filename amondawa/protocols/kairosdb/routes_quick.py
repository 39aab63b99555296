"""The short ways of this dialect: writing points without anything unusual. See protocols.base.QuickBegin."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from amondawa.auth.caller import current_caller
from amondawa.model.points import WriteBatch
from amondawa.protocols.base import QuickAnswer, QuickWay, Scope
from amondawa.protocols.kairosdb.routes_answers import JSON_UTF8, NO_CACHE
from amondawa.protocols.kairosdb.routes_points import known_series


def head_bytes(status: str, headers: Mapping[str, str]) -> bytes:
    """Return the beginning of an answer's head."""
    return "\r\n".join([f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]).encode()


NOTHING: QuickAnswer = (head_bytes("204 No Content", {**NO_CACHE, "Content-Type": JSON_UTF8}), b"")


class QuickPoints:
    """Begins what PointRoutes would do."""

    def __init__(self, scope: Scope) -> None:
        self._gateway = scope.gateway
        self._known = known_series(scope.gateway)

    def ways(self) -> dict[bytes, QuickWay]:
        """Return the paths by method and path."""
        return {b"POST /api/v1/datapoints": QuickWay(self.begin_write)}

    def begin_write(self, body: bytes, _takes_gzip: bool) -> Coroutine[Any, Any, QuickAnswer] | None:
        """Begin to store a body whose every point is right."""
        caller = current_caller()
        if caller is None:
            return None
        batch = self._known.quick.batch_at_once(caller.domain, body, self._gateway.now_ms)
        return None if batch is None else self._write(batch)

    async def _write(self, batch: WriteBatch) -> QuickAnswer:
        if len(batch):
            await self._gateway.write(batch)
        return NOTHING
