"""`/api/rollup`: points that were summed up elsewhere. Source: suite histogram_rollup (rollup_http_disabled).

The original takes them only where rollup tables are configured; without, as here, every right one gets the same refusal.
"""

from __future__ import annotations

from typing import Any, NoReturn

from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.calls import Answer, Call
from amondawa.protocols.opentsdb.config import AGGREGATORS
from amondawa.protocols.opentsdb.incoming import Extra, Incoming, parse_points, parse_text
from amondawa.protocols.opentsdb.put import write_exactly
from amondawa.protocols.opentsdb.put_points import Columns, Refused, check_value, refuse_incomplete
from amondawa.protocols.opentsdb.report import Flags
from amondawa.protocols.opentsdb.uid import Uids, uids_of

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
    """Report on the rollups of a request."""
    call.allow("POST")
    flags = Flags.of(call.params)
    points = parse_points(await call.read(), _EXTRA, RollupPoint)
    uids = await uids_of(call.scope, call.domain)
    return await write_exactly(call.scope, uids, points, flags, _refuse)


def _refuse(scope: Scope, uids: Uids, point: Incoming, columns: Columns) -> NoReturn:
    """Refuse a rollup with the first thing that is wrong, in the original's order."""
    refuse_incomplete(point.metric, point.timestamp, point.value, point.tags)
    assert point.metric and point.value and point.tags
    if not point.extra.get("groupByAggregator"):
        for name in ("interval", "aggregator"):
            if not point.extra.get(name):
                raise Refused(f"Missing {name}")
        if point.extra["aggregator"].lower() not in _NAMES:
            raise Refused("Invalid aggregator")
    check_value(point.metric, point.timestamp, point.value, point.tags)
    raise Refused(NOT_CONFIGURED)
