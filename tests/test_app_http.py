import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiohttp import ClientSession

from amondawa.app_access import Access
from amondawa.app_http import common_application
from amondawa.listeners.http import HttpPort, make_runner
from amondawa.model.points import WriteBatch
from amondawa.model.query import Query
from amondawa.protocols.base import Scope
from amondawa.settings import Settings
from amondawa.store.memory import MemoryStore
from amondawa.telemetry import Metrics, Readiness
from tests.naive import NaiveGateway

QUERY = '{"start_absolute": 0, "metrics": [{"name": "m"}]}'
POINT = '[{"name": "m", "timestamp": 1, "value": 1}]'


class SlowGateway(NaiveGateway):
    """Takes its time, and notes what became of it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def _take_time(self, seconds: float) -> None:
        self.begun.set()
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.outcome.set_result("cancelled")
            raise
        self.outcome.set_result("carried out")

    async def query(self, queries: Sequence[Query], finish: Callable[..., Any], label: str = "") -> Any:
        await self._take_time(60)

    async def write(self, batch: WriteBatch) -> None:
        await self._take_time(0.6)


@pytest.mark.parametrize(
    ("path", "body", "outcome"), [("/datapoints/query", QUERY, "cancelled"), ("/datapoints", POINT, "carried out")]
)
async def test_a_client_that_goes_away_ends_its_query_and_not_its_write(path: str, body: str, outcome: str):
    gateway = SlowGateway()
    metrics = Metrics()
    port = HttpPort()
    server = await asyncio.get_running_loop().create_server(port.connect, "127.0.0.1", 0)
    settings = Settings(allow_anonymous="*:rw", store="memory")
    access = Access(settings, MemoryStore())
    app = common_application(Scope(access.guard(gateway), settings), Readiness(), metrics, access.http)
    await port.show(await make_runner(app, 5.0))
    try:
        host, number = server.sockets[0].getsockname()[:2]
        async with ClientSession() as session:
            asked = asyncio.ensure_future(session.post(f"http://{host}:{number}/api/v1/d{path}", data=body))
            await gateway.begun.wait()
            asked.cancel()
        assert await asyncio.wait_for(gateway.outcome, 5) == outcome
    finally:
        server.close()
        await port.show(None)
    status = "499" if outcome == "cancelled" else "204"
    assert f'protocol="native",status="{status}"'.encode() in metrics.render()


@pytest.mark.parametrize(
    ("method", "path", "status", "text", "allow"),
    [
        ("GET", "/nope", 404, "no such path", None),
        ("GET", "/api/v1/d/nope", 404, "no such path", None),
        ("PUT", "/api/v1/d/datapoints", 405, "not for this method; allowed: POST", "POST"),
        ("GET", "/api/v1/d/metric/m", 405, "not for this method; allowed: DELETE", "DELETE"),
    ],
)
async def test_a_path_that_no_dialect_has_is_a_native_error(
    aiohttp_client: Any, method: str, path: str, status: int, text: str, allow: str | None
):
    settings = Settings(allow_anonymous="*:rw", store="memory")
    access = Access(settings, MemoryStore())
    scope = Scope(access.guard(NaiveGateway()), settings)
    client = await aiohttp_client(common_application(scope, Readiness(), Metrics(), access.http))
    answer = await client.request(method, path)
    assert (answer.status, await answer.json()) == (status, {"errors": {"": [text]}})
    assert answer.headers.get("Allow") == allow
