"""The routes of /api/query and what lies below it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from aiohttp import web

from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.calls import Answer, Call, Handler
from amondawa.protocols.opentsdb.data_query import CheckedQuery, DataQuery, check
from amondawa.protocols.opentsdb.errors import TsdbError, method_not_allowed
from amondawa.protocols.opentsdb.evaluate import evaluate
from amondawa.protocols.opentsdb.query_schemas import load_query
from amondawa.protocols.opentsdb.render import Answered, Page, render
from amondawa.protocols.opentsdb.uid import Uids
from amondawa.protocols.opentsdb.uri import parse_query

METHODS = ("GET", "POST", "DELETE")

Guard = Callable[[Handler], Callable[[web.Request], Awaitable[web.StreamResponse]]]


def add_query_routes(app: web.Application, scope: Scope, prefix: str, guard: Guard) -> None:
    """Add the query endpoints below a prefix.

    Args:
        app: where to add them.
        scope: gateway and settings.
        prefix: such as `/domains/{domain}`, or empty.
        guard: turns a handler of this dialect into one of aiohttp.
    """
    for path, handler in (("query", answer_query),):
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
    body = await evaluate(call.scope, call.domain, checked, partial(_render, checked), query_label(call, checked))
    return Answer(body)


def checked_method(call: Call) -> str:
    """Return the method of a query endpoint, overrides applied.

    Raises:
        TsdbError: 405, or 400 for a delete that the settings do not allow.
    """
    method = call.api_method
    if method not in METHODS:
        raise method_not_allowed(call.method)
    if method == "DELETE" and not call.scope.settings.opentsdb_allow_delete:
        raise _delete_refused()
    return method


def _delete_refused() -> TsdbError:
    return TsdbError("Bad request", 400, "Deleting data is not enabled (tsd.http.query.allow_delete=false)")


async def read_query(call: Call, method: str) -> DataQuery:
    """Read a query from a body (POST, and DELETE with one) or from the query string.

    Raises:
        TsdbError: 400, or 500 where OpenTSDB has it.
    """
    if call.method == "POST" or (call.method == "DELETE" and "start" not in call.params):
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


def _render(query: CheckedQuery, answered: list[Answered], uids: Uids) -> bytes:
    return render(Page(query, uids), answered, summary_of(answered))


def summary_of(answered: list[Answered]) -> dict[str, Any]:
    """Return the figures of `show_summary`."""
    totals: dict[str, Any] = {
        name: sum(each.stats[name] for each in answered) for name in ("dpsPostFilter", "emittedDPs", "queryScanTime")
    }
    for each in answered:
        totals[f"queryIdx_{each.sub.index:02d}"] = dict(each.stats)
    return totals
