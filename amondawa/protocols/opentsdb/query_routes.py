"""The routes of /api/query and what lies below it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.calls import Answer, Call, Handler, parse_json
from amondawa.protocols.opentsdb.data_query import ROW_MS, CheckedQuery, DataQuery, check
from amondawa.protocols.opentsdb.errors import TsdbError, method_not_allowed
from amondawa.protocols.opentsdb.evaluate import evaluate
from amondawa.protocols.opentsdb.expression import Variable, evaluate_all, line_of, within
from amondawa.protocols.opentsdb.expression_query import check_expressions, check_reads
from amondawa.protocols.opentsdb.expression_render import render_outputs
from amondawa.protocols.opentsdb.expression_schemas import load_expression_query
from amondawa.protocols.opentsdb.gexp import Results, Setting, evaluate_gexp, shown
from amondawa.protocols.opentsdb.notes import Note, notes_of
from amondawa.protocols.opentsdb.query_schemas import load_query
from amondawa.protocols.opentsdb.query_stats import summary
from amondawa.protocols.opentsdb.render import Answered, Line, Page, lines_of, render
from amondawa.protocols.opentsdb.uid import Uids
from amondawa.protocols.opentsdb.uri import parse_expressions, parse_query

if TYPE_CHECKING:
    from aiohttp import web

    Guard = Callable[[Handler], Callable[[web.Request], Awaitable[web.StreamResponse]]]

METHODS = ("GET", "POST", "DELETE")


def add_query_routes(app: web.Application, scope: Scope, prefix: str, guard: Guard) -> None:
    """Add the query endpoints below a prefix.

    Args:
        app: where to add them.
        scope: gateway and settings.
        prefix: such as `/domains/{domain}`, or empty.
        guard: turns a handler of this dialect into one of aiohttp.
    """
    for path, handler in (
        ("query/exp", answer_expressions),
        ("query/gexp", answer_gexp),
        ("query", answer_query),
    ):
        pattern = rf"{prefix}/api{{version:(/v\d[^/]*)?}}/{path}{{tail:(/.*)?}}"
        app.router.add_route("*", pattern, guard(handler))


async def answer_query(call: Call) -> Answer:
    """Answer /api/query.

    Raises:
        TsdbError: the request is not right.
    """
    method = checked_method(call)
    query = await read_query(call, method)
    checked = check(query, call.scope.gateway.now_ms)
    notes = await _notes(call, checked)

    def finish(answered: list[Answered], uids: Uids) -> bytes:
        lines = [line for each in answered for line in lines_of(each, uids)]
        return render(Page(checked, uids, *notes), lines, _summary(answered, lines))

    return Answer(await evaluate(call.scope, call.domain, checked, finish, query_label(call, checked)))


async def answer_gexp(call: Call) -> Answer:
    """Answer /api/query/gexp; a POST is an ordinary query, as in the original.

    Raises:
        TsdbError: the request is not right.
    """
    method = checked_method(call)
    if call.method == "POST":
        return await answer_query(call)
    query = replace(parse_query(call.params), delete=method == "DELETE", whole_rows=True)
    trees = parse_expressions(call.params)
    checked = check(query, call.scope.gateway.now_ms)
    notes = await _notes(call, checked)

    def finish(answered: list[Answered], uids: Uids) -> bytes:
        results = Results([lines_of(each, uids) for each in answered])
        setting = Setting(uids, checked.start_ms, checked.end_ms)
        lines = [line for tree in trees for line in evaluate_gexp(tree, results, setting)]
        lines = [replace(line, points=setting.within(line.points)) for line in shown(lines)]
        return render(Page(checked, uids, *notes), lines, _summary(answered, lines))

    return Answer(await evaluate(call.scope, call.domain, checked, finish, query_label(call, checked)))


async def answer_expressions(call: Call) -> Answer:
    """Answer /api/query/exp.

    Raises:
        TsdbError: the request is not right.
    """
    checked_method(call)
    body = await call.read()
    if not body.strip():
        raise TsdbError("Incoming data was null or empty", 500)
    try:
        parsed = parse_json(body)
    except TsdbError as error:
        raise TsdbError(error.message, 500) from error
    query = load_expression_query(parsed)
    formulas = check_expressions(query, call.scope.gateway.now_ms)
    checked = check_reads(query, call.scope.gateway.now_ms)

    def finish(answered: list[Answered], uids: Uids) -> bytes:
        results = {each.sub.asked: [line_of(frame, uids) for frame in each.frames] for each in answered}
        metrics = {}
        for metric in query.metrics:
            sub = query.sub_query(metric)
            tags = frozenset(one.tag_name for one in sub.filters)
            fill = 0.0 if metric.fill is None else metric.fill.value
            metrics[metric.name] = Variable(tuple(results[sub]), fill, tags)
        ranged = {name: within(one, checked.start_ms, checked.end_ms) for name, one in metrics.items()}
        return render_outputs(query, evaluate_all(query, formulas, ranged, uids) | metrics)

    return Answer(await evaluate(call.scope, call.domain, checked, finish, query_label(call, checked)))


async def _notes(call: Call, query: CheckedQuery) -> tuple[Mapping[str, Sequence[Note]], Sequence[Note]]:
    """Return the annotations that the answer may show: by TSUID, and the global ones of the range."""
    if not query.asked.annotations:
        return {}, ()
    by_tsuid = await notes_of(call.scope, call.domain).all()
    if not query.asked.global_annotations:
        return by_tsuid, ()
    return by_tsuid, [note for note in by_tsuid.get("", ()) if _is_scanned(note, query)]


def _is_scanned(note: Note, query: CheckedQuery) -> bool:
    """Say whether the original finds a global annotation: it lies in the range, or begins behind it in the same hour."""
    start_s, end_s = query.start_ms // 1000, query.end_ms // 1000
    return note.start_time >= start_s and note.end_time <= end_s and note.start_ms // ROW_MS <= query.end_ms // ROW_MS


def checked_method(call: Call) -> str:
    """Return the method of a query endpoint, overrides applied.

    Raises:
        TsdbError: 405, or 400 for a delete that the settings do not allow.
    """
    method = call.api_method
    if call.method not in METHODS:
        raise method_not_allowed(call.method)
    if method == "DELETE" and not call.scope.settings.opentsdb_allow_delete:
        raise _delete_refused()
    return method


def _delete_refused() -> TsdbError:
    return TsdbError("Bad request", 400, "Deleting data is not enabled (tsd.http.query.allow_delete=false)")


async def read_query(call: Call, method: str) -> DataQuery:
    """Read a query from the body of a POST, else from the query string.

    Raises:
        TsdbError: 400, or 500 where OpenTSDB has it.
    """
    if call.method == "POST":
        query = replace(load_query(await call.json()), arrays="arrays" in call.params)
    else:
        query = parse_query(call.params)
    if query.delete and not call.scope.settings.opentsdb_allow_delete:
        raise _delete_refused()
    return replace(query, delete=query.delete or method == "DELETE")


def query_label(call: Call, query: CheckedQuery) -> str:
    """Return what the list of running queries shows."""
    names = [sub.asked.metric or ",".join(sub.asked.tsuids) for sub in query.sub_queries]
    return f"opentsdb {call.path} {' '.join(names)}"[:200]


def _summary(answered: Sequence[Answered], lines: Sequence[Line]) -> dict[str, Any]:
    return summary([each.figures for each in answered], [(line.sub.index, len(line.points)) for line in lines])
