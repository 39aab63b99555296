"""The endpoints that describe the server: aggregators, configuration, filters, version, caches. Source: suite endpoints."""

from __future__ import annotations

from importlib.metadata import version as package_version

from amondawa.protocols.opentsdb.calls import Answer, Call
from amondawa.settings import Settings

AGGREGATORS = (
    "mult", "p90", "zimsum", "mimmax", "sum", "p50", "none", "p95", "ep99r7", "pfsum", "p75", "p99", "ep99r3",
    "ep95r7", "min", "avg", "ep75r7", "dev", "ep95r3", "ep75r3", "ep50r7", "ep90r7", "mimmin", "p999", "ep50r3",
    "ep90r3", "ep999r7", "last", "max", "count", "diff", "median", "squareSum", "ep999r3", "first",
)  # fmt: skip
"""in the original's order; clients list them as they come"""

FILTERS = {
    "regexp": ("host=regexp(web[0-9]+)", "Matches the regular expression anywhere in the value."),
    "iwildcard": ("host=iwildcard(web*)", "Matches with * for any run of characters, without case."),
    "iliteral_or": ("host=iliteral_or(web01|WEB02)", "Matches any of the values, without case."),
    "not_iliteral_or": ("host=not_iliteral_or(web01|web02)", "Matches none of the values, without case."),
    "not_literal_or": ("host=not_literal_or(web01|web02)", "Matches none of the values."),
    "literal_or": ("host=literal_or(web01|web02)", "Matches any of the values."),
    "wildcard": ("host=wildcard(web*)", "Matches with * for any run of characters."),
}
SHORT_REVISION = "amondawa"
EMULATED = "2.4.0"


async def aggregators(call: Call) -> Answer:
    """List the aggregators."""
    call.allow("GET", "POST")
    return Answer.json(AGGREGATORS)


async def config(call: Call) -> Answer:
    """Show the configuration under the original's names, or (below it) the filters of queries."""
    call.allow("GET", "POST")
    words = call.path.split("/")
    if len(words) > 2 and words[2].lower() == "filters":
        return Answer.json(
            {name: {"examples": example, "description": text} for name, (example, text) in FILTERS.items()}
        )
    return Answer.json(configuration(call.scope.settings))


def configuration(settings: Settings) -> dict[str, str]:
    """Return the settings that the original has too, under its names; every value is text."""
    values: dict[str, object] = {
        "tsd.core.auto_create_metrics": True,
        "tsd.core.auto_create_tagks": True,
        "tsd.core.auto_create_tagvs": True,
        "tsd.core.enable_api": True,
        "tsd.core.enable_ui": True,
        "tsd.core.meta.enable_realtime_ts": True,
        "tsd.core.meta.enable_realtime_uid": True,
        "tsd.core.meta.enable_tsuid_tracking": True,
        "tsd.core.timezone": "UTC",
        "tsd.core.histograms.config": settings.opentsdb_histograms,
        "tsd.http.query.allow_delete": settings.opentsdb_allow_delete,
        "tsd.http.request.cors_domains": settings.opentsdb_cors_domains,
        "tsd.http.request.enable_chunked": True,
        "tsd.http.request.max_chunk": settings.body_limit_bytes,
        "tsd.http.show_stack_trace": False,
        "tsd.mode": "rw",
        "tsd.network.bind": settings.bind,
        "tsd.network.port": settings.opentsdb_port,
        "tsd.query.limits.data_points.default": settings.query_points,
        "tsd.query.timeout": int(settings.query_seconds * 1000),
        "tsd.storage.max_tags": settings.opentsdb_max_tags,
    }
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}


def version_fields() -> dict[str, str]:
    """Return what the server says of its build: the release whose answers it gives, and its own in the revision."""
    own = package_version("amondawa")
    return {
        "short_revision": SHORT_REVISION,
        "repo": "amondawa",
        "host": "localhost",
        "version": EMULATED,
        "full_revision": f"{SHORT_REVISION}-{own}",
        "repo_status": "MINT",
        "user": "amondawa",
        "branch": "main",
        "timestamp": "0",
    }


async def version(call: Call) -> Answer:
    """Answer `/api/version` in JSON, `/version` in text."""
    call.allow("GET", "POST")
    fields = version_fields()
    if call.path.startswith("api/") or "json" in call.params:
        return Answer.json(fields)
    built = f"net.opentsdb.tools {fields['version']} built at revision {fields['short_revision']} (MINT)"
    return Answer.text(f"{built}\nBuilt on 1970/01/01 00:00:00 +0000 by {fields['user']}@{fields['host']}\n")


async def dropcaches(call: Call) -> Answer:
    """Say that caches were dropped: names are never stale here."""
    call.allow("GET", "DELETE")
    if call.path.startswith("api/") or "json" in call.params:
        return Answer.json({"message": "Caches dropped", "status": "200"})
    return Answer.text("Caches dropped.\n")
