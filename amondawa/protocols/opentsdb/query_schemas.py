"""Bodies of POST /api/query.

Unknown fields and nulls are passed over; what has the wrong type is "Unable to parse the given JSON", as everything is that
OpenTSDB's JSON reader refuses, filters included. Source: suites query_basic (post_*), query_filters (bad_*), query_errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, post_load, pre_load

from amondawa.aggregate.counter import MAX_COUNTER, CounterRules
from amondawa.protocols.opentsdb.data_query import DataQuery, SubQuery, float32s
from amondawa.protocols.opentsdb.errors import TsdbError, internal_null
from amondawa.protocols.opentsdb.filters import BadFilter, TagVFilter, add_tags, make_filter

MAX_LONG = 2**63 - 1


class Text(fields.Field[str]):
    """A text; numbers and booleans are taken by their spelling."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        raise ValidationError("Not a text.")


class Flag(fields.Field[bool]):
    """A boolean; integers, and the texts `true`, `True`, `false`, `False`, `null` and none, are taken for one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> bool:
        if isinstance(value, bool | int):
            return bool(value)
        if isinstance(value, str) and value.strip() in ("true", "True", "false", "False", "null", ""):
            return value.strip() in ("true", "True")
        raise ValidationError("Not a boolean.")


class Whole(fields.Field[int]):
    """A 64-bit integer; a fraction is cut off."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int:
        try:
            number = int(value) if not isinstance(value, bool) else None
        except (TypeError, ValueError, OverflowError):
            number = None
        if number is None or not -MAX_LONG - 1 <= number <= MAX_LONG:
            raise ValidationError("Not a 64-bit integer.")
        return number


class LenientSchema(Schema):
    """An object whose nulls and unknown fields count as absent."""

    class Meta:
        """Marshmallow's options."""

        unknown = EXCLUDE

    @pre_load
    def without_nulls(self, data: Any, **_: Any) -> Any:
        """Drop fields that are null, in any object."""
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


class RateSchema(LenientSchema):
    """`rateOptions`; alone of all it must hold no unknown field, and a number that is null is 0."""

    class Meta:
        """Marshmallow's options."""

        unknown = RAISE

    counter = Flag(load_default=False)
    maximum = Whole(data_key="counterMax", load_default=MAX_COUNTER)
    reset = Whole(data_key="resetValue", load_default=0)
    drop_resets = Flag(data_key="dropResets", load_default=False)

    @pre_load
    def without_nulls(self, data: Any, **_: Any) -> Any:
        """Put 0 in place of a null."""
        return {name: 0 if value is None else value for name, value in data.items()} if isinstance(data, dict) else data

    @post_load
    def rules(self, data: dict[str, Any], **_: Any) -> CounterRules:
        """Build the rules."""
        return CounterRules(**data)


class FilterSchema(LenientSchema):
    """One entry of `filters`."""

    kind = Text(data_key="type", load_default="")
    tag_name = Text(data_key="tagk", load_default="")
    text = Text(data_key="filter", load_default="")
    group_by = Flag(data_key="groupBy", load_default=False)
    group_by_too = Flag(data_key="group_by", load_default=False)

    @post_load
    def filter(self, data: dict[str, Any], **_: Any) -> TagVFilter:
        """Build the filter."""
        try:
            return make_filter(data["kind"], data["tag_name"], data["text"], data["group_by"] or data["group_by_too"])
        except BadFilter as error:
            raise ValidationError(str(error)) from error


class SubQuerySchema(LenientSchema):
    """One entry of `queries`."""

    aggregator = Text(load_default=None)
    metric = Text(load_default=None)
    tsuids = fields.List(Text(), load_default=())
    downsample = Text(load_default=None)
    rate = Flag(load_default=False)
    rate_rules = fields.Nested(RateSchema, data_key="rateOptions", load_default=None)
    tags = fields.Dict(Text(), Text())
    filters = fields.List(fields.Nested(FilterSchema))
    explicit_tags = Flag(data_key="explicitTags", load_default=False)
    percentiles = fields.List(fields.Float(allow_nan=True), load_default=())
    show_buckets = Flag(data_key="showHistogramBuckets", load_default=False)
    pre_aggregate = Flag(data_key="preAggregate", load_default=False)
    rollup_usage = Text(data_key="rollupUsage", load_default=None)

    @pre_load
    def without_nulls(self, data: Any, **_: Any) -> Any:
        """Drop fields that are null; `tags`, alone of all, may not be."""
        if isinstance(data, dict) and "tags" in data and data["tags"] is None:
            raise ValidationError({"tags": ["Field may not be null."]})
        return super().without_nulls(data)

    @pre_load
    def keep_later_filters(self, data: Any, **_: Any) -> Any:
        """Of `tags` and `filters` keep the one that stands later."""
        if not isinstance(data, dict):
            return data
        both = [name for name in data if name in ("tags", "filters") and data[name] is not None]
        return {name: value for name, value in data.items() if name not in both[:-1]}

    @post_load
    def sub_query(self, data: dict[str, Any], **_: Any) -> SubQuery:
        """Build the sub query."""
        filters: list[TagVFilter] = data.pop("filters", [])
        try:
            add_tags(filters, data.pop("tags", {}).items(), group_by=True)
        except BadFilter as error:
            raise ValidationError({"tags": [str(error)]}) from error
        data["percentiles"] = float32s(sorted(data["percentiles"]))
        return SubQuery(filters=tuple(filters), **{**data, "tsuids": tuple(data["tsuids"])})


class QuerySchema(LenientSchema):
    """The whole body."""

    start = Text(load_default=None)
    end = Text(load_default=None)
    sub_queries = fields.List(fields.Nested(SubQuerySchema), data_key="queries")
    zone_name = Text(data_key="timezone", load_default=None)
    use_calendar = Flag(data_key="useCalendar", load_default=False)
    delete = Flag(load_default=False)
    ms = Flag(data_key="msResolution", load_default=False)
    show_query = Flag(data_key="showQuery", load_default=False)
    show_tsuids = Flag(data_key="showTSUIDs", load_default=False)
    show_stats = Flag(data_key="showStats", load_default=False)
    show_summary = Flag(data_key="showSummary", load_default=False)
    no_annotations = Flag(data_key="noAnnotations", load_default=False)
    global_annotations = Flag(data_key="globalAnnotations", load_default=False)

    @post_load
    def query(self, data: dict[str, Any], **_: Any) -> DataQuery:
        """Build the query."""
        data["annotations"] = not data.pop("no_annotations")
        sub_queries: list[SubQuery] | None = data.pop("sub_queries", None)
        if sub_queries is None:
            # The original trips over the missing list before it looks at anything else.
            raise internal_null()
        return DataQuery(sub_queries=tuple(sub_queries or ()), **data)


_QUERY = QuerySchema()


def load_query(body: Any) -> DataQuery:
    """Read the body of a query.

    Args:
        body: parsed JSON.

    Raises:
        TsdbError: 400 `Unable to parse the given JSON`, the details saying where and why; 500 for a null.
    """
    if body is None:
        raise internal_null()
    try:
        loaded: DataQuery = _QUERY.load(body)
    except ValidationError as error:
        raise refused(error) from error
    return loaded


def refused(error: ValidationError) -> TsdbError:
    """Return the error of a body that does not fit its schema."""
    return TsdbError("Unable to parse the given JSON", 400, "; ".join(_flat(error.messages)))


def _flat(messages: Any, where: str = "") -> list[str]:
    """Turn marshmallow's tree of messages into lines `path: text`."""
    if isinstance(messages, Mapping):
        lines = []
        for name, inner in messages.items():
            path = where if name == "_schema" else f"{where}.{name}" if where else str(name)
            lines += _flat(inner, path)
        return lines
    if isinstance(messages, list):
        return [line for inner in messages for line in _flat(inner, where)]
    return [f"{where}: {messages}" if where else str(messages)]
