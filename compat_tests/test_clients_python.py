"""Python clients that share module names, each in a directory and a process of its own, against a running server."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from compat_tests.clients import builds
from compat_tests.clients.running import START_MS, START_S, arrived, built_or_skip, is_now, serving, tell
from compat_tests.process import HOST, ServerProcess
from compat_tests.wire import call, stored

pytestmark = pytest.mark.timeout(600)
REQUIREMENTS = {
    "kairosdb_python": ("kairosdb-python==0.0.1", "httpx"),
    "python_kairosdb": ("python-kairosdb==0.2.1", "requests"),
    "opentsdb_client": ("opentsdb-client==0.6.1", "requests", "setuptools<80"),
    "pyopentsdb_all": ("pyopentsdb==0.2.1", "requests"),
    "pytsdb_read": ("pytsdb==0.2.1", "requests"),
    "http_client": ("opentsdb-http-client==0.2.0", "requests"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("python")) as one:
        yield one


def run(program: str, *arguments: object) -> Any:
    """Run a client's program with its own packages before all others."""
    packages = built_or_skip(lambda: builds.python(program, *REQUIREMENTS[program]))
    command = [sys.executable, str(builds.SOURCES / "python" / f"{program}.py"), *map(str, arguments)]
    return tell(command, {"PYTHONPATH": str(packages)})


def write_steps(server: ServerProcess, metric: str, hosts: tuple[str, ...] = ("web01",)) -> list[list[int]]:
    """Write 60 points, one a second, to a metric by KairosDB's API."""
    points = [[START_MS + step * 1000, step] for step in range(60)]
    body = [{"name": metric, "tags": {"host": host}, "datapoints": points} for host in hosts]
    assert call(server.kairosdb, "POST", "/api/v1/datapoints", body).status == 204
    return points


def kairosdb(server: ServerProcess) -> str:
    return f"http://{HOST}:{server.ports.kairosdb}"


def test_kairosdb_python_reads_what_there_is(server: ServerProcess):
    points = write_steps(server, "pykairos.load")
    seen = run("kairosdb_python", kairosdb(server))
    assert seen["values"] == points
    assert "pykairos.load" in seen["names"]
    assert {"sum", "avg", "percentile"} <= set(seen["aggregators"])
    assert set(seen["features"]) == {"aggregators", "group_by"}
    assert seen["health"]


def test_python_kairosdb_reads_and_deletes(server: ServerProcess):
    points = write_steps(server, "pykairos.load")
    write_steps(server, "pykairos.other")
    seen = run("python_kairosdb", kairosdb(server))
    assert seen["version"].startswith("KairosDB")
    assert (seen["check"], seen["deleted"], seen["dropped"]) == (204, 204, 204)
    assert {"pykairos.load", "pykairos.other"} <= set(seen["names"])
    assert seen["tagnames"] == 404
    assert seen["values"] == points
    assert seen["left"] == points[30:]
    assert stored(server, "pykairos.other") == []


def test_opentsdb_client_sends_by_both_protocols(server: ServerProcess):
    statuses = run("opentsdb_client", HOST, server.ports.opentsdb)
    assert {name: counts["failed"] for name, counts in statuses.items()} == {"http": 0, "telnet": 0}
    for name in ("http", "telnet"):
        tags = {("dc", "eu"), ("host", "db01")}
        found = arrived(server, f"tsdbclient.{name}", 150)
        assert [points for seen, points in found.items() if tags <= set(seen)] == [
            [[START_MS + step * 1000, step * 0.25] for step in range(150)]
        ]
        (jobs,) = arrived(server, f"tsdbclient.{name}.jobs").values()
        (depth,) = arrived(server, f"tsdbclient.{name}.depth").values()
        assert (jobs[-1][1], depth[-1][1]) == (3, 9)
        assert is_now(jobs[-1][0])


def test_pyopentsdb_writes_and_reads_with_a_slash_after_every_path(server: ServerProcess):
    seen = run("pyopentsdb_all", f"http://{HOST}:{server.ports.opentsdb}")
    assert seen["put"] is None
    wanted = [[START_MS + step * 1000, step + 1] for step in range(60)]
    assert stored(server, "pyopentsdb.load", host="web02") == wanted
    assert seen["values"] == {str(START_S + step): step + 1 for step in range(60)}
    assert seen["parallel"] == [60] * 8
    assert seen["suggested"] == seen["metrics"] == ["pyopentsdb.load"]
    assert seen["version"] == call(server.opentsdb, "GET", "/api/version").json()["version"]
    assert {"sum", "zimsum", "none"} <= set(seen["aggregators"])
    assert "wildcard" in seen["filters"]
    assert "pyopentsdb.unknown" in seen["refused"]


def test_pytsdb_reads_with_fractions_of_seconds_and_empty_braces(server: ServerProcess):
    write_steps(server, "pytsdb.load", ("web01", "web02"))
    seen = run("pytsdb_read", HOST, server.ports.opentsdb)
    assert seen["all"] == [[str(START_MS + step * 1000), 2 * step] for step in range(60)]
    assert seen["one"] == [[str(START_MS + step * 1000), step] for step in range(60)]
    assert seen["down"] == [[str(START_MS + step * 1000), step + 4.5] for step in range(0, 60, 10)]
    assert seen["refused"] == 400


def test_opentsdb_http_client_gets_every_point_through(server: ServerProcess):
    run("http_client", HOST, server.ports.opentsdb)
    assert arrived(server, "httpclient.load", 30) == {
        (("host", "web01"),): [[START_MS + step * 1000, step * 1.5] for step in range(30)]
    }
