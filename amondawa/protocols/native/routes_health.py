"""GET /health/live, /health/ready and /metrics: for load balancers, orchestrators and Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web


def add_routes(
    app: web.Application,
    reasons: Callable[[], list[str]],
    notes: Callable[[], Mapping[str, object]],
    metrics: Callable[[], bytes],
    metrics_type: str,
) -> None:
    """Add the three routes.

    Args:
        app: where to add them.
        reasons: why the process cannot serve now; empty = it can.
        notes: what else is to be known of it, fields of the answer.
        metrics: renders all metrics.
        metrics_type: the Content-Type of what it renders.
    """

    async def live(_request: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def ready(_request: web.Request) -> web.Response:
        why = reasons()
        if not why:
            return web.json_response({"status": "ready", **notes()})
        body = {"status": "not ready", "reasons": why, **notes()}
        return web.json_response(body, status=503, headers={"Retry-After": "1"})

    async def show_metrics(_request: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": metrics_type})

    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/metrics", show_metrics)
