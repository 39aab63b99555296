"""Clients as npm ships them, against a running server: node-kairosdb, and statsd with the back ends of both dialects."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from compat_tests.clients import builds
from compat_tests.clients.running import START_MS, arrived, built_or_skip, is_now, running, serving, tell
from compat_tests.process import HOST, ServerProcess
from compat_tests.wire import call, eventually, stored
from tests.ports import free_ports

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def home() -> Path:
    return built_or_skip(builds.node)


@pytest.fixture(scope="module")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("node")) as one:
        yield one


@contextmanager
def statsd(home: Path, directory: Path, backend: str, settings: dict[str, Any]) -> Iterator[socket.socket]:
    """Run statsd with one back end; give a socket connected to where it listens."""
    port, management = free_ports(2)
    listen = {"address": HOST, "port": port, "mgmt_address": HOST, "mgmt_port": management, "flushInterval": 500}
    configuration = directory / "statsd.json"
    idle = {"deleteCounters": True, "deleteTimers": True}  # of two flushes in a second the last one stays
    configuration.write_text(json.dumps({**listen, **idle, "backends": [backend], **settings}))
    log = directory / "statsd.log"
    with running(["node", home / "node_modules/statsd/stats.js", configuration], log):
        eventually(lambda: answers(management), bool)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((HOST, port))
            yield client


def answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            connection.sendall(b"health\n")
            return b"up" in connection.recv(100)
    except OSError:
        return False


def test_node_kairosdb_writes_and_reads(home: Path, server: ServerProcess):
    seen = tell(["node", home / "kairosdb.js", HOST, str(server.ports.kairosdb)])
    assert stored(server, "node.many", host="web01", dc="eu") == [
        [START_MS + step * 1000, step * 1.5] for step in range(60)
    ]
    assert stored(server, "node.single", host="web02") == [[START_MS, 321]]
    assert sum(value for _, value in seen["values"]) == 1.5 * sum(range(60))
    assert seen["sample_size"] == 60
    assert seen["refused"].startswith("400")
    assert seen["version"] == call(server.kairosdb, "GET", "/api/v1/version").json()["version"]


def test_statsd_passes_every_packet_on_to_kairosdb(home: Path, server: ServerProcess, tmp_path: Path):
    where = {"kairosdb": {"host": HOST, "port": server.ports.kairosdb_telnet}}
    with statsd(home, tmp_path, "statsd-kairosdb-backend", where) as client:
        client.send(b"statsd.kairos.orders:3|c\nstatsd.kairos.queue:42|g")
        client.send(b"statsd.kairos.latency:12.5|ms")
        wanted = {"orders": 3, "queue": 42, "latency": 12.5}
        found = {name: arrived(server, f"statsd.kairos.{name}") for name in wanted}
    tags = (("client", HOST), ("source", "statsd"))
    assert {name: [value for _, value in points[tags]] for name, points in found.items()} == {
        name: [value] for name, value in wanted.items()
    }
    assert all(is_now(at) for points in found.values() for at, _ in points[tags])


def test_statsd_flushes_to_opentsdb_though_each_flush_ends_with_bad_lines(
    home: Path, server: ServerProcess, tmp_path: Path
):
    where = {"opentsdbHost": HOST, "opentsdbPort": server.ports.opentsdb}
    with statsd(home, tmp_path, "statsd-opentsdb-backend", where) as client:
        client.send(b"orders:3|c\norders:4|c\nqueue:42|g")
        for time_ms in range(1, 101):
            client.send(b"latency:%d|ms" % time_ms)
        queue = arrived(server, "stats.gauges.queue", 2)
    source = (("source", "statsd"),)
    assert {value for _, value in queue[source]} == {42}
    wanted = {"stats_counts.orders": 7, "stats.timers.latency.upper": 100, "stats.timers.latency.mean": 50.5}
    found = {name: [value for _, value in arrived(server, name)[source]] for name in wanted}
    assert found == {name: [value] for name, value in wanted.items()}
