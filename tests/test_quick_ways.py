"""The short ways of the dialects answer what the ordinary ways do, byte for byte, and do the same."""

import asyncio
import json
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from amondawa.app_access import Access
from amondawa.app_http import common_application, dialect_application, quick_lane
from amondawa.auth.keyring import Keyring
from amondawa.errors import LimitExceeded, Overloaded, StorageFull, TooOld
from amondawa.kernels.json_kairosdb import METRIC_LOADER
from amondawa.kernels.points import POINT_LOADER
from amondawa.listeners.http import HttpPort, PortRunner, make_runner
from amondawa.model.points import WriteBatch
from amondawa.protocols.base import Scope
from amondawa.settings import Settings
from amondawa.store.memory import MemoryStore
from amondawa.telemetry import Metrics, Readiness
from tests.naive import NaiveGateway

WRITE, QUERY, PUT = "/api/v1/datapoints", "/api/v1/datapoints/query", "/api/put"


class Moody(NaiveGateway):
    """Fails with an error of one's choice, after its work."""

    def __init__(self) -> None:
        super().__init__(lambda: 1_700_000_000_000)
        self.error: Exception | None = None
        self.writes = 0

    async def write(self, batch: WriteBatch) -> None:
        self.writes += 1
        await super().write(batch)
        if self.error is not None:
            raise self.error

    async def query(self, *arguments, **named):
        if self.error is not None:
            raise self.error
        return await super().query(*arguments, **named)


class Server:
    """One port over a gateway of its own."""

    def __init__(self, gateway: Moody, metrics: Metrics, runner: PortRunner, keyring: Keyring, number: int) -> None:
        self.gateway = gateway
        self.runner = runner
        self.metrics = metrics
        self.keyring = keyring
        self._number = number

    async def ask(self, *requests: bytes) -> list[bytes]:
        """Return the answers to requests over one connection, without their dates."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._number)
        answers = []
        for request in requests:
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            length = re.search(rb"(?i)content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            assert len(re.findall(rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", head)) == 1
            answers.append(re.sub(rb"Date: [^\r]*\r\n", b"", head) + body)
        writer.close()
        return answers


@asynccontextmanager
async def serving(name: str, quick: bool) -> AsyncIterator[Server]:
    assert METRIC_LOADER.load()
    assert POINT_LOADER.load()
    settings = Settings(store="memory")
    gateway, metrics, access = Moody(), Metrics(), Access(settings, MemoryStore())
    scope = Scope(access.guard(gateway), settings)
    if name == "common":
        app = common_application(scope, Readiness(), metrics, access.http)
    else:
        app = dialect_application(name, scope, metrics, access.http)
    port = HttpPort()
    listener = await asyncio.get_running_loop().create_server(port.connect, "127.0.0.1", 0)
    lane = quick_lane(name, scope, metrics, access.http) if quick else None
    runner = await make_runner(app, 5.0, lane)
    await port.show(runner)
    try:
        yield Server(gateway, metrics, runner, access.keyring, listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        await port.show(None)


def post(path: str, body: object, *headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + data


POINT = {"name": "m", "tags": {"h": "a"}, "datapoints": [[1_699_999_000_000, 1.5], [1_699_999_060_000, 2]]}
ASKED = {"start_absolute": 1_699_990_000_000, "metrics": [{"name": "m", "aggregators": []}]}
LINE = {"metric": "o", "timestamp": 1_699_999_000, "value": 7, "tags": {"h": "a"}}
REQUESTS = {
    "a point": post(WRITE, [POINT]),
    "points that expire": post(WRITE, [{**POINT, "ttl": 60}]),
    "no point": post(WRITE, []),
    "a text": post(WRITE, [{**POINT, "datapoints": [[1_699_999_000_000, "text"]]}]),
    "a point without tags": post(WRITE, [{**POINT, "tags": {}}]),
    "no JSON": post(WRITE, b"[{"),
    "nothing": post(WRITE, b""),
    "packed points": post(WRITE, zlib.compress(json.dumps([POINT]).encode(), wbits=31), "Content-Encoding: gzip"),
    "points as another type": post(WRITE, [POINT], "Content-Type: application/gzip"),
    "points for another domain": post(WRITE, [POINT], "X-Amondawa-Domain: other"),
    "a point with a signature": post(WRITE, [POINT], "Authorization: Basic eDp5"),
    "an answer nobody makes": post(WRITE, [POINT], "Accept: text/html"),
    "a query": post(QUERY, ASKED),
    "a query packed": post(QUERY, ASKED, "Accept-Encoding: gzip, deflate"),
    "a relative query": post(QUERY, {"start_relative": {"value": 1, "unit": "hours"}, "metrics": [{"name": "m"}]}),
    "a query for nothing": post(QUERY, {**ASKED, "metrics": []}),
    "a query without a start": post(QUERY, {"metrics": [{"name": "m"}]}),
    "a query that ends before it starts": post(QUERY, {**ASKED, "end_absolute": 1}),
    "a query of an unknown kind": post(QUERY, {**ASKED, "metrics": [{"name": "m", "aggregators": [{"name": "x"}]}]}),
    "a query with a bad pattern": post(QUERY, {**ASKED, "metrics": [{"name": "m", "tags": {"h": "regex:("}}]}),
    "a query that is an array": post(QUERY, []),
    "a query that is no JSON": post(QUERY, b"{"),
    "a line": post(PUT, LINE),
    "lines": post(PUT, [LINE, {**LINE, "timestamp": 1_699_999_001}]),
    "a line without a value": post(PUT, [{"metric": "o", "timestamp": 1, "tags": {"h": "a"}}]),
    "a line with a summary": post(PUT + "?summary", LINE),
    "a versioned line": post("/api/v1/put", LINE),
    "no line": post(PUT, b""),
}
ERRORS = [
    Overloaded("too much", 7),
    StorageFull("full"),
    TooOld("old", field="timestamp", index=0, value=1),
    LimitExceeded("too many"),
    ValueError("a fault"),
]


@pytest.mark.parametrize("name", ["kairosdb", "opentsdb", "common"])
async def test_every_request_is_answered_alike_alone_and_behind_others(name: str):
    async with serving(name, quick=True) as quick, serving(name, quick=False) as ordinary:
        for what, request in REQUESTS.items():
            assert await quick.ask(request) == await ordinary.ask(request), what
        everything = list(REQUESTS.values())
        for kept in (everything, everything[::-1]):
            assert await quick.ask(*kept) == await ordinary.ask(*kept)
        assert await quick.gateway.metric_names("default") == await ordinary.gateway.metric_names("default")
        assert quick.gateway.writes == ordinary.gateway.writes


@pytest.mark.parametrize("error", ERRORS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("what", ["a point", "a query", "a query packed", "a line"])
async def test_what_fails_is_told_alike(what: str, error: Exception):
    async with serving("common", quick=True) as quick, serving("common", quick=False) as ordinary:
        request = REQUESTS[what]
        await asyncio.gather(quick.ask(REQUESTS["a line"], request), ordinary.ask(REQUESTS["a line"], request))
        quick.gateway.error = ordinary.gateway.error = error
        assert await quick.ask(request, request) == await ordinary.ask(request, request)


@pytest.mark.parametrize("name", ["kairosdb", "opentsdb", "common"])
async def test_requests_are_counted_alike(name: str):
    def counts(server: Server) -> list[str]:
        lines = server.metrics.render().decode().splitlines()
        return sorted(line for line in lines if line.startswith("amondawa_http_requests_total"))

    async with serving(name, quick=True) as quick, serving(name, quick=False) as ordinary:
        for request in REQUESTS.values():
            await asyncio.gather(quick.ask(request), ordinary.ask(request))
        assert counts(quick) == counts(ordinary)


async def test_plain_requests_do_go_the_short_way():
    async with serving("common", quick=True) as server:
        await server.ask(REQUESTS["a line"])  # which makes the ids of names known
        assert len(server.runner.heard) == 1
        await server.ask(*(REQUESTS[what] for what in ("a point", "points that expire", "a query", "a line", "lines")))
        assert len(server.runner.heard) == 1
        await server.ask(REQUESTS["a point"], REQUESTS["no JSON"], REQUESTS["a point"])
        assert len(server.runner.heard) == 2


async def test_nobody_goes_the_short_way_of_a_gateway_with_keys():
    async with serving("common", quick=True) as server:
        lane = server.runner.lane
        assert lane is not None
        assert lane.admit("127.0.0.1") is not None
        server.keyring._keys = {"key": object()}  # type: ignore[dict-item]
        assert lane.admit("127.0.0.1") is None


@pytest.mark.parametrize(
    ("bind", "allow", "remote", "admitted"),
    [
        ("127.0.0.1", "", "127.0.0.1", True),
        ("0.0.0.0", "", "127.0.0.1", True),
        ("0.0.0.0", "", "10.0.0.1", False),
        ("0.0.0.0", "*:rw", "10.0.0.1", True),
        ("0.0.0.0", "open:rw", "10.0.0.1", True),
    ],
)
def test_who_needs_no_key_is_admitted_to_the_domain_that_the_middleware_says(
    bind: str, allow: str, remote: str, admitted: bool
):
    access = Access(Settings(store="memory", bind=bind, allow_anonymous=allow), MemoryStore())
    caller = access.http.plain_caller(remote)
    assert (caller is not None) == admitted
    if caller is not None:
        assert caller.domain == ("open" if allow == "open:rw" else "default")
