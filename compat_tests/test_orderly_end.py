"""SIGTERM ends the process in order, whatever it is doing: status 0, and everything that was taken is there."""

import time
from pathlib import Path

import pytest

from compat_tests.process import ServerProcess
from compat_tests.wire import call, stored, talk

START_S = 1_356_998_400
LINES = b"".join(b"put ordered %d %d host=a\n" % (START_S + n, n) for n in range(2_000))


@pytest.mark.parametrize("after_s", [0.0, 0.7, 1.5, 3.0])
def test_an_end_while_kernels_compile_for_the_first_time_is_orderly(tmp_path: Path, after_s: float):
    """An empty compiler cache, as on the first start after an installation."""
    server = ServerProcess(tmp_path / "data", {"NUMBA_CACHE_DIR": str(tmp_path / "cache")})
    server.start().wait_ready()
    try:
        assert talk(server.opentsdb, LINES, timeout_s=60) == b""
        time.sleep(after_s)
        assert server.terminate() == 0, server.log_tail(5)
        server.start().wait_ready()
        assert len(stored(server, "ordered")) == 2_000
    finally:
        server.stop()


def test_lines_of_closed_connections_survive_an_immediate_end(tmp_path: Path):
    server = ServerProcess(tmp_path / "data").start()
    server.wait_ready()
    try:
        talk(server.opentsdb, LINES)
        talk(server.kairosdb_telnet, LINES.replace(b"ordered", b"ordered.too"))
        assert server.terminate() == 0
        server.start().wait_ready()
        assert len(stored(server, "ordered")) == len(stored(server, "ordered.too")) == 2_000
    finally:
        server.stop()


def test_a_second_process_on_the_same_directory_is_refused(tmp_path: Path):
    first = ServerProcess(tmp_path / "data").start()
    first.wait_ready()
    second = ServerProcess(tmp_path / "data")
    try:
        with pytest.raises(RuntimeError, match="ended with status"):
            second.start().wait_ready()
        assert call(first.http, "GET", "/health/ready").status == 200
    finally:
        second.stop()
        first.stop()


def test_a_port_in_use_is_refused_and_named(tmp_path: Path):
    first = ServerProcess(tmp_path / "a").start()
    first.wait_ready()
    second = ServerProcess(tmp_path / "b", ports=first.ports)
    try:
        assert second.start().wait_end() == 2
        assert str(first.ports.http) in second.log_tail()
    finally:
        second.stop()
        first.stop()
