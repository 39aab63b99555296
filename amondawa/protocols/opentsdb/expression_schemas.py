"""Bodies of POST /api/query/exp, and the echo of the query in the answer."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, post_load

from amondawa.protocols.opentsdb.errors import TsdbError, internal_null
from amondawa.protocols.opentsdb.expression_query import (
    INTERNAL,
    Downsampler,
    Expression,
    ExpressionQuery,
    FillValue,
    FilterSet,
    Join,
    Metric,
    Output,
    Timespan,
)
from amondawa.protocols.opentsdb.filters import TagVFilter
from amondawa.protocols.opentsdb.query_schemas import FilterSchema, Flag, LenientSchema, Text, refused

NAN = float("nan")


class FillSchema(LenientSchema):
    """A `fillPolicy`."""

    policy = Text(load_default=None)
    value = fields.Float(load_default=0.0, allow_nan=True)

    @post_load
    def fill(self, data: dict[str, Any], **_: Any) -> FillValue:
        """Build the fill value."""
        policy, value = data["policy"], data["value"]
        if policy is None:
            return FillValue("zero" if value == 0 else "nan" if value != value else "scalar", value)
        policy = policy.lower()
        if policy == "scalar":
            return FillValue(policy, value)
        if policy == "zero" and value == 0:
            return FillValue(policy, 0.0)
        if policy in ("none", "nan", "null") and (value == 0 or value != value):
            return FillValue(policy, NAN)
        raise ValidationError(f"No fill policy {policy} with the value {value}")


class DownsamplerSchema(LenientSchema):
    """The `downsampler` of the time section."""

    interval = Text(load_default="")
    aggregator = Text(load_default="")
    fill = fields.Nested(FillSchema, data_key="fillPolicy", load_default=None)

    @post_load
    def downsampler(self, data: dict[str, Any], **_: Any) -> Downsampler:
        """Build it."""
        return Downsampler(**data)


class TimeSchema(LenientSchema):
    """The `time` section."""

    start = Text(load_default=None)
    end = Text(load_default=None)
    zone_name = Text(data_key="timezone", load_default=None)
    downsampler = fields.Nested(DownsamplerSchema, load_default=None)
    aggregator = Text(load_default=None)
    rate = Flag(load_default=False)

    @post_load
    def time(self, data: dict[str, Any], **_: Any) -> Timespan:
        """Build it."""
        return Timespan(**data)


class FilterSetSchema(LenientSchema):
    """One entry of `filters`."""

    name = Text(data_key="id", load_default="")
    tags = fields.List(fields.Nested(FilterSchema), load_default=None)
    explicit_tags = Flag(data_key="explicitTags", load_default=False)

    @post_load
    def filters(self, data: dict[str, Any], **_: Any) -> FilterSet:
        """Build it."""
        tags = None if data["tags"] is None else tuple(data["tags"])
        return FilterSet(data["name"], tags, data["explicit_tags"])


class MetricSchema(LenientSchema):
    """One entry of `metrics`."""

    name = Text(data_key="id", load_default="")
    metric = Text(load_default="")
    filter_name = Text(data_key="filter", load_default=None)
    aggregator = Text(load_default=None)
    time_offset = Text(data_key="timeOffset", load_default=None)
    fill = fields.Nested(FillSchema, data_key="fillPolicy", load_default=None)

    @post_load
    def metrics(self, data: dict[str, Any], **_: Any) -> Metric:
        """Build it."""
        return Metric(**data)


class JoinSchema(LenientSchema):
    """A `join`."""

    operator = Text(load_default="")
    query_tags = Flag(data_key="useQueryTags", load_default=False)
    aggregated_tags = Flag(data_key="includeAggTags", load_default=True)

    @post_load
    def join(self, data: dict[str, Any], **_: Any) -> Join:
        """Build it."""
        operator = data["operator"].lower()
        if operator not in ("union", "intersection", ""):
            raise ValidationError(f"Unrecognized set operator: {operator}")
        return Join(operator == "intersection" if operator else None, data["query_tags"], data["aggregated_tags"])


class ExpressionSchema(LenientSchema):
    """One entry of `expressions`."""

    name = Text(data_key="id", load_default="")
    text = Text(data_key="expr", load_default="")
    join = fields.Nested(JoinSchema, load_default=Join())
    fill = fields.Nested(FillSchema, data_key="fillPolicy", load_default=None)

    @post_load
    def expression(self, data: dict[str, Any], **_: Any) -> Expression:
        """Build it."""
        return Expression(**data)


class OutputSchema(LenientSchema):
    """One entry of `outputs`."""

    name = Text(data_key="id", load_default=None)
    alias = Text(load_default=None)

    @post_load
    def output(self, data: dict[str, Any], **_: Any) -> Output:
        """Build it."""
        return Output(**data)


class ExpressionQuerySchema(LenientSchema):
    """The whole body."""

    name = Text(load_default=None)
    time = fields.Nested(TimeSchema, load_default=None)
    filters = fields.List(fields.Nested(FilterSetSchema), load_default=None)
    metrics = fields.List(fields.Nested(MetricSchema), load_default=())
    expressions = fields.List(fields.Nested(ExpressionSchema), load_default=None)
    outputs = fields.List(fields.Nested(OutputSchema), load_default=None)

    @post_load
    def query(self, data: dict[str, Any], **_: Any) -> ExpressionQuery:
        """Build it."""
        lists = {name: _tuple_or_none(data[name]) for name in ("filters", "expressions", "outputs")}
        return ExpressionQuery(data["name"], data["time"], metrics=tuple(data["metrics"]), **lists)


def _tuple_or_none(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)


_QUERY = ExpressionQuerySchema()


def load_expression_query(body: Any) -> ExpressionQuery:
    """Read the body of an expression query.

    Args:
        body: parsed JSON.

    Raises:
        TsdbError: 500 as the original answers, the details saying where and why; 400 for a null among the outputs.
    """
    _check_nulls(body)
    try:
        loaded: ExpressionQuery = _QUERY.load(body)
    except ValidationError as error:
        raise TsdbError("Unable to parse the given JSON", INTERNAL, refused(error).details) from error
    return loaded


def _check_nulls(body: Any) -> None:
    """Refuse a null in place of the body, or of an entry of one of its lists."""
    if body is None:
        raise internal_null()
    if not isinstance(body, dict):
        return
    for name in ("filters", "metrics", "expressions"):
        entries = body.get(name)
        if isinstance(entries, list) and None in entries:
            raise internal_null()
    if isinstance(body.get("outputs"), list) and None in body["outputs"]:
        raise TsdbError("An output may not be null")


# the echo -------------------------------------------------------------------------------------------------------------


def echo(query: ExpressionQuery) -> dict[str, Any]:
    """Return the query as the answer repeats it."""
    return {
        "name": query.name,
        "time": None if query.time is None else _echo_time(query.time),
        "filters": [_echo_filters(one) for one in query.filters or ()],
        "metrics": [_echo_metric(one) for one in query.metrics],
        "expressions": [_echo_expression(one) for one in query.expressions or ()],
        "outputs": None if query.outputs is None else [{"id": one.name, "alias": one.alias} for one in query.outputs],
    }


def _echo_fill(fill: FillValue | None) -> dict[str, Any] | None:
    return None if fill is None else fill.wire()


def _echo_time(time: Timespan) -> dict[str, Any]:
    down = time.downsampler
    return {
        "start": time.start,
        "end": time.end,
        "timezone": time.zone_name,
        "downsampler": None
        if down is None
        else {"interval": down.interval, "aggregator": down.aggregator, "fillPolicy": _echo_fill(down.fill)},
        "aggregator": time.aggregator,
        "rate": time.rate,
    }


def _echo_filters(filters: FilterSet) -> dict[str, Any]:
    return {
        "id": filters.name,
        "tags": None if filters.tags is None else [_echo_filter(one) for one in filters.tags],
        "explicitTags": filters.explicit_tags,
    }


def _echo_filter(one: TagVFilter) -> dict[str, Any]:
    return {"tagk": one.tag_name, "filter": one.text, "group_by": one.group_by, "type": one.shown_kind}


def _echo_metric(metric: Metric) -> dict[str, Any]:
    return {
        "metric": metric.metric,
        "id": metric.name,
        "filter": metric.filter_name,
        "aggregator": metric.aggregator,
        "timeOffset": metric.time_offset,
        "fillPolicy": _echo_fill(metric.fill),
    }


def _echo_expression(expression: Expression) -> dict[str, Any]:
    return {
        "id": expression.name,
        "expr": expression.text,
        "join": {
            "operator": "intersection" if expression.join.intersection else "union",
            "useQueryTags": expression.join.query_tags,
            "includeAggTags": expression.join.aggregated_tags,
        },
        "fillPolicy": _echo_fill(expression.fill),
    }
