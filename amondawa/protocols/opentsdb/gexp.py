"""The functions of the graphite-like expressions of /api/query/gexp. Source: suite query_gexp."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from amondawa.aggregate import ranks, series_functions
from amondawa.aggregate.formula import parse_formula
from amondawa.model.points import Float64s, Points
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.expression import Line as JoinedLine
from amondawa.protocols.opentsdb.expression import Variable, described, join
from amondawa.protocols.opentsdb.expression_query import Join
from amondawa.protocols.opentsdb.gexp_grammar import CallNode, MetricNode
from amondawa.protocols.opentsdb.render import Line, by_id
from amondawa.protocols.opentsdb.uid import Uids

MAX_SERIES = 26
MAX_INT = 2**31 - 1
INT_DIGITS = 10

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


class Results:
    """What the sub queries gave, handed to the metrics of expressions one by one.

    Equal sub queries were asked once, and those beside the expressions come first; the metrics do not know, as the
    original's: the first one takes the first results, and so on.

    Args:
        answers: the results of each sub query, in the order asked.
    """

    def __init__(self, answers: Sequence[Sequence[Line]]) -> None:
        self._answers = answers
        self._taken = 0

    def take(self) -> list[Line]:
        """Return the results of the next metric.

        Raises:
            TsdbError: 400, there are no more.
        """
        if self._taken >= len(self._answers):
            raise _wrong(f"Index {self._taken} out of bounds for length {len(self._answers)}")
        self._taken += 1
        return list(self._answers[self._taken - 1])


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
    """Carry an expression out; the results may have points outside the range, and are to be `walked` before they are read.

    Args:
        node: the expression.
        results: what the sub queries gave.
        setting: what else functions need.

    Raises:
        TsdbError: 400, a parameter is missing, not right or out of place; a metric has no results.
    """
    inputs = [_input(one, results, setting) for one in node.series[: node.leading]]
    if len(inputs) < len(node.series):
        raise _wrong(f"Unknown parameter type: null in tree: {node.shown()}")
    return FUNCTIONS[node.function](inputs, node.words, setting) if inputs else []


def _input(node: MetricNode | CallNode, results: Results, setting: Setting) -> list[Line]:
    return results.take() if isinstance(node, MetricNode) else evaluate_gexp(node, results, setting)


def walked(lines: Iterable[Line]) -> list[Line]:
    """Return lines whose points are about to be read.

    Raises:
        TsdbError: 400, one is of arithmetic over series that do not have equally many points.
    """
    found = list(lines)
    if any(line.unpaired for line in found):
        raise _wrong("No more elements")
    return found


def shown(lines: Iterable[Line]) -> list[Line]:
    """Return lines that are about to be put out.

    Raises:
        TsdbError: 400, one has no name, or its points cannot be read.
    """
    found = list(lines)
    for line in found:
        if line.nameless:
            raise _wrong("Wrong id.length = 0 which is != 3 required for 'metrics'")
        walked([line])
    return found


def _wrong(text: str) -> TsdbError:
    return TsdbError(text, 400, text)


def _each(inputs: list[list[Line]], change: Callable[[Points], Points]) -> list[Line]:
    found = walked(line for lines in inputs for line in lines)
    return [replace(line, points=change(line.points), computed=False) for line in found]


def _alias(inputs: list[list[Line]], words: Sequence[str], setting: Setting) -> list[Line]:
    """Rename results, `@tag` standing for a tag's value; values lose their signs and results their tags.

    Results of arithmetic cannot be renamed: the original does not know how many points they have.
    """
    if not words:
        raise _wrong("Missing the alias")
    for lines in inputs:
        for line in lines:
            if walked([line])[0].computed:
                raise _wrong("-1")
    out = []
    for line in _each(inputs, series_functions.absolute):
        name = ",".join(words)
        for tag, value in line.tags.items():
            name = name.replace("@" + tag, value)
        out.append(replace(line, metric=name, tags={}, aggregated=(), renamed=True, nameless=False))
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
        lines = [
            line for line in walked(line for group in inputs for line in group) if len(line.points) or not need_points
        ]
        if lines and not any(len(setting.within(line.points)) for line in lines):
            raise _wrong("No series has a point in the range")
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
        sources = [[(_joinable(line), line) for line in lines] for lines in inputs]
        variables = [Variable(tuple(joinable for joinable, _ in pairs), 0.0) for pairs in sources]
        rows = join(variables, Join(aggregated_tags=False), setting.uids)
        by_joinable = {joinable: line for pairs in sources for joinable, line in pairs}
        first = next((line for lines in inputs for line in lines), None)
        return [] if first is None else [_in_step(sign, row, by_joinable, first, setting.uids) for row in rows]

    return apply


def _in_step(
    sign: str, row: Sequence[JoinedLine | None], sources: Mapping[JoinedLine, Line], first: Line, uids: Uids
) -> Line:
    """Compute over the series of a row point by point: the first points of all, the second ones, and so on.

    A missing series, and NaN, count as 0. The time of a result is the earliest of the times of its points. Series that do
    not have equally many points give a line that is `unpaired`, as do those that are.
    """
    lines = [line for line in row if line is not None]
    length = len(lines[0].points)
    wrong = any(sources[line].unpaired or len(line.points) != length for line in lines)
    points = Points.empty() if wrong else _points_in_step(sign, row, lines, length)
    made = described(row, 0, points)
    return Line(
        first.sub,
        made.metrics[0],
        made.tags,
        by_id(made.aggregated, uids),
        made.points,
        bare_annotations=True,
        figures=first.figures,
        computed=True,
        unpaired=wrong,
        nameless=any(sources[line].renamed or sources[line].nameless for line in lines),
    )


def _points_in_step(sign: str, row: Sequence[JoinedLine | None], lines: Sequence[JoinedLine], length: int) -> Points:
    names = [chr(ord("a") + at) for at in range(len(row))]
    columns = {name: _column(line, length) for name, line in zip(names, row, strict=True)}
    values = parse_formula(f" {sign} ".join(names)).evaluate(columns, length)
    return Points.doubles(np.minimum.reduce([line.points.times_ms for line in lines]), values)


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
