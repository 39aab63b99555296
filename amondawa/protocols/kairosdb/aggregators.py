"""The aggregators of a query: one schema a piece, from which /features and the stages are made.

Source: suites aggregators, sampling and query_errors; GET /api/v1/features of the real server.
"""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import RAISE, Schema, fields, validate

from amondawa.aggregate.registry import Registry
from amondawa.model.timespan import Span, Unit
from amondawa.protocols.kairosdb.elements import read_double, read_items, read_members, read_pair, text_of
from amondawa.protocols.kairosdb.fields import (
    MISSING,
    DurationSchema,
    Loose,
    double_field,
    enum_field,
    enum_of,
    flag_field,
    list_field,
    text_field,
    unit_field,
    whole_field,
    word_field,
    zone_field,
)
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.tokens import Number

AGGREGATORS: Registry[type[AggregatorSchema]] = Registry("aggregator")
"""Names of aggregators to their schemas, in the order in which the features list them."""

DIGITS = {"expression": "!isNaN(value)", "message": "Value must be a number."}
ABOVE_ZERO = {"expression": "value > 0", "message": "Value must be greater than 0."}
_NOT_ZERO = {"expression": "value != 0", "message": "Value must not be 0."}
NOT_EMPTY = {"expression": "!value && value.length > 0", "message": "The value cannot be empty."}
_UP_TO_ONE = {"expression": "value <= 1", "message": "Value must not be greater than 1."}


def shown(label: str, kind: str, default: str, *checks: dict[str, str], **more: Any) -> dict[str, Any]:
    """Return the metadata of a property that /features lists."""
    return {"feature": {"label": label, "type": kind, "defaultValue": default, "checks": checks, **more}}


def _flag(label: str) -> Loose:
    return flag_field(load_default=False, metadata=shown(label, "boolean", "false"))


def _not_zero() -> validate.Validator:
    return validate.NoneOf([0, 0.0], error="may not be zero")


class SampledBy(fields.Nested):
    """A sampling or range_size; features show it as an object with a value and a unit."""

    default_error_messages = MISSING

    def __init__(self, label: str, **options: Any) -> None:
        super().__init__(
            DurationSchema,
            metadata={"feature": {"label": label, "type": "Object", "sampling": True}, **options.pop("metadata", {})},
            **options,
        )


class AggregatorSchema(Schema):
    """What all aggregators have. A subclass is registered under the name that requests use."""

    label: ClassVar[str]
    java_class: ClassVar[str]
    is_range: ClassVar[bool] = False

    class Meta:
        """A property without a setter is refused."""

        unknown = RAISE


class RangeSchema(AggregatorSchema):
    """An aggregator over buckets of time."""

    is_range = True

    align_end_time = _flag("Align end time")
    align_start_time = _flag("Align start time")
    sampling = SampledBy("Sampling", load_default=Span(1, Unit.MILLISECONDS))
    trim = _flag("Trim")
    align_sampling = flag_field(load_default=True)
    start_time = whole_field(load_default=None)
    end_time = whole_field(load_default=None)
    time_zone = zone_field(load_default=None)


@AGGREGATORS.register("avg")
class AvgSchema(RangeSchema):
    """Average."""

    label, java_class = "AVG", "AvgAggregator"


@AGGREGATORS.register("count")
class CountSchema(RangeSchema):
    """Number of points."""

    label, java_class = "Count", "CountAggregator"


@AGGREGATORS.register("dev")
class DevSchema(RangeSchema):
    """Sample deviation, or the average moved by some of them."""

    label, java_class = "Dev", "StdAggregator"

    return_type = enum_field(("value", "pos_sd", "neg_sd"), load_default="value")
    dev_count = whole_field(31, load_default=1)


@AGGREGATORS.register("diff")
class DiffSchema(AggregatorSchema):
    """Difference to the point before."""

    label, java_class = "Diff", "DiffAggregator"


@AGGREGATORS.register("div")
class DivSchema(AggregatorSchema):
    """Every value divided."""

    label, java_class = "Div", "DivideAggregator"

    divisor = double_field(
        required=True,
        validate=_not_zero(),
        error_messages={"required": "may not be zero"},
        metadata={"inner": "m_divisor", **shown("Divisor", "double", "1", _NOT_ZERO)},
    )


def _threshold_of(value: Any) -> Any:
    """Return what a filter compares with: a double or a text; None for anything else, which leaves out every point."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return float(value) if isinstance(value, (int, Number)) else value


@AGGREGATORS.register("filter")
class FilterSchema(AggregatorSchema):
    """Points whose value stands in a relation to a threshold are left out."""

    label, java_class = "Filter", "FilterAggregator"

    filter_op = word_field(
        ("lte", "lt", "gte", "gt", "equal", "ne"),
        "is not a valid trim type, must be 'lte', 'lt', 'gte', 'gt', 'equal' or 'ne'.",
        load_default=None,
        metadata=shown("Filter operation", "enum", "equal", options=["LTE", "LT", "GTE", "GT", "EQUAL", "NE"]),
    )
    threshold = Loose(_threshold_of, load_default=0.0, metadata=shown("Threshold", "Object", ""))


@AGGREGATORS.register("first")
class FirstSchema(RangeSchema):
    """First point of a bucket."""

    label, java_class = "First", "FirstAggregator"


@AGGREGATORS.register("gaps")
class GapsSchema(RangeSchema):
    """Null in empty buckets."""

    label, java_class = "Gaps", "DataGapsMarkingAggregator"


@AGGREGATORS.register("last")
class LastSchema(RangeSchema):
    """Last point of a bucket."""

    label, java_class = "Last", "LastAggregator"


@AGGREGATORS.register("least_squares")
class LeastSquaresSchema(RangeSchema):
    """Two points on the fitted line of a bucket."""

    label, java_class = "Least Squares", "LeastSquaresAggregator"


@AGGREGATORS.register("max")
class MaxSchema(RangeSchema):
    """Largest value."""

    label, java_class = "Max", "MaxAggregator"


@AGGREGATORS.register("min")
class MinSchema(RangeSchema):
    """Smallest value."""

    label, java_class = "Min", "MinAggregator"


@AGGREGATORS.register("percentile")
class PercentileSchema(RangeSchema):
    """Percentile of a bucket."""

    label, java_class = "Percentile", "PercentileAggregator"

    percentile = double_field(
        required=True,
        validate=_not_zero(),
        error_messages={"required": "may not be zero"},
        metadata=shown("Percentile", "double", "0.1", ABOVE_ZERO, _UP_TO_ONE),
    )


@AGGREGATORS.register("rate")
class RateSchema(AggregatorSchema):
    """Change per unit of time."""

    label, java_class = "Rate", "RateAggregator"

    sampling = SampledBy("Sampling", load_default=None)
    unit = unit_field(load_default=None)
    time_zone = zone_field(load_default=None)


def _mark_of(value: Any) -> tuple[float, str]:
    """Return a threshold of a score: its value, and whether it is passed at that ("inferior") or past it ("superior")."""
    mark = read_members(value)
    limit = 0.0 if mark.get("value") is None else read_double(mark["value"])
    return limit, enum_of(mark.get("boundary", "superior"), ("superior", "inferior"))


@AGGREGATORS.register("score")
class ScoreSchema(AggregatorSchema):
    """How many thresholds a value passes."""

    label, java_class = "SCORE", "ScoreAggregator"

    order = enum_field(
        ("ascending", "descending"),
        load_default="ascending",
        metadata=shown("Order", "enum", "ascending", options=["ASCENDING", "DESCENDING"]),
    )
    thresholds = list_field(_mark_of, required=True, metadata=shown("Thresholds", "array", "[]"))


@AGGREGATORS.register("sma")
class SmaSchema(AggregatorSchema):
    """Moving average over a number of points."""

    label, java_class = "SMA", "SmaAggregator"

    size = whole_field(31, load_default=0, metadata=shown("Size", "int", "10", ABOVE_ZERO))


@AGGREGATORS.register("sampler")
class SamplerSchema(AggregatorSchema):
    """Value per unit of time since the point before."""

    label, java_class = "Sampler", "SamplerAggregator"

    unit = unit_field(
        load_default=Unit.MILLISECONDS, metadata=shown("Time Unit", "enum", "milliseconds", options="units")
    )
    time_zone = zone_field(load_default=None)


def _tags_of(value: Any) -> dict[str, str]:
    """Return the tags to write: an object, or an array of pairs."""
    if isinstance(value, list):
        value = dict(read_items(value, read_pair))
    tags = read_members(value)
    for name, one in tags.items():
        if one is None:
            raise InternalFailure(f"null value in entry: {name}=null")
    return {name: text_of(one) for name, one in tags.items()}


@AGGREGATORS.register("save_as")
class SaveAsSchema(AggregatorSchema):
    """The points are written under another name."""

    label, java_class = "Save As", "SaveAsAggregator"

    metric_name = text_field(load_default="", metadata=shown("Save As", "String", "<new name>", NOT_EMPTY))
    tags = Loose(_tags_of, load_default=dict)
    ttl = whole_field(31, load_default=0)
    add_saved_from = flag_field(load_default=True)


@AGGREGATORS.register("scale")
class ScaleSchema(AggregatorSchema):
    """Every value multiplied."""

    label, java_class = "Scale", "ScaleAggregator"

    factor = double_field(load_default=0.0, metadata=shown("Factor", "double", "0.0", DIGITS))


@AGGREGATORS.register("sum")
class SumSchema(RangeSchema):
    """Sum."""

    label, java_class = "Sum", "SumAggregator"


@AGGREGATORS.register("trim")
class TrimSchema(AggregatorSchema):
    """The first or last point, or both, left out."""

    label, java_class = "Trim", "TrimAggregator"

    trim = word_field(
        ("first", "last", "both"),
        "is not a valid trim type, must be 'first', 'last' or 'both'.",
        load_default=None,
        metadata=shown("Trim", "enum", "both", options=["FIRST", "LAST", "BOTH"]),
    )
