"""Answers of /api/query/exp as bytes: tables of [time, value, value ...]. Source: suite query_exp."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import orjson

from amondawa.aggregate.series_functions import aligned
from amondawa.model.points import Float64s, Int64s, Points
from amondawa.protocols.opentsdb.expression import NO_VALUE, Variable
from amondawa.protocols.opentsdb.expression_query import ExpressionQuery, Output
from amondawa.protocols.opentsdb.expression_schemas import echo
from amondawa.protocols.opentsdb.javamap import java_ordered
from amondawa.protocols.opentsdb.render import SLICE_POINTS, Pieces, float_texts, long_texts

NEVER_MS = 2**63 - 1
"""the first time of a metric without points"""


def render_outputs(query: ExpressionQuery, known: Mapping[str, Variable]) -> bytes:
    """Return the body: the outputs that exist, in the order asked, and the query.

    Raises:
        LimitExceeded: it is too large.
    """
    expressions = {one.name for one in query.expressions or ()}
    used: set[str] = set()
    pieces = Pieces()
    pieces.add(b'{"outputs":[')
    for output in query.wanted():
        if output.name is None or output.name not in known:
            continue
        pieces.add(b"," if used else b"")
        variable = known[output.name]
        if output.name in expressions and output.name in used:
            variable = _without_points(variable)
        used.add(output.name)
        _add_output(output, variable, output.name in expressions, pieces)
    pieces.add(b'],"query":%s}' % orjson.dumps(echo(query)))
    return pieces.joined()


def _without_points(variable: Variable) -> Variable:
    """Return what is left of an expression that was put out before: the original walks its points once."""
    return replace(variable, lines=tuple(replace(line, points=Points.empty()) for line in variable.lines))


def _add_output(output: Output, variable: Variable, computed: bool, pieces: Pieces) -> None:
    """Write one output.

    Args:
        output: its name and alias.
        variable: its series.
        computed: it is an expression. Those have a value at every time, and give no last time for a single row; series
            of a metric give 0 where they have no point, and end of time for the first of none.
        pieces: where to write.
    """
    lines = variable.lines
    times, columns = aligned([line.points for line in lines], [NO_VALUE if computed else 0.0] * len(lines))
    head: dict[str, object] = {"id": output.name}
    if output.alias is not None:
        head["alias"] = output.alias
    pieces.add(orjson.dumps(head)[:-1] + b',"dps":[')
    for piece in _row_pieces(times, columns):
        pieces.add(piece)
    summary = {
        "firstTimestamp": int(times[0]) if len(times) else 0 if computed else NEVER_MS,
        "lastTimestamp": int(times[-1]) if len(times) > int(computed) else 0,
        "setCount": len(times),
        "series": len(lines),
    }
    tail: dict[str, object] = {"dpsMeta": summary}
    if lines:
        tail["meta"] = _meta(variable)
    pieces.add(b"]," + orjson.dumps(tail)[1:])


def _row_pieces(times: Int64s, columns: list[Float64s]) -> Iterator[bytes]:
    """Yield the rows, some at once: that bounds the memory of what stands between columns and text."""
    step = max(1, SLICE_POINTS // (len(columns) + 1))
    for start in range(0, len(times), step):
        part = slice(start, start + step)
        texts = [long_texts(times[part]), *(float_texts(column[part]) for column in columns)]
        if start:
            yield b","
        yield b",".join([b"[" + b",".join(row) + b"]" for row in zip(*texts, strict=True)])


def _meta(variable: Variable) -> list[dict[str, object]]:
    """Return what each column is; every column names the metrics of the first one, as the original does."""
    metrics = list(variable.lines[0].metrics)
    described: list[dict[str, object]] = [{"index": 0, "metrics": ["timestamp"]}]
    for at, line in enumerate(variable.lines, 1):
        described.append(
            {
                "index": at,
                "metrics": metrics,
                "commonTags": java_ordered(line.tags),
                "aggregatedTags": list(line.aggregated),
            }
        )
    return described
