"""Evaluation of expressions over metrics: which series belong together, and their values at every time of any of them.

Source: suite query_exp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from amondawa.aggregate.formula import Formula
from amondawa.aggregate.series_functions import aligned
from amondawa.model.points import Points
from amondawa.model.result import Frame
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.expression_query import Expression, ExpressionQuery, Join
from amondawa.protocols.opentsdb.javamap import SMALLEST_MAP, java_order
from amondawa.protocols.opentsdb.render import by_id, tags_of
from amondawa.protocols.opentsdb.uid import Uids

NO_VALUE = float("nan")


class NoIntersection(Exception):
    """The variables share no series with equal tags."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One series of a variable.

    Attributes:
        metrics: wire names of the metrics in it, sorted.
        tags: tags that all of its members share.
        aggregated: names of the tags they differ in.
        points: LONG and DOUBLE points.
    """

    metrics: tuple[str, ...]
    tags: Mapping[str, str]
    aggregated: tuple[str, ...]
    points: Points


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """What a name in an expression stands for.

    Attributes:
        lines: its series.
        fill: the value where a series has none.
        query_tags: the tags that the filters of its metric name; none for expressions.
    """

    lines: tuple[Line, ...]
    fill: float
    query_tags: frozenset[str] = frozenset()


def line_of(frame: Frame, uids: Uids) -> Line:
    """Return a result of a sub query as a line."""
    tags, aggregated = tags_of(frame, uids)
    return Line((uids.wire_name("metric", frame.metric),), tags, tuple(aggregated), frame.points)


def within(variable: Variable, start_ms: int, end_ms: int) -> Variable:
    """Return a variable with the points of an inclusive range; its lines stay, even empty."""
    lines = tuple(replace(line, points=line.points.between(start_ms, end_ms)) for line in variable.lines)
    return replace(variable, lines=lines)


def evaluate_all(
    query: ExpressionQuery, formulas: Mapping[str, Formula], metrics: Mapping[str, Variable], uids: Uids
) -> dict[str, Variable]:
    """Evaluate every expression.

    Returns:
        The metrics and the expressions, by name.

    Raises:
        TsdbError: 400, expressions refer to each other in a circle; an intersection is empty.
    """
    known = dict(metrics)
    by_name = {one.name: one for one in query.expressions or ()}
    _check_references(by_name, formulas)
    for name in _in_order(by_name, formulas):
        known[name] = evaluate_one(by_name[name], formulas[name], known, uids)
    return known


def _check_references(expressions: Mapping[str, Expression], formulas: Mapping[str, Formula]) -> None:
    """Refuse circles; the expression named is the one that closes the circle, met in the original's order.

    Raises:
        TsdbError: 400.
    """
    uses: dict[str, set[str]] = {}
    for name in java_order(expressions, SMALLEST_MAP):
        for used in formulas[name].names:
            if used == name:
                raise _wrong(f"Self referencing expression found: {name}")
            if used in expressions:
                uses.setdefault(name, set()).add(used)
                if name in _reached(used, uses):
                    raise _wrong(f"Circular reference found: {name}")


def _reached(name: str, uses: Mapping[str, set[str]]) -> set[str]:
    """Return everything that a name uses, itself and by way of others."""
    found = {name}
    waiting = [name]
    while waiting:
        new = uses.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _wrong(text: str) -> TsdbError:
    return TsdbError(text, 400, text)


def _in_order(expressions: Mapping[str, Expression], formulas: Mapping[str, Formula]) -> list[str]:
    """Return the names of the expressions, each after those it uses."""
    ordered: dict[str, None] = {}

    def visit(name: str) -> None:
        for used in formulas[name].names if name not in ordered else ():
            if used in expressions:
                visit(used)
        ordered[name] = None

    for name in expressions:
        visit(name)
    return list(ordered)


def evaluate_one(expression: Expression, formula: Formula, known: Mapping[str, Variable], uids: Uids) -> Variable:
    """Evaluate an expression over variables.

    Raises:
        TsdbError: 400, no series is in all variables and the join wants that.
    """
    variables = [known[name] for name in formula.names]
    try:
        rows = join(variables, expression.join, uids)
    except NoIntersection as error:
        raise _wrong(_no_intersection(expression, formula, variables)) from error
    lines = [
        replace(line, aggregated=tuple(by_id(line.aggregated, uids)))
        for line in compute(formula, variables, rows, replaced(variables, rows, expression.join, uids))
    ]
    return Variable(tuple(lines), NO_VALUE if expression.fill is None else expression.fill.value)


def _no_intersection(expression: Expression, formula: Formula, variables: Sequence[Variable]) -> str:
    """Return the original's text for variables without a series in common."""
    sizes = {name: len(variable.lines) for name, variable in zip(formula.names, variables, strict=True)}
    queries = ", ".join(
        f"{name}=TimeSyncedIterator(id={name}, index={at}, dpsSize={sizes[name]})"
        for at, name in enumerate(java_order(formula.names, SMALLEST_MAP))
    )
    query_tags, aggregated = (
        str(flag).lower() for flag in (expression.join.query_tags, expression.join.aggregated_tags)
    )
    return (
        f"No intersections found: IntersectionIterator(id={expression.name}, useQueryTags={query_tags}, "
        f"includeAggTags={aggregated}, index=0, queries={{{queries}}}"
    )


def compute(
    formula: Formula,
    variables: Sequence[Variable],
    rows: Sequence[Sequence[Line | None]],
    beside: Sequence[Line] = (),
) -> tuple[Line, ...]:
    """Return one line a row: the formula at every time at which any series of any row has a point, or one beside them."""
    cells = [(line, variable.fill) for row in rows for line, variable in zip(row, variables, strict=True)]
    streams = [Points.empty() if line is None else line.points for line, _ in cells]
    fills = [0.0 if line is None else fill for line, fill in cells]
    beside_points = [line.points for line in beside]
    times, columns = aligned([*streams, *beside_points], [*fills, *(0.0 for _ in beside)])
    first = formula.names.index(java_order(formula.names, SMALLEST_MAP)[0])
    out = []
    for at, row in enumerate(rows):
        own = columns[at * len(variables) : (at + 1) * len(variables)]
        values = formula.evaluate(dict(zip(formula.names, own, strict=True)), len(times))
        out.append(described(row, first, Points.doubles(times, values)))
    return tuple(out)


def described(row: Sequence[Line | None], first: int, points: Points) -> Line:
    """Return points with what describes the lines they were made of.

    Args:
        row: the lines, None for a variable that has none.
        first: the variable whose line gives the tags; no line, no tags.
        points: what was computed.
    """
    lines = [line for line in row if line is not None]
    leader = row[first]
    metrics = sorted({metric for line in lines for metric in line.metrics})
    aggregated = dict.fromkeys(name for line in lines for name in line.aggregated)
    return Line(tuple(metrics), {} if leader is None else leader.tags, tuple(aggregated), points)


def join(variables: Sequence[Variable], how: Join, uids: Uids) -> list[list[Line | None]]:
    """Return rows of series that belong together, ordered by the ids of their tags.

    A row has one series of each variable, None where the variable has none.

    Raises:
        NoIntersection: nothing is in all variables and that was wanted.
    """
    rows: dict[tuple[int, ...], list[Line | None]] = {}
    for at, variable in enumerate(variables):
        for line in variable.lines:
            key = _key(line, variable, how, uids)
            rows.setdefault(key, [None] * len(variables))[at] = line
    if how.intersection and any(variable.lines for variable in variables):
        rows = {key: row for key, row in rows.items() if None not in row}
        if not rows:
            raise NoIntersection
    return [rows[key] for key in sorted(rows)]


def replaced(variables: Sequence[Variable], rows: Sequence[Sequence[Line | None]], how: Join, uids: Uids) -> list[Line]:
    """Return the lines that another line of their variable replaced in a row; the original still looks at their times."""
    kept = {line for row in rows for line in row if line is not None}
    keys = {
        (at, _key(line, variables[at], how, uids)) for row in rows for at, line in enumerate(row) if line is not None
    }
    return [
        line
        for at, variable in enumerate(variables)
        for line in variable.lines
        if line not in kept and (at, _key(line, variable, how, uids)) in keys
    ]


def _key(line: Line, variable: Variable, how: Join, uids: Uids) -> tuple[int, ...]:
    """Return what series that belong together share."""
    if not line.tags:
        return ()
    names = [name for name in line.tags if not how.query_tags or name in variable.query_tags]
    pairs = sorted((_id(uids, name), uids.id_of("tagv", line.tags[name]) or 0) for name in names)
    key = tuple(number for pair in pairs for number in pair)
    return key + tuple(sorted(_id(uids, name) for name in line.aggregated)) if how.aggregated_tags else key


def _id(uids: Uids, name: str) -> int:
    return uids.id_of("tagk", name) or 0
