"""Every route of this dialect that is not a query, with its handler. Routes below /api also answer below /api/v1."""

from __future__ import annotations

from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb import config, pages
from amondawa.protocols.opentsdb.annotations import annotation
from amondawa.protocols.opentsdb.calls import Handler
from amondawa.protocols.opentsdb.graph import graph
from amondawa.protocols.opentsdb.histogram import histogram
from amondawa.protocols.opentsdb.last import last
from amondawa.protocols.opentsdb.lookup import search
from amondawa.protocols.opentsdb.put import Putter
from amondawa.protocols.opentsdb.rollup import rollup
from amondawa.protocols.opentsdb.stats import stats
from amondawa.protocols.opentsdb.suggest import suggest
from amondawa.protocols.opentsdb.tree import tree
from amondawa.protocols.opentsdb.uid_assign import uid


def handlers(scope: Scope) -> dict[str, Handler]:
    """Return routes and handlers; a route comes before the shorter ones that it begins with."""
    return {
        "api/put": Putter(scope).put,
        "api/histogram": histogram,
        "api/rollup": rollup,
        "api/query/last": last,
        "api/suggest": suggest,
        "suggest": suggest,
        "api/search": search,
        "api/uid": uid,
        "api/annotation": annotation,
        "api/annotations": annotation,
        "api/tree": tree,
        "api/aggregators": config.aggregators,
        "aggregators": config.aggregators,
        "api/config": config.config,
        "api/version": config.version,
        "version": config.version,
        "api/dropcaches": config.dropcaches,
        "api/stats": stats,
        "stats": stats,
        "q": graph,
        "logs": pages.logs,
        "s": pages.static_file,
        "favicon.ico": pages.static_file,
        "": pages.home,
    }
