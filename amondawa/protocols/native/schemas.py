"""Schemas of the native API's bodies: series of a write, and queries."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates, validates_schema

from amondawa.aggregate.aggregators import AGGREGATORS
from amondawa.aggregate.combine import COMBINATIONS
from amondawa.aggregate.downsample import RangeStage
from amondawa.errors import BadRequest
from amondawa.model.timespan import Span, Unit, find_zone
from amondawa.protocols.native.errors import Invalid, with_values

LONG_MIN: Final = -(2**63)
LONG_MAX: Final = 2**63 - 1
TTL_LIMIT_S: Final = LONG_MAX // 1000
"""longest time to live"""
SPAN_LIMIT: Final = 2**40
"""most units of time of a sampling or a relative time"""
SHOWN_POINTS = 20
"""how many bad points of one series are described"""
SHOWN_SERIES = 100
"""how many bad series of one body are described"""

AGGREGATES: Final = tuple(name for name in COMBINATIONS.names() if name != "none")
DOWNSAMPLERS: Final[Mapping[str, type[RangeStage]]] = {
    name: kind
    for name, kind in AGGREGATORS
    if name in ("avg", "sum", "min", "max", "count", "dev", "first", "last") and issubclass(kind, RangeStage)
}
"""What `downsample` may be called: the range aggregators that need to be told a sampling and nothing else."""

_MISSING: dict[str, Any] = {
    "required": "is missing",
    "null": "must not be null",
    "invalid": "must be a text",
    "type": "must be an object",
}
_NOT_EMPTY = validate.Length(min=1, error="must not be empty")
_ONE_OF = "must be one of {choices}"
_LONG = validate.Range(LONG_MIN, LONG_MAX, error="must fit 64 bits")


class _Plain(fields.Field[Any]):
    """What the fields of our own making say when nothing, or null, is given."""

    default_error_messages = _MISSING


class Whole(fields.Integer):
    """A JSON integer; neither a float nor a text that looks like one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strict=True, error_messages=_MISSING | {"invalid": "must be a whole number"}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if type(value) is not int:
            raise self.make_error("invalid", input=value)
        return value


class Count(Whole):
    """A whole number, also as the text that Grafana's plug-in for KairosDB sends."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            value = int(value)
        return super()._deserialize(value, attr, data, **options)


_DIGITS = re.compile(r"[+-]?[0-9]{1,20}")


class PointValue(_Plain):
    """A long, a double or a text."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        problem = _value_problem(value, _text_limit(self))
        if problem:
            raise ValidationError(problem)
        return value


class PointList(_Plain):
    """[[ms, value], …]; what is wrong is told by the point's index."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if not isinstance(value, list):
            raise ValidationError("must be an array of [ms, value] pairs")
        problems: dict[int, Any] = {}
        for index, point in enumerate(value):
            problem = _point_problem(point, _text_limit(self))
            if problem:
                problems[index] = problem
            if len(problems) == SHOWN_POINTS:
                break
        if problems:
            raise ValidationError(problems)
        return value


class TagTexts(_Plain):
    """{name: value}, both texts with at least one character."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if not isinstance(value, dict):
            raise ValidationError("must be an object of tag names and values")
        problems = {name: [problem] for name, given in value.items() if (problem := _tag_problem(name, given))}
        if problems:
            raise ValidationError(problems)
        return value


def _tag_problem(name: str, value: Any) -> str | None:
    if not isinstance(value, str):
        return "must be a text"
    if not value:
        return "must not be empty"
    return None if name else "belongs to a tag without a name"


def _point_problem(point: Any, text_limit_bytes: int) -> Any:
    """Say what is wrong with one [ms, value] pair, by place in the pair where one is to blame; None = nothing."""
    if not isinstance(point, list) or len(point) != 2:
        return ["must be a pair [ms, value]"]
    if type(point[0]) is not int or not LONG_MIN <= point[0] <= LONG_MAX:
        return {0: ["the time must be a whole number of milliseconds"]}
    problem = _value_problem(point[1], text_limit_bytes)
    return {1: [problem]} if problem else None


def _value_problem(value: Any, text_limit_bytes: int) -> str | None:
    if type(value) is int:
        return None if LONG_MIN <= value <= LONG_MAX else "must fit 64 bits"
    if isinstance(value, str):
        return None if len(value.encode()) <= text_limit_bytes else f"must not be longer than {text_limit_bytes} bytes"
    if type(value) is not float:
        return "must be a number or a text"
    return None if math.isfinite(value) else "must fit a double"


def _text_limit(field: fields.Field[Any]) -> int:
    """Return the text limit of the schema that a field belongs to."""
    limit: int = getattr(field.root, "text_limit_bytes", LONG_MAX)
    return limit


class _Strict(Schema):
    """Unknown fields are errors: a misspelt one would change a meaning in silence."""

    class Meta:
        """Options of marshmallow."""

        unknown = RAISE

    error_messages = {"unknown": "is not a field of this object", "type": "must be an object"}


class SeriesSchema(_Strict):
    """One series of a write: `timestamp` and `value`, or `datapoints`.

    Args:
        text_limit_bytes: longest text value.
    """

    def __init__(self, text_limit_bytes: int, **options: Any) -> None:
        super().__init__(**options)
        self.text_limit_bytes = text_limit_bytes

    name = fields.String(required=True, error_messages=_MISSING, validate=_NOT_EMPTY)
    tags = TagTexts(load_default=dict)
    timestamp = Whole(validate=_LONG)
    value = PointValue()
    datapoints = PointList()
    ttl = Whole(load_default=0, validate=validate.Range(0, TTL_LIMIT_S, error="must be {min} to {max} seconds"))

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _has_points(self, data: Mapping[str, Any], original: Any, **_options: Any) -> None:
        """Ask for one way of giving points, and only one; wrong fields are told of by themselves."""
        if not isinstance(original, dict):
            return
        given = {"timestamp", "value", "datapoints"} & set(original)
        if given in ({"datapoints"}, {"timestamp", "value"}):
            return
        if given == {"timestamp"}:
            raise ValidationError("is missing beside timestamp", "value")
        if given == {"value"}:
            raise ValidationError("is missing beside value", "timestamp")
        if given:
            raise ValidationError("must not stand beside timestamp and value", "datapoints")
        raise ValidationError("is missing, and so are timestamp and value", "datapoints")


class SpanSchema(_Strict):
    """A number of units of time."""

    value = Count(required=True, validate=validate.Range(1, SPAN_LIMIT, error="must be {min} to {max}"))
    unit = fields.String(required=True, error_messages=_MISSING)

    @validates("unit")
    def _known_unit(self, value: str, **_options: Any) -> None:
        try:
            Unit.parse(value)
        except BadRequest as error:
            raise ValidationError(error.message) from error

    @post_load
    def _make(self, data: Mapping[str, Any], **_options: Any) -> Span:
        return Span(data["value"], Unit.parse(data["unit"]))


class TagFilters(_Plain):
    """{name: value} or {name: [value, …]}; loads into {name: [value, …]}."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if not isinstance(value, dict):
            raise ValidationError("must be an object of tag names and values")
        problems = {name: problem for name, given in value.items() if (problem := _filter_problem(given))}
        if problems:
            raise ValidationError(problems)
        return {name: [given] if isinstance(given, str) else given for name, given in value.items()}


def _filter_problem(given: Any) -> Any:
    """Say what is wrong with the values asked of one tag, by index where one of them is to blame; None = nothing."""
    if isinstance(given, str):
        return None
    if not isinstance(given, list):
        return ["must be a text or an array of texts"]
    return {index: ["must be a text"] for index, one in enumerate(given) if not isinstance(one, str)} or None


class DownsampleSchema(_Strict):
    """Reduce every series to one point a bucket."""

    name = fields.String(required=True, error_messages=_MISSING, validate=validate.OneOf(DOWNSAMPLERS, error=_ONE_OF))
    sampling = fields.Nested(SpanSchema, required=True, error_messages=_MISSING)


class MetricSchema(_Strict):
    """One query of a request."""

    name = fields.String(required=True, error_messages=_MISSING, validate=_NOT_EMPTY)
    tags = TagFilters(load_default=dict)
    downsample = fields.Nested(DownsampleSchema, allow_none=True, load_default=None, error_messages=_MISSING)
    aggregate = fields.String(
        allow_none=True, load_default=None, error_messages=_MISSING, validate=validate.OneOf(AGGREGATES, error=_ONE_OF)
    )
    limit = Whole(load_default=0, validate=validate.Range(0, LONG_MAX, error="must be 0 (none) or more"))
    order = fields.String(
        load_default="asc", error_messages=_MISSING, validate=validate.OneOf(("asc", "desc"), error=_ONE_OF)
    )


class QuerySchema(_Strict):
    """A request: a range of time and queries. `cache_time` is taken from clients of KairosDB and means nothing."""

    start_absolute = Whole(validate=_LONG)
    end_absolute = Whole(validate=_LONG)
    start_relative = fields.Nested(SpanSchema, error_messages=_MISSING)
    end_relative = fields.Nested(SpanSchema, error_messages=_MISSING)
    time_zone = fields.String(load_default="", error_messages=_MISSING)
    cache_time = fields.Raw(load_only=True)
    metrics = fields.List(
        fields.Nested(MetricSchema, error_messages=_MISSING),
        required=True,
        error_messages=_MISSING | {"invalid": "must be an array of queries"},
        validate=validate.Length(min=1, error="must not be empty"),
    )

    @validates("time_zone")
    def _known_zone(self, value: str, **_options: Any) -> None:
        try:
            find_zone(value)
        except BadRequest as error:
            raise ValidationError(error.message) from error

    @validates_schema
    def _has_a_start(self, data: Mapping[str, Any], **_options: Any) -> None:
        for edge in ("start", "end"):
            if f"{edge}_absolute" in data and f"{edge}_relative" in data:
                raise ValidationError(f"must not stand beside {edge}_absolute", f"{edge}_relative")
        if not {"start_absolute", "start_relative"} & set(data):
            raise ValidationError("is missing, and so is start_relative", "start_absolute")


def load(schema: Schema, data: Any) -> Any:
    """Load one object.

    Raises:
        Invalid: messages by address, each with the value that is to blame.
    """
    try:
        return schema.load(data)
    except ValidationError as error:
        messages = with_values(_without_schema_key(error.messages), data)
        raise Invalid(messages if isinstance(messages, dict) else {"": messages}) from error


def load_many(schema: Schema, data: Sequence[Any]) -> list[Any]:
    """Load an array of objects; of many bad ones the first are described.

    Raises:
        Invalid: messages by index and address.
    """
    loaded: list[Any] = []
    errors: dict[int, Any] = {}
    for index, one in enumerate(data):
        try:
            loaded.append(schema.load(one))
        except ValidationError as error:
            errors[index] = _without_schema_key(error.messages)
            if len(errors) == SHOWN_SERIES:
                break
    if errors:
        raise Invalid(with_values(errors, list(data)))
    return loaded


def _without_schema_key(messages: Any) -> Any:
    """Take away marshmallow's own key for messages about an object as a whole."""
    if not isinstance(messages, dict):
        return messages
    if set(messages) == {"_schema"}:
        return messages["_schema"]
    return {key: _without_schema_key(inner) for key, inner in messages.items()}
