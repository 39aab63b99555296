"""The groupings of a query: one schema a piece, from which /features and the stages are made.

Source: suites group_by and query_errors; GET /api/v1/features of the real server.
"""

from __future__ import annotations

from typing import ClassVar

from marshmallow import RAISE, Schema, fields, validate

from amondawa.aggregate.registry import Registry
from amondawa.protocols.kairosdb.aggregators import ABOVE_ZERO, DIGITS, NOT_EMPTY, SampledBy, shown
from amondawa.protocols.kairosdb.fields import MISSING, LooseNumber, Text

GROUPINGS: Registry[type[GroupingSchema]] = Registry("grouping")
"""Names of groupings to their schemas, in the order in which the features list them."""

_AT_LEAST_ONE = "must be greater than or equal to 1"


class GroupingSchema(Schema):
    """What all groupings have. A subclass is registered under the name that requests use."""

    label: ClassVar[str]
    java_class: ClassVar[str]

    class Meta:
        """A property without a setter is refused."""

        unknown = RAISE


@GROUPINGS.register("bin")
class BinSchema(GroupingSchema):
    """By bins of values."""

    label, java_class = "Bin", "BinGroupBy"

    bins = fields.List(
        LooseNumber(whole=False),
        required=True,
        validate=validate.Length(min=1, error="may not be empty"),
        error_messages=MISSING,
        metadata=shown("Bin Values", "array", "[]", NOT_EMPTY, DIGITS),
    )


@GROUPINGS.register("tag")
class TagSchema(GroupingSchema):
    """By the values of tags."""

    label, java_class = "Tag", "TagGroupBy"

    tags = fields.List(
        Text(),
        required=True,
        validate=validate.Length(min=1, error="may not be empty"),
        error_messages=MISSING,
        metadata=shown("Tags", "array", "[]", NOT_EMPTY, autocomplete="tags"),
    )


@GROUPINGS.register("time")
class TimeSchema(GroupingSchema):
    """By a cycle of ranges of time."""

    label, java_class = "Time", "TimeGroupBy"

    group_count = LooseNumber(
        whole=True,
        bits=31,
        required=True,
        validate=validate.Range(min=1, error=_AT_LEAST_ONE),
        error_messages={"required": _AT_LEAST_ONE},
        metadata={"inner": "groupCount", **shown("Count", "int", "0", ABOVE_ZERO)},
    )
    range_size = SampledBy("Range Size", required=True, metadata={"inner": "rangeSize"})


@GROUPINGS.register("value")
class ValueSchema(GroupingSchema):
    """By ranges of values."""

    label, java_class = "Value", "ValueGroupBy"

    range_size = LooseNumber(
        whole=True,
        bits=31,
        required=True,
        validate=validate.Range(min=1, error=_AT_LEAST_ONE),
        error_messages={"required": _AT_LEAST_ONE},
        metadata={"inner": "rangeSize", **shown("Target Size", "int", "0", ABOVE_ZERO)},
    )
