"""What a rollup point sums up: an interval by a function, many series by a function (a pre-aggregate), or both.

One storage for `/api/rollup` and the telnet command. Without the setting `opentsdb_rollups` every one is refused, as in the
original without rollup tables. Source: suites histogram_rollup (rollup_http_disabled) and telnet (rollup).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import NoReturn

from amondawa.errors import BadRequest
from amondawa.model.series import Tags, sorted_tags
from amondawa.protocols.opentsdb.config import AGGREGATORS
from amondawa.protocols.opentsdb.javamap import java_map_text, java_order
from amondawa.protocols.opentsdb.names import check_metric, check_tag, check_tag_count
from amondawa.protocols.opentsdb.numbers_text import stored_bytes
from amondawa.protocols.opentsdb.put_points import Refused
from amondawa.protocols.opentsdb.rollup_names import GROUPED_TAG, Rollups
from amondawa.protocols.opentsdb.uid import Uids
from amondawa.protocols.opentsdb.values import SECONDS_BELOW, check_finite, check_time

NOT_CONFIGURED = "No rollup or aggregations were configured"
FUNCTIONS = frozenset(name.lower() for name in AGGREGATORS)


@dataclass(frozen=True, slots=True)
class RollupKind:
    """What a point sums up; empty = not by this.

    Attributes:
        interval, function: the stretch of time, and how its points became one.
        group_function: how many series became one.
    """

    interval: str = ""
    function: str = ""
    group_function: str = ""

    @classmethod
    def of_word(cls, word: str) -> RollupKind:
        """Read the word of a telnet line: `1h-SUM`, `1h-SUM:MAX`, or `MAX` for a pre-aggregate alone."""
        first, colon, group_function = word.partition(":")
        interval, dash, function = first.partition("-")
        if dash:
            return cls(interval, function, group_function.partition(":")[0])
        return cls(group_function=group_function.partition(":")[0] if colon else first)


def refuse_kind(rollups: Rollups, kind: RollupKind, timestamp: int) -> None:
    """Check that a point of a kind may be stored.

    Args:
        rollups: what is configured.
        kind: what the point sums up.
        timestamp: of the point; with an interval it must be in seconds.

    Raises:
        Refused: not configured, or not right.
    """
    if not rollups.intervals_ms or (kind.interval and kind.interval not in rollups.intervals_ms):
        raise Refused(NOT_CONFIGURED)
    if kind.interval and kind.function.lower() not in FUNCTIONS:
        raise Refused("Invalid aggregator")
    if kind.group_function and kind.group_function.lower() not in FUNCTIONS:
        raise Refused("Invalid group by aggregator")
    if not kind.interval and not kind.group_function:
        raise Refused("Missing interval or aggregator")
    if kind.interval and timestamp >= SECONDS_BELOW:
        raise Refused(f"bad timestamp={timestamp}: a rollup's time is in seconds")


def refuse_unconfigured(
    kind: RollupKind, metric: str, time: int, value: int | float, tags: Mapping[str, str], max_tags: int
) -> NoReturn:
    """Refuse a point where no rollups are configured, in the words of the original.

    A pre-aggregate gets as far as its names there: the tag that tells of its function has no name.

    Raises:
        BadRequest: always.
    """
    check_finite(metric, time, value)
    if kind.interval:
        raise BadRequest(NOT_CONFIGURED)
    check_time(metric, time, *stored_bytes(value), tags, last=SECONDS_BELOW - 1)
    function = kind.group_function
    marked: dict[str | None, str] = dict(tags.items())
    marked[None] = function.upper()
    if function.lower() not in FUNCTIONS:
        raise BadRequest(f"Invalid group by aggregator {function} with metric {metric} {java_map_text(marked)}")
    check_tag_count(metric, marked, max_tags)
    check_metric(metric)
    for name in takewhile(lambda name: name is not None, java_order(marked)):
        check_tag(str(name), marked[name])
    raise BadRequest(f"Invalid tag name with value [{function.upper()}]: null")


def register_rollup(uids: Uids, kind: RollupKind, metric: str, tags: Tags) -> tuple[str, Tags]:
    """Give ids to the names of a rollup's series; return its stored metric and tags.

    Args:
        uids: of the domain.
        kind: as checked by `refuse_kind`.
        metric: wire name.
        tags: wire names, sorted.
    """
    if kind.group_function:
        tags = sorted_tags({**dict(tags), GROUPED_TAG: kind.group_function.upper()})
    metric, tags = uids.register(metric, tags)
    if kind.group_function:
        metric = uids.rollups.grouped_name(metric)
    return (uids.rollups.name(metric, kind.interval, kind.function.lower()) if kind.interval else metric), tags
