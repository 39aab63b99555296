"""The bodies of requests, as marshmallow schemas: unknown fields are passed over, as the original does.

Wrongly typed fields give one answer in the original, `Unable to parse the given JSON`; so the texts of the fields do not
matter here, only what is accepted: numbers also as text, texts also as numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from amondawa.protocols.opentsdb.errors import bad_json


class Text(fields.Field[str]):
    """A text; numbers and booleans are taken as their text."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float):
            return str(value)
        raise ValidationError("not a text")


class Whole(fields.Field[int]):
    """A 64-bit integer; also as text, fractions are cut off."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        try:
            number = int(value) if not isinstance(value, bool) else None
        except (TypeError, ValueError, OverflowError) as error:
            raise ValidationError("not an integer") from error
        if number is None or not -(2**63) <= number < 2**63:
            raise ValidationError("not an integer")
        return number


class Body(Schema):
    """Base of all bodies."""

    class Meta:
        """Unknown fields are passed over."""

        unknown = EXCLUDE


class SuggestBody(Body):
    """`POST /api/suggest`."""

    type = Text(allow_none=True, load_default=None)
    q = Text(allow_none=True, load_default=None)
    max = Text(allow_none=True, load_default=None)


class LookupTag(Body):
    """One condition of a look-up."""

    key = Text(allow_none=True, load_default=None)
    value = Text(allow_none=True, load_default=None)


class LookupBody(Body):
    """`POST /api/search/lookup`."""

    query = Text(allow_none=True, load_default=None)
    metric = Text(allow_none=True, load_default="*")
    tags = fields.List(fields.Nested(LookupTag), allow_none=True, load_default=None)
    limit = Whole(allow_none=True, load_default=None)
    startIndex = Whole(allow_none=True, load_default=None, attribute="start_index")


class AnnotationBody(Body):
    """`POST` and `PUT /api/annotation`; absent and null fields are left out of what is loaded."""

    tsuid = Text(allow_none=True)
    description = Text(allow_none=True)
    notes = Text(allow_none=True)
    custom = fields.Dict(keys=fields.String(), values=Text(allow_none=True), allow_none=True)
    startTime = Whole(allow_none=True, attribute="start_time")
    endTime = Whole(allow_none=True, attribute="end_time")


class AnnotationBulkDelete(Body):
    """`DELETE /api/annotation/bulk`."""

    tsuids = fields.List(Text(), allow_none=True, load_default=None)
    is_global = fields.Boolean(data_key="global", allow_none=True, load_default=False)
    startTime = Text(allow_none=True, load_default=None, attribute="start_time")
    endTime = Text(allow_none=True, load_default=None, attribute="end_time")


class LastSubQuery(Body):
    """One sub query of `POST /api/query/last`."""

    metric = Text(allow_none=True, load_default=None)
    tags = fields.Dict(keys=fields.String(), values=Text(), allow_none=True, load_default=None)
    tsuids = fields.List(Text(), allow_none=True, load_default=None)


class LastBody(Body):
    """`POST /api/query/last`."""

    queries = fields.List(fields.Nested(LastSubQuery), allow_none=True, load_default=None)
    resolveNames = fields.Boolean(allow_none=True, load_default=False, attribute="resolve")
    backScan = Whole(allow_none=True, load_default=0, attribute="back_scan")


class UidMetaBody(Body):
    """`POST`, `PUT` and `DELETE /api/uid/uidmeta`."""

    uid = Text(allow_none=True)
    type = Text(allow_none=True)
    description = Text(allow_none=True)
    notes = Text(allow_none=True)
    custom = fields.Dict(keys=fields.String(), values=Text(allow_none=True), allow_none=True)
    displayName = Text(allow_none=True)
    created = Whole(allow_none=True)


class TsMetaBody(Body):
    """`POST`, `PUT` and `DELETE /api/uid/tsmeta`."""

    tsuid = Text(allow_none=True)
    description = Text(allow_none=True)
    notes = Text(allow_none=True)
    custom = fields.Dict(keys=fields.String(), values=Text(allow_none=True), allow_none=True)
    displayName = Text(allow_none=True)
    created = Whole(allow_none=True)
    units = Text(allow_none=True)
    dataType = Text(allow_none=True)
    retention = Whole(allow_none=True)
    max = fields.Float(allow_none=True, allow_nan=True)
    min = fields.Float(allow_none=True, allow_nan=True)


class TreeBody(Body):
    """`POST`, `PUT` and `DELETE /api/tree`."""

    treeId = Whole(allow_none=True)
    name = Text(allow_none=True)
    description = Text(allow_none=True)
    notes = Text(allow_none=True)
    enabled = fields.Boolean(allow_none=True)
    strictMatch = fields.Boolean(allow_none=True)
    storeFailures = fields.Boolean(allow_none=True)


class TreeRuleBody(Body):
    """`POST`, `PUT` and `DELETE /api/tree/rule` and, several of them, `/api/tree/rules`."""

    treeId = Whole(allow_none=True)
    level = Whole(allow_none=True)
    order = Whole(allow_none=True)
    type = Text(allow_none=True)
    field = Text(allow_none=True)
    customField = Text(allow_none=True)
    regex = Text(allow_none=True)
    regexGroupIdx = Whole(allow_none=True)
    separator = Text(allow_none=True)
    displayFormat = Text(allow_none=True)
    description = Text(allow_none=True)
    notes = Text(allow_none=True)


class TreeTestBody(Body):
    """`POST /api/tree/test`."""

    treeId = Whole(allow_none=True, load_default=None)
    tsuids = fields.List(Text(), allow_none=True, load_default=None)


def load(schema: type[Body], value: Any) -> dict[str, Any]:
    """Load one object.

    Raises:
        TsdbError: 400 `Unable to parse the given JSON`.
    """
    try:
        return cast(dict[str, Any], schema().load(value))
    except ValidationError as error:
        raise bad_json() from error


def load_many(schema: type[Body], value: Any) -> list[dict[str, Any]]:
    """Load an array of objects.

    Raises:
        TsdbError: 400 `Unable to parse the given JSON`.
    """
    if not isinstance(value, list):
        raise bad_json()
    return [load(schema, one) for one in value]
