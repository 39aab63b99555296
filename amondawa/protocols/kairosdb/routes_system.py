"""The server itself over HTTP: version, health, features, running queries.

Source: suite http.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from amondawa.errors import AmondawaError
from amondawa.protocols.base import Scope
from amondawa.protocols.http import domain_of
from amondawa.protocols.kairosdb.features import FEATURES, feature
from amondawa.protocols.kairosdb.routes_answers import Resource, json_answer, nothing, refused, value_answer
from amondawa.protocols.kairosdb.running import listed
from amondawa.protocols.kairosdb.version import VERSION

_VERSION_BODY = b'{"version": "%b"}\n' % VERSION.encode()


class SystemRoutes:
    """Handlers of version, health, features and admin."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def resources(self) -> Mapping[str, Resource]:
        """Return the paths and what answers them."""
        return {
            "/version": Resource({"GET": self.version}, preflight=True),
            "/health/check": Resource({"GET": self.health_check}, preflight=True),
            "/health/status": Resource({"GET": self.health_status}, preflight=True),
            "/features": Resource({"GET": self.features}),
            "/features/{feature:[^/]+}": Resource({"GET": self.feature}),
            "/admin/runningqueries": Resource({"GET": self.running_queries}),
            "/admin/killquery/{hash:[^/]+}": Resource({"GET": self.kill_query}),
        }

    async def version(self, request: web.Request) -> web.Response:
        """Answer the version."""
        return json_answer(_VERSION_BODY)

    async def health_check(self, request: web.Request) -> web.Response:
        """Answer 204 when all is well, else 500."""
        return nothing() if await self._store_answers() else nothing(500)

    async def health_status(self, request: web.Request) -> web.Response:
        """Answer what each check found."""
        store = "OK" if await self._store_answers() else "FAIL"
        return value_answer(["JVM-Thread-Deadlock: OK", f"Datastore-Query: {store}"])

    async def features(self, request: web.Request) -> web.Response:
        """Answer all features."""
        return value_answer(FEATURES)

    async def feature(self, request: web.Request) -> web.Response:
        """Answer one feature."""
        name = request.match_info["feature"]
        found = feature(name)
        return refused([f"Unknown feature '{name}'"], 404) if found is None else value_answer(found)

    async def running_queries(self, request: web.Request) -> web.Response:
        """List the queries that are running in the domain."""
        return value_answer({"queries": self._running(request), "queries waiting": 0})

    async def kill_query(self, request: web.Request) -> web.Response:
        """End a running query of the domain; one that is not there is no error."""
        wanted = request.match_info["hash"]
        if any(one["query hash"] == wanted for one in self._running(request)):
            self._scope.gateway.end_query(int(wanted))
        return nothing()

    def _running(self, request: web.Request) -> list[dict[str, object]]:
        return listed(self._scope.gateway.running_queries(), domain_of(request, self._scope))

    async def _store_answers(self) -> bool:
        try:
            await self._scope.gateway.get_document(self._scope.settings.default_domain, "kairosdb_health", "check")
        except AmondawaError:
            return False
        return True
