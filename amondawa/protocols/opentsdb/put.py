"""`/api/put`: points in, acknowledged when they are durable. Source: suite put_http."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from amondawa.auth.caller import current_caller
from amondawa.errors import TooOld
from amondawa.model.points import WriteBatch
from amondawa.protocols.base import QuickAnswer, Scope
from amondawa.protocols.opentsdb.calls import JSON_TYPE, Answer, Call
from amondawa.protocols.opentsdb.incoming import Incoming, read_points
from amondawa.protocols.opentsdb.last import write_times_of
from amondawa.protocols.opentsdb.put_columns import SeriesCache, Unusual, parse_columns
from amondawa.protocols.opentsdb.put_points import Collect, Columns, collect_number, collect_points
from amondawa.protocols.opentsdb.put_sorted import sort_points, split_points
from amondawa.protocols.opentsdb.report import Flags, refusal, report
from amondawa.protocols.opentsdb.uid import Uids, loaded_uids, uids_of

FEW_POINTS = 8
"""bodies of fewer points are not worth sorting"""


NOTHING: QuickAnswer = (b"HTTP/1.1 204 No Content\r\nContent-Type: %b" % JSON_TYPE.encode(), b"")


class Putter:
    """The handler of `/api/put`, with its memory of series by domain."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._caches: dict[str, SeriesCache] = {}

    async def put(self, call: Call) -> Answer:
        """Store the points of a request."""
        call.allow("POST")
        flags = Flags.of(call.params)
        body = await call.read()
        uids = await uids_of(self._scope, call.domain)
        try:
            batch = parse_columns(body, self._cache(uids))
        except Unusual:
            return await self._put_unusual(body, uids, flags)
        try:
            await write_durably(self._scope, uids, batch)
        except TooOld as error:
            return _report_too_old(flags, error, await read_points(body), list(range(len(batch))), [])
        return report(flags, len(batch), [])

    def begin(self, body: bytes, _takes_gzip: bool) -> Coroutine[Any, Any, QuickAnswer] | None:
        """Begin to store a body whose every point is right; see QuickBegin."""
        caller = current_caller()
        uids = None if caller is None else loaded_uids(self._scope, caller.domain)
        if uids is None:
            return None
        try:
            batch = parse_columns(body, self._cache(uids))
        except Unusual:
            return None
        return self._store(uids.domain, uids.version, body, batch)

    async def _store(self, domain: str, version: int, body: bytes, batch: WriteBatch) -> QuickAnswer:
        """Write a batch that was read when names had a version: read its body again if they have another."""
        uids = await uids_of(self._scope, domain)
        if uids.version != version:
            batch = parse_columns(body, self._cache(uids))
        await write_durably(self._scope, uids, batch)
        return NOTHING

    async def _put_unusual(self, body: bytes, uids: Uids, flags: Flags) -> Answer:
        """Store the good points of a body that holds bad ones, or is written unusually."""
        pieces = split_points(body)
        if len(pieces) < FEW_POINTS:
            return await write_exactly(self._scope, uids, await read_points(body), flags, collect_number)
        found = await sort_points(self._scope, uids, self._cache(uids), pieces)
        try:
            if found.kept:
                await write_durably(self._scope, uids, found.batch())
        except TooOld as error:
            return _report_too_old(flags, error, await read_points(body), found.kept, found.refused)
        return report(flags, len(found.kept), found.refused)

    def _cache(self, uids: Uids) -> SeriesCache:
        cache = self._caches.get(uids.domain)
        if cache is None:
            cache = self._caches[uids.domain] = SeriesCache(self._scope, uids)
        return cache


async def write_exactly(
    scope: Scope, uids: Uids, points: list[Incoming | None], flags: Flags, collect: Collect
) -> Answer:
    """Store the good ones of some points, and report."""
    columns = Columns()
    kept, refused = await collect_points(scope, uids, points, columns, collect)
    try:
        if kept:
            await write_durably(scope, uids, columns.batch())
    except TooOld as error:
        return _report_too_old(flags, error, points, kept, refused)
    return report(flags, len(kept), refused)


async def write_durably(scope: Scope, uids: Uids, batch: WriteBatch) -> None:
    """Write a batch and the ids of its names; both are durable on return.

    Raises:
        TooOld, Overloaded, StorageFull: see `GatewayDoor.write`.
    """
    if uids.dirty:
        await uids.flush()
    await scope.gateway.write(batch)
    write_times_of(scope.gateway).note(batch.refs, scope.gateway.now_ms)


def _report_too_old(
    flags: Flags, error: TooOld, points: list[Incoming | None], kept: list[int], refused: list[dict[str, Any]]
) -> Answer:
    """Answer for a batch of which some points were older than the history: the error names the first of them."""
    point = points[kept[error.index or 0]]
    entry = refusal(point.echo() if point else None, error.message)
    return report(flags, len(kept) - 1, [*refused, entry])
