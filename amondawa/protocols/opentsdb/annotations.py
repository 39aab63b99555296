"""`/api/annotation` and `/api/annotation/bulk`. Source: suites annotations, tsuid (annotation_of_series)."""

from __future__ import annotations

from typing import Any

from amondawa.protocols.opentsdb.calls import NO_CONTENT, NOT_MODIFIED, Answer, Call
from amondawa.protocols.opentsdb.errors import TsdbError, internal_null, method_not_allowed
from amondawa.protocols.opentsdb.notes import Note, Notes, notes_of
from amondawa.protocols.opentsdb.schemas import AnnotationBody, AnnotationBulkDelete, load, load_many
from amondawa.protocols.opentsdb.times import parse_time
from amondawa.protocols.opentsdb.uid_text import hex_problem
from amondawa.protocols.opentsdb.values import LAST_MS

NO_START = "The start timestamp has not been set"
END_BEFORE_START = "The end timestamp cannot be less than the start timestamp"
NOT_FOUND = "Unable to locate annotation in storage"
NOT_DELETED = "Unable to delete Annotation information"
INTERNAL = 500
ROW_SECONDS = 3600
_RESET = Note()


async def annotation(call: Call) -> Answer:
    """Read, write or remove one annotation, or several below `/bulk`."""
    method = call.api_method
    words = call.path.split("/")
    if len(words) > 2 and words[2].lower().endswith("bulk"):
        return await _bulk(call, method)
    notes = notes_of(call.scope, call.domain)
    given = await _given(call)
    if method not in ("GET", "POST", "PUT", "DELETE"):
        raise method_not_allowed(method)
    tsuid, start_time = given.get("tsuid", ""), given.get("start_time", 0)
    if method == "GET" and words[1].lower() == "annotations":
        return Answer.json([note.wire() for note in await _globals(notes, start_time, given.get("end_time", 0))])
    if method == "GET":
        _check_tsuid(tsuid, INTERNAL)
        found = await notes.get(tsuid, start_time)
        if found is None:
            raise TsdbError(NOT_FOUND, 404)
        return Answer.json(found.wire())
    if method == "DELETE":
        if start_time < 1:
            raise TsdbError(NOT_DELETED, 400, NO_START)
        if tsuid and hex_problem(tsuid):
            raise TsdbError(NOT_DELETED, 400, hex_problem(tsuid))
        await notes.delete(tsuid, start_time)
        return NO_CONTENT
    stored = await _store(notes, given, replace=method == "PUT")
    return NOT_MODIFIED if stored is None else Answer.json(stored.wire())


async def _globals(notes: Notes, start_s: int, end_s: int) -> list[Note]:
    """Return the global annotations that begin at a second or later and end by another; an end of 0 is none.

    Raises:
        TsdbError: 500, the end lies before the start.
    """
    if end_s and end_s < start_s:
        raise TsdbError(f"java.lang.IllegalArgumentException: {END_BEFORE_START}", INTERNAL)
    last_ms = (end_s // ROW_SECONDS + 1) * ROW_SECONDS * 1000 - 1 if end_s else LAST_MS
    found = await notes.between("", start_s * 1000, last_ms)
    return [note for note in found if not end_s or note.end_time <= end_s]


async def _given(call: Call) -> dict[str, Any]:
    """Return the fields that a request gives: from its body when it has one, else from the query string."""
    body = await call.read()
    if body:
        return _given_fields(await _fields(call))
    start_ms = _time_ms(call, call.params.get("start_time"))
    if start_ms < 1:
        raise TsdbError("Missing start time")
    end_ms = _time_ms(call, call.params.get("end_time"))
    given: dict[str, Any] = {"start_time": start_ms // 1000, "end_time": max(end_ms, 0) // 1000}
    texts = {name: call.params.get(name) for name in ("tsuid", "description", "notes")}
    given.update({name: text for name, text in texts.items() if text is not None})
    return _given_fields(given)


async def _fields(call: Call) -> dict[str, Any]:
    """Return the body's fields; a body that does not fit is an internal error of the original.

    Raises:
        TsdbError: 500.
    """
    try:
        return load(AnnotationBody, await call.json())
    except TsdbError as error:
        raise TsdbError(error.message, INTERNAL) from error


def _given_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out the fields that are null and mean nothing by it: a text may become null."""
    return {name: value for name, value in fields.items() if value is not None or name in ("description", "notes")}


def _check_tsuid(tsuid: str, status: int) -> None:
    """Refuse what is no TSUID; an empty one is that of the global annotations.

    Raises:
        TsdbError: of that status.
    """
    problem = hex_problem(tsuid) if tsuid else ""
    if problem:
        if status == INTERNAL:
            raise TsdbError(f"java.lang.IllegalArgumentException: {problem}", status)
        raise TsdbError(problem, status, problem)


def _time_ms(call: Call, text: str | None) -> int:
    """Return a time of the query string; -1 when it is missing.

    Raises:
        TsdbError: 500, no time (as in the original).
    """
    if not text:
        return -1
    try:
        return parse_time(text, None, call.scope.gateway.now_ms)
    except TsdbError as error:
        raise TsdbError(error.message, 500) from error


async def _store(notes: Notes, given: dict[str, Any], replace: bool) -> Note | None:
    """Store what is given, over the stored annotation's fields or (replace) over none; None = nothing to change.

    Raises:
        TsdbError: 400, no start time.
    """
    start_time = given.get("start_time", 0)
    if start_time < 1:
        raise TsdbError(NO_START, 400, NO_START)
    place = ("tsuid", "start_time")
    changes = {name: value for name, value in given.items() if name not in place and value != getattr(_RESET, name)}
    if not changes:
        return None
    tsuid = given.get("tsuid", "")
    _check_tsuid(tsuid, 400)
    stored = await notes.get(tsuid, start_time)
    base = _RESET if replace or stored is None else stored
    fields = {name: getattr(base, name) for name in ("description", "notes", "custom", "end_time")}
    earliest = start_time if stored is None else min(start_time, stored.start_time)
    note = Note(tsuid=tsuid, start_time=earliest, **{**fields, **changes})
    await notes.put(note)
    return note


async def _bulk(call: Call, method: str) -> Answer:
    if method == "DELETE":
        return await _bulk_delete(call)
    if method not in ("POST", "PUT"):
        raise method_not_allowed(call.method)
    notes = notes_of(call.scope, call.domain)
    stored = []
    listed = await call.json()
    if listed is None or (isinstance(listed, list) and None in listed):
        raise internal_null()
    for fields in load_many(AnnotationBody, listed):
        given = _given_fields(fields)
        try:
            note = await _store(notes, given, replace=method == "PUT")
        except TsdbError as error:
            shown = f"TSUID: {given.get('tsuid', '')} Start: {given.get('start_time', 0)}"
            details = f"Annotation error: {shown}  Description: {given.get('description', '')}"
            raise TsdbError(error.message, 400, details) from error
        if note is not None:
            stored.append(note.wire())
    return Answer.json(stored)


async def _bulk_delete(call: Call) -> Answer:
    """Remove the annotations of some series, or the global ones, that start in an inclusive range."""
    asked = await _bulk_asked(call)
    if not asked["start_time"]:
        raise TsdbError("Missing the start time value")
    if not asked["is_global"] and not asked["tsuids"]:
        raise TsdbError("Missing the TSUIDs or global annotations flag")
    start_ms, end_ms = _bulk_range(asked, call.scope.gateway.now_ms)
    for tsuid in asked["tsuids"] or ():
        if hex_problem(tsuid):
            raise TsdbError(hex_problem(tsuid), 400, hex_problem(tsuid))
    notes = notes_of(call.scope, call.domain)
    deleted = 0
    for tsuid in ([""] if asked["is_global"] else []) + (asked["tsuids"] or []):
        for note in await notes.between(tsuid, start_ms, end_ms):
            deleted += await notes.delete(note.tsuid, note.start_time)
    return Answer.json(
        {
            "tsuids": asked["tsuids"],
            "global": asked["is_global"],
            "startTime": start_ms,
            "endTime": end_ms,
            "totalDeleted": deleted,
        }
    )


def _bulk_range(asked: dict[str, Any], now_ms: int) -> tuple[int, int]:
    """Return the inclusive range of a removal.

    Raises:
        TsdbError: 400, a time is not understood, or they are the wrong way round.
    """
    try:
        start_ms = parse_time(asked["start_time"], None, now_ms)
        end_ms = parse_time(asked["end_time"], None, now_ms) if asked["end_time"] else now_ms
        if end_ms < start_ms:
            raise TsdbError("The end timestamp cannot be less than the start timestamp")
    except TsdbError as error:
        raise TsdbError(error.message, 400, error.message) from error
    return start_ms, end_ms


async def _bulk_asked(call: Call) -> dict[str, Any]:
    if await call.read():
        asked = load(AnnotationBulkDelete, await call.json())
        return {**asked, "is_global": bool(asked["is_global"])}
    params = call.params
    tsuids = params.get("tsuids")
    return {
        "start_time": params.required("start_time"),
        "end_time": params.get("end_time"),
        "tsuids": None if tsuids is None else [part.strip() for part in tsuids.split(",")],
        "is_global": "global" in params,
    }
