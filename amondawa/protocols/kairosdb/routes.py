"""The KairosDB dialect over HTTP: its paths and the application of its own port."""

from __future__ import annotations

from aiohttp import web

from amondawa.errors import AmondawaError
from amondawa.protocols.base import QuickWay, Scope
from amondawa.protocols.kairosdb.routes_answers import Resource, error_answer
from amondawa.protocols.kairosdb.routes_documents import MetadataRoutes
from amondawa.protocols.kairosdb.routes_points import PointRoutes
from amondawa.protocols.kairosdb.routes_quick import QuickPoints
from amondawa.protocols.kairosdb.routes_rollups import RollupRoutes
from amondawa.protocols.kairosdb.routes_system import SystemRoutes

DOMAIN_PREFIX = "/domains/{domain}"
_SLASH = "{slash:/?}"


def add_routes(app: web.Application, scope: Scope, prefix: str = "") -> None:
    """Add the dialect's paths to an application, under an optional prefix.

    Every handler answers its own errors; the application may carry other dialects. The roll-up scheduler is started once an
    application, with the first prefix.
    """
    for path, resource in _resources(app, scope).items():
        app.router.add_route("*", f"{prefix}/api/v1{path}{_SLASH}", resource.answer)


def application(scope: Scope) -> web.Application:
    """Return the application of the KairosDB port; a path that is not its own is 404 without a body."""
    app = web.Application()
    add_routes(app, scope)
    add_routes(app, scope, DOMAIN_PREFIX)
    app.router.add_route("*", "/{path:.*}", _not_found)
    return app


def quick_ways(scope: Scope) -> dict[bytes, QuickWay]:
    """Return the paths with a short way, by method and path."""
    return QuickPoints(scope).ways()


def refusal(request: web.Request, error: AmondawaError) -> web.Response:
    """Return the answer to a request that may not come in."""
    return error_answer(error, request)


async def _not_found(request: web.Request) -> web.Response:
    return web.Response(status=404)


def _resources(app: web.Application, scope: Scope) -> dict[str, Resource]:
    """Return the paths below /api/v1 and what answers them."""
    points = PointRoutes(scope)
    system = SystemRoutes(scope)
    metadata = MetadataRoutes(scope)
    rollups = RollupRoutes.of(app, scope)
    found = {"": Resource({}), "/health": Resource({}), "/metadata": Resource({}), "/admin": Resource({})}
    found.update(points.resources())
    found.update(system.resources())
    found.update(metadata.resources())
    found.update(rollups.resources())
    return found
