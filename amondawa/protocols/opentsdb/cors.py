"""Cross-origin requests: the list of domains that may ask. Source: suite endpoints (cors_*, options_without_origin)."""

from __future__ import annotations

from functools import lru_cache

from amondawa.protocols.opentsdb.calls import Call
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.paths import in_api

ALLOWED_METHODS = "GET, POST, PUT, DELETE"
ALLOWED_HEADERS = (
    "Authorization, Content-Type, Accept, Origin, User-Agent, DNT, Cache-Control, X-Mx-ReqToken, Keep-Alive, "
    "X-Requested-With, If-Modified-Since"
)


@lru_cache(maxsize=16)
def domains_of(setting: str) -> frozenset[str]:
    """Return the domains of the setting, in capitals: they are compared without case."""
    return frozenset(part.strip().upper() for part in setting.split(",") if part.strip())


def check(call: Call) -> dict[str, str]:
    """Return the headers that a request's origin earns its answer; none without an origin or without a list.

    Raises:
        TsdbError: 405, OPTIONS without an origin or a list; 200, outside /api 400, an origin that is not on the list.
    """
    origin = call.headers.get("Origin", "")
    domains = domains_of(call.scope.settings.opentsdb_cors_domains)
    if not domains or not origin:
        if call.method == "OPTIONS":
            raise TsdbError("Method not allowed", 405, f"The HTTP method [{call.method}] is not permitted")
        return {}
    if "*" not in domains and origin.upper() not in domains:
        status = 200 if in_api(call.path) else 400
        raise TsdbError("CORS domain not allowed", status, f"The domain [{origin}] is not permitted access")
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": ALLOWED_METHODS,
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
    }
