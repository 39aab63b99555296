"""Query bodies: from JSON to what is asked for, with KairosDB's defaults, order of checks and messages.

Source: suites query, query_errors and internal_errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, pre_load, validate

from amondawa.model.query import MAX_TIME_MS
from amondawa.model.timespan import UTC_ZONE, Zone, before
from amondawa.protocols.kairosdb.aggregators import AGGREGATORS
from amondawa.protocols.kairosdb.elements import (
    BadNumber,
    IllegalState,
    flag_of,
    int_of,
    members_of,
    read_elements,
    shown,
    text_of,
)
from amondawa.protocols.kairosdb.fields import (
    NULL,
    DurationSchema,
    Element,
    Members,
    reading,
    whole_field,
    zone_field,
)
from amondawa.protocols.kairosdb.grouping import GROUPINGS
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.pieces import Piece, check_plugins, read_pieces
from amondawa.protocols.kairosdb.problems import Place, RequestRefused, SyntaxRefused, load, problem
from amondawa.protocols.kairosdb.shapes import Shapes
from amondawa.protocols.kairosdb.tokens import JsonSyntaxError


@dataclass(frozen=True, slots=True)
class MetricRequest:
    """One metric of a query.

    Attributes:
        name: metric name.
        tags: what each tag must be one of; a value "regex:P" is a pattern. Tags without values filter nothing.
        exclude_tags: leave the tags out of the answer.
        limit: 0 = all.
        descending: newest first.
        aggregators, groupings: in the order of the request.
    """

    name: str
    tags: dict[str, list[str]] = field(default_factory=dict)
    exclude_tags: bool = False
    limit: int = 0
    descending: bool = False
    aggregators: tuple[Piece, ...] = ()
    groupings: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """A query body: an inclusive range of time and the metrics."""

    start_ms: int
    end_ms: int
    zone: Zone
    metrics: tuple[MetricRequest, ...]


def _tag_filters(element: Any) -> dict[str, list[str]]:
    """Return tag filters: names to the values of which a series must have one."""
    found = {}
    for at, (name, value) in enumerate(members_of(element).items()):
        if not name:
            raise problem(f"tags[{at}] name must not be empty", Place.OBJECT)
        texts = ["" if one is None else text_of(one) for one in (value if isinstance(value, list) else [value])]
        if "" in texts:
            raise problem(f"tags[{at}].{name} value must not be null or empty", Place.OBJECT)
        found[name] = texts
    return found


def _limit_of(element: Any) -> int:
    try:
        return max(0, int_of(element))
    except BadNumber as error:
        raise InternalFailure(str(error)) from error


def _order_of(element: Any) -> str:
    try:
        word = text_of(element).lower()
    except IllegalState as error:
        raise InternalFailure(error.text) from error
    if word not in ("asc", "desc"):
        raise problem("order must be either 'asc' or 'desc'", Place.OBJECT)
    return word


class QuerySchema(Members):
    """The fields of a query itself; others are ignored."""

    start_absolute = whole_field(load_default=None)
    end_absolute = whole_field(load_default=None)
    start_relative = fields.Nested(DurationSchema, load_default=None)
    end_relative = fields.Nested(DurationSchema, load_default=None)
    time_zone = zone_field(load_default=UTC_ZONE)
    cache_time = whole_field(
        31, load_default=0, validate=validate.Range(min=0, error="must be greater than or equal to 0")
    )


class MetricSchema(Schema):
    """A metric's own fields; the others are read after them."""

    class Meta:
        """Fields without a counterpart are left alone."""

        unknown = EXCLUDE

    name = Element(text_of, load_default=None, allow_none=False)
    exclude_tags = Element(flag_of, load_default=False)
    tags = Element(_tag_filters, load_default=dict)
    limit = Element(_limit_of, load_default=0)

    @pre_load
    def in_order(self, data: Any, **options: Any) -> dict[str, Any]:
        """Return an object's fields; anything else is no metric."""
        with reading():
            return members_of(data)


class OrderSchema(Schema):
    """The field of a metric that KairosDB looks at last."""

    class Meta:
        """Fields without a counterpart are left alone."""

        unknown = EXCLUDE

    order = Element(_order_of, load_default="asc")


_QUERY = QuerySchema()
_METRIC = MetricSchema()
_ORDER = OrderSchema()
_TIMES: Shapes[dict[str, Any]] = Shapes()
_METRICS: Shapes[MetricRequest] = Shapes()
_ABSOLUTE = ("start_absolute", "end_absolute")
"""times that differ from one question of a shape to the next; a plain integer needs no reading"""


def read_json(body: bytes) -> Any:
    """Read a JSON document as freely as KairosDB does, see elements; nothing at all is None.

    Raises:
        SyntaxRefused: it is not JSON.
    """
    try:
        return read_elements(body)
    except JsonSyntaxError as error:
        raise SyntaxRefused(str(error)) from error


def parse_query(document: Any, now_ms: int, prefix: str = "") -> QueryRequest:
    """Check a query body and give it its defaults.

    Args:
        document: the parsed JSON.
        now_ms: what relative times count from.
        prefix: the place of a query inside a roll-up.

    Raises:
        RequestRefused: it is wrong; the messages name the place.
        InternalFailure: it is wrong in a way that KairosDB answers with 500.
    """
    if not isinstance(document, dict):
        raise InternalFailure(f"Not a JSON Object: {shown(document)}")
    query = _read_times(document)
    check_plugins(document, "")
    metrics = document.get("metrics")
    if "metrics" not in document:
        raise RequestRefused(f"{prefix}query.metric[] must have a size of at least 1")
    if not isinstance(metrics, list):
        raise InternalFailure("metrics cannot be cast to an array")
    place = f"{prefix}.query" if prefix else "query"
    start_ms, end_ms = _range(query, now_ms)
    found = [_parse_metric(one, f"{place}.metric[{at}]", start_ms, end_ms) for at, one in enumerate(metrics)]
    return QueryRequest(start_ms or 0, end_ms, query["time_zone"] or UTC_ZONE, tuple(found))


def _read_times(document: dict[str, Any]) -> dict[str, Any]:
    """Read the fields of a query itself, which must not be changed."""
    shape = {key: one for key, one in document.items() if one is not None and key != "metrics"}
    plain = {key: shape.pop(key) for key in _ABSOLUTE if type(shape.get(key)) is int and 0 <= shape[key] <= MAX_TIME_MS}
    read = _TIMES.of(shape, lambda raw: load(_QUERY, raw, "", "query"))
    return {**read, **plain} if plain else read


def _range(query: dict[str, Any], now_ms: int) -> tuple[int | None, int]:
    """Return start (None when it is not said) and end."""
    start_ms: int | None = query["start_absolute"]
    if start_ms is None and query["start_relative"] is not None:
        start_ms = before(now_ms, query["start_relative"])
    end_ms: int | None = query["end_absolute"]
    if end_ms is None:
        end_ms = MAX_TIME_MS if query["end_relative"] is None else before(now_ms, query["end_relative"])
    return start_ms, end_ms


def _parse_metric(raw: Any, place: str, start_ms: int | None, end_ms: int) -> MetricRequest:
    if start_ms is None or end_ms < start_ms:  # which is told after what else may be wrong
        return _read_metric(raw, place, start_ms, end_ms)
    return _METRICS.of(raw, lambda one: _read_metric(one, place, start_ms, end_ms))


def _read_metric(raw: Any, place: str, start_ms: int | None, end_ms: int) -> MetricRequest:
    if raw is None:
        raise InternalFailure(NULL)
    own = load(_METRIC, _in_order(raw), place)
    name = own["name"]
    if not name:
        raise RequestRefused(f"{place}.name may not be {'null' if name is None else 'empty'}")
    if start_ms is None:
        raise RequestRefused(f"{place}.start_time relative or absolute time must be set")
    if end_ms < start_ms:
        raise RequestRefused(f"{place}.end_time must be greater than the start time")
    groupings = read_pieces(raw, "group_by", GROUPINGS, place)
    aggregators = read_pieces(raw, "aggregators", AGGREGATORS, place)
    check_plugins(raw, place)
    descending = load(_ORDER, raw, place)["order"] == "desc"
    return MetricRequest(name, own["tags"], own["exclude_tags"], own["limit"], descending, aggregators, groupings)


def _in_order(raw: Any) -> Any:
    """Return a metric's own fields in the order in which KairosDB looks at them: of several wrong ones it tells the first."""
    return {key: raw[key] for key in _METRIC.fields if key in raw} if isinstance(raw, dict) else raw
