from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pytest_aiohttp.plugin import AiohttpClient
from yarl import URL

from amondawa.errors import LimitExceeded, NotFound, Overloaded, StoreError, TooOld
from amondawa.model.points import WriteBatch
from amondawa.protocols.base import Scope
from amondawa.protocols.kairosdb.routes import DOMAIN_PREFIX, add_routes, application
from amondawa.protocols.kairosdb.routes_answers import accepts
from amondawa.settings import Settings
from tests.naive import NaiveGateway

T = 1_356_998_400_000
POINT = {"name": "m", "tags": {"host": "a"}, "timestamp": T, "value": 1}
QUERY = {"start_absolute": 0, "metrics": [{"name": "m"}]}
Client = TestClient[web.Request, web.Application]


class Server:
    def __init__(self, client: Client, gateway: NaiveGateway) -> None:
        self.client = client
        self.gateway = gateway

    async def post(self, path: str, value: Any, **options: Any) -> Any:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return await self.client.post(path, data=data, **options)


@pytest.fixture
async def server(aiohttp_client: AiohttpClient) -> Server:
    gateway = NaiveGateway()
    scope = Scope(gateway, Settings(body_limit_bytes=200_000))
    served = TestServer(application(scope))
    await served.start_server(auto_decompress=False)
    client = await aiohttp_client(served)
    return Server(client, gateway)


async def test_points_are_written_and_read(server: Server) -> None:
    answer = await server.post("/api/v1/datapoints", POINT)
    assert (answer.status, await answer.read()) == (204, b"")
    assert answer.headers["Content-Type"] == "application/json;charset=utf-8"
    assert (answer.headers["Pragma"], answer.headers["Expires"]) == ("no-cache", "0")
    answer = await server.post("/api/v1/datapoints/query/", QUERY)
    assert (await answer.json())["queries"][0]["results"][0]["values"] == [[T, 1]]


async def test_bodies_may_be_gzip_by_either_header(server: Server) -> None:
    data = gzip.compress(json.dumps(POINT).encode())
    for headers in (
        {"Content-Type": "application/gzip"},
        {"Content-Encoding": "gzip", "Content-Type": "application/json"},
    ):
        assert (await server.post("/api/v1/datapoints", data, headers=headers)).status == 204
    packed = gzip.compress(json.dumps(QUERY).encode())
    assert (await server.post("/api/v1/datapoints/query", packed, headers={"Content-Encoding": "gzip"})).status == 200


@pytest.mark.parametrize(
    ("headers", "status"), [({"Content-Type": "application/gzip"}, 400), ({"Content-Encoding": "gzip"}, 500)]
)
async def test_what_is_not_gzip_after_all_is_told(server: Server, headers: dict[str, str], status: int) -> None:
    answer = await server.post("/api/v1/datapoints", b"plain", headers=headers)
    assert (answer.status, await answer.json()) == (status, {"errors": ["Not in GZIP format"]})


async def test_faults_are_400_without_the_headers_against_caching(server: Server) -> None:
    answer = await server.post("/api/v1/datapoints", {})
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert "Pragma" not in answer.headers
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_body_past_the_limit_is_413(server: Server) -> None:
    assert (await server.post("/api/v1/datapoints", b" " * 200_001)).status == 413
    bomb = gzip.compress(b" " * 10_000_000)
    assert (await server.post("/api/v1/datapoints", bomb, headers={"Content-Encoding": "gzip"})).status == 413


FAULTS = [
    (Overloaded("too much", 7), 503, "too much"),
    (TooOld("too old"), 400, "too old"),
    (LimitExceeded("too many points"), 400, "too many points"),
    (NotFound("gone"), 404, "gone"),
    (StoreError("disk 7 at /secret"), 500, "The store failed"),
    (RuntimeError("secret"), 500, "Internal error"),
]


@pytest.mark.parametrize(("error", "status", "text"), FAULTS)
async def test_errors_of_the_gateway_become_answers(
    server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, text: str
) -> None:
    async def fail(batch: WriteBatch) -> None:
        raise error

    monkeypatch.setattr(server.gateway, "write", fail)
    answer = await server.post("/api/v1/datapoints", POINT)
    assert (answer.status, await answer.json()) == (status, {"errors": [text]})
    assert answer.headers.get("Retry-After") == ("7" if status == 503 else None)


async def test_large_bodies_are_read_in_a_thread(server: Server) -> None:
    many = [{**POINT, "datapoints": [[T + at, at] for at in range(3000)]}] * 2
    data = gzip.compress(json.dumps(many).encode())
    assert (await server.post("/api/v1/datapoints", data, headers={"Content-Encoding": "gzip"})).status == 204


async def test_answers_are_gzip_when_asked_for(server: Server) -> None:
    await server.post("/api/v1/datapoints", POINT)
    for path, body in (("/api/v1/datapoints/query", QUERY), ("/api/v1/datapoints/query/tags", QUERY)):
        answer = await server.post(path, body, headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert (await answer.json())["queries"]


@pytest.mark.parametrize(("accept", "encoding"), [("gzip, deflate", "gzip"), ("gzip;q=0", None), ("identity", None)])
async def test_answers_are_packed_as_asked(server: Server, accept: str, encoding: str | None) -> None:
    answer = await server.client.get("/api/v1/features", headers={"Accept-Encoding": accept})
    assert answer.headers.get("Content-Encoding") == encoding


async def test_saved_points_can_be_read(server: Server) -> None:
    await server.post("/api/v1/datapoints", POINT)
    saving = {"start_absolute": 0, "metrics": [{"name": "m", "aggregators": [{"name": "save_as", "metric_name": "n"}]}]}
    assert (await server.post("/api/v1/datapoints/query", saving)).status == 200
    answer = await server.post("/api/v1/datapoints/query", {"start_absolute": 0, "metrics": [{"name": "n"}]})
    assert (await answer.json())["queries"][0]["results"][0]["tags"] == {"saved_from": ["m"]}


async def test_a_domain_is_a_wall(server: Server) -> None:
    await server.post("/domains/one/api/v1/datapoints", POINT)
    await server.post("/api/v1/datapoints", {**POINT, "name": "n"}, headers={"X-Amondawa-Domain": "two"})
    names = {}
    for path in ("/domains/one/api/v1/metricnames", "/domains/two/api/v1/metricnames", "/api/v1/metricnames"):
        names[path] = (await (await server.client.get(path)).json())["results"]
    assert list(names.values()) == [["m"], ["n"], []]


async def test_names_are_decoded_once_when_deleted(server: Server) -> None:
    for name in ("a b", "a+b", "ü", "a/b", "100%25"):
        await server.post("/api/v1/datapoints", {**POINT, "name": name})
    for path in ("a%20b", "a+b", "%C3%BC", "a%2Fb", "100%2525", "unknown"):
        assert (await server.client.delete(URL(f"/api/v1/metric/{path}", encoded=True))).status == 204
    assert (await (await server.client.get("/api/v1/metricnames")).json()) == {"results": []}


PATHS = [
    ("GET", "/api/v1/datapoints", 405),
    ("POST", "/api/v1/version", 405),
    ("GET", "/api/v1", 405),
    ("GET", "/api/v1/health", 405),
    ("GET", "/api/v1/metadata", 405),
    ("GET", "/api/v1/nope", 404),
    ("GET", "/api/v2/version", 404),
    ("GET", "/api/v1/tagnames", 404),
    ("GET", "/api/v1/features/nope", 404),
    ("HEAD", "/api/v1/version", 200),
    ("GET", "/api/v1/version/", 200),
    ("GET", "/api/v1/health/check", 204),
    ("GET", "/api/v1/admin/killquery/12", 204),
    ("GET", "/api/v1/datapoints/index?metric=m&start_absolute=1&end_absolute=2", 204),
    ("GET", "/api/v1/datapoints/index?metric=m", 500),
    ("GET", "/api/v1/datapoints/index?start_absolute=1&end_absolute=2", 500),
    ("GET", "/api/v1/datapoints/index?metric=m&start_absolute=x&end_absolute=2", 404),
    ("GET", "/api/v1/datapoints/query?query=", 500),
    ("GET", "/api/v1/datapoints/query", 400),
    ("PUT", "/api/v1/rollups/none", 500),
    ("GET", "/api/v1/rollups/backfill/none", 500),
    ("GET", "/api/v1/rollups/backfill/none?startTime=x", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), PATHS)
async def test_paths_and_methods(server: Server, method: str, path: str, status: int) -> None:
    answer = await server.client.request(method, path)
    assert answer.status == status
    if status == 405:
        assert answer.headers["Allow"]
        assert await answer.read() == b""


ACCEPTS = [
    (None, True),
    ("", True),
    ("*/*", True),
    ("application/*", True),
    ("text/html, application/json;q=0.5", True),
    ("text/html, image/gif, *; q=.2, */*; q=.2", True),
    ("text/html", False),
    ("application/json;q=0", False),
    ("application/json;q=x", False),
]


@pytest.mark.parametrize(("accept", "good"), ACCEPTS)
def test_an_accept_must_allow_json(accept: str | None, good: bool) -> None:
    assert accepts(accept, ("application/json",)) is good


async def test_an_accept_without_json_is_406(server: Server) -> None:
    answer = await server.client.get("/api/v1/version", headers={"Accept": "text/html"})
    assert (answer.status, await answer.read()) == (406, b"")


async def test_a_preflight_is_answered_with_the_misspelt_header(server: Server) -> None:
    headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, x-foo"}
    answer = await server.client.options("/api/v1/datapoints", headers=headers)
    assert answer.headers["Access-Control-Allow_Method"] == "POST"
    assert answer.headers["Access-Control-Allow-Headers"] == "content-type, x-foo"
    assert "Access-Control-Allow-Origin" not in (await server.client.options("/api/v1/rollups")).headers


async def test_health_tells_of_a_store_that_fails(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*address: str) -> bytes:
        raise StoreError("gone")

    monkeypatch.setattr(server.gateway, "get_document", fail)
    assert (await server.client.get("/api/v1/health/check")).status == 500
    status = await (await server.client.get("/api/v1/health/status")).json()
    assert status == ["JVM-Thread-Deadlock: OK", "Datastore-Query: FAIL"]


async def test_running_queries_of_the_domain_are_listed_and_ended(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = "kairosdb/default\0m\0{}"
    running = [
        {"id": 5, "label": label, "started_ms": 1, "points": 2},
        {"id": 6, "label": label.replace("default", "other")},
    ]
    ended: list[int] = []
    monkeypatch.setattr(server.gateway, "running_queries", lambda: running)
    monkeypatch.setattr(server.gateway, "end_query", ended.append)
    answer = await (await server.client.get("/api/v1/admin/runningqueries")).json()
    assert answer["queries"] == [{"query hash": "5", "metric name": "m", "query": "{}", "started_ms": 1, "points": 2}]
    for number in (5, 6, 7):
        await server.client.get(f"/api/v1/admin/killquery/{number}")
    assert ended == [5]


async def test_metadata_keys_do_not_reach_into_one_another(server: Server) -> None:
    await server.post("/api/v1/metadata/a/b/c", b"1")
    await server.post("/api/v1/metadata/a/b2/c", b"2")
    await server.post("/api/v1/metadata/ab/b/c", b"3")
    assert await (await server.client.get("/api/v1/metadata/a/b")).json() == {"results": ["c"]}
    assert await (await server.client.get("/api/v1/metadata/a")).json() == {"results": ["b", "b2"]}
    plain = await server.client.get("/api/v1/metadata/a/b/c", headers={"Accept": "text/plain"})
    assert (plain.content_type, await plain.read()) == ("text/plain", b"1")


async def test_only_reading_metadata_answers_in_plain_text(server: Server) -> None:
    for method in ("POST", "DELETE"):
        answer = await server.client.request(method, "/api/v1/metadata/a/b/c", headers={"Accept": "text/plain"})
        assert answer.status == 406


async def test_metadata_keys_come_in_the_order_of_texts(server: Server) -> None:
    for key in ("%C3%A9", "k", "A", "%20"):
        await server.post(f"/api/v1/metadata/a/b/{key}", b"1")
    assert await (await server.client.get("/api/v1/metadata/a/b")).json() == {"results": [" ", "A", "k", "é"]}


async def test_tasks_live_from_create_to_delete(server: Server) -> None:
    aggregators = [{"name": "sum", "sampling": {"value": 1, "unit": "hours"}}]
    query = {"start_relative": {"value": 1, "unit": "hours"}, "metrics": [{"name": "m", "aggregators": aggregators}]}
    task = {
        "id": "i",
        "name": "t",
        "execution_interval": {"value": 1, "unit": "years"},
        "rollups": [{"save_as": "o", "query": query}],
    }
    made = await server.post("/api/v1/rollups/", task)
    assert await made.json() == {"id": "i", "name": "t", "attributes": {"url": "/api/v1/rollups/i"}}
    assert await (await server.client.get("/api/v1/rollups")).json() == [task]
    assert await (await server.client.get("/domains/other/api/v1/rollups")).json() == []
    assert (await server.client.put("/api/v1/rollups/i", json={**task, "rollups": []})).status == 500
    assert (await server.client.put("/api/v1/rollups/none", json=task)).status == 404
    assert (await server.client.put("/api/v1/rollups/i", json={**task, "name": "u"})).status == 200
    assert (await (await server.client.get("/api/v1/rollups/i")).json())["name"] == "u"
    assert (await server.client.get("/api/v1/rollups/status/i")).status == 404
    backfill = "/api/v1/rollups/backfill/i?startTime=2013-01-01-00-00-00-000&endTime=2013-01-01-03-00-00-000"
    assert (await server.client.get(backfill)).status == 204
    assert (await server.client.get("/api/v1/rollups/backfill/i?startTime=2013-13-01-00-00-00-000")).status == 500
    assert (await server.client.delete("/api/v1/rollups/i")).status == 204
    assert (await server.client.delete("/api/v1/rollups/i")).status == 404


async def test_routes_answer_their_own_errors_in_any_application(aiohttp_client: AiohttpClient) -> None:
    app = web.Application()
    scope = Scope(NaiveGateway(), Settings())
    add_routes(app, scope)
    add_routes(app, scope, DOMAIN_PREFIX)
    client = await aiohttp_client(app)
    answer = await client.post("/api/v1/datapoints/query", data=b"{}")
    assert (answer.status, await answer.json()) == (400, {"errors": ["query.metric[] must have a size of at least 1"]})
    assert (await client.get("/api/v1/datapoints")).status == 405
