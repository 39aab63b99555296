"""`/api/search/…`: of its types only the look-up of series by metric and tags is enabled. Source: suite search_lookup.

Answered from the index alone: distinct series first, however many points they have.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Selection, TagFilter
from amondawa.model.series import Series
from amondawa.protocols.opentsdb.calls import Answer, Call
from amondawa.protocols.opentsdb.errors import NoSuchName, TsdbError
from amondawa.protocols.opentsdb.javamap import java_order
from amondawa.protocols.opentsdb.metric_tags import parse_open
from amondawa.protocols.opentsdb.schemas import LookupBody, load
from amondawa.protocols.opentsdb.uid import ERROR_KINDS, UidKind, Uids, uids_of

TYPES = ("tsmeta", "tsmeta_summary", "tsuids", "uidmeta", "annotation", "lookup")
DEFAULT_LIMIT = 25
ANY = "*"
INTERNAL = 500

Pairs = list[tuple[str | None, str | None]]


async def search(call: Call) -> Answer:
    """Answer a search."""
    method = call.api_method
    if method not in ("GET", "POST"):
        raise TsdbError(f"Unsupported method: {method}")
    kind = _type_of(call.path)
    if kind != "lookup":
        if not await call.read():
            call.params.required("query")
            for name in ("limit", "start_index"):
                _number(call, name)
        raise TsdbError("Searching is not enabled", 400, "Searching has not been enabled on this TSD")
    return await _lookup(call)


def _type_of(path: str) -> str:
    words = path.split("/")
    name = words[2] if len(words) > 2 else ""
    if not name:
        raise TsdbError("Invalid search query type supplied", 400, "Type provided was null or empty")
    if name.lower() not in TYPES:
        raise TsdbError("Invalid search query type supplied", 400, f"Unknown type: {name}")
    return name.lower()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is looked up.

    Attributes:
        metric: wire name; `*` = any, None = not given.
        pairs: tags; None = none given.
        limit: most results; less than 1 = all.
        query, start_index: repeated in the answer, and without any effect on it.
    """

    metric: str | None
    pairs: Pairs | None
    limit: int = DEFAULT_LIMIT
    query: str | None = None
    start_index: int = 0


async def _asked(call: Call) -> _Asked:
    """Read a request.

    Raises:
        TsdbError: 400, the query string is not right; 500, the body is not.
    """
    if await call.read():
        return await _asked_in_body(call)
    text = call.params.required("m")
    try:
        metric, pairs = parse_open(text)
        if not metric and not pairs:
            raise TsdbError("", 400, f"Missing metric and tags: {text}")
    except TsdbError as error:
        if error.details:
            raise TsdbError("Unable to parse query", 400, error.details) from error
        raise
    limit = _number(call, "limit")
    return _Asked(metric or None, pairs, DEFAULT_LIMIT if limit is None else limit)


def _number(call: Call, name: str) -> int | None:
    """Return a number of the query string; None when it is not given.

    Raises:
        TsdbError: 400, it is none.
    """
    text = call.params.get(name)
    try:
        return None if text is None else int(text)
    except ValueError as error:
        raise TsdbError(f"Unable to convert '{name}' to a valid number") from error


async def _asked_in_body(call: Call) -> _Asked:
    try:
        body = load(LookupBody, await call.json())
    except TsdbError as error:
        raise TsdbError(error.message, INTERNAL) from error
    tags = None if body["tags"] is None else [(one["key"], one["value"]) for one in body["tags"]]
    limit = DEFAULT_LIMIT if body["limit"] is None else body["limit"]
    return _Asked(body["metric"], tags, limit, body["query"], body["start_index"] or 0)


async def _lookup(call: Call) -> Answer:
    began = time.monotonic()
    asked = await _asked(call)
    pairs = asked.pairs
    if asked.metric is None and not pairs:
        raise TsdbError("Missing metric and tags. Please supply at least one value.")
    if any(name in (None, ANY) and value in (None, ANY) for name, value in pairs or ()):
        raise TsdbError("Unexpected exception", INTERNAL)
    uids = await uids_of(call.scope, call.domain)

    async def read() -> list[dict[str, Any]]:
        selection, alternatives = await _selection(uids, asked.metric or "", pairs or [])
        found = await call.scope.gateway.find_series(selection, MIN_TIME_MS, MAX_TIME_MS)
        return await asyncio.to_thread(_results, uids, found, alternatives, asked.limit)

    results = await uids.settled(read)
    named = {"query": asked.query, "metric": asked.metric}
    answer: dict[str, Any] = {"type": "LOOKUP", **{name: text for name, text in named.items() if text is not None}}
    if pairs is not None:
        answer["tags"] = [{"key": name, "value": value} for name, value in pairs]
    answer["limit"] = asked.limit
    answer["time"] = float(int((time.monotonic() - began) * 1000))
    answer.update({"results": results, "startIndex": asked.start_index, "totalResults": len(results)})
    return Answer.json(answer)


def _results(uids: Uids, found: list[Series], alternatives: list[set[str]], limit: int) -> list[dict[str, Any]]:
    """Return the first series that match, in order of their TSUIDs. Any thread."""
    matching = [
        one
        for one in found
        if not uids.rollups.is_rollup(one.metric) and all(_has_any(one, group) for group in alternatives)
    ]
    matching.sort(key=uids.series_ids)
    return [_result(uids, one) for one in (matching[:limit] if limit > 0 else matching)]


async def _selection(uids: Uids, metric: str, pairs: Pairs) -> tuple[Selection, list[set[str]]]:
    """Return what to select, and sets of values of which a series must have one under any tag name.

    Raises:
        TsdbError: 404, a name without id.
    """
    stored_metric = ""
    if metric and metric != ANY:
        stored_metric = await _stored(uids, "metric", metric)
    values: dict[str, set[str]] = {}
    anywhere: set[str] = set()
    for name, value in pairs:
        group = anywhere
        if name is not None and name != ANY:
            group = values.setdefault(await _stored(uids, "tagk", name), set())
        if value is not None and value != ANY:
            if name is None or name == ANY:
                group |= await _anywhere(uids, value)
            else:
                group.add(await _stored(uids, "tagv", uids.hashed_value(name, value)))
    filters = tuple(
        TagFilter(name, frozenset(wanted) if wanted else None)  # no value given: having the tag is enough
        for name, wanted in values.items()
    )
    return Selection(uids.domain, stored_metric, filters), [anywhere] if anywhere else []


async def _anywhere(uids: Uids, value: str) -> set[str]:
    """Return what a value is stored as under any tag name: hashed tags each have a hash of their own for it.

    Raises:
        TsdbError: 404, it is the value of no tag.
    """
    known = {one for one in await uids.hashes_of(value) if await uids.find("tagv", one) is not None}
    if not known or await uids.find("tagv", value) is not None:
        known.add(await _stored(uids, "tagv", value))
    return known


async def _stored(uids: Uids, kind: UidKind, name: str) -> str:
    if await uids.find(kind, name) is None:
        details = NoSuchName(ERROR_KINDS[kind], name).message
        raise TsdbError("Unable to resolve one or more UIDs", 404, details)
    return uids.stored_name(kind, name)


def _has_any(series: Series, values: set[str]) -> bool:
    return any(value in values for _, value in series.tags)


def _result(uids: Uids, series: Series) -> dict[str, Any]:
    shown = uids.wire_series(series)
    tags = dict(shown.tags)
    names = java_order(tags)
    return {"tsuid": uids.tsuid(series), "metric": shown.metric, "tags": {name: tags[name] for name in names}}
