"""From a native request to queries: within each series `downsample`, then `aggregate` across them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from amondawa.aggregate.buckets import first_origin, origin_buckets
from amondawa.aggregate.combine import COMBINATIONS, combine, same_times
from amondawa.aggregate.downsample import RangeStage
from amondawa.aggregate.merge import merged
from amondawa.errors import ComputeError
from amondawa.model.points import Kind, Points
from amondawa.model.query import Clock, Identity, Query, Selection, Stage, TagFilter
from amondawa.model.result import Frame
from amondawa.model.timespan import Span, Zone, before, find_zone
from amondawa.protocols.native.errors import Invalid
from amondawa.protocols.native.schemas import DOWNSAMPLERS, QuerySchema, load

KEEPS_LONGS = frozenset({"sum", "min", "max", "count", "first", "last"})
"""Aggregates that give a long for longs; where a member is interpolated, and for all others, doubles are used."""

_schema = QuerySchema()


@dataclass(frozen=True, slots=True)
class Request:
    """What a request asks for.

    Attributes:
        domain: where.
        queries: one an entry of `metrics`, in order.
    """

    domain: str
    queries: tuple[Query, ...]


def plan_request(domain: str, data: Any, now_ms: int) -> Request:
    """Lower a request's JSON.

    Raises:
        Invalid: with the address of everything that is wrong.
    """
    loaded: Mapping[str, Any] = load(_schema, data)
    zone = find_zone(loaded["time_zone"])
    start_ms = _edge(loaded, "start", now_ms, zone)
    end_ms = _edge(loaded, "end", now_ms, zone)
    if end_ms < start_ms:
        field = "end_relative" if "end_relative" in loaded else "end_absolute"
        raise Invalid({field: [f"the end ({end_ms}) must not lie before the start ({start_ms})"]})
    try:
        return Request(domain, tuple(_query(domain, one, start_ms, end_ms, zone) for one in loaded["metrics"]))
    except ComputeError as error:
        field = "start_relative" if "start_relative" in loaded else "start_absolute"
        raise Invalid({field: [f"lies too far away for buckets to count from it (was {start_ms})"]}) from error


def _edge(loaded: Mapping[str, Any], edge: str, now_ms: int, zone: Zone) -> int:
    """Return one end of the range; now when neither way of giving it was used."""
    relative = loaded.get(f"{edge}_relative")
    if relative is not None:
        return before(now_ms, relative, zone)
    absolute: int = loaded.get(f"{edge}_absolute", now_ms)
    return absolute


def _query(domain: str, metric: Mapping[str, Any], start_ms: int, end_ms: int, zone: Zone) -> Query:
    filters = tuple(TagFilter(name, frozenset(values)) for name, values in metric["tags"].items() if values)
    query = Query(Selection(domain, metric["name"], filters), start_ms, end_ms, identity=Identity.TIME)
    if metric["downsample"] is not None:
        query = replace(query, clock_start_ms=_origin(start_ms, metric["downsample"]["sampling"], zone))
    limit, descending = metric["limit"], metric["order"] == "desc"
    stages = _stages(metric, zone)
    if not stages:
        return replace(query, limit=limit, descending=descending)
    if limit or descending:
        stages.append(Turn(limit, descending))
    return replace(query, stages=tuple(stages))


def _origin(start_ms: int, sampling: Span, zone: Zone) -> int:
    """Return where buckets count from. Raises ComputeError where they cannot."""
    origin_ms = first_origin(start_ms, sampling, zone)
    origin_buckets(origin_ms, sampling, zone)
    return origin_ms


def _stages(metric: Mapping[str, Any], zone: Zone) -> list[Stage]:
    stages: list[Stage] = []
    if metric["downsample"] is not None:
        kind: type[RangeStage] = DOWNSAMPLERS[metric["downsample"]["name"]]
        stages.append(
            kind(sampling=metric["downsample"]["sampling"], align_sampling=False, align_start_time=True, zone=zone)
        )
    if metric["aggregate"] is not None:
        stages.append(Across(metric["aggregate"]))
    return stages


@dataclass(frozen=True, slots=True)
class Across:
    """Bring all series together into one stream: a value at every time at which any of them has one.

    A series without a point at that time takes part, interpolated, from its first point to its last.
    Texts take no part.

    Attributes:
        name: of the aggregate, see aggregate.combine.
    """

    name: str

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return one frame, or none when there are no numbers."""
        streams = [_numbers(merged(frame)) for frame in frames]
        clock.check()
        joined = self._join([stream for stream in streams if len(stream)])
        if not len(joined):
            return []
        members = tuple(member for frame in frames for member in frame.members)
        return [Frame(frames[0].metric, members, (joined,), ({"name": "aggregate"},))]

    def _join(self, streams: list[Points]) -> Points:
        how = COMBINATIONS.find(self.name)
        if how is None:
            raise ValueError(f"no aggregate {self.name}")
        exact = self.name in KEEPS_LONGS and all(same_times(stream, streams[0]) for stream in streams)
        if not exact:
            streams = [Points.doubles(stream.times_ms, stream.numbers()) for stream in streams]
        points = combine(streams, how)
        if self.name != "count":
            return points
        return Points.longs(points.times_ms, points.numbers().astype(np.int64))


def _numbers(points: Points) -> Points:
    """Return the longs and doubles of a stream."""
    return points if not len(points) or points.kinds.max() <= Kind.DOUBLE else points.take(points.kinds <= Kind.DOUBLE)


@dataclass(frozen=True, slots=True)
class Turn:
    """Put streams into the asked order of time and keep their first points.

    Attributes:
        limit: how many points to keep; 0 = all.
        descending: newest first.
    """

    limit: int
    descending: bool

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames, each cut to the limit."""
        clock.check()
        step = -1 if self.descending else 1
        kept = slice(0, self.limit or None)
        return [frame.with_points(merged(frame).take(slice(None, None, step)).take(kept)) for frame in frames]
