"""`/api/query/last`: the newest point of series. Source: suite query_last.

Without `back_scan` the original looks only into the hour in which a series was last *written*: a point written now for
long ago is not found. The times of writes are kept in memory (`WriteTimes`); a series that was not written since this
process began, or only by another dialect, is answered with its newest point, whenever that was. The hour before counts
too, so that the turn of an hour hides nothing, and so does all that is later, which another dialect may have written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from amondawa.model.points import Int32s, Kind, Points
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Query, Selection, TagFilter
from amondawa.model.result import Result
from amondawa.model.series import Series, sorted_tags
from amondawa.protocols.opentsdb.calls import Answer, Call
from amondawa.protocols.opentsdb.errors import (
    NoSuchId,
    NoSuchName,
    TsdbError,
    bad_json,
    internal_null,
    method_not_allowed,
)
from amondawa.protocols.opentsdb.java_digits import DOUBLE, SINGLE
from amondawa.protocols.opentsdb.javamap import java_ordered
from amondawa.protocols.opentsdb.metric_tags import parse_exact
from amondawa.protocols.opentsdb.numbers_text import java_double
from amondawa.protocols.opentsdb.schemas import LastBody, load
from amondawa.protocols.opentsdb.uid import ERROR_KINDS, UidKind, Uids, uids_of
from amondawa.protocols.opentsdb.uid_meta import exactly
from amondawa.protocols.opentsdb.uid_text import UID_HEX, hex_problem

if TYPE_CHECKING:
    from amondawa.gateway import GatewayDoor

HOUR_MS = 3_600_000
FIRST_ROOM = 1024
SHORTEST_TSUID = 3 * UID_HEX


class WriteTimes:
    """When each series was last written, by ref: four bytes a series."""

    def __init__(self) -> None:
        self._minutes: npt.NDArray[np.int32] = np.zeros(FIRST_ROOM, np.int32)

    def note(self, refs: Int32s, now_ms: int) -> None:
        """Remember that series are written now."""
        if len(refs) == 1:
            self._note_one(refs.item(), now_ms // 60_000)
            return
        self._make_room(int(refs.max(initial=0)))
        self._minutes[refs] = now_ms // 60_000

    def _note_one(self, ref: int, minute: int) -> None:
        """Remember one series, without the cost of array operations."""
        self._make_room(ref)
        self._minutes[ref] = minute

    def _make_room(self, highest: int) -> None:
        if highest >= len(self._minutes):
            grown = np.zeros(max(highest + 1, 2 * len(self._minutes)), np.int32)
            grown[: len(self._minutes)] = self._minutes
            self._minutes = grown

    def hour_ms(self, ref: int) -> int | None:
        """Return the start of the hour in which a series was last written; None when that is not known."""
        minute = int(self._minutes[ref]) if ref < len(self._minutes) else 0
        return minute * 60_000 // HOUR_MS * HOUR_MS if minute else None


_WRITE_TIMES: WeakKeyDictionary[GatewayDoor, WriteTimes] = WeakKeyDictionary()


def write_times_of(gateway: GatewayDoor) -> WriteTimes:
    """Return the times of writes of a gateway, one object for all its protocols' writers."""
    known = _WRITE_TIMES.get(gateway)
    return _WRITE_TIMES.setdefault(gateway, WriteTimes()) if known is None else known


@dataclass(frozen=True, slots=True)
class SubQuery:
    """One sub query: series by id, or a metric (wire name) with tags."""

    metric: str
    tags: dict[str, str]
    tsuids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LastQuery:
    """What is asked: sub queries, whether names are wanted, and how many hours to look back (0 = see the module)."""

    sub_queries: list[SubQuery]
    resolve: bool
    back_scan: int


async def last(call: Call) -> Answer:
    """Answer the newest points."""
    if call.method not in ("GET", "POST", "DELETE"):
        raise method_not_allowed(call.method)
    asked = _from_body(await call.json()) if call.method == "POST" else _from_params(call)
    if not asked.sub_queries:
        raise TsdbError("Missing sub queries")
    uids = await uids_of(call.scope, call.domain)

    async def read() -> list[dict[str, Any]]:
        queries = []
        for sub in asked.sub_queries:
            queries += await _lower(call, uids, sub, asked.back_scan)
        points = await call.scope.gateway.query(queries, _newest, "last") if queries else []
        return [_render(uids, series, time_ms, value, asked.resolve) for series, time_ms, value in points]

    return Answer.json(await uids.settled(read))


def _from_params(call: Call) -> LastQuery:
    params = call.params
    subs = []
    try:
        back_scan = int(params.get("back_scan", "0") or "none")
    except ValueError as error:
        raise TsdbError("Unable to parse back_scan parameter") from error
    for text in params.all("timeseries"):
        try:
            metric, tags = parse_exact(text)
        except TsdbError as error:
            raise TsdbError(error.message, 500) from error
        subs.append(SubQuery(metric, tags))
    if "tsuids" in params:
        texts = [text.rstrip(",") for text in params.all("tsuids")]
        subs.append(SubQuery("", {}, [one for text in texts for one in text.split(",")]))
    return LastQuery(subs, "resolve" in params, back_scan)


def _from_body(body: Any) -> LastQuery:
    if body is None:
        raise internal_null()
    if isinstance(body, dict) and not body.keys() <= {"queries", "resolveNames", "backScan"}:
        raise bad_json()
    asked = load(LastBody, body)
    subs = [SubQuery(one["metric"] or "", one["tags"] or {}, one["tsuids"] or ()) for one in asked["queries"] or ()]
    return LastQuery(subs, bool(asked["resolve"]), asked["back_scan"] or 0)


async def _lower(call: Call, uids: Uids, sub: SubQuery, back_scan: int) -> list[Query]:
    """Return the queries that answer a sub query.

    Raises:
        TsdbError: 400, a name or an id is unknown.
    """
    if sub.tsuids:
        series = [one for one in (_series(uids, tsuid, back_scan) for tsuid in sub.tsuids) if one is not None]
        if back_scan > 0:
            return [_back(call, exactly(one), back_scan) for one in series]
        return [_since_write(call, one) for one in series]
    if not sub.metric:
        raise _refused("Metric cannot be null or empty")
    if back_scan > 0 and not sub.tags:
        raise _refused("Tags cannot be null or empty when getting a TSUID")
    tags = await _stored_tags(uids, sub)
    _refuse_negative(back_scan)
    stored = Series(call.domain, uids.stored_name("metric", sub.metric), sorted_tags(tags))
    if back_scan > 0:
        return [_back(call, exactly(stored), back_scan)]
    filters = tuple(TagFilter(name, frozenset([value])) for name, value in stored.tags)
    selection = Selection(call.domain, stored.metric, filters)
    found = await call.scope.gateway.find_series(selection, MIN_TIME_MS, MAX_TIME_MS)
    ordered = await asyncio.to_thread(sorted, found, key=uids.series_ids)
    return [_since_write(call, one) for one in ordered]


def _series(uids: Uids, tsuid: str, back_scan: int) -> Series | None:
    """Return the series of a TSUID; None when its ids name nothing, which goes unnoticed when looking back.

    Raises:
        TsdbError: 400, the text is no TSUID, its ids name nothing, or it is to be looked for in the future.
    """
    if hex_problem(tsuid):
        raise _refused(hex_problem(tsuid))
    if len(tsuid) < SHORTEST_TSUID:
        raise _refused("TSUID must not be null and must have a metric and at least one tag pair")
    _refuse_negative(back_scan)
    try:
        return uids.series_of_tsuid(tsuid)
    except NoSuchId:
        if back_scan > 0:
            return None
        raise


def _refuse_negative(back_scan: int) -> None:
    if back_scan < 0:
        raise _refused("Backscan must be zero or a positive number")


def _refused(text: str) -> TsdbError:
    return TsdbError(text, 400, text)


async def _stored_tags(uids: Uids, sub: SubQuery) -> dict[str, str]:
    """Check that every name has an id; return the stored tags.

    Raises:
        NoSuchName: the first name without one.
    """
    await _check(uids, "metric", sub.metric)
    tags = {name: uids.hashed_value(name, value) for name, value in sub.tags.items()}
    for name, value in tags.items():
        await _check(uids, "tagk", name)
        await _check(uids, "tagv", value)
    return {uids.stored_name("tagk", name): uids.stored_name("tagv", value) for name, value in tags.items()}


async def _check(uids: Uids, kind: UidKind, name: str) -> None:
    if await uids.find(kind, name) is None:
        raise NoSuchName(ERROR_KINDS[kind], name)


def _back(call: Call, selection: Selection, hours: int) -> Query:
    """Look back some hours from the end of this one."""
    hour_ms = call.scope.gateway.now_ms // HOUR_MS * HOUR_MS
    return Query(selection, max(hour_ms - hours * HOUR_MS, 0), hour_ms + HOUR_MS - 1, limit=1, descending=True)


def _since_write(call: Call, series: Series) -> Query:
    """Look from the hour of the last write on; everywhere when it is not known."""
    gateway = call.scope.gateway
    ref = gateway.resolve(series.domain, series.metric, series.tags)
    hour_ms = write_times_of(gateway).hour_ms(ref)
    if hour_ms is None:
        return Query(exactly(series), MIN_TIME_MS, MAX_TIME_MS, limit=1, descending=True)
    return Query(exactly(series), hour_ms - HOUR_MS, MAX_TIME_MS, limit=1, descending=True)


def _newest(results: list[Result]) -> list[tuple[Series, int, str]]:
    """Return series, time and value of each newest point."""
    frames = (frame for result in results for frame in result.frames if len(frame.points))
    return [(frame.members[0], int(frame.points.times_ms[0]), _value_text(frame.points)) for frame in frames]


def _value_text(points: Points) -> str:
    """Return the first value as Java prints it: floats of 32 bits as such."""
    value = points.value_at(0)
    if points.kinds[0] == Kind.DOUBLE and isinstance(value, float):
        with np.errstate(over="ignore"):
            single = np.float32(value)
        return java_double(value, SINGLE if float(single) == value else DOUBLE)
    return str(value)


def _render(uids: Uids, series: Series, time_ms: int, value: str, resolve: bool) -> dict[str, Any]:
    shown = uids.wire_series(series)
    names = {"metric": shown.metric} if resolve else {}
    tags = {"tags": java_ordered(dict(shown.tags))} if resolve else {}
    return {**names, "timestamp": time_ms, "value": value, **tags, "tsuid": uids.tsuid(series)}
