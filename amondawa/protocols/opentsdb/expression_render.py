"""Answers of /api/query/exp as bytes: tables of [time, value, value ...]. Source: suite query_exp."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from amondawa.aggregate.series_functions import aligned
from amondawa.model.points import Float64s, Int64s
from amondawa.protocols.opentsdb.expression import NO_VALUE, Variable
from amondawa.protocols.opentsdb.expression_query import ExpressionQuery, Output
from amondawa.protocols.opentsdb.expression_schemas import echo
from amondawa.protocols.opentsdb.render import float_texts, long_texts


def render_outputs(query: ExpressionQuery, known: Mapping[str, Variable]) -> bytes:
    """Return the body: the outputs that exist, in the order asked, and the query."""
    expressions = {one.name for one in query.expressions}
    outputs = [
        render_output(output, known[output.name], output.name in expressions)
        for output in query.wanted()
        if output.name in known
    ]
    return b'{"outputs":[%s],"query":%s}' % (b",".join(outputs), orjson.dumps(echo(query)))


def render_output(output: Output, variable: Variable, computed: bool) -> bytes:
    """Return one output.

    Args:
        output: its name and alias.
        variable: its series.
        computed: it is an expression. Those have a value at every time, and give no last time for a single row; series of a
            metric give 0 where they have no point.
    """
    lines = variable.lines
    times, columns = aligned([line.points for line in lines], [NO_VALUE if computed else 0.0] * len(lines))
    head: dict[str, object] = {"id": output.name}
    if output.alias is not None:
        head["alias"] = output.alias
    shown = times.tolist()
    summary = {
        "firstTimestamp": shown[0] if shown else 0,
        "lastTimestamp": shown[-1] if len(shown) > int(computed) else 0,
        "setCount": len(shown),
        "series": len(lines),
    }
    tail: dict[str, object] = {"dpsMeta": summary}
    if lines:
        tail["meta"] = _meta(variable)
    return b'%s,"dps":[%s],%s' % (orjson.dumps(head)[:-1], _rows(times, columns), orjson.dumps(tail)[1:])


def _rows(times: Int64s, columns: list[Float64s]) -> bytes:
    texts = [long_texts(times), *(float_texts(column) for column in columns)]
    return b",".join([b"[" + b",".join(row) + b"]" for row in zip(*texts, strict=True)])


def _meta(variable: Variable) -> list[dict[str, object]]:
    """Return what each column is; every column names the metrics of the first one, as the original does."""
    metrics = list(variable.lines[0].metrics)
    described: list[dict[str, object]] = [{"index": 0, "metrics": ["timestamp"]}]
    for at, line in enumerate(variable.lines, 1):
        described.append(
            {
                "index": at,
                "metrics": metrics,
                "commonTags": dict(line.tags),
                "aggregatedTags": list(line.aggregated),
            }
        )
    return described
