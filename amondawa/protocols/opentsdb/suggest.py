"""`/api/suggest` and `/suggest`: names by prefix. Source: suite suggest.

A metric is suggested while it has points, or when its name was assigned by request; nothing is read but the index.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from amondawa.protocols.opentsdb.calls import Answer, Call
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.paths import in_api
from amondawa.protocols.opentsdb.schemas import SuggestBody, load
from amondawa.protocols.opentsdb.uid import UidKind, Uids, uids_of

DEFAULT_MAX = 25
LIMIT_END = 2**31
BAD_MAX = "Unable to parse 'max' as a number"
_KINDS: dict[str, UidKind] = {"metrics": "metric", "tagk": "tagk", "tagv": "tagv"}


async def suggest(call: Call) -> Answer:
    """Suggest names."""
    call.allow("GET", "POST")
    kind, prefix, limit = _asked(await _fields(call))
    return Answer.json(await suggested(await uids_of(call.scope, call.domain), call, kind, prefix, limit))


async def _fields(call: Call) -> dict[str, Any]:
    if call.method == "POST" and in_api(call.path):
        asked = load(SuggestBody, await call.json())
        if not asked["type"]:
            raise TsdbError("Missing 'type' parameter")
        return asked
    params = call.params
    return {"type": params.required("type"), "q": params.get("q"), "max": params.get("max")}


def _asked(fields: dict[str, Any]) -> tuple[UidKind, str, int]:
    limit = DEFAULT_MAX
    if fields["max"]:
        try:
            limit = int(fields["max"])
        except ValueError as error:
            raise TsdbError(BAD_MAX) from error
        if not -LIMIT_END <= limit < LIMIT_END:
            raise TsdbError(BAD_MAX)
    kind = _KINDS.get(fields["type"])
    if kind is None:
        raise TsdbError(f"Invalid 'type' parameter:{fields['type']}")
    return kind, fields["q"] or "", limit if limit > 0 else DEFAULT_MAX


async def suggested(uids: Uids, call: Call, kind: UidKind, prefix: str, limit: int) -> list[str]:
    """Return the first names, in order of their bytes, that begin with a prefix."""
    gateway, domain = call.scope.gateway, call.domain
    if kind == "metric":
        names = await gateway.metric_names(domain, "" if uids.renamed else prefix)
    else:
        names = await (gateway.tag_names(domain) if kind == "tagk" else gateway.tag_values(domain))
    if kind == "metric" and uids.rollups.intervals_ms:
        names = [name for name in names if not uids.rollups.is_rollup(name)]
    if uids.renamed:
        names = sorted(uids.wire_name(kind, name) for name in names)
    found = _with_prefix(names, prefix, limit)
    assigned = [name for name in uids.assigned_names(kind) if name.startswith(prefix)]
    return sorted({*found, *assigned})[:limit] if assigned else found


def _with_prefix(names: list[str], prefix: str, limit: int) -> list[str]:
    """Return the first of sorted names that begin with a prefix."""
    first = bisect_left(names, prefix)
    found = []
    for name in names[first : first + limit]:
        if not name.startswith(prefix):
            break
        found.append(name)
    return found
