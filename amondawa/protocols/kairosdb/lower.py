"""From what a request asks for to the queries and stages that answer it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from amondawa.aggregate.aggregators import AGGREGATORS as STAGES
from amondawa.aggregate.deviation import DeviationKind
from amondawa.aggregate.filter import Comparison
from amondawa.aggregate.group import (
    BinGrouping,
    GroupPoints,
    GroupSeries,
    Limit,
    PointGrouping,
    TimeGrouping,
    ValueGrouping,
)
from amondawa.aggregate.merge import merged
from amondawa.aggregate.transform import Boundary, Ends, Threshold
from amondawa.errors import BadRequest
from amondawa.model.points import Points
from amondawa.model.query import Clock, Identity, Query, Selection, Stage, TagFilter
from amondawa.model.result import Frame
from amondawa.model.series import Tags, sorted_tags
from amondawa.model.timespan import Span, Unit, Zone
from amondawa.protocols.kairosdb.aggregators import AGGREGATORS
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.pieces import Piece
from amondawa.protocols.kairosdb.queries import MetricRequest, QueryRequest
from amondawa.protocols.kairosdb.shifted import ShiftedGrouping, ShiftedStage
from amondawa.protocols.patterns import Pattern

REGEX = "regex:"
"""A tag filter's value with this in front is a pattern for the whole value."""


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """Points that a query asked to be written: where, and for how long (0 = for ever)."""

    metric: str
    tags: Tags
    points: Points
    ttl_s: int


@dataclass(frozen=True, slots=True)
class SaveAs:
    """Pass every frame through and note its points for writing.

    Attributes:
        metric: name to write under.
        tags: tags to write with.
        add_saved_from: add the tag saved_from, with the name of the metric that was read.
        group_tags: tags of the tag grouping; those with one value in a frame are added.
        ttl_s: time to live.
        sink: where the points are noted. A query makes its own stages, so nothing else touches it.
    """

    metric: str
    tags: tuple[tuple[str, str], ...]
    add_saved_from: bool
    group_tags: tuple[str, ...]
    ttl_s: int
    sink: list[Saved]

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames unchanged.

        Raises:
            InternalFailure: there are points, and no name to write them under; or a tag to write is added anyway.
        """
        for frame in frames:
            clock.check()
            points = merged(frame) if frame.parts else Points.empty()
            tags = self._tags_of(frame)
            if len(points):
                if not self.metric:
                    raise InternalFailure(None)
                self.sink.append(Saved(self.metric, tags, points, self.ttl_s))
        return frames

    def _tags_of(self, frame: Frame) -> Tags:
        added = self._added(frame)
        for name, value in sorted_tags(dict(self.tags)):
            if name in added:
                raise InternalFailure(f"Multiple entries with same key: {name}={value} and {name}={added[name]}")
        return sorted_tags({**dict(self.tags), **added})

    def _added(self, frame: Frame) -> dict[str, str]:
        """Return the tags that are written beside those of the request."""
        tags: dict[str, str] = {}
        for name in self.group_tags:
            values = {series.tag(name) for series in frame.members}
            value = values.pop() if len(values) == 1 else None
            if value:
                tags[name] = value
        if self.add_saved_from:
            tags["saved_from"] = frame.metric
        return tags


@dataclass(frozen=True, slots=True)
class Lowered:
    """The queries of a request, one a metric, and where their save_as aggregators note points."""

    queries: list[Query]
    saved: list[Saved] = field(default_factory=list)


def lower(request: QueryRequest, domain: str) -> Lowered:
    """Make the queries of a request.

    Raises:
        InternalFailure: a tag filter holds a bad pattern.
    """
    lowered = Lowered([])
    for metric in request.metrics:
        lowered.queries.append(
            Query(
                selection_of(metric, domain),
                request.start_ms,
                request.end_ms,
                _stages(metric, request.zone, lowered.saved),
                metric.limit,
                metric.descending,
                Identity.KIND,
            )
        )
    return lowered


def selection_of(metric: MetricRequest, domain: str) -> Selection:
    """Return which series a metric of a request means.

    Raises:
        InternalFailure: a tag filter holds a bad pattern.
    """
    filters = tuple(_tag_filter(name, values) for name, values in metric.tags.items() if values)
    return Selection(domain, metric.name, filters)


def _tag_filter(name: str, values: list[str]) -> TagFilter:
    plain = frozenset(value for value in values if not value.startswith(REGEX))
    try:
        patterns = [Pattern(value[len(REGEX) :]) for value in values if value.startswith(REGEX)]
    except BadRequest as error:
        raise InternalFailure(f"{error} in a pattern of tag {name}") from error
    if not patterns:
        return TagFilter(name, plain)

    def matches(value: str) -> bool:
        return value in plain or any(pattern.matches(value) for pattern in patterns)

    return TagFilter(name, test=matches)


def _stages(metric: MetricRequest, zone: Zone, saved: list[Saved]) -> list[Stage]:
    group_tags = next((tuple(one.properties["tags"]) for one in metric.groupings if one.name == "tag"), None)
    stages: list[Stage] = [GroupSeries(metric.name, group_tags, metric.descending)]
    points = tuple(_grouping(one) for one in metric.groupings if one.name != "tag")
    if any(isinstance(one, BinGrouping) and not one.bins for one in points):
        stages.append(Breaks("Index 0 out of bounds for length 0"))
    elif points:
        stages.append(GroupPoints(points))
    if metric.limit:
        stages.append(Limit(metric.limit))
    for piece in metric.aggregators:
        if piece.name == "save_as":
            stages.append(_save_as(piece.properties, group_tags or (), saved))
        else:
            stages.append(_aggregator(piece, zone))
    return stages


def _grouping(piece: Piece) -> PointGrouping:
    properties = piece.properties
    if piece.name == "bin":
        return BinGrouping(tuple(properties["bins"] or ()))
    if piece.name == "time":
        by_time = TimeGrouping(properties["range_size"], properties["group_count"])
        start_ms = properties["start_date"]
        return by_time if start_ms is None else ShiftedGrouping(by_time, start_ms)
    return ValueGrouping(properties["range_size"])


def _save_as(properties: dict[str, Any], group_tags: tuple[str, ...], saved: list[Saved]) -> SaveAs:
    return SaveAs(
        properties["metric_name"],
        tuple(properties["tags"].items()),
        properties["add_saved_from"],
        group_tags,
        max(0, properties["ttl"]),
        saved,
    )


@dataclass(frozen=True, slots=True)
class Breaks:
    """Break a query off that has points: what was asked for lacks a property that KairosDB only misses then.

    Attributes:
        text: what to answer.
    """

    text: str

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames unchanged.

        Raises:
            InternalFailure: there are points.
        """
        if any(len(part) for frame in frames for part in frame.parts):
            raise InternalFailure(self.text)
        return frames


def _aggregator(piece: Piece, zone: Zone) -> Stage:
    """Build the stage of an aggregator: its properties by their own names, but for those that _ARGUMENTS converts."""
    stage = STAGES.find(piece.name)
    kind = AGGREGATORS.find(piece.name)
    if stage is None or kind is None:
        raise InternalFailure(f"aggregator {piece.name} is not available")
    if piece.name == "filter" and piece.properties["filter_op"] is None:
        return Breaks("filter needs a filter_op")
    arguments = dict(piece.properties)
    if "time_zone" in arguments:
        arguments["zone"] = arguments.pop("time_zone") or zone
    start_ms, end_ms = arguments.pop("start_time", None), arguments.pop("end_time", None)
    convert = _ARGUMENTS.get(piece.name)
    if convert is not None:
        convert(arguments)
    made = stage(**arguments)
    return made if start_ms is None and end_ms is None else ShiftedStage(made, start_ms, end_ms)


def _dev(arguments: dict[str, Any]) -> None:
    arguments["return_type"] = DeviationKind(arguments["return_type"])


def _filter(arguments: dict[str, Any]) -> None:
    arguments["filter_op"] = Comparison[arguments["filter_op"].upper()]


def _rate(arguments: dict[str, Any]) -> None:
    unit = arguments.pop("unit")
    if arguments["sampling"] is None:
        arguments["sampling"] = Span(1, unit or Unit.MILLISECONDS)


def _score(arguments: dict[str, Any]) -> None:
    marks = arguments["thresholds"]
    arguments["thresholds"] = tuple(Threshold(limit, Boundary(boundary)) for limit, boundary in marks)
    arguments["descending"] = arguments.pop("order") == "descending"


def _trim(arguments: dict[str, Any]) -> None:
    arguments["trim"] = Ends(arguments["trim"]) if arguments["trim"] else None


_ARGUMENTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "dev": _dev,
    "filter": _filter,
    "rate": _rate,
    "score": _score,
    "trim": _trim,
}
