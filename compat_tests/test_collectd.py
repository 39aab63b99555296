"""A real collectd writes this machine's own cpu, memory and load through its write_tsdb plugin into a server."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.process import ServerProcess
from compat_tests.wire import FAR_MS, call, eventually, stored

COLLECTD = shutil.which("collectd") or "/usr/sbin/collectd"
TYPES = Path("/usr/share/collectd/types.db")
HOST = "compat-host"
CONFIGURATION = """
Hostname "{host}"
FQDNLookup false
Interval 1
BaseDir "{directory}"
PIDFile "{directory}/collectd.pid"
TypesDB "{types}"
LoadPlugin logfile
LoadPlugin cpu
LoadPlugin memory
LoadPlugin load
LoadPlugin write_tsdb
<Plugin logfile>
  LogLevel "info"
  File "{directory}/collectd.log"
</Plugin>
<Plugin memory>
  ValuesAbsolute true
</Plugin>
<Plugin write_tsdb>
  <Node "gateway">
    Host "127.0.0.1"
    Port "{port}"
    HostTags "role=compat"
    StoreRates true
    AlwaysAppendDS false
  </Node>
</Plugin>
"""

pytestmark = pytest.mark.skipif(
    not (Path(COLLECTD).exists() and TYPES.exists()), reason="needs collectd (Debian package collectd-core)"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    one = ServerProcess(tmp_path_factory.mktemp("collectd") / "data").start()
    try:
        one.wait_ready()
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="module")
def metrics(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Run collectd until it has written memory, load and cpu a few times; return the names it wrote."""
    directory = tmp_path_factory.mktemp("collectd-run")
    configuration = directory / "collectd.conf"
    configuration.write_text(
        CONFIGURATION.format(host=HOST, directory=directory, types=TYPES, port=server.ports.opentsdb)
    )
    process = subprocess.Popen([COLLECTD, "-f", "-C", str(configuration)])
    try:
        eventually(
            lambda: [len(stored(server, name)) for name in names(server) if name.startswith(("memory.", "load"))],
            lambda counts: len(counts) >= 4 and min(counts) >= 4,
            timeout_s=40.0,
        )
    finally:
        process.terminate()
        assert process.wait(20) == 0
    written = names(server)
    assert written, (directory / "collectd.log").read_text()
    return written


def names(server: ServerProcess) -> list[str]:
    """Return the names of metrics that hold points."""
    found: list[str] = call(server.kairosdb, "GET", "/api/v1/metricnames").json()["results"]
    return [name for name in found if not name.startswith("kairosdb.")]


def test_collectd_wrote_all_three_plugins(metrics: list[str]):
    families = {re.split(r"[.]", name)[0] for name in metrics}
    assert {"cpu", "memory", "load"} <= families, metrics


def test_memory_adds_up_to_this_machines_memory(server: ServerProcess, metrics: list[str]):
    memory_kb = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1))  # type: ignore[union-attr]
    latest = [stored(server, name)[-1][1] for name in metrics if name.startswith("memory.")]
    assert sum(latest) == pytest.approx(memory_kb * 1024, rel=0.05), metrics


def test_the_tags_of_collectd_can_be_asked_for(server: ServerProcess, metrics: list[str]):
    memory = next(name for name in metrics if name.startswith("memory."))
    assert stored(server, memory, role="compat")
    assert stored(server, memory, fqdn=HOST)
    assert stored(server, memory, fqdn="another") == []


def test_buckets_over_collectds_points_are_what_its_points_say(server: ServerProcess, metrics: list[str]):
    memory = next(name for name in metrics if name.startswith("memory."))
    points = stored(server, memory)
    highest = {"name": "max", "sampling": {"value": 1, "unit": "hours"}, "align_start_time": True}
    query = {"start_absolute": 0, "end_absolute": FAR_MS, "metrics": [{"name": memory, "aggregators": [highest]}]}
    answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query", json.dumps(query)).json()
    assert max(v for _, v in answer["queries"][0]["results"][0]["values"]) == max(v for _, v in points)


def test_opentsdb_tells_the_same_points(server: ServerProcess, metrics: list[str]):
    memory = next(name for name in metrics if name.startswith("memory."))
    points = {time_ms // 1000: value for time_ms, value in stored(server, memory)}
    start_s, end_s = min(points), max(points) + 1
    answer = call(server.opentsdb, "GET", f"/api/query?start={start_s}&end={end_s}&m=none:{memory}").json()
    assert {int(at): value for at, value in answer[0]["dps"].items()} == pytest.approx(points)
