"""Graphite-like expressions of /api/query/gexp: grammar and functions.

    expression = name "(" parameter {"," parameter} ")"
    parameter  = expression | metric | word
    metric     = agg ":" [word ":"] [word ":"] word ["{" tag "=" value {"," tag "=" value} "}"]

Source: suite query_gexp.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from amondawa.aggregate import ranks, series_functions
from amondawa.aggregate.formula import parse_formula
from amondawa.model.points import Float64s, Points
from amondawa.protocols.opentsdb.data_query import CheckedSubQuery, SubQuery
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.expression import Line as JoinedLine
from amondawa.protocols.opentsdb.expression import Variable, described, join
from amondawa.protocols.opentsdb.expression_query import Join
from amondawa.protocols.opentsdb.render import Line
from amondawa.protocols.opentsdb.uid import Uids
from amondawa.protocols.opentsdb.uri import parse_m

INTERNAL = 500
MAX_DEPTH = 64
MAX_SERIES = 26
MAX_INT = 2**31 - 1
INT_DIGITS = 10

_WORD = re.compile(r"\s*(\*|[A-Za-z0-9\-_#/$@|.'\[\]]+)")
_SPACE = re.compile(r"[ \t\n\r]*")
_WINDOW_MS = {
    "day": 86_400_000,
    "d": 86_400_000,
    "hour": 3_600_000,
    "hr": 3_600_000,
    "h": 3_600_000,
    "min": 60_000,
    "m": 60_000,
    "sec": 1_000,
    "s": 1_000,
}


@dataclass(frozen=True, slots=True)
class MetricNode:
    """A metric in an expression: the sub query it asks for."""

    sub: SubQuery


@dataclass(frozen=True, slots=True)
class CallNode:
    """A function with its series, in order, and its other parameters."""

    function: str
    series: tuple[MetricNode | CallNode, ...]
    words: tuple[str, ...]

    def metrics(self) -> list[SubQuery]:
        """Return the sub queries in it, in order."""
        return [sub for one in self.series for sub in _metrics_of(one)]


def _metrics_of(node: MetricNode | CallNode) -> list[SubQuery]:
    return [node.sub] if isinstance(node, MetricNode) else node.metrics()


# grammar --------------------------------------------------------------------------------------------------------------


class _NoParse(Exception):
    """The text does not follow the grammar."""


def parse_gexp(text: str) -> CallNode:
    """Parse one `exp` parameter; what follows the last parenthesis is passed over.

    Raises:
        TsdbError: 500 for a text or function it does not know, as the original answers; 400 for a metric that is not right.
    """
    try:
        return _Reader(text).call(0)
    except _NoParse as error:
        raise TsdbError(f"Failed to parse {text}", INTERNAL) from error


class _Reader:
    """A recursive descent over one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def call(self, depth: int) -> CallNode:
        """Read a function with its parameters."""
        if depth > MAX_DEPTH:
            raise _NoParse
        function = self._word()
        if function not in FUNCTIONS:
            raise TsdbError(f"Function {function} has not been implemented", INTERNAL)
        self._expect("(")
        series: list[MetricNode | CallNode] = []
        words: list[str] = []
        while True:
            self._parameter(function, series, words, depth)
            if not self._take(","):
                break
        self._expect(")")
        return CallNode(function, tuple(series), tuple(words))

    def _parameter(self, function: str, series: list[MetricNode | CallNode], words: list[str], depth: int) -> None:
        start = self._at
        word = self._word()
        following = self._peek()
        if following == "(":
            self._at = start
            series.append(self.call(depth + 1))
        elif following == ":":
            series.append(MetricNode(parse_m(self._metric(word))))
        else:
            words.append(word)
            return
        if words:
            names = ",".join(sub.metric or "" for node in series for sub in _metrics_of(node))
            raise _wrong(f"Unknown parameter type: null in tree: {function}({names})")

    def _metric(self, aggregator: str) -> str:
        """Read on to the end of a metric; return it without blanks."""
        words = [aggregator]
        while len(words) < 4 and self._take(":"):
            words.append(self._word())
        return ":".join(words) + (self._tags() if self._take("{") else "")

    def _tags(self) -> str:
        pairs = []
        while True:
            name = self._word()
            self._expect("=")
            pairs.append(f"{name}={self._word()}")
            if not self._take(","):
                break
        self._expect("}")
        return "{" + ",".join(pairs) + "}"

    def _word(self) -> str:
        match = _WORD.match(self._text, self._at)
        if match is None:
            raise _NoParse
        self._at = match.end()
        return match[1]

    def _peek(self) -> str:
        blank = _SPACE.match(self._text, self._at)
        self._at = self._at if blank is None else blank.end()
        return self._text[self._at : self._at + 1]

    def _take(self, sign: str) -> bool:
        found = self._peek() == sign
        self._at += found
        return found

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise _NoParse


# functions ------------------------------------------------------------------------------------------------------------

Results = Mapping[SubQuery, Sequence[Line]]


@dataclass(frozen=True, slots=True)
class Setting:
    """What functions need besides their parameters.

    Attributes:
        uids: for the order of results.
        start_ms, end_ms: the query's inclusive range; series come with all points of the rows that were read.
    """

    uids: Uids
    start_ms: int
    end_ms: int

    def within(self, points: Points) -> Points:
        """Return the points of the range."""
        return points.between(self.start_ms, self.end_ms)


Function = Callable[[list[list[Line]], Sequence[str], Setting], list[Line]]


def evaluate_gexp(node: CallNode, results: Results, setting: Setting) -> list[Line]:
    """Carry an expression out; the results may have points outside the range.

    Args:
        node: the expression.
        results: what its sub queries gave.
        setting: what else functions need.

    Raises:
        TsdbError: 400, a parameter is missing or not right.
    """
    inputs = [
        list(results[one.sub]) if isinstance(one, MetricNode) else evaluate_gexp(one, results, setting)
        for one in node.series
    ]
    return FUNCTIONS[node.function](inputs, node.words, setting) if inputs else []


def _wrong(text: str) -> TsdbError:
    return TsdbError(text, 400, text)


def _each(inputs: list[list[Line]], change: Callable[[Points], Points]) -> list[Line]:
    return [replace(line, points=change(line.points), computed=False) for lines in inputs for line in lines]


def _alias(inputs: list[list[Line]], words: Sequence[str], setting: Setting) -> list[Line]:
    """Rename results, `@tag` standing for a tag's value; values lose their signs and results their tags.

    Results of arithmetic cannot be renamed: the original does not know how many points they have.
    """
    if not words:
        raise _wrong("Missing the alias")
    if any(line.computed for lines in inputs for line in lines):
        raise _wrong("-1")
    out = []
    for line in _each(inputs, series_functions.absolute):
        name = ",".join(words)
        for tag, value in line.tags.items():
            name = name.replace("@" + tag, value)
        out.append(replace(line, metric=name, tags={}, aggregated=(), renamed=True))
    return out


def _scale(inputs: list[list[Line]], words: Sequence[str], setting: Setting) -> list[Line]:
    if not words:
        raise _wrong("Missing scaling factor")
    if not re.fullmatch(r"[-0-9.]+", words[0]):
        raise _wrong("Unparseable scale factor value: 0.0")
    try:
        factor = float(words[0])
    except ValueError as error:
        raise _wrong("Invalid parameter, must be an integer or floating point") from error
    return _each(inputs, lambda points: series_functions.scale(points, factor))


def _absolute(inputs: list[list[Line]], words: Sequence[str], setting: Setting) -> list[Line]:
    return _each(inputs, series_functions.absolute)


def _moving_average(inputs: list[list[Line]], words: Sequence[str], setting: Setting) -> list[Line]:
    """Average over a number of points, or over a quoted time such as '10min'."""
    if not words:
        raise _wrong("Missing moving average window size")
    window = words[0]
    if re.fullmatch(r"[0-9]+", window):
        count = _int32(window)
        if count == 0:
            raise _wrong("Moving average window must be an integer greater than zero")
        return _each(inputs, lambda points: series_functions.moving_average(setting.within(points), count))
    if not (window.startswith("'") and window.endswith("'")):
        raise _wrong(f"Unparseable window size: {window}")
    window_ms = _window_ms(window)
    return _each(inputs, lambda points: series_functions.moving_average_over(setting.within(points), window_ms))


def _window_ms(window: str) -> int:
    match = re.fullmatch(r"'([0-9]+)(.*)'", window)
    if match is None:
        raise _wrong(f"Invalid moving window parameter: {window}")
    if match[2] not in _WINDOW_MS:
        raise _wrong(f"Unknown time unit={match[2]} in window={window}")
    length_ms = _int32(match[1]) * _WINDOW_MS[match[2]]
    if length_ms == 0:
        raise _wrong("Moving average window must be an integer greater than zero")
    return length_ms


def _int32(text: str) -> int:
    digits = text.lstrip("0") or "0"
    if len(digits) > INT_DIGITS or int(digits) > MAX_INT:
        raise _wrong("Invalid parameter, must be an integer")
    return int(digits)


def _highest(rank: Callable[[Sequence[Points], int, int], Sequence[float]], need_points: bool) -> Function:
    """Return the function that keeps the series of highest rank."""

    def keep(inputs: list[list[Line]], words: Sequence[str], setting: Setting) -> list[Line]:
        if not words:
            raise _wrong("Need aggregation window for moving average")
        if not re.fullmatch(r"[0-9]+", words[0]):
            raise _wrong(f"Unparseable top n value: {words[0]}")
        count = _int32(words[0])
        if count < 1:
            raise _wrong(f"Top n value must be greater than zero: {count}")
        lines = [line for group in inputs for line in group if len(line.points) or not need_points]
        found = ranks.highest(rank([line.points for line in lines], setting.start_ms, setting.end_ms), count)
        return [replace(lines[at], computed=False) for at in found]

    return keep


def _shift(inputs: list[list[Line]], words: Sequence[str], setting: Setting) -> list[Line]:
    """Refuse: the original's function takes quotes for a part of the unit, and nothing without quotes."""
    if not words:
        raise _wrong("Need amount of timeshift to perform timeshift")
    amount = words[0]
    if len(amount) < 2 or not (amount.startswith("'") and amount.endswith("'")):
        raise _wrong("Invalid timeshift parameter: eg '10min'")
    match = re.match(r"'[0-9]+(.*)", amount)
    raise _wrong(f"unknown time unit={match[1]}" if match else f"Invalid Parameter: {amount}")


def _arithmetic(sign: str) -> Function:
    """Return the function that joins the series of its parameters by equal tags and computes over them."""

    def apply(inputs: list[list[Line]], words: Sequence[str], setting: Setting) -> list[Line]:
        if not 2 <= len(inputs) <= MAX_SERIES:
            raise _wrong(f"Must have 2 to {MAX_SERIES} series, got {len(inputs)} instead")
        if any(line.renamed for lines in inputs for line in lines):
            raise _wrong("Wrong id.length = 0 which is != 3 required for 'metrics'")
        variables = [Variable(tuple(_joinable(line) for line in lines), 0.0) for lines in inputs]
        rows = join(variables, Join(aggregated_tags=False), setting.uids)
        first = next((line for lines in inputs for line in lines), None)
        return [] if first is None else [_in_step(sign, row, first.sub) for row in rows]

    return apply


def _in_step(sign: str, row: Sequence[JoinedLine | None], sub: CheckedSubQuery) -> Line:
    """Compute over the series of a row point by point: the first points of all, the second ones, and so on.

    A missing series, and NaN, count as 0. The time of a result is the earliest of the times of its points.

    Raises:
        TsdbError: 400, the series do not have equally many points.
    """
    lines = [line for line in row if line is not None]
    length = len(lines[0].points)
    if any(len(line.points) != length for line in lines):
        raise _wrong("No more elements")
    names = [chr(ord("a") + at) for at in range(len(row))]
    columns = {name: _column(line, length) for name, line in zip(names, row, strict=True)}
    values = parse_formula(f" {sign} ".join(names)).evaluate(columns, length)
    times = np.minimum.reduce([line.points.times_ms for line in lines])
    made = described(row, 0, Points.doubles(times, values))
    return Line(sub, made.metrics[0], made.tags, made.aggregated, made.points, bare_annotations=True, computed=True)


def _column(line: JoinedLine | None, length: int) -> Float64s:
    if line is None:
        return np.zeros(length)
    values = line.points.numbers()
    return np.where(np.isnan(values), 0.0, values)


def _joinable(line: Line) -> JoinedLine:
    return JoinedLine((line.metric,), line.tags, tuple(line.aggregated), line.points)


FUNCTIONS: Mapping[str, Function] = {
    "alias": _alias,
    "scale": _scale,
    "absolute": _absolute,
    "movingAverage": _moving_average,
    "highestCurrent": _highest(ranks.latest, need_points=True),
    "highestMax": _highest(ranks.largest, need_points=False),
    "shift": _shift,
    "timeShift": _shift,
    "sumSeries": _arithmetic("+"),
    "sum": _arithmetic("+"),
    "diffSeries": _arithmetic("-"),
    "difference": _arithmetic("-"),
    "multiplySeries": _arithmetic("*"),
    "multiply": _arithmetic("*"),
    "divideSeries": _arithmetic("/"),
    "divide": _arithmetic("/"),
}
"""functions by the names that expressions use"""
