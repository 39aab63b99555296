"""The aggregators of a query: one schema a piece, from which /features and the stages are made.

Source: suites aggregators, sampling and query_errors; GET /api/v1/features of the real server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, fields, validate

from amondawa.aggregate.registry import Registry
from amondawa.model.timespan import Span, Unit
from amondawa.protocols.kairosdb.fields import (
    MISSING,
    DurationSchema,
    LooseBool,
    LooseNumber,
    Text,
    UnitField,
    Word,
    ZoneField,
)
from amondawa.protocols.kairosdb.problems import Place, problem

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


def _flag(label: str) -> LooseBool:
    return LooseBool(load_default=False, metadata=shown(label, "boolean", "false"))


def _not_zero() -> validate.Validator:
    return validate.NoneOf([0, 0.0], error="may not be zero")


class SampledBy(fields.Nested):
    """A sampling or range_size; features show it as an object with a value and a unit."""

    default_error_messages = {"type": "java.lang.IllegalStateException: Expected BEGIN_OBJECT", **MISSING}

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
    align_sampling = LooseBool(load_default=True)
    time_zone = ZoneField(load_default=None)


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

    return_type = Word(
        ("value", "pos_sd", "neg_sd"),
        "is not a valid return type, must be 'value', 'pos_sd' or 'neg_sd'.",
        load_default="value",
    )
    dev_count = LooseNumber(whole=True, bits=31, load_default=1)


@AGGREGATORS.register("diff")
class DiffSchema(AggregatorSchema):
    """Difference to the point before."""

    label, java_class = "Diff", "DiffAggregator"


@AGGREGATORS.register("div")
class DivSchema(AggregatorSchema):
    """Every value divided."""

    label, java_class = "Div", "DivideAggregator"

    divisor = LooseNumber(
        whole=False,
        required=True,
        validate=_not_zero(),
        error_messages={"required": "may not be zero"},
        metadata={"inner": "m_divisor", **shown("Divisor", "double", "1", _NOT_ZERO)},
    )


class Threshold(fields.Field[Any]):
    """What a filter compares with: a number, or a text that is no number."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise problem("must be a number or a text", Place.PROPERTY)
        return value


@AGGREGATORS.register("filter")
class FilterSchema(AggregatorSchema):
    """Points whose value stands in a relation to a threshold are left out."""

    label, java_class = "Filter", "FilterAggregator"

    filter_op = Word(
        ("lte", "lt", "gte", "gt", "equal", "ne"),
        "is not a valid trim type, must be 'lte', 'lt', 'gte', 'gt', 'equal' or 'ne'.",
        load_default="equal",
        metadata=shown("Filter operation", "enum", "equal", options=["LTE", "LT", "GTE", "GT", "EQUAL", "NE"]),
    )
    threshold = Threshold(load_default=0.0, metadata=shown("Threshold", "Object", ""))


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

    percentile = LooseNumber(
        whole=False,
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
    unit = UnitField(load_default=None)
    time_zone = ZoneField(load_default=None)


class ThresholdSchema(Schema):
    """A threshold of a score."""

    value = LooseNumber(whole=False, required=True)
    boundary = Word(
        ("superior", "inferior"), "is not a valid boundary, must be 'superior' or 'inferior'.", load_default="superior"
    )


@AGGREGATORS.register("score")
class ScoreSchema(AggregatorSchema):
    """How many thresholds a value passes."""

    label, java_class = "SCORE", "ScoreAggregator"

    order = Word(
        ("ascending", "descending"),
        "is not a valid order, must be 'ascending' or 'descending'.",
        load_default="ascending",
        metadata=shown("Order", "enum", "ascending", options=["ASCENDING", "DESCENDING"]),
    )
    thresholds = fields.List(
        fields.Nested(ThresholdSchema),
        required=True,
        error_messages=MISSING,
        metadata=shown("Thresholds", "array", "[]"),
    )


@AGGREGATORS.register("sma")
class SmaSchema(AggregatorSchema):
    """Moving average over a number of points."""

    label, java_class = "SMA", "SmaAggregator"

    size = LooseNumber(whole=True, bits=31, load_default=0, metadata=shown("Size", "int", "10", ABOVE_ZERO))


@AGGREGATORS.register("sampler")
class SamplerSchema(AggregatorSchema):
    """Value per unit of time since the point before."""

    label, java_class = "Sampler", "SamplerAggregator"

    unit = UnitField(
        load_default=Unit.MILLISECONDS, metadata=shown("Time Unit", "enum", "milliseconds", options="units")
    )
    time_zone = ZoneField(load_default=None)


class TagTexts(fields.Field[dict[str, str]]):
    """Tags to write: names to texts."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any
    ) -> dict[str, str]:
        if not isinstance(value, dict) or any(not isinstance(one, (str, int, float)) for one in value.values()):
            raise problem("java.lang.IllegalStateException: Expected BEGIN_OBJECT", Place.NOWHERE)
        return {name: str(one) for name, one in value.items()}


@AGGREGATORS.register("save_as")
class SaveAsSchema(AggregatorSchema):
    """The points are written under another name."""

    label, java_class = "Save As", "SaveAsAggregator"

    metric_name = Text(
        required=True,
        validate=validate.Length(min=1, error="may not be empty"),
        metadata={"inner": "metricName", **shown("Save As", "String", "<new name>", NOT_EMPTY)},
    )
    tags = TagTexts(load_default=dict)
    ttl = LooseNumber(whole=True, bits=31, load_default=0)
    add_saved_from = LooseBool(load_default=True)


@AGGREGATORS.register("scale")
class ScaleSchema(AggregatorSchema):
    """Every value multiplied."""

    label, java_class = "Scale", "ScaleAggregator"

    factor = LooseNumber(whole=False, load_default=0.0, metadata=shown("Factor", "double", "0.0", DIGITS))


@AGGREGATORS.register("sum")
class SumSchema(RangeSchema):
    """Sum."""

    label, java_class = "Sum", "SumAggregator"


@AGGREGATORS.register("trim")
class TrimSchema(AggregatorSchema):
    """The first or last point, or both, left out."""

    label, java_class = "Trim", "TrimAggregator"

    trim = Word(
        ("first", "last", "both"),
        "is not a valid trim type, must be 'first', 'last' or 'both'.",
        load_default=None,
        metadata=shown("Trim", "enum", "both", options=["FIRST", "LAST", "BOTH"]),
    )
