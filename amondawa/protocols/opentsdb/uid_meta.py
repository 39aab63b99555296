"""`/api/uid/uidmeta` and `/api/uid/tsmeta`: what people write about names and series. Source: suites uid, tsuid.

Only what was written is kept (a document a name or series); everything else is read from the ids and the index.
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Query, Selection, TagFilter
from amondawa.model.result import Result
from amondawa.model.series import Series
from amondawa.protocols.opentsdb.calls import NO_CONTENT, NOT_MODIFIED, Answer, Call
from amondawa.protocols.opentsdb.errors import (
    NoSuchId,
    NoSuchName,
    TsdbError,
    bad_json,
    internal_null,
    method_not_allowed,
)
from amondawa.protocols.opentsdb.metric_tags import parse_exact
from amondawa.protocols.opentsdb.schemas import TsMetaBody, UidMetaBody, load
from amondawa.protocols.opentsdb.uid import ERROR_KINDS, KINDS, UidKind, Uids, no_such_id, uid_text, uids_of
from amondawa.protocols.opentsdb.uid_text import UID_HEX, hex_problem, id_problem, parse_uid

UID_COLLECTION = "opentsdb.meta.uid"
SERIES_COLLECTION = "opentsdb.meta.series"
NOT_DELETED = "Unable to delete UIDMeta information"
_ILLEGAL = "java.lang.IllegalArgumentException: "
NO_UID = "Could not find the requested UID"
NO_SERIES = "Could not find Timeseries meta data"
NO_NAME = "Unable to find one of the UIDs"
NO_TAG = "At least one of the Deferreds failed, first exception:"
TO_CREATE = 'Could not find TSMeta, specify "create=true" to create a new one.'

Fields = dict[str, Any]

_UID_FIELDS: Fields = {"description": "", "notes": "", "created": 0, "custom": None, "displayName": ""}
_SERIES_FIELDS: Fields = {
    "description": "",
    "notes": "",
    "created": 0,
    "custom": None,
    "units": "",
    "retention": 0,
    "max": math.nan,
    "min": math.nan,
    "displayName": "",
    "dataType": "",
}


def _changes(given: Fields, defaults: Fields) -> Fields:
    """Return the given fields that say something: not what a field holds when nothing was said. A text may be null."""
    return {name: given[name] for name in defaults if name in given and _says(given[name], defaults[name])}


def _says(value: Any, default: Any) -> bool:
    if value is None:
        return isinstance(default, str)
    said: bool = value != default  # a NaN that was given differs from the NaN of the beginning
    return said


async def _written(call: Call, collection: str, key: str) -> Fields:
    """Return what was written about something; empty when nothing was."""
    value = await call.scope.gateway.get_document(call.domain, collection, key)
    return {} if value is None else orjson.loads(value)


async def _write(call: Call, collection: str, key: str, changes: Fields) -> None:
    """Write changes over what was written before, or (PUT) in place of it; of changes that meet none is lost."""
    gateway = call.scope.gateway
    if call.api_method == "PUT":
        await gateway.put_document(call.domain, collection, key, orjson.dumps(changes))
        return
    done = False
    while not done:
        before = await gateway.get_document(call.domain, collection, key)
        value = orjson.dumps({**(orjson.loads(before) if before is not None else {}), **changes})
        done = await gateway.put_document_if(call.domain, collection, key, value, before)


# names ------------------------------------------------------------------------------------------------------------


def parse_kind(name: str) -> UidKind:
    """Read the kind of a name.

    Raises:
        TsdbError: 500 `Invalid type requested`.
    """
    lower = name.lower()
    if lower in ("metric", "metrics"):
        return "metric"
    for kind in KINDS:
        if kind == lower:
            return kind
    raise TsdbError(f"Invalid type requested: {name}", 500)


async def uidmeta(call: Call) -> Answer:
    """Read, write or forget what was written about a name."""
    method = call.api_method
    uids = await uids_of(call.scope, call.domain)
    if method == "GET":
        text = call.params.required("uid")
        kind = parse_kind(call.params.required("type"))
        if problem := id_problem(kind, text):
            raise TsdbError(f"{_ILLEGAL}{problem}", 500)
        return Answer.json(await uid_description(call, uids, kind, _known(uids, kind, parse_uid(text))))
    if method not in ("POST", "PUT", "DELETE"):
        raise method_not_allowed(method)
    given = await _uid_given(call)
    kind, text = _uid_place(given, method)
    if method == "DELETE":
        return await _forget_uid(call, kind, text)
    changes = _changes(given, _UID_FIELDS)
    if not changes:
        return NOT_MODIFIED
    if problem := id_problem(kind, text):
        raise TsdbError(problem, 400, problem)
    uid = _known(uids, kind, parse_uid(text))
    await _write(call, UID_COLLECTION, f"{kind}/{uid_text(uid)}", changes)
    return Answer.json(await uid_description(call, uids, kind, uid))


async def _forget_uid(call: Call, kind: UidKind, text: str) -> Answer:
    """Forget what was written about an id; digits of another length are nobody's, which is no error."""
    if problem := hex_problem(text):
        raise TsdbError(NOT_DELETED, 400, problem)
    if not id_problem(kind, text):
        key = f"{kind}/{uid_text(parse_uid(text))}"
        await call.scope.gateway.delete_document(call.domain, UID_COLLECTION, key)
    return NO_CONTENT


def _uid_place(given: Fields, method: str) -> tuple[UidKind, str]:
    missing = "Missing UID" if not given.get("uid") else "Missing type" if not given.get("type") else ""
    if missing:
        raise TsdbError(NOT_DELETED if method == "DELETE" else missing, 400, missing)
    try:
        return parse_kind(given["type"]), given["uid"]
    except TsdbError as error:
        raise bad_json() from error


async def _uid_given(call: Call) -> Fields:
    if await call.read():
        body = await call.json()
        if body is None:
            raise internal_null()
        return load(UidMetaBody, body)
    params = call.params
    given: Fields = {"uid": params.required("uid"), "type": parse_kind(params.required("type"))}
    texts = {name: params.get(name) for name in ("description", "notes")}
    return {**given, **_present({**texts, "displayName": params.get("display_name")})}


def _present(given: Fields) -> Fields:
    """Return the parameters that a request has."""
    return {name: value for name, value in given.items() if value is not None}


def _known(uids: Uids, kind: UidKind, uid: int) -> int:
    """Return the id.

    Raises:
        TsdbError: 404, no name has it.
    """
    if uids.name_of(kind, uid) is None:
        raise TsdbError(NO_UID, 404, no_such_id(kind, uid).message)
    return uid


async def uid_description(call: Call, uids: Uids, kind: UidKind, uid: int) -> Fields:
    """Return what is known about a name, as clients see it."""
    written = await _written(call, UID_COLLECTION, f"{kind}/{uid_text(uid)}")
    about = {**_UID_FIELDS, "created": uids.created_s(kind, uid), **written}
    return {"uid": uid_text(uid), "type": kind.upper(), "name": uids.name_of(kind, uid), **about}


# series -----------------------------------------------------------------------------------------------------------


async def tsmeta(call: Call) -> Answer:
    """Read, write or forget what was written about a series."""
    method = call.api_method
    uids = await uids_of(call.scope, call.domain)
    if method == "GET":
        return await _read_series(call, uids)
    if method not in ("POST", "PUT", "DELETE"):
        raise method_not_allowed(method)
    given = await _series_given(call)
    if method == "DELETE":
        problem = hex_problem(given["tsuid"]) if given.get("tsuid") else "Missing UID"
        if problem:
            raise TsdbError("Unable to delete TSMeta information", 400, problem)
        await call.scope.gateway.delete_document(call.domain, SERIES_COLLECTION, given["tsuid"].upper())
        return NO_CONTENT
    changes = _changes(given, _SERIES_FIELDS)
    if given.get("tsuid"):
        if not changes:
            return NOT_MODIFIED
        series = _series_of_id(uids, given["tsuid"])
    else:
        series, is_new = await _series_by_name(call, uids)
        if not changes and not is_new:
            return NOT_MODIFIED
    await _write(call, SERIES_COLLECTION, uids.tsuid(series), changes)
    return Answer.json(await _series_description(call, uids, series, *await _counts(call, series)))


async def _series_given(call: Call) -> Fields:
    if await call.read():
        return load(TsMetaBody, await call.json())
    params = call.params
    given: Fields = {name: params.get(name) for name in ("tsuid", "description", "notes", "units")}
    given.update({"displayName": params.get("display_name"), "dataType": params.get("data_type")})
    given["retention"] = _number_parameter(call, "retention", int)
    given.update({name: _number_parameter(call, name, float) for name in ("max", "min")})
    return _present(given)


def _number_parameter(call: Call, name: str, kind: type[int] | type[float]) -> float | None:
    text = call.params.get(name)
    try:
        return None if not text else kind(text)
    except ValueError as error:
        raise TsdbError(f"Unable to parse '{name}' value") from error


def _series_of_id(uids: Uids, tsuid: str) -> Series:
    """Return the series that is to be described, by its TSUID.

    Raises:
        TsdbError: 400, it is too short; 500, there is none (as in the original).
    """
    if len(tsuid) <= UID_HEX:
        short = "TSUID is too short, may be missing tags"
        raise TsdbError(short, 400, short)
    try:
        return uids.series_of_tsuid(tsuid)
    except NoSuchId as error:
        raise TsdbError(error.message, 500) from error


async def _series_by_name(call: Call, uids: Uids) -> tuple[Series, bool]:
    """Return the series that is to be described, by the parameter `m`; and whether nothing is known of it so far.

    Raises:
        TsdbError: 500, a name is unknown; 400, nothing is known of it and it is not to be created.
    """
    metric, asked = parse_exact(call.params.required("m"))
    tags = {name: uids.hashed_value(name, value) for name, value in asked.items()}
    try:
        await _resolve(uids, metric, tags)
    except NoSuchName as error:
        raise TsdbError(error.message, 500) from error
    stored_tags = {uids.stored_name("tagk", name): uids.stored_name("tagv", value) for name, value in tags.items()}
    series = Series.of(call.domain, uids.stored_name("metric", metric), stored_tags)
    is_new = not await _is_described(call, uids.tsuid(series)) and not await has_points(call, series)
    if is_new and call.params.get("create") != "true":
        raise TsdbError(TO_CREATE)
    return series, is_new


async def _is_described(call: Call, tsuid: str) -> bool:
    """Say whether something was written about a series, or it was created empty."""
    return await call.scope.gateway.get_document(call.domain, SERIES_COLLECTION, tsuid) is not None


async def _read_series(call: Call, uids: Uids) -> Answer:
    tsuid = call.params.get("tsuid")
    if tsuid is None:
        return await _read_many(call, uids)
    if problem := hex_problem(tsuid):
        raise TsdbError(f"{_ILLEGAL}{problem}", 500)
    try:
        series = uids.series_of_tsuid(tsuid)
    except NoSuchId as error:
        raise TsdbError(NO_SERIES, 404) from error
    count, last_s = await _counts(call, series)
    if not count and not await _is_described(call, uids.tsuid(series)):
        raise TsdbError(NO_SERIES, 404)
    return Answer.json(await _series_description(call, uids, series, count, last_s))


async def _read_many(call: Call, uids: Uids) -> Answer:
    metric, asked = parse_exact(call.params.required("m"))
    tags = {name: uids.hashed_value(name, value) for name, value in asked.items()}
    try:
        await _resolve(uids, metric, tags)
    except NoSuchName as error:
        if error.kind != ERROR_KINDS["metric"]:
            raise TsdbError(NO_TAG, 400, NO_TAG) from error
        raise TsdbError(NO_NAME, 404, error.message) from error
    filters = tuple(
        TagFilter(uids.stored_name("tagk", name), frozenset([uids.stored_name("tagv", value)]))
        for name, value in tags.items()
    )
    selection = Selection(call.domain, uids.stored_name("metric", metric), filters)

    async def read() -> list[Fields]:
        counted = await call.scope.gateway.query([_everything(selection)], _count_series, "tsmeta")
        counted.sort(key=lambda one: uids.series_ids(one[0]))
        return [await _series_description(call, uids, *one) for one in counted]

    return Answer.json(await uids.settled(read))


async def _resolve(uids: Uids, metric: str, tags: dict[str, str]) -> None:
    """Check that every name has an id.

    Raises:
        NoSuchName: the first that has none.
    """
    names: list[tuple[UidKind, str]] = [("metric", metric)]
    for name, value in tags.items():
        names += [("tagk", name), ("tagv", value)]
    for kind, one in names:
        if await uids.find(kind, one) is None:
            raise NoSuchName(ERROR_KINDS[kind], one)


def exactly(series: Series) -> Selection:
    """Return the selection of one series."""
    filters = tuple(TagFilter(name, frozenset([value])) for name, value in series.tags)
    return Selection(series.domain, series.metric, filters, frozenset(name for name, _ in series.tags))


async def has_points(call: Call, series: Series) -> bool:
    """Say whether a series has points, by the index alone."""
    return bool(await call.scope.gateway.find_series(exactly(series), MIN_TIME_MS, MAX_TIME_MS))


def _everything(selection: Selection) -> Query:
    return Query(selection, MIN_TIME_MS, MAX_TIME_MS)


def _count_series(results: list[Result]) -> list[tuple[Series, int, int]]:
    """Return each series with its number of points and the time of the last one in seconds."""
    return [
        (frame.members[0], len(frame.points), int(frame.points.times_ms[-1]) // 1000)
        for frame in results[0].frames
        if len(frame.points)
    ]


async def _counts(call: Call, series: Series) -> tuple[int, int]:
    """Return how many points a series has, and when the last one is, in seconds; zeros when it has none."""
    counted = await call.scope.gateway.query([_everything(exactly(series))], _count_series, "tsmeta")
    return counted[0][1:] if counted else (0, 0)


async def _series_description(call: Call, uids: Uids, series: Series, count: int, last_s: int) -> Fields:
    """Return what is known about a series, as clients see it."""
    tsuid = uids.tsuid(series)
    written = await _written(call, SERIES_COLLECTION, tsuid)
    metric, pairs = uids.series_ids(series)
    tags = []
    for name, value in pairs:
        tags += [await uid_description(call, uids, "tagk", name), await uid_description(call, uids, "tagv", value)]
    about = {**_SERIES_FIELDS, "created": _created_s(uids, metric, pairs), **written}
    if about["custom"] is None:
        del about["custom"]
    for bound in ("max", "min"):
        about[bound] = "NaN" if about[bound] is None or math.isnan(about[bound]) else about[bound]
    shown = {"tsuid": tsuid, "metric": await uid_description(call, uids, "metric", metric), "tags": tags, **about}
    return {**shown, "lastReceived": last_s, "totalDatapoints": count}


def _created_s(uids: Uids, metric: int, pairs: list[tuple[int, int]]) -> int:
    """Return when the youngest name of a series got its id: the series can't be older."""
    times_s = [uids.created_s("metric", metric)]
    for name, value in pairs:
        times_s += [uids.created_s("tagk", name), uids.created_s("tagv", value)]
    return max(times_s)
