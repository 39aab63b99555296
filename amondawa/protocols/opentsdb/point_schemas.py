"""The points of put, rollup and histogram bodies, as marshmallow schemas.

Every field is text or a number in any mix, as the original's JSON library takes them: `"value": 1.50` is the text 1.50, a
timestamp may be text, unknown fields are passed over. A field of another type refuses the whole body, with one answer for
all of them. Numbers come as they were written (`NumberText`). Source: suite put_http.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from amondawa.protocols.opentsdb.schemas import Body


class NumberText(str):
    """A JSON number, as it was written."""

    __slots__ = ()


class SentText(fields.Field[str]):
    """A text: texts as they are, numbers as written, booleans as words; null is None."""

    def __init__(self) -> None:
        super().__init__(allow_none=True, load_default=None)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return str(value)
        raise ValidationError("not a text")


class SentWhole(fields.Field[int]):
    """A 64-bit integer, also as text: absent, null and empty text are 0, the fractions of numbers are cut off."""

    def __init__(self) -> None:
        super().__init__(load_default=0)

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **options: Any
    ) -> int:
        """Read a value; null is one, too."""
        return 0 if value is None else super().deserialize(value, attr, data, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, str):
            raise ValidationError("not an integer")
        text = value.strip()
        if not text:
            return 0
        try:
            number = int(text) if text.lstrip("+-").isdigit() else _whole(value, text)
        except (ValueError, OverflowError) as error:
            raise ValidationError("not an integer") from error
        if not -(2**63) <= number < 2**63:
            raise ValidationError("past 64 bits")
        return number


def _whole(value: str, text: str) -> int:
    if not isinstance(value, NumberText):
        raise ValueError(text)  # a text must hold a plain integer
    return int(float(text))


class SentMap(fields.Field[dict[str, Any]]):
    """An object whose values are all of one kind; null is None."""

    def __init__(self, values: fields.Field[Any]) -> None:
        super().__init__(allow_none=True, load_default=None)
        self._values = values

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any
    ) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("not an object")
        return {name: self._values.deserialize(one) for name, one in value.items()}


class PointBody(Body):
    """One point of `POST /api/put`."""

    metric = SentText()
    timestamp = SentWhole()
    value = SentText()
    tags = SentMap(SentText())


class RollupBody(PointBody):
    """One point of `POST /api/rollup`."""

    interval = SentText()
    aggregator = SentText()
    groupByAggregator = SentText()


class HistogramBody(PointBody):
    """One histogram of `POST /api/histogram`."""

    id = SentWhole()
    buckets = SentMap(SentWhole())
    underflow = SentWhole()
    overflow = SentWhole()
