"""Write bodies to columns of points, one token at a time: takes and refuses what KairosDB takes and refuses.

Errors never undo: every good point before and after a bad one is kept, and so is what stood before a syntax error.

Source: suites ingest, ingest_errors and internal_errors.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from amondawa.model.points import Kind
from amondawa.protocols.kairosdb.java_numbers import (
    DOUBLE,
    InternalFailure,
    as_double,
    as_long,
    as_text,
    double_of,
    long_of,
    no_double,
)
from amondawa.protocols.kairosdb.lenient import JsonReader, caused
from amondawa.protocols.kairosdb.metric_schema import envelope_faults, value_problem
from amondawa.protocols.kairosdb.tokens import (
    BadEscape,
    Element,
    EndOfInput,
    JsonSyntaxError,
    MalformedJson,
    Number,
    Token,
)
from amondawa.protocols.kairosdb.writes import NUMBER_TEXT, TYPES, ParsedWrite

_LONG_BITS = 63
_END = "Invalid json. No content due to end of input."


class _Metric:
    """One metric object as it was read."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.timestamp: int | None = None
        self.time: int | None = None
        self.has_value = False
        self.value: Element = None
        self.tags: dict[str, str | None] = {}
        self.datapoints: list[list[Element] | None] = []
        self.validate = True
        self.type: str | None = None
        self.ttl_s = 0

    @property
    def time_ms(self) -> int | None:
        """The time of the timestamp/value form; the alias wins."""
        return self.timestamp if self.time is None else self.time

    def envelope(self) -> dict[str, object]:
        """Return what its schema checks."""
        sent: dict[str, object] = {"value": self.value} if self.has_value else {}
        return {"name": self.name, "time_ms": self.time_ms, "tags": self.tags, **sent}


class _Columns:
    """Columns as they grow."""

    def __init__(self) -> None:
        self.metrics: list[str] = []
        self.tags: list[dict[str, str]] = []
        self.counts: list[int] = []
        self.ttls_s: list[int] = []
        self.times_ms: list[int] = []
        self.kinds: list[int] = []
        self.bits: list[int] = []
        self.texts: list[bytes] = []

    def open(self, metric: _Metric) -> None:
        """Begin the points of a series."""
        self.metrics.append(metric.name or "")
        self.tags.append({key: value or "" for key, value in metric.tags.items()})
        self.counts.append(0)
        self.ttls_s.append(max(0, metric.ttl_s))

    def add(self, time_ms: int, type_name: str, value: Element) -> None:
        """Add a point to the series that was opened last."""
        kind = TYPES[type_name]
        if kind is Kind.LONG:
            bits = as_long(value)
        elif kind is Kind.DOUBLE:
            bits = struct.unpack("<q", struct.pack("<d", as_double(value)))[0]
        else:
            text = as_text(value).encode("utf-8", "replace")
            bits = len(self.texts)
            self.texts.append(text)
        self.times_ms.append(time_ms)
        self.kinds.append(kind)
        self.bits.append(bits)
        self.counts[-1] += 1

    def parsed(self, errors: list[str], failure: InternalFailure | None) -> ParsedWrite:
        """Return what was read so far."""
        return ParsedWrite(
            self.metrics,
            self.tags,
            self.counts,
            np.array(self.times_ms, np.int64),
            np.array(self.kinds, np.uint8),
            np.array(self.bits, np.int64),
            self.texts,
            self.ttls_s,
            errors,
            failure,
        )


def parse_lenient(body: bytes) -> ParsedWrite:
    """Read a body as KairosDB does; never raises for its content."""
    columns = _Columns()
    errors: list[str] = []
    try:
        _read_body(JsonReader(body.decode("utf-8", "replace"), lenient=False), columns, errors)
    except EndOfInput:
        errors.append(_END)
    except JsonSyntaxError as error:
        # A syntax error is answered alone.
        return columns.parsed([str(error)], None)
    except InternalFailure as error:
        return columns.parsed([], error)
    return columns.parsed(errors, None)


def _read_body(reader: JsonReader, columns: _Columns, errors: list[str]) -> None:
    if reader.peek() is Token.BEGIN_ARRAY:
        index = 0
        try:
            reader.begin(Token.BEGIN_ARRAY)
            while reader.has_next():
                _store(_read_metric(reader), index, columns, errors)
                index += 1
        except EndOfInput:
            errors.append(_END)
        reader.end(Token.END_ARRAY)
    else:
        _store(_read_metric(reader), 0, columns, errors)


# reading ----------------------------------------------------------------------------------------------------------


def _read_metric(reader: JsonReader) -> _Metric:
    """Read one metric object; inside it the reader is lenient."""
    reader.lenient = True
    try:
        if reader.peek() is Token.NULL:
            raise InternalFailure("a metric is null")
        metric = _Metric()
        reader.begin(Token.BEGIN_OBJECT)
        while reader.has_next():
            _read_field(reader, metric, reader.name())
        reader.end(Token.END_OBJECT)
    except (EndOfInput, MalformedJson) as error:
        raise caused(error) from error
    except BadEscape as error:
        raise JsonSyntaxError("Invalid JSON") from error
    reader.lenient = False
    return metric


def _read_field(reader: JsonReader, metric: _Metric, name: str) -> None:
    if name == "name":
        metric.name = _read_text(reader)
    elif name == "value":
        metric.value = reader.element()
        metric.has_value = True
    elif name == "timestamp":
        metric.timestamp = _read_long(reader)
    elif name == "time":
        metric.time = _read_long(reader)
    elif name == "tags":
        metric.tags = _read_tags(reader)
    elif name == "datapoints":
        metric.datapoints = _read_points(reader)
    elif name == "type":
        metric.type = _read_text(reader)
    elif name == "ttl":
        metric.ttl_s = _read_long(reader, 31) or 0
    elif name == "skip_validate":
        metric.validate = not _read_flag(reader)
    else:
        reader.element()


def _read_text(reader: JsonReader) -> str | None:
    value = reader.scalar()
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _read_flag(reader: JsonReader) -> bool:
    if reader.peek() not in (Token.STRING, Token.BOOLEAN, Token.NULL):
        raise reader.fail("a boolean")
    value = reader.scalar()
    return value.lower() == "true" if isinstance(value, str) else bool(value)


def _read_long(reader: JsonReader, bits: int = _LONG_BITS) -> int | None:
    """Read a whole number, also in quotes or with an exponent."""
    if reader.peek() is Token.NULL:
        reader.scalar()
        return None
    wanted = "a long" if bits == _LONG_BITS else "an int"
    if reader.peek() not in (Token.NUMBER, Token.STRING) or (reader.peek() is Token.STRING and reader.bare):
        raise reader.fail(wanted)
    text = str(reader.scalar())
    number = long_of(text, bits)
    if number is not None:
        return number
    if DOUBLE.fullmatch(text.strip()) is None:
        raise JsonSyntaxError(f"java.lang.NumberFormatException: {no_double(text)}")
    double = double_of(text)
    limit = 1 << bits
    nearest = max(-limit, min(int(double), limit - 1)) if math.isfinite(double) else 0  # as Java casts
    if float(nearest) != double:
        raise reader.fail_number(wanted, text)
    return nearest


def _read_tags(reader: JsonReader) -> dict[str, str | None]:
    """Read tags: an object, or an array of [name, value] pairs."""
    tags: dict[str, str | None] = {}
    if reader.peek() is Token.NULL:
        reader.scalar()
    elif reader.peek() is Token.BEGIN_ARRAY:
        reader.begin(Token.BEGIN_ARRAY)
        while reader.has_next():
            reader.begin(Token.BEGIN_ARRAY)
            _put_tag(tags, _read_text(reader) or "", reader)
            reader.end(Token.END_ARRAY)
        reader.end(Token.END_ARRAY)
    else:
        reader.begin(Token.BEGIN_OBJECT)
        while reader.has_next():
            _put_tag(tags, reader.name(), reader)
        reader.end(Token.END_OBJECT)
    return tags


def _put_tag(tags: dict[str, str | None], name: str, reader: JsonReader) -> None:
    value = _read_text(reader)
    if name in tags:
        raise JsonSyntaxError(f"duplicate key: {name}")
    tags[name] = value


def _read_points(reader: JsonReader) -> list[list[Element] | None]:
    points: list[list[Element] | None] = []
    if reader.peek() is Token.NULL:
        reader.scalar()
        return points
    reader.begin(Token.BEGIN_ARRAY)
    while reader.has_next():
        if reader.peek() is Token.NULL:
            reader.scalar()
            points.append(None)
            continue
        pair: list[Element] = []
        reader.begin(Token.BEGIN_ARRAY)
        while reader.has_next():
            pair.append(reader.element())
        reader.end(Token.END_ARRAY)
        points.append(pair)
    reader.end(Token.END_ARRAY)
    return points


# checking and storing ---------------------------------------------------------------------------------------------


def _store(metric: _Metric, index: int, columns: _Columns, errors: list[str]) -> None:
    """Check a metric and add its good points."""
    named = f"metric[{index}]" + (f"(name={metric.name})" if metric.name and metric.validate else "")
    faults = _faults(metric, named)
    errors.extend(faults)
    if faults:
        return
    columns.open(metric)
    if metric.time_ms is not None and metric.has_value and metric.value is not None:
        fault = _add(columns, metric.time_ms, metric.type, metric.value, named)
        if fault:
            errors.append(fault)
    position = 0
    for point in metric.datapoints:
        fault = _point_fault(metric, point, f"{named}.datapoints[{position}]", named, columns)
        if fault:
            errors.append(fault)
        else:
            position += 1


def _faults(metric: _Metric, named: str) -> list[str]:
    """Return what is wrong with a metric before its points are looked at."""
    if metric.validate:
        return envelope_faults(metric.envelope(), named)
    if metric.name is None or None in metric.tags.values():
        raise InternalFailure("a metric has no name or a tag has no value")
    return []


def _point_fault(metric: _Metric, point: list[Element] | None, label: str, named: str, columns: _Columns) -> str | None:
    """Add one point of a list; return what is wrong with it, or None."""
    if point is None:
        raise InternalFailure("a data point is null")
    if not point:
        return f"{label}.timestamp cannot be null or empty."
    if len(point) < 2:
        return f"{label}.value cannot be null or empty."
    if point[0] is None:
        return f"{label}.timestamp may not be null."
    time_ms = as_long(point[0])
    type_name = as_text(point[2]) if len(point) > 2 else metric.type
    problem = value_problem(point[1])
    if problem:
        return f"{label}.value {problem}"
    return _add(columns, time_ms, type_name, point[1], named)


def _add(columns: _Columns, time_ms: int, type_name: str | None, value: Element, named: str) -> str | None:
    """Add a point; return why it was refused, or None."""
    if type_name is None:
        if isinstance(value, (list, dict)):
            return f"{named} value is an invalid type"
        type_name = _type_of(value)
    if type_name not in TYPES:
        return f"Unregistered data point type '{type_name}'"
    columns.add(time_ms, type_name, value)
    return None


def _type_of(value: Element) -> str:
    """Return the type of a value that says none."""
    if not isinstance(value, str):
        return "string"
    if isinstance(value, Number) or NUMBER_TEXT.fullmatch(value):
        return "double" if "." in value else "long"
    return "string"
