"""The composed process, in this one: every dialect over the memory store on free ports."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession, web

from amondawa.app import Process, curl_line, listening_text, run
from amondawa.app_http import DIALECTS
from amondawa.errors import ConfigError
from amondawa.listeners.http import HttpPort, make_runner
from amondawa.settings import Settings
from amondawa.store.open import open_store
from tests.ports import free_port, free_ports

PORTS = ("http_port", "kairosdb_port", "opentsdb_port", "kairosdb_telnet_port")


def port_settings() -> dict[str, int]:
    return dict(zip(PORTS, free_ports(len(PORTS)), strict=True))


@dataclass
class Running:
    """A process and a way to ask it."""

    process: Process
    session: ClientSession

    async def ask(self, port: str, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{getattr(self.process.settings, port)}{path}"
        data = None if body is None else json.dumps(body)
        async with self.session.request(method, url, data=data, **options) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text[:1] in ("{", "[") else text

    async def lines(self, port: str, text: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", getattr(self.process.settings, port))
        writer.write(text.encode())
        await writer.drain()
        return reader, writer

    async def values(self, name: str) -> Any:
        query = {"start_absolute": 0, "metrics": [{"name": name}]}
        _, answer = await self.ask("http_port", "POST", "/api/v1/default/datapoints/query", query)
        return [stream["values"] for stream in answer["queries"][0]["results"]]

    async def until_stored(self, name: str, points: int) -> None:
        """Wait for what nobody acknowledges."""
        for _ in range(500):
            if sum(map(len, await self.values(name))) >= points:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{name} was not stored")


@contextlib.asynccontextmanager
async def bound(**changes: Any) -> AsyncIterator[Running]:
    """A process that listens but has not read its journal yet."""
    settings = Settings(**(port_settings() | {"store": "memory"} | changes))
    process = Process(settings, open_store(settings))
    async with ClientSession() as session:
        try:
            await process.bind()
            yield Running(process, session)
        finally:
            await process.stop()


@contextlib.asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[Running]:
    async with bound(**changes) as running:
        await running.process.start()
        yield running


# start ------------------------------------------------------------------------------------------------------------------


async def test_before_the_journal_is_read_the_process_is_alive_and_not_ready():
    async with bound() as running:
        assert await running.ask("http_port", "GET", "/health/live") == (200, {"status": "live"})
        status, answer = await running.ask("http_port", "GET", "/health/ready")
        assert status == 503
        assert answer["reasons"] == ["starting: the journal is being read back"]
        assert (await running.ask("http_port", "GET", "/metrics"))[0] == 200


@pytest.mark.parametrize("port", ["http_port", "kairosdb_port", "opentsdb_port"])
async def test_before_the_journal_is_read_clients_are_told_to_come_back(port: str):
    async with bound() as running:
        url = f"http://127.0.0.1:{getattr(running.process.settings, port)}/api/put"
        async with running.session.post(url, data="{}") as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(("port", "verb"), [("opentsdb_port", "put"), ("kairosdb_telnet_port", "putm")])
async def test_lines_that_come_early_wait_for_the_journal(port: str, verb: str):
    async with bound() as running:
        reader, writer = await running.lines(port, f"{verb} early 1356998400000 7 host=a\nversion\n")
        await running.process.start()
        assert await reader.readline()
        await running.until_stored("early", 1)
        assert await running.values("early") == [[[1356998400000, 7]]]
        writer.close()


async def test_a_process_can_stop_before_it_has_started():
    async with bound() as running:
        reader, writer = await running.lines("opentsdb_port", "version\n")
        await running.process.stop()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("field", PORTS)
async def test_a_port_in_use_is_named_with_its_option(field: str):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127.0.0.1:{port} \(--.*AMDW_.*\): address already in use"):
            async with bound(**{field: port}):
                raise AssertionError("bound twice")


async def test_an_address_of_another_machine_is_refused():
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        async with bound(bind="192.0.2.1"):
            raise AssertionError("bound to a strange address")


async def test_a_port_of_0_is_off():
    async with serving(kairosdb_port=0, opentsdb_port=0, kairosdb_telnet_port=0) as running:
        assert (await running.ask("http_port", "GET", "/health/ready"))[0] == 200


# serving ----------------------------------------------------------------------------------------------------------------


async def test_every_dialect_writes_and_reads_the_same_points():
    async with serving() as running:
        kairosdb = [{"name": "one", "tags": {"host": "a"}, "datapoints": [[1356998400000, 1]]}]
        assert (await running.ask("kairosdb_port", "POST", "/api/v1/datapoints", kairosdb))[0] == 204
        opentsdb = {"metric": "one", "timestamp": 1356998401, "value": 2, "tags": {"host": "a"}}
        assert (await running.ask("opentsdb_port", "POST", "/api/put", opentsdb))[0] == 204
        native = [{"name": "one", "tags": {"host": "a"}, "timestamp": 1356998402000, "value": 3}]
        assert (await running.ask("http_port", "POST", "/api/v1/default/datapoints", native))[0] == 204
        reader, writer = await running.lines("opentsdb_port", "put one 1356998403 4 host=a\nversion\n")
        await reader.readline()
        writer.close()
        await running.until_stored("one", 4)
        expected = [[1356998400000 + second * 1000, second + 1] for second in range(4)]
        assert await running.values("one") == [expected]
        query = {"start_absolute": 0, "metrics": [{"name": "one"}]}
        _, answer = await running.ask("kairosdb_port", "POST", "/api/v1/datapoints/query", query)
        assert answer["queries"][0]["results"][0]["values"] == expected
        _, answer = await running.ask("opentsdb_port", "GET", "/api/query?start=1356998400&end=1356998500&m=sum:one")
        assert list(answer[0]["dps"].values()) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("method", "path", "mark"),
    [
        ("GET", "/api/v1/version", "KairosDB"),
        ("GET", "/api/version", "2.4"),
        ("GET", "/api/v1/metricnames", "results"),
        ("GET", "/api/aggregators", "sum"),
        ("GET", "/api/v1/default/metricnames", "results"),
        ("GET", "/domains/d/api/v1/metricnames", "results"),
        ("GET", "/domains/d/api/aggregators", "sum"),
    ],
)
async def test_the_common_port_speaks_every_dialect_and_kairosdb_wins(method: str, path: str, mark: str):
    async with serving(allow_anonymous="*:rw") as running:
        status, answer = await running.ask("http_port", method, path)
        assert status == 200
        assert mark in json.dumps(answer)


async def test_a_domain_of_the_path_or_the_header_is_a_wall():
    async with serving(allow_anonymous="*:rw") as running:
        point = {"metric": "inside", "timestamp": 1356998400, "value": 2, "tags": {"host": "a"}}
        assert (await running.ask("http_port", "POST", "/domains/d/api/put", point))[0] == 204
        for path, headers, names in (
            ("/api/v1/metricnames", {}, []),
            ("/api/v1/metricnames", {"X-Amondawa-Domain": "d"}, ["inside"]),
            ("/domains/d/api/v1/metricnames", {}, ["inside"]),
            ("/api/v1/d/metricnames", {}, ["inside"]),
            ("/domains/e/api/v1/metricnames", {"X-Amondawa-Domain": "d"}, []),
        ):
            assert (await running.ask("http_port", "GET", path, headers=headers))[1] == {"results": names}


async def test_the_anonymous_domain_is_the_only_one_where_it_is_set():
    async with serving(allow_anonymous="shop:rw", default_domain="shop") as running:
        assert (await running.ask("kairosdb_port", "GET", "/api/v1/metricnames"))[0] == 200
        assert (await running.ask("http_port", "GET", "/api/v1/shop/metricnames"))[0] == 200
        for path, headers in (
            ("/api/v1/bank/metricnames", {}),
            ("/domains/bank/api/v1/metricnames", {}),
            ("/api/v1/metricnames", {"X-Amondawa-Domain": "bank"}),
        ):
            assert (await running.ask("http_port", "GET", path, headers=headers))[0] == 403


async def test_requests_are_counted_by_protocol_and_status():
    async with serving() as running:
        await running.ask("http_port", "GET", "/api/v1/default/metricnames")
        await running.ask("http_port", "POST", "/api/v1/datapoints", [{"name": ""}])
        await running.ask("opentsdb_port", "GET", "/api/version")
        point = [{"name": "m", "timestamp": 1, "value": 1}]
        await running.ask("http_port", "POST", "/api/v1/default/datapoints", point)
        _, text = await running.ask("http_port", "GET", "/metrics")
        for line in (
            'amondawa_http_requests_total{method="GET",protocol="native",status="200"} 1.0',
            'amondawa_http_requests_total{method="POST",protocol="kairosdb",status="400"} 1.0',
            'amondawa_http_requests_total{method="GET",protocol="opentsdb",status="200"} 1.0',
            'amondawa_http_request_seconds_count{kind="write",protocol="native"} 1.0',
            "amondawa_points_written_total 1.0",
            "amondawa_head_bytes",
            "amondawa_journal_entries_total",
        ):
            assert line in text


async def test_a_write_goes_on_when_its_client_has_gone():
    async with serving() as running:
        body = json.dumps({"metric": "gone", "timestamp": 1356998400, "value": 1, "tags": {"host": "a"}}).encode()
        head = f"POST /api/put HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        for _ in range(5):
            _, writer = await running.lines("opentsdb_port", (head + body).decode())
            writer.close()
        await running.until_stored("gone", 1)


# stop -------------------------------------------------------------------------------------------------------------------


async def test_what_was_acknowledged_is_there_after_a_stop_and_a_start(tmp_path):
    point = [{"name": "kept", "tags": {"a": "b"}, "timestamp": 5, "value": 6}]
    async with serving(store="sqlite", data=str(tmp_path / "data")) as running:
        assert (await running.ask("http_port", "POST", "/api/v1/default/datapoints", point))[0] == 204
    async with serving(store="sqlite", data=str(tmp_path / "data")) as running:
        assert await running.values("kept") == [[[5, 6]]]


async def test_after_a_stop_nobody_listens():
    async with serving() as running:
        await running.process.stop()
        for field in PORTS:
            with pytest.raises(OSError, match=".*"):
                await asyncio.open_connection("127.0.0.1", getattr(running.process.settings, field))


async def test_a_request_in_flight_is_answered_before_the_process_stops():
    started = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        started.set()
        await asyncio.sleep(0.2)
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/", slow)
    port = HttpPort()
    number = free_port()
    await port.bind("127.0.0.1", number)
    await port.show(await make_runner(app, 5.0))
    async with ClientSession() as session:
        asked = asyncio.ensure_future(session.get(f"http://127.0.0.1:{number}/"))
        await started.wait()
        port.stop_accepting()
        await port.show(None)
        assert await (await asked).text() == "done"


async def test_a_port_that_shows_nothing_closes_its_connections():
    port = HttpPort()
    number = free_port()
    await port.bind("127.0.0.1", number)
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    assert await reader.read() == b""
    writer.close()
    port.stop_accepting()


# settings that cannot be carried out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.1", "example.com"])  # noqa: S104
def test_another_address_than_this_machines_own_needs_a_word_about_access(address: str):
    with pytest.raises(ConfigError, match="--allow-anonymous DOMAIN:rw"):
        run(Settings(bind=address, store="memory"), print)


def test_a_process_without_any_port_is_refused():
    with pytest.raises(ConfigError, match="nothing to serve"):
        run(Settings(**dict.fromkeys(PORTS, 0), store="memory"), print)


def test_a_data_directory_that_is_a_file_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match=str(file)):
        run(Settings(data=str(file), **port_settings()), print)


# what is printed --------------------------------------------------------------------------------------------------------


def test_every_port_that_is_on_is_listed():
    text = listening_text(Settings(kairosdb_port=0))
    assert "http://127.0.0.1:5000" in text
    assert "telnet://127.0.0.1:4243" in text
    assert "8080" not in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "curl http://127.0.0.1:5000/api/v1/version"),
        ({"http_port": 0}, "curl http://127.0.0.1:8080/api/v1/version"),
        ({"http_port": 0, "kairosdb_port": 0}, "curl http://127.0.0.1:4242/api/version"),
        ({"bind": "0.0.0.0"}, "curl http://127.0.0.1:5000/api/v1/version"),  # noqa: S104
        ({"bind": "::1"}, "curl http://[::1]:5000/api/v1/version"),
    ],
)
def test_the_line_to_try_asks_a_port_that_is_on(changes: dict[str, Any], expected: str):
    assert curl_line(Settings(**changes)) == expected


def test_the_dialects_are_an_explicit_list_with_kairosdb_first():
    assert [name for name, _ in DIALECTS] == ["kairosdb", "native", "opentsdb"]
