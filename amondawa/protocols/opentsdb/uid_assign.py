"""`/api/uid/…`: giving ids to names and renaming them; the way to meta data. Source: suite uid."""

from __future__ import annotations

from typing import Any

from amondawa.errors import BadRequest
from amondawa.protocols.opentsdb.calls import Answer, Call, Handler
from amondawa.protocols.opentsdb.errors import TsdbError, bad_json, internal_null
from amondawa.protocols.opentsdb.javamap import java_order
from amondawa.protocols.opentsdb.names import check_metric
from amondawa.protocols.opentsdb.numbers_text import java_bytes
from amondawa.protocols.opentsdb.uid import ERROR_KINDS, KINDS, UidKind, Uids, uid_bytes, uid_text, uids_of
from amondawa.protocols.opentsdb.uid_meta import tsmeta, uidmeta

NOTHING_TO_RENAME = "Missing necessary values to rename UID"


async def uid(call: Call) -> Answer:
    """Lead a request to its endpoint."""
    words = call.path.split("/")
    handler = _ENDPOINTS.get(words[2].lower()) if len(words) > 2 else None
    if handler is None:
        raise TsdbError("Other UID endpoints have not been implemented yet", 501)
    return await handler(call)


def kind_of(name: str) -> UidKind | None:
    """Return the kind that a request's field names, in any case."""
    return next((kind for kind in KINDS if kind == name.lower()), None)


async def assign(call: Call) -> Answer:
    """Give ids to names; each name is its own success or failure."""
    call.allow("GET", "POST")
    wanted = await _wanted(call)
    if not wanted:
        raise TsdbError("Missing values to assign UIDs")
    uids = await uids_of(call.scope, call.domain)
    done = {kind: await _assign_all(uids, kind, names) for kind, names in wanted.items()}
    await uids.flush()
    answer: dict[str, dict[str, str]] = {}
    for kind, (given, errors) in done.items():
        answer[kind] = {name: _given_text(uids, kind, name) for name in sorted(given)}
        if errors:
            answer[f"{kind}_errors"] = dict(sorted(errors.items()))
    return Answer.json(answer, 400 if any(errors for _, errors in done.values()) else 200)


async def _assign_all(uids: Uids, kind: str, names: list[str]) -> tuple[list[str], dict[str, str]]:
    """Give ids to names; return those that got one, and what is wrong with the others."""
    given: list[str] = []
    errors: dict[str, str] = {}
    for name in names:
        try:
            await _assign(uids, kind, name)
            given.append(name)
        except BadRequest as error:
            errors[name] = error.message
    return given, errors


def _given_text(uids: Uids, kind_name: str, name: str) -> str:
    """Return the id that a name was given: the one in the log, whichever gateway wrote it there."""
    kind = kind_of(kind_name)
    return uid_text((uids.id_of(kind, name) if kind else None) or 0)


async def _wanted(call: Call) -> dict[str, list[str]]:
    if call.method == "GET":
        given = {kind: call.params.get(kind) or "" for kind in KINDS}
        return {kind: names.rstrip(",").split(",") for kind, names in given.items() if names.strip(",")}
    body = await call.json()
    if not isinstance(body, dict):
        raise bad_json()
    if any(names is None or (isinstance(names, list) and None in names) for names in body.values()):
        raise internal_null()
    if not all(
        isinstance(names, list) and all(isinstance(name, str | int | float) for name in names)
        for names in body.values()
    ):
        raise bad_json()
    return {kind: [str(name) for name in names] for kind, names in body.items()}


async def _assign(uids: Uids, kind_name: str, name: str) -> None:
    """Give an id to a name.

    Raises:
        BadRequest: with the original's text.
    """
    check_name(kind_name, name)
    kind = kind_of(kind_name)
    if kind is None:
        raise BadRequest("Unknown type name")
    _refuse_clear(uids, kind, name)
    known = await uids.find(kind, name)
    if known is not None:
        raise BadRequest(f"Name already exists with UID: {uid_text(known)}")
    uids.assign(kind, name)


def _refuse_clear(uids: Uids, kind: UidKind, name: str) -> None:
    """Refuse a name that would be kept as it is where values must not be.

    Raises:
        BadRequest: a clear tag value in a domain that keeps tags as hashes.
    """
    if kind == "tagv" and uids.is_clear(name):
        raise BadRequest(
            "Tags are kept as hashes in this domain: a tag value gets its UID when a point with it is written"
        )


def check_name(what: str, name: str) -> None:
    """Check a name that is called by the request's own word for it.

    Raises:
        BadRequest: `Invalid <what> ("x!"): illegal character: !`.
    """
    try:
        check_metric(name)
    except BadRequest as error:
        raise BadRequest(error.message.replace("Invalid metric name", f"Invalid {what}", 1)) from error


async def rename(call: Call) -> Answer:
    """Give an id another name; the points that were written under the old one answer to the new one."""
    if call.api_method not in ("GET", "POST"):
        raise TsdbError("Method not allowed", 405, f"The HTTP method[{call.method}] is not permitted for this endpoint")
    fields = await _rename_fields(call)
    words = [word for word in java_order(fields) if word != "name"]
    if "name" not in fields or not words:
        raise TsdbError(NOTHING_TO_RENAME)
    uids = await uids_of(call.scope, call.domain)
    try:
        kind = kind_of(words[-1])
        if kind is None:
            raise BadRequest("Unknown type name")
        await _rename(uids, kind, fields[kind], fields["name"])
    except BadRequest as error:
        return Answer.json({"result": "false", "error": error.message}, 400)
    return Answer.json({"result": "true"})


async def _rename_fields(call: Call) -> dict[str, str]:
    if call.method == "GET":
        given: dict[str, Any] = {word: call.params.get(word) or None for word in (*KINDS, "name")}
    else:
        given = await call.json()
    if not isinstance(given, dict) or any(isinstance(value, list | dict) for value in given.values()):
        raise bad_json()
    return {word: str(value) for word, value in given.items() if value is not None}


async def _rename(uids: Uids, kind: UidKind, old: str, new: str) -> None:
    """Rename.

    Raises:
        BadRequest: the old name is unknown, or the new one is not right or in use.
    """
    check_name(kind, old)
    check_name(kind, new)
    _refuse_clear(uids, kind, new)
    done = False
    while not done:  # another gateway may rename or assign between the look and the deed
        if await uids.find(kind, old) is None:
            raise BadRequest(f'Name("{old}") does not exist')
        taken = await uids.find(kind, new)
        if taken is not None:
            where = f"UniqueId(tsdb-uid, {ERROR_KINDS[kind]}, 3)"
            shown = java_bytes(uid_bytes(taken))
            raise BadRequest(f'When trying rename("{old}", "{new}") on {where}: new name already assigned ID={shown}')
        done = await uids.rename(kind, old, new)


_ENDPOINTS: dict[str, Handler] = {"assign": assign, "rename": rename, "uidmeta": uidmeta, "tsmeta": tsmeta}
