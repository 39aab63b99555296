"""Every route of this dialect that is not a query, with its handler. Routes below /api also answer below /api/v1."""

from __future__ import annotations

from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb import pages
from amondawa.protocols.opentsdb.calls import Handler
from amondawa.protocols.opentsdb.put import Putter


def handlers(scope: Scope) -> dict[str, Handler]:
    """Return routes and handlers; a route comes before the shorter ones that it begins with."""
    return {
        "api/put": Putter(scope).put,
        "logs": pages.logs,
        "s": pages.static_file,
        "favicon.ico": pages.static_file,
        "": pages.home,
    }
