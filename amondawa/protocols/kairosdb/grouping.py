"""The groupings of a query: one schema a piece, from which /features and the stages are made.

Source: suites group_by and query_errors; GET /api/v1/features of the real server.
"""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import RAISE, Schema, validate

from amondawa.aggregate.registry import Registry
from amondawa.protocols.kairosdb.aggregators import ABOVE_ZERO, DIGITS, NOT_EMPTY, SampledBy, shown
from amondawa.protocols.kairosdb.elements import read_double
from amondawa.protocols.kairosdb.fields import list_field, whole_field
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.tokens import Number

GROUPINGS: Registry[type[GroupingSchema]] = Registry("grouping")
"""Names of groupings to their schemas, in the order in which the features list them."""

_AT_LEAST_ONE = "must be greater than or equal to 1"


class GroupingSchema(Schema):
    """What all groupings have. A subclass is registered under the name that requests use."""

    label: ClassVar[str]
    java_class: ClassVar[str]

    start_date = whole_field(load_default=None)

    class Meta:
        """A property without a setter is refused."""

        unknown = RAISE


def _edge_of(value: Any) -> float:
    if value is None:
        raise InternalFailure(None)
    return read_double(value)


def _name_of(value: Any) -> str:
    """Return the name of a tag; KairosDB breaks off when it finds that it is no text."""
    if value is None:
        raise InternalFailure(None)
    if not isinstance(value, str) or isinstance(value, Number):
        raise InternalFailure("a tag to group by must be a text")
    return value


@GROUPINGS.register("bin")
class BinSchema(GroupingSchema):
    """By bins of values."""

    label, java_class = "Bin", "BinGroupBy"

    bins = list_field(
        _edge_of,
        load_default=None,
        metadata=shown("Bin Values", "array", "[]", NOT_EMPTY, DIGITS),
    )


@GROUPINGS.register("tag")
class TagSchema(GroupingSchema):
    """By the values of tags."""

    label, java_class = "Tag", "TagGroupBy"

    tags = list_field(
        _name_of,
        required=True,
        validate=validate.Length(min=1, error="may not be empty"),
        metadata=shown("Tags", "array", "[]", NOT_EMPTY, autocomplete="tags"),
    )


@GROUPINGS.register("time")
class TimeSchema(GroupingSchema):
    """By a cycle of ranges of time."""

    label, java_class = "Time", "TimeGroupBy"

    group_count = whole_field(
        31,
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

    range_size = whole_field(
        31,
        required=True,
        validate=validate.Range(min=1, error=_AT_LEAST_ONE),
        error_messages={"required": _AT_LEAST_ONE},
        metadata={"inner": "rangeSize", **shown("Target Size", "int", "0", ABOVE_ZERO)},
    )
