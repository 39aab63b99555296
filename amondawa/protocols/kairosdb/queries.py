"""Query bodies: from JSON to what is asked for, with KairosDB's defaults, order of checks and messages.

Source: suites query, query_errors and internal_errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from marshmallow import EXCLUDE, Schema, fields, validate

from amondawa.aggregate.registry import Registry
from amondawa.model.query import MAX_TIME_MS
from amondawa.model.timespan import UTC_ZONE, Zone, before
from amondawa.protocols.kairosdb.aggregators import AGGREGATORS
from amondawa.protocols.kairosdb.fields import DurationSchema, LooseNumber, ZoneField, text_of, whole_number
from amondawa.protocols.kairosdb.grouping import GROUPINGS
from amondawa.protocols.kairosdb.java_numbers import InternalFailure, long_of
from amondawa.protocols.kairosdb.lenient import Element, JsonSyntaxError, Number, read_document
from amondawa.protocols.kairosdb.problems import Place, RequestRefused, load, problem
from amondawa.protocols.kairosdb.shapes import Shapes

PACKAGE = {"aggregators": "aggregator", "group_by": "groupby"}


@dataclass(frozen=True, slots=True)
class Piece:
    """An aggregator or grouping that was asked for: its name and its properties, defaults included."""

    name: str
    properties: dict[str, Any]


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


class QuerySchema(Schema):
    """The fields of a query itself; others are ignored."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    start_absolute = LooseNumber(whole=True, place=Place.NOWHERE, load_default=None)
    end_absolute = LooseNumber(whole=True, place=Place.NOWHERE, load_default=None)
    start_relative = fields.Nested(DurationSchema, load_default=None, allow_none=True)
    end_relative = fields.Nested(DurationSchema, load_default=None, allow_none=True)
    time_zone = ZoneField(load_default=UTC_ZONE, allow_none=True)
    cache_time = LooseNumber(
        whole=True,
        place=Place.NOWHERE,
        load_default=0,
        validate=validate.Range(min=0, error="must be greater than or equal to 0"),
    )


class TagFilters(fields.Field[dict[str, list[str]]]):
    """Tag filters: names to a value or a list of values."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any
    ) -> dict[str, list[str]]:
        if not isinstance(value, dict):
            raise problem(f"java.lang.IllegalStateException: Not a JSON Object: {_shown(value)}", Place.NOWHERE)
        return {name: _texts(one, f"tags[{at}]", name) for at, (name, one) in enumerate(value.items())}


class MetricSchema(Schema):
    """The fields of one metric of a query; others are ignored."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    name = fields.String(
        required=True,
        validate=validate.Length(min=1, error="may not be empty"),
        error_messages={"required": "may not be null"},
    )
    tags = TagFilters(load_default=dict, allow_none=True)


_QUERY = QuerySchema()
_METRIC = MetricSchema()
_PIECES: dict[tuple[str, str], Schema] = {}
_TIMES: Shapes[dict[str, Any]] = Shapes()
_METRICS: Shapes[MetricRequest] = Shapes()
_ABSOLUTE = ("start_absolute", "end_absolute")
"""times that differ from one question of a shape to the next; a plain integer needs no reading"""


def read_json(body: bytes) -> Any:
    """Read a JSON document as freely as KairosDB does; numbers are int or float, nothing at all is None.

    Raises:
        RequestRefused: it is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return _plain(read_document(body.decode("utf-8", "replace")))
    except JsonSyntaxError as error:
        raise RequestRefused(str(error)) from error


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
        raise InternalFailure(f"Not a JSON Object: {_shown(document)}")
    query = _read_times(document)
    _check_plugins(document.get("plugins"), "")
    metrics = document.get("metrics")
    if "metrics" not in document:
        raise RequestRefused(f"{prefix}query.metric[] must have a size of at least 1")
    if not isinstance(metrics, list):
        raise InternalFailure("metrics is not an array")
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
    if not isinstance(raw, dict):
        raise RequestRefused(f"java.lang.IllegalStateException: Not a JSON Object: {_shown(raw)}")
    limit = _limit(raw.get("limit", 0))
    if "name" in raw and (raw["name"] is None or isinstance(raw["name"], (list, dict))):
        raise InternalFailure("name is not a text")
    named = {key: one for key, one in raw.items() if key != "name"}
    if "name" in raw:
        named["name"] = text_of(raw["name"])
    metric = load(_METRIC, named, place)
    if start_ms is None:
        raise RequestRefused(f"{place}.start_time relative or absolute time must be set")
    if end_ms < start_ms:
        raise RequestRefused(f"{place}.end_time must be greater than the start time")
    groupings = _parse_pieces(raw, "group_by", GROUPINGS, place)
    aggregators = _parse_pieces(raw, "aggregators", AGGREGATORS, place)
    _check_plugins(raw.get("plugins"), place)
    return MetricRequest(
        metric["name"],
        metric["tags"] or {},
        text_of(raw.get("exclude_tags", False)).lower() == "true",
        max(0, limit),
        _descending(raw.get("order"), place),
        aggregators,
        groupings,
    )


def _limit(value: Any) -> int:
    number = long_of(value, 31) if isinstance(value, str) else None
    if number is not None:
        return number
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return whole_number(value, 31)
    raise InternalFailure(f"For input string: {_shown(value)}")


def _descending(order: Any, place: str) -> bool:
    if order is None:
        return False
    word = text_of(order).lower()
    if word not in ("asc", "desc"):
        raise RequestRefused(f"{place}.order must be either 'asc' or 'desc'")
    return word == "desc"


def _check_plugins(plugins: Any, place: str) -> None:
    """Refuse every query plugin: there are none."""
    if plugins is None:
        return
    if not isinstance(plugins, list):
        raise InternalFailure("plugins is not an array")
    for at, one in enumerate(plugins):
        name = one.get("name") if isinstance(one, dict) else None
        if not name:
            raise RequestRefused(f"{place}.plugins[{at}] must have a name")
        raise RequestRefused(f"{place}.plugins[{at}].{name} invalid query plugin name")


def _parse_pieces(raw: dict[str, Any], key: str, registry: Registry[Any], place: str) -> tuple[Piece, ...]:
    """Read the aggregators or groupings of a metric."""
    if key not in raw:
        return ()
    if not isinstance(raw[key], list):
        raise InternalFailure(f"{key} is not an array")
    return tuple(_parse_piece(one, key, registry, f"{place}.{key}[{at}]") for at, one in enumerate(raw[key]))


def _parse_piece(raw: Any, key: str, registry: Registry[Any], place: str) -> Piece:
    if not isinstance(raw, dict):
        raise InternalFailure(f"Not a JSON Object: {_shown(raw)}")
    name = raw.get("name")
    if name is None or name == "":
        raise RequestRefused(f"{place} must have a name")
    kind = registry.find(text_of(name))
    if kind is None:
        raise RequestRefused(f"{place}.{text_of(name)} invalid {key} name")
    schema = _PIECES.get((key, text_of(name)))
    if schema is None:
        schema = _PIECES.setdefault((key, text_of(name)), kind())
    properties = {one: value for one, value in raw.items() if one != "name"}
    for one in properties:
        if one not in schema.fields:
            raise RequestRefused(
                f"Property '{one}' was specified for object '{name}' but no matching setter was found on "
                f"'class org.kairosdb.core.{PACKAGE[key]}.{kind.java_class}'"
            )
    return Piece(text_of(name), load(schema, properties, place))


def _texts(value: Any, place: str, name: str) -> list[str]:
    """Return the values of one tag filter as texts."""
    if not name:
        raise problem(f"{place} name must not be empty", Place.OBJECT)
    values = value if isinstance(value, list) else [value]
    if any(one is None or one == "" for one in values):
        raise problem(f"{place}.{name} value must not be null or empty", Place.OBJECT)
    if any(isinstance(one, (list, dict)) for one in values):
        raise problem(f"{place}.{name} value must be a text", Place.OBJECT)
    return [text_of(one) for one in values]


def _plain(element: Element) -> Any:
    """Turn the numbers of a lenient document into int and float."""
    if isinstance(element, Number):
        number = long_of(element)
        return float(element) if number is None else number
    if isinstance(element, list):
        return [_plain(one) for one in element]
    if isinstance(element, dict):
        return {key: _plain(one) for key, one in element.items()}
    return element


def _shown(value: Any) -> str:
    """Return a value as JSON, for messages."""
    return orjson.dumps(value, default=str).decode()
