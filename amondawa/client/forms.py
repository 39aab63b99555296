"""Points as lines of text, both ways. A form writes results and reads what other systems and it itself wrote.

- `json`: an object a line, `{"name", "tags", "datapoints": [[time, value], …]}`; longs without, doubles with a point.
- `kairosdb`: what KairosDB's own export writes and its import reads: the same with a type behind each value, since it writes
  the double 5.0 as 5. Its import takes any body of its REST API as a line; so does this one.
- `csv`: metric, time in ms, value as JSON, tags as JSON.
- `opentsdb`: `metric time value tag=value …`, as OpenTSDB's `scan --import` writes and its `import` reads; `put` in front is
  taken too. Texts, which OpenTSDB does not have, are written as JSON without blanks.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from amondawa.client.requests import ClientError, Series, Stream, Value

Point = tuple[int, Value]

STRETCH_POINTS = 10_000
"""points that one line holds at most"""
SECONDS_BELOW = 10_000_000_000
"""times below this in OpenTSDB's form are seconds"""
_LONG = range(-(2**63), 2**63)
_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


class Unwritable(ClientError):
    """Something that a form has no way to say."""


class Record(NamedTuple):
    """What a line holds.

    Attributes:
        line: its number, from 1; of a record of several lines the last one's.
        series: the points; none when there is a problem.
        problem: why it cannot be read; "" = it can.
    """

    line: int
    series: list[Series]
    problem: str = ""


def parse_value(text: str) -> Value:
    """Return a value: a whole number, another number, or the text itself. Raises ValueError past 64 bits."""
    if _WHOLE.fullmatch(text):
        return _long(int(text))
    return float(text) if _NUMBER.fullmatch(text) else text


def _long(value: int) -> int:
    if value not in _LONG:
        raise ValueError(f"{value} does not fit a long of 64 bits")
    return value


def _double(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no finite number")
    return value


def _checked(value: Any) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is neither a number nor a text")
    if isinstance(value, int):
        return _long(value)
    return _double(value) if isinstance(value, float) else value


_TYPES: Mapping[str, Callable[[Any], Value]] = {
    "long": lambda value: _long(int(value)),
    "double": lambda value: _double(float(value)),
    "string": str,
}


def _typed(value: Any, kind: str | None) -> Value:
    """Return a value of a type that KairosDB names; None = as JSON spells it."""
    if kind is None:
        return _checked(value)
    if kind not in _TYPES:
        raise ValueError(f"points of the type {kind!r} cannot be imported")
    return _TYPES[kind](_checked(value))


def type_of(value: Value) -> str:
    """Return KairosDB's name of a value's type."""
    return "string" if isinstance(value, str) else "long" if isinstance(value, int) else "double"


def plain_tags(stream: Stream) -> dict[str, str]:
    """Return the tags of a result that is one series."""
    return {name: value if isinstance(value, str) else value[0] for name, value in stream.tags.items()}


# writing --------------------------------------------------------------------------------------------------------------


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _write_json(name: str, tags: Mapping[str, str], points: list[Point]) -> Iterator[str]:
    for at in range(0, len(points), STRETCH_POINTS):
        yield _dump({"name": name, "tags": tags, "datapoints": points[at : at + STRETCH_POINTS]}) + "\n"


def _write_kairosdb(name: str, tags: Mapping[str, str], points: list[Point]) -> Iterator[str]:
    for at in range(0, len(points), STRETCH_POINTS):
        typed = [(time, value, type_of(value)) for time, value in points[at : at + STRETCH_POINTS]]
        yield _dump({"name": name, "tags": tags, "datapoints": typed}) + "\n"


class _Lines:
    """Takes what the csv module writes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines.append(text)


def _write_csv(name: str, tags: Mapping[str, str], points: list[Point]) -> Iterator[str]:
    out = _Lines()
    text = json.dumps(tags, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    csv.writer(out).writerows((name, time, _dump(value), text) for time, value in points)
    return iter(out.lines)


def _write_opentsdb(name: str, tags: Mapping[str, str], points: list[Point]) -> Iterator[str]:
    words = (name, *tags, *tags.values())
    if any(not word or set(word) & set(" \n\r") for word in words) or any("=" in one for one in tags):
        raise Unwritable(f"{name} {_dump(dict(tags))} has names that OpenTSDB's form cannot hold")
    named = "".join(f" {tag}={value}" for tag, value in sorted(tags.items()))
    name = "put put" if name == "put" else name
    for time, value in points:
        yield f"{name} {time} {json.dumps(value).replace(' ', chr(92) + 'u0020')}{named}\n"


_WRITERS: Mapping[str, Callable[[str, Mapping[str, str], list[Point]], Iterator[str]]] = {
    "json": _write_json,
    "kairosdb": _write_kairosdb,
    "csv": _write_csv,
    "opentsdb": _write_opentsdb,
}
LINE_FORMS = tuple(_WRITERS)


def write_lines(form: str, stream: Stream) -> Iterator[bytes]:
    """Yield the lines of a series, which end in a line feed. Raises Unwritable before the first one."""
    for text in _WRITERS[form](stream.name, plain_tags(stream), stream.values):
        yield text.encode()


# reading --------------------------------------------------------------------------------------------------------------


def read_lines(form: str, lines: Iterable[bytes]) -> Iterator[Record]:
    """Yield what lines hold; empty ones are passed over."""
    if form == "csv":
        yield from _read_csv(lines)
        return
    read = {"json": _read_json, "kairosdb": _read_json, "opentsdb": _read_opentsdb}[form]
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _record(number, read, line)


def _record(number: int, read: Callable[[Any], list[Series]], content: Any) -> Record:
    try:
        return Record(number, read(content))
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        return Record(number, [], missing)


def _read_json(line: bytes) -> list[Series]:
    value = json.loads(line, parse_constant=_no_constant)
    return [_series_of(one) for one in (value if isinstance(value, list) else [value])]


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no finite number")


def _series_of(value: Any) -> Series:
    if not isinstance(value, dict):
        raise ValueError("it is no object with name, tags and datapoints")
    kind = value.get("type")
    points = [(_time(time), _typed(one, *(named or (kind,)))) for time, one, *named in value.get("datapoints", ())]
    if "timestamp" in value:
        points.append((_time(value["timestamp"]), _typed(value["value"], kind)))
    return Series(_name(value["name"]), _tags(value.get("tags", {})), points)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no name")
    return value


def _tags(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError(f"{value!r} are no tags")
    return value


def _time(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no time in milliseconds")
    return _long(value)


def _read_csv(lines: Iterable[bytes]) -> Iterator[Record]:
    rows = csv.reader(line.decode() for line in lines)
    while True:
        try:
            row = next(rows, None)
        except (csv.Error, UnicodeDecodeError) as error:
            yield Record(rows.line_num + isinstance(error, UnicodeDecodeError), [], str(error))
            return
        if row is None:
            return
        if row:
            yield _record(rows.line_num, _read_row, row)


def _read_row(row: list[str]) -> list[Series]:
    if len(row) != 4:
        raise ValueError(f"{len(row)} columns are not metric, time, value and tags")
    name, time, value, tags = row
    return [Series(_name(name), _tags(json.loads(tags)), [(_time(_whole(time)), _checked(json.loads(value)))])]


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is no time")
    return int(text)


def _read_opentsdb(line: bytes) -> list[Series]:
    words = [word for word in line.decode().strip("\r\n ").split(" ") if word]
    if words[0] == "put":
        del words[0]
    if len(words) < 3:
        raise ValueError("it is not METRIC TIME VALUE TAG=VALUE …")
    name, time, value, *named = words
    time_ms = _whole(time) * 1000 if abs(_whole(time)) < SECONDS_BELOW else _whole(time)
    return [Series(name, dict(map(_pair, named)), [(_time(time_ms), _of_word(value))])]


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not (name and equals and value):
        raise ValueError(f"{word!r} is not TAG=VALUE")
    return name, value


def _of_word(word: str) -> Value:
    """Return the value of a word: a number, or a text as JSON."""
    if word.startswith('"'):
        return _checked(json.loads(word))
    value = parse_value(word)
    if isinstance(value, str):
        raise ValueError(f"{word!r} is no number")
    return _checked(value)
