"""Roll-up tasks over HTTP.

Source: suite rollups.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from weakref import WeakValueDictionary

from aiohttp import web

from amondawa.errors import BadRequest
from amondawa.protocols.base import Scope
from amondawa.protocols.http import domain_of, gunzip, read_body
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.rollup_service import RollupService
from amondawa.protocols.kairosdb.rollups import RollupTask, read_task, stored_task
from amondawa.protocols.kairosdb.routes_answers import Resource, failed, json_answer, nothing, value_answer

_TIME = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})-(\d{1,2})-(\d{1,2})-(\d{1,2})-(\d{1,3})")
_SERVICES: WeakValueDictionary[int, RollupService] = WeakValueDictionary()
"""One scheduler a gateway (by its id, which the scheduler keeps from being used again), however many applications carry the
routes."""
_STARTED: web.AppKey[RollupService] = web.AppKey("kairosdb_rollups", RollupService)


class RollupRoutes:
    """Handlers of /api/v1/rollups."""

    def __init__(self, scope: Scope, service: RollupService) -> None:
        self._scope = scope
        self._service = service

    @classmethod
    def of(cls, app: web.Application, scope: Scope) -> RollupRoutes:
        """Return the handlers; the application runs the gateway's scheduler from its start-up to its clean-up."""
        service = _SERVICES.get(id(scope.gateway))
        if service is None:
            service = _SERVICES[id(scope.gateway)] = RollupService(scope.gateway, scope.settings.default_domain)
        if _STARTED not in app:
            app[_STARTED] = service
            app.cleanup_ctx.append(_serve)
        return cls(scope, service)

    def resources(self) -> Mapping[str, Resource]:
        """Return the paths and what answers them."""
        task = {"GET": self.get, "PUT": self.replace, "DELETE": self.delete}
        return {
            "/rollups": Resource({"GET": self.list, "POST": self.create}),
            "/rollups/status/{id:[^/]+}": Resource({"GET": self.status}),
            "/rollups/backfill/{id:[^/]+}": Resource({"GET": self.backfill}),
            "/rollups/{id:[^/]+}": Resource(task),
        }

    async def create(self, request: web.Request) -> web.Response:
        """Keep a task; one of the same id is replaced."""
        task = read_task(await self._body(request), self._scope.gateway.now_ms)
        await self._service.put(domain_of(request, self._scope), task)
        return _created(task)

    async def list(self, request: web.Request) -> web.Response:
        """Return all tasks."""
        tasks = await self._service.list(domain_of(request, self._scope))
        return json_answer(b"[" + b",".join(tasks) + b"]")

    async def get(self, request: web.Request) -> web.Response:
        """Return a task."""
        task_id = request.match_info["id"]
        json = await self._service.get(domain_of(request, self._scope), task_id)
        return _unknown(task_id) if json is None else json_answer(json)

    async def replace(self, request: web.Request) -> web.Response:
        """Change a task."""
        domain, task_id = domain_of(request, self._scope), request.match_info["id"]
        body = await self._body(request)
        if not body:
            raise InternalFailure(None)
        if await self._service.get(domain, task_id) is None:
            return _unknown(task_id)
        task = read_task(body, self._scope.gateway.now_ms, task_id)
        await self._service.put(domain, task)
        return _created(task)

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a task."""
        task_id = request.match_info["id"]
        found = await self._service.delete(domain_of(request, self._scope), task_id)
        return nothing() if found else _unknown(task_id)

    async def status(self, request: web.Request) -> web.Response:
        """Return what a task's last run did."""
        task_id = request.match_info["id"]
        status = await self._service.status(domain_of(request, self._scope), task_id)
        if status is None:
            return failed([f"Status not found for id {task_id}"], 404)
        return value_answer(status)

    async def backfill(self, request: web.Request) -> web.Response:
        """Compute a task over a range of time, now."""
        domain, task_id = domain_of(request, self._scope), request.match_info["id"]
        now_ms = self._scope.gateway.now_ms
        start, end = request.query.get("startTime", ""), request.query.get("endTime")
        if not start:
            raise InternalFailure("startTime must be specified")
        json = await self._service.get(domain, task_id)
        if json is None:
            return _unknown(task_id)
        start_ms = _time_ms(start)
        end_ms = now_ms if end is None else _time_ms(end)
        await self._service.backfill(domain, stored_task(json, now_ms), start_ms, end_ms)
        return nothing()

    async def _body(self, request: web.Request) -> bytes:
        limit = self._scope.settings.text_limit_bytes
        body = await read_body(request, limit)
        if not body or "gzip" not in request.headers.get("Content-Encoding", "").lower():
            return body
        try:
            return gunzip(body, limit)
        except BadRequest as error:
            raise InternalFailure(str(error)) from error


async def _serve(app: web.Application) -> AsyncIterator[None]:
    async with app[_STARTED].serving():
        yield


def _created(task: RollupTask) -> web.Response:
    return value_answer({"id": task.id, "name": task.name, "attributes": {"url": f"/api/v1/rollups/{task.id}"}})


def _unknown(task_id: str) -> web.Response:
    return failed([f"Resource not found for id {task_id}"], 404)


def _time_ms(text: str) -> int:
    """Return the moment of a backfill's time, UTC.

    Raises:
        InternalFailure: it is not in the form yyyy-MM-dd-HH-mm-ss-SSS.
    """
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        year, month, day, hour, minute, second, milli = map(int, found.groups())
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC) + timedelta(milliseconds=milli)
    except ValueError as error:
        raise InternalFailure(f'Unparseable date: "{text}"') from error
    return round(moment.timestamp() * 1000)
