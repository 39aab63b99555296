"""Clients as PyPI ships them, unchanged, against a running server."""

import time
from collections.abc import Iterator

import pytest

from compat_tests.process import HOST, ServerProcess
from compat_tests.wire import call, eventually, stored

START_S = 1_700_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    one = ServerProcess(tmp_path_factory.mktemp("pypi") / "data").start()
    try:
        one.wait_ready()
        yield one
    finally:
        one.stop()


def test_what_potsdb_sends_can_be_read_back(server: ServerProcess):
    potsdb = pytest.importorskip("potsdb")
    client = potsdb.Client(HOST, port=server.ports.opentsdb, host_tag="web01", check_host=True)
    for step in range(200):
        client.log("potsdb.requests", step * 1.5, timestamp=START_S + step, path="index")
    client.wait()
    wanted = [[(START_S + step) * 1000, step * 1.5] for step in range(200)]
    found = eventually(lambda: stored(server, "potsdb.requests", host="web01"), lambda seen: len(seen) == 200)
    assert found == wanted


def test_potsdb_speaks_to_kairosdbs_telnet_port(server: ServerProcess):
    potsdb = pytest.importorskip("potsdb")
    client = potsdb.Client(HOST, port=server.ports.kairosdb_telnet, host_tag="web01", check_host=True)
    for step in range(50):
        client.log("potsdb.kairos", step, timestamp=START_S + step, path="index")
    client.wait()
    found = eventually(lambda: stored(server, "potsdb.kairos"), lambda seen: len(seen) == 50)
    assert found == [[(START_S + step) * 1000, step] for step in range(50)]


@pytest.mark.parametrize("protocol", ["http", "telnet"])
def test_what_opentsdb_py_sends_can_be_read_back(server: ServerProcess, protocol: str):
    opentsdb = pytest.importorskip("opentsdb")
    kind = {"http": opentsdb.TSDBConnectProtocols.HTTP, "telnet": opentsdb.TSDBConnectProtocols.TELNET}[protocol]
    client = opentsdb.TSDBClient(HOST, port=server.ports.opentsdb, protocol=kind, static_tags={"dc": "eu"})
    metric = f"opentsdb_py.{protocol}"
    for step in range(120):
        client.send(metric, step * 0.25, timestamp=START_S + step, host="db01")
    client.close()
    client.wait()
    found = eventually(lambda: stored(server, metric, dc="eu", host="db01"), lambda seen: len(seen) == 120)
    assert found == [[(START_S + step) * 1000, step * 0.25] for step in range(120)]
    assert client.statuses["success"] == 120
    assert client.statuses["failed"] == 0


def test_opentsdb_pys_counter_counts(server: ServerProcess):
    opentsdb = pytest.importorskip("opentsdb")
    client = opentsdb.TSDBClient(HOST, port=server.ports.opentsdb)
    counter = opentsdb.Counter("opentsdb_py.jobs", ["queue"], client)
    began_s = int(time.time())
    for _ in range(5):
        counter.tags("mail").inc()
    client.close()
    client.wait()
    found = eventually(lambda: stored(server, "opentsdb_py.jobs", queue="mail"), bool)
    assert found[-1][1] == 5
    assert found[-1][0] >= began_s * 1000


def test_opentsdb_py_finds_the_server_alive(server: ServerProcess):
    opentsdb = pytest.importorskip("opentsdb")
    client = opentsdb.TSDBClient(HOST, port=server.ports.opentsdb, check_tsdb_alive=False)
    try:
        assert client.is_alive()
    finally:
        client.close(force=True)
        client.wait()
    assert call(server.opentsdb, "GET", "/api/version").status == 200
