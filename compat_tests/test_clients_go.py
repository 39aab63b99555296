"""Go clients of OpenTSDB, from the module proxy and from Debian's sources, against a running server."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compat_tests.clients import builds
from compat_tests.clients.running import START_MS, START_S, arrived, built_or_skip, is_now, serving, tell
from compat_tests.process import HOST, ServerProcess
from compat_tests.wire import call

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def programs() -> Path:
    return built_or_skip(builds.go)


@pytest.fixture(scope="module")
def debian_programs() -> Path:
    return built_or_skip(builds.go_debian)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("go")) as one:
        yield one


@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_telegraf_writes_every_field_of_every_metric(programs: Path, server: ServerProcess, scheme: str):
    tell([programs / "telegraf", scheme, HOST, str(server.ports.opentsdb)])
    tags = (("host", "web01"), ("mount", "/var_lib"))
    used = arrived(server, f"telegraf.disk.{scheme}_used", 130)
    assert used == {tags: [[START_MS + step * 1000, step] for step in range(130)]}
    ratio = arrived(server, f"telegraf.disk.{scheme}_ratio", 130)
    assert ratio == {tags: [[START_MS + step * 1000, pytest.approx(step / 8, abs=1e-6)] for step in range(130)]}


def test_go_metrics_flushes_whole_registries(programs: Path, server: ServerProcess):
    tell([programs / "gometrics", f"{HOST}:{server.ports.opentsdb}"])
    wanted = {
        "jobs.count": 41,
        "queue.value": 17,
        "load.value": 0.25,
        "sizes.max": 100,
        "sizes.mean": 50.5,
        "sizes.50-percentile": 50.5,
    }
    host = (("host", socket.gethostname().partition(".")[0]),)
    for name, value in wanted.items():
        points = arrived(server, f"gometrics.{name}")[host]
        assert {seen for _, seen in points} == {value}
        assert all(is_now(at) for at, _ in points)


def test_vmctl_copies_every_series(programs: Path, server: ServerProcess):
    begin_s = START_S - START_S % 60
    lines = [
        f"put vmctl.{name} {begin_s + step * 60} {step * factor} host={host} dc=eu"
        for name, factor in (("cpu", 1), ("load", 0.25))
        for host in ("web01", "web02")
        for step in range(180)
    ]
    with socket.create_connection(server.opentsdb) as connection:
        connection.sendall("".join(line + "\n" for line in lines).encode())
    arrived(server, "vmctl.load", 360)
    found = tell([programs / "vmctl", f"http://{HOST}:{server.ports.opentsdb}", str(begin_s + 4 * 3600)])
    wanted = {
        (name, host): {str((begin_s + step * 60) * 1000): step * factor for step in range(180)}
        for name, factor in (("vmctl_cpu", 1), ("vmctl_load", 0.25))
        for host in ("web01", "web02")
    }
    copied = {(one["Metric"].replace(".", "_"), one["Tags"]["host"]): one["Points"] for one in found}
    assert copied == wanted
    assert all(one["Tags"]["dc"] == "eu" for one in found)


@pytest.fixture(scope="module")
def seen(debian_programs: Path, server: ServerProcess) -> Any:
    """Let bluebreezecf's client do all it can; return what it saw."""
    return tell([debian_programs / "goclient", f"{HOST}:{server.ports.opentsdb}"])


class TestBluebreezecfsClient:
    def test_details_and_summary_count_what_was_put(self, seen: Any):
        assert seen["details"] == [120, 0]
        assert seen["summary"] == [1, 0]

    def test_a_refused_point_is_told(self, seen: Any):
        assert "Failed to put 1 datapoint(s)" in seen["refused"]

    def test_every_point_is_there(self, server: ServerProcess, seen: Any):
        for host, factor in (("web01", 0.5), ("web02", 1.5)):
            points = arrived(server, "goclient.load", 120)[(("host", host),)]
            assert points == [[START_MS + step * 1000, step * factor] for step in range(60)]

    def test_it_reads_sums_and_last_points(self, seen: Any):
        assert seen["sums"] == {"web01": 0.5 * sum(range(60)), "web02": 1.5 * sum(range(60))}
        (last,) = seen["last"]
        assert last["metric"] == "goclient.now"
        assert last["tags"] == {"host": "web01"}
        assert float(last["value"]) == 29.5
        assert is_now(last["timestamp"])

    def test_it_reads_names(self, server: ServerProcess, seen: Any):
        assert seen["suggested"] == ["goclient.load", "goclient.now", "goclient.single"]
        assert seen["version"] == call(server.opentsdb, "GET", "/api/version").json()["version"]
        assert seen["aggregators"] > 10

    def test_it_writes_reads_and_deletes_annotations(self, seen: Any):
        assert seen["annotation"] == "deployed"
        assert seen["deleted"] == 204
