"""`/api/rollup`: points that were summed up elsewhere. Source: suite histogram_rollup (rollup_http_disabled).

They are taken for the intervals of the setting `opentsdb_rollups`, and so are pre-aggregates; without it, as in the
original without rollup tables, every right one gets the same refusal. Queries whose buckets a rollup serves read it
instead of the points.
"""

from __future__ import annotations

from typing import Any

from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.calls import Answer, Call
from amondawa.protocols.opentsdb.incoming import Incoming, read_points
from amondawa.protocols.opentsdb.point_schemas import RollupBody
from amondawa.protocols.opentsdb.put import write_exactly
from amondawa.protocols.opentsdb.put_points import (
    Columns,
    Refused,
    check_tags,
    check_value,
    read_value,
    refuse_incomplete,
)
from amondawa.protocols.opentsdb.report import Flags
from amondawa.protocols.opentsdb.rollup_kind import FUNCTIONS, RollupKind, refuse_kind, register_rollup
from amondawa.protocols.opentsdb.uid import Uids, uids_of
from amondawa.protocols.opentsdb.values import time_in_ms

_EXTRA = ("interval", "aggregator", "groupByAggregator")


class RollupPoint(Incoming):
    """A rollup of a request; its further fields are in `extra`."""

    def echo(self) -> dict[str, Any]:
        """Return the point as an error of it repeats it."""
        further = {name: self.extra[name] for name in _EXTRA if self.extra.get(name) is not None}
        return {**super().echo(), **further}


async def rollup(call: Call) -> Answer:
    """Store the rollups of a request."""
    call.allow("POST")
    flags = Flags.of(call.params)
    points = await read_points(await call.read(), RollupBody, RollupPoint)
    uids = await uids_of(call.scope, call.domain)
    return await write_exactly(call.scope, uids, points, flags, _collect)


def _collect(scope: Scope, uids: Uids, point: Incoming, columns: Columns) -> None:
    """Put a rollup into columns.

    Raises:
        Refused: it is not right, or not configured.
    """
    _refuse_incomplete(point, bool(uids.rollups.intervals_ms))
    assert point.metric and point.value and point.tags
    kind = RollupKind(*(point.extra.get(name) or "" for name in _EXTRA))
    read_value(point.metric, point.timestamp, point.value)
    refuse_kind(uids.rollups, kind, point.timestamp)
    value = check_value(point.metric, point.timestamp, point.value, point.tags)
    tags = check_tags(point.metric, point.tags, scope.settings.opentsdb_max_tags)
    metric, tags = register_rollup(uids, kind, point.metric, tags)
    columns.add(scope.gateway.resolve(uids.domain, metric, tags), time_in_ms(point.timestamp), value)


def _refuse_incomplete(point: Incoming, configured: bool) -> None:
    refuse_incomplete(point.metric, point.timestamp, point.value, point.tags)
    if point.extra.get("groupByAggregator"):
        return
    for name in ("interval", "aggregator"):
        if not point.extra.get(name):
            raise Refused(f"Missing {name}")
    if configured and point.extra["aggregator"].lower() not in FUNCTIONS:
        raise Refused("Invalid aggregator")
