"""The HTTP application of this dialect over the naive gateway, for tests."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from aiohttp.test_utils import TestClient, TestServer

from amondawa.model.points import Kind, WriteBatch, same_kind
from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb import routes
from amondawa.settings import Settings
from tests.naive import NaiveGateway

START_S = 1_356_998_400
SETTINGS = Settings(
    opentsdb_allow_delete=True,
    opentsdb_cors_domains="http://app.example.com, http://other.example.com",
    opentsdb_histograms="42:SimpleHistogramDecoder",
    body_limit_bytes=100_000,
)


def one_long(ref: int, value: int = 1, at_s: int = START_S) -> WriteBatch:
    """Return a batch of one point."""
    refs, times = np.array([ref], np.int32), np.array([at_s * 1000], np.int64)
    return WriteBatch(refs, times, same_kind(Kind.LONG, 1), np.array([value], np.int64))


class Served:
    """A client of a served application; `ask` gives status and JSON (or text) in one go."""

    def __init__(self, client: TestClient[Any, Any], scope: Scope) -> None:
        self.client = client
        self.scope = scope

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        status, data, _ = await self.raw(method, path, body, **headers)
        try:
            return status, json.loads(data)
        except ValueError:
            return status, data.decode()

    async def raw(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, path, data=data, headers=sent) as answer:
            return answer.status, await answer.read(), {"reason": answer.reason or "", **answer.headers}

    async def put(self, metric: str, value: object = 1, at_s: int = START_S, **tags: str) -> None:
        point = {"metric": metric, "timestamp": at_s, "value": value, "tags": tags or {"host": "a"}}
        status, answer = await self.ask("POST", "/api/put?details", point)
        assert status == 200, answer


async def serve(gateway: NaiveGateway | None = None, settings: Settings = SETTINGS) -> Served:
    """Start a server; the caller closes `client`."""
    scope = Scope(gateway or NaiveGateway(), settings)
    server = TestServer(routes.application(scope))
    await server.start_server(auto_decompress=False)
    return Served(TestClient(server), scope)
