"""`/api/rollup`: points that were summed up elsewhere. Source: suite histogram_rollup (rollup_http_disabled).

They are taken for the intervals of the setting `opentsdb_rollups`; without it, as in the original without rollup tables,
every right one gets the same refusal. Queries whose buckets a rollup serves read it instead of the points.
"""

from __future__ import annotations

from typing import Any

from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.calls import Answer, Call
from amondawa.protocols.opentsdb.config import AGGREGATORS
from amondawa.protocols.opentsdb.incoming import Extra, Incoming, parse_points, parse_text
from amondawa.protocols.opentsdb.put import write_exactly
from amondawa.protocols.opentsdb.put_points import Columns, Refused, check_tags, check_value, refuse_incomplete
from amondawa.protocols.opentsdb.report import Flags
from amondawa.protocols.opentsdb.uid import Uids, uids_of
from amondawa.protocols.opentsdb.values import SECONDS_BELOW, time_in_ms

NOT_CONFIGURED = "No rollup or aggregations were configured"
_NAMES = frozenset(name.lower() for name in AGGREGATORS)
_EXTRA: dict[str, Extra] = {
    "interval": parse_text,
    "aggregator": parse_text,
    "groupByAggregator": parse_text,
}


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
    points = parse_points(await call.read(), _EXTRA, RollupPoint)
    uids = await uids_of(call.scope, call.domain)
    return await write_exactly(call.scope, uids, points, flags, _collect)


def _collect(scope: Scope, uids: Uids, point: Incoming, columns: Columns) -> None:
    """Put a rollup into columns.

    Raises:
        Refused: it is not right, or not configured.
    """
    _refuse_incomplete(point)
    assert point.metric and point.value and point.tags
    value = check_value(point.metric, point.timestamp, point.value, point.tags)
    interval, function = point.extra.get("interval"), point.extra.get("aggregator")
    if interval not in uids.rollups.intervals_ms or not function or point.extra.get("groupByAggregator"):
        raise Refused(NOT_CONFIGURED)
    if point.timestamp >= SECONDS_BELOW:
        raise Refused(f"bad timestamp={point.timestamp}: a rollup's time is in seconds")
    tags = check_tags(point.metric, point.tags, scope.settings.opentsdb_max_tags)
    metric, tags = uids.register(point.metric, tags)
    name = uids.rollups.name(metric, interval, function.lower())
    columns.add(scope.gateway.resolve(uids.domain, name, tags), time_in_ms(point.timestamp), value)


def _refuse_incomplete(point: Incoming) -> None:
    refuse_incomplete(point.metric, point.timestamp, point.value, point.tags)
    if point.extra.get("groupByAggregator"):
        return
    for name in ("interval", "aggregator"):
        if not point.extra.get(name):
            raise Refused(f"Missing {name}")
    if point.extra["aggregator"].lower() not in _NAMES:
        raise Refused("Invalid aggregator")
