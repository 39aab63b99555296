"""`/api/stats` and what is below it. Source: suite endpoints (stats_*)."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from typing import Any

from amondawa.auth.caller import current_caller
from amondawa.auth.permissions import ANY_DOMAIN
from amondawa.errors import Forbidden
from amondawa.protocols.opentsdb.calls import NO_CONTENT, Answer, Call, Handler
from amondawa.protocols.opentsdb.errors import TsdbError

PREFIX = "tsd."


async def stats(call: Call) -> Answer:
    """Answer statistics: as a list of points, or as text lines outside /api (for the parameter `json` as a list of them)."""
    words = call.path.split("/")
    handler = _BELOW.get(words[2].lower()) if words[0] == "api" and len(words) > 2 else None
    if handler is _queries and call.method == "DELETE":
        return _end_query(call)
    call.allow("GET", "POST")
    if handler is not None:
        return await handler(call)
    points = statistics(call)
    if words[0] == "api":
        return Answer.json(points)
    lines = [_line(point) for point in points]
    return Answer.json(lines) if "json" in call.params else Answer.text("".join(f"{line}\n" for line in lines))


def statistics(call: Call) -> list[dict[str, Any]]:
    """Return the gateway's counters and gauges as points of now (seconds)."""
    gateway = call.scope.gateway
    now_s = gateway.now_ms // 1000
    return [
        {"metric": PREFIX + name, "timestamp": now_s, "value": _number(value), "tags": {"domain": call.domain}}
        for name, value in sorted(gateway.statistics().items())
    ]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _line(point: dict[str, Any]) -> str:
    tags = "".join(f" {name}={value}" for name, value in point["tags"].items())
    return f"{point['metric']} {point['timestamp']} {point['value']}{tags}"


def _check_operator() -> None:
    """Refuse figures of the whole process to those who may not read all domains: others' work shows in them."""
    caller = current_caller()
    if caller is not None and not caller.operator:
        raise Forbidden(f"this needs a key with permission {ANY_DOMAIN}:r")


async def _runtime(call: Call) -> Answer:
    """Describe the process, under the names that the original uses for its virtual machine."""
    _check_operator()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    collections = [one["collections"] for one in gc.get_stats()]
    return Answer.json(
        {
            "os": {"systemLoadAverage": os.getloadavg()[0]},
            "gc": {f"generation{at}": {"collectionCount": count} for at, count in enumerate(collections)},
            "runtime": {"vmName": sys.implementation.name, "vmVersion": sys.version.split()[0]},
            "memory": {"heapMemoryUsage": {"used": usage.ru_maxrss * 1024}},
            "pools": {},
        }
    )


async def _threads(call: Call) -> Answer:
    """List the threads of the process."""
    _check_operator()
    return Answer.json(
        [
            {"name": one.name, "threadID": one.ident, "state": "RUNNABLE" if one.is_alive() else "TERMINATED"}
            for one in threading.enumerate()
        ]
    )


async def _queries(call: Call) -> Answer:
    """List the queries in flight in the caller's domain; finished ones are not kept."""
    return Answer.json({"running": _running(call), "completed": []})


def _running(call: Call) -> list[dict[str, object]]:
    return [one for one in call.scope.gateway.running_queries() if one.get("domain", call.domain) == call.domain]


def _end_query(call: Call) -> Answer:
    """End one of the domain's queries by its `id`; its client is told so.

    Raises:
        TsdbError: 400, no id; 404, no such query is running.
    """
    wanted = call.params.required("id")
    known = any(str(one["id"]) == wanted for one in _running(call))
    if not known or not call.scope.gateway.end_query(int(wanted)):
        raise TsdbError(f"No query {wanted} is running", 404)
    return NO_CONTENT


async def _regions(call: Call) -> Answer:
    """There are no region servers to list."""
    return Answer.json([])


_BELOW: dict[str, Handler] = {
    "jvm": _runtime,
    "threads": _threads,
    "query": _queries,
    "region_clients": _regions,
}
