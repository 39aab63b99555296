"""Computing a roll-up over some of its periods, and writing it so that doing it again changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from amondawa.gateway import GatewayDoor
from amondawa.model.points import Int64s
from amondawa.model.query import Identity, Query, Selection, TagFilter
from amondawa.model.result import Result
from amondawa.model.series import Series, Tags
from amondawa.protocols.kairosdb.aggregators import AGGREGATORS
from amondawa.protocols.kairosdb.lower import Lowered, Saved, lower
from amondawa.protocols.kairosdb.pieces import Piece
from amondawa.protocols.kairosdb.queries import MetricRequest, QueryRequest
from amondawa.protocols.kairosdb.rollup_periods import Stretch
from amondawa.protocols.kairosdb.rollups import RollupQuery
from amondawa.protocols.kairosdb.save import write_saved


async def compute(gateway: GatewayDoor, domain: str, query: RollupQuery, stretch: Stretch) -> int:
    """Compute and write the periods of one stretch of the query's grid; return how many points were written.

    Points that an earlier computation wrote at times that no longer come out (late data moved a period's first point) are
    deleted after the new ones are there.

    Raises:
        whatever the gateway's query, write and delete raise.
    """
    saved = await _read(gateway, domain, query, stretch)
    written = await write_saved(gateway, domain, saved)
    series: dict[tuple[str, Tags], list[Int64s]] = {}
    for one in saved:
        series.setdefault((one.metric, one.tags), []).append(one.points.times_ms)
    for (metric, tags), times_ms in series.items():
        await _delete_stale(gateway, Series(domain, metric, tags), np.concatenate(times_ms), stretch)
    return written


async def _read(gateway: GatewayDoor, domain: str, query: RollupQuery, stretch: Stretch) -> list[Saved]:
    lowered = _lowered(query, domain, stretch)
    await gateway.query(lowered.queries, _nothing, f"rollup/{domain}")
    return lowered.saved


def _nothing(results: list[Result]) -> None:
    """Leave the results be: what is written was noted on the way."""


def _lowered(query: RollupQuery, domain: str, stretch: Stretch) -> Lowered:
    """Return the query of one stretch: buckets count from its start, and what comes out is saved."""
    pieces = tuple(_from_start(piece) for piece in query.metric.aggregators)
    properties = {"metric_name": query.save_as, "tags": {}, "ttl": 0, "add_saved_from": True}
    metric: MetricRequest = replace(query.metric, aggregators=(*pieces, Piece("save_as", properties)))
    return lower(QueryRequest(stretch.start_ms, stretch.end_ms - 1, query.zone, (metric,)), domain)


def _from_start(piece: Piece) -> Piece:
    kind = AGGREGATORS.find(piece.name)
    if kind is None or not kind.is_range:
        return piece
    return Piece(piece.name, {**piece.properties, "align_sampling": False})


async def _delete_stale(gateway: GatewayDoor, series: Series, kept_ms: Int64s, stretch: Stretch) -> None:
    """Delete what a series holds in the stretch at times that were not written now."""
    selection = Selection(
        series.domain,
        series.metric,
        tuple(TagFilter(name, frozenset((value,))) for name, value in series.tags),
        frozenset(name for name, _ in series.tags),
    )
    held = Query(selection, stretch.start_ms, stretch.end_ms - 1, identity=Identity.KIND)
    times_ms = await gateway.query([held], _times, f"rollup/{series.domain}")
    for time_ms in np.setdiff1d(times_ms, kept_ms).tolist():
        await gateway.delete(selection, time_ms, time_ms)


def _times(results: Sequence[Result]) -> Int64s:
    parts = [part.times_ms for result in results for frame in result.frames for part in frame.parts]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
