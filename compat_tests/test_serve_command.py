"""The command as its users start it: what it prints, how it refuses, how it ends."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

import pytest

from compat_tests.process import HOST, ROOT, Ports, ServerProcess
from compat_tests.wire import call, eventually

OPTIONS = ("--http", "--kairosdb", "--opentsdb", "--kairosdb-telnet")
POINT = [{"name": "kept", "tags": {"host": "a"}, "timestamp": 1_356_998_400_000, "value": 7}]
QUERY = {"start_absolute": 0, "metrics": [{"name": "kept"}]}


def environment(**changes: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("AMDW_")} | {"PYTHONPATH": str(ROOT)} | changes


def command(data: Path, ports: Ports) -> list[str]:
    options = [part for pair in zip(OPTIONS, map(str, astuple(ports)), strict=True) for part in pair]
    return [sys.executable, "-m", "amondawa", "--data", str(data), *options]


def refused(arguments: list[str], **changes: str) -> str:
    """Run a command that must not start; return the one line it says."""
    done = subprocess.run(
        arguments, env=environment(**changes), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    one = ServerProcess(tmp_path / "data").start()
    try:
        one.wait_ready()
        yield one
    finally:
        one.stop()


def kept(server: ServerProcess) -> object:
    answer = call(server.http, "POST", "/api/v1/default/datapoints/query", QUERY)
    return [stream["values"] for stream in json.loads(answer.body)["queries"][0]["results"]]


def test_every_address_and_a_line_to_try_are_printed(server: ServerProcess):
    assert eventually(lambda: "Ready after" in server.log.read_text(), bool)
    text = server.log.read_text()
    for port in astuple(server.ports):
        assert f"://{HOST}:{port}" in text
    line = text.split("Try: ")[1].splitlines()[0]
    assert line.startswith("curl ")
    if shutil.which("curl"):
        assert "version" in subprocess.run(line.split(), capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_with_everything_kept(server: ServerProcess, number: signal.Signals):
    assert call(server.http, "POST", "/api/v1/default/datapoints", POINT).status == 204
    with socket.create_connection(server.opentsdb), socket.create_connection(server.kairosdb_telnet):
        os.kill(server.pid, number)
        assert eventually(lambda: not server.alive, bool)
    assert server.terminate() == 0
    server.start()
    server.wait_ready()
    assert kept(server) == [[[1_356_998_400_000, 7]]]


def test_a_kill_loses_nothing_acknowledged(server: ServerProcess):
    assert call(server.http, "POST", "/api/v1/default/datapoints", POINT).status == 204
    server.kill9()
    server.start()
    server.wait_ready()
    assert kept(server) == [[[1_356_998_400_000, 7]]]


@pytest.mark.parametrize("option", OPTIONS)
def test_a_port_in_use_is_one_line_and_status_2(tmp_path: Path, option: str):
    with socket.create_server((HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = command(tmp_path / "data", Ports.free())
        arguments[arguments.index(option) + 1] = port
        line = refused(arguments)
    assert port in line
    assert option in line


def test_a_directory_that_cannot_be_made_is_one_line_and_status_2(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refused(command(tmp_path / "file" / "data", Ports.free()))


def test_another_machines_address_needs_the_word(tmp_path: Path):
    assert "--allow-anonymous" in refused([*command(tmp_path / "data", Ports.free()), "--bind", "0.0.0.0"])


def test_a_wrong_variable_is_one_line_and_status_2(tmp_path: Path):
    line = refused(command(tmp_path / "data", Ports.free()), AMDW_HEAD_LIMIT_BYTES="much")
    assert line == "amondawa: AMDW_HEAD_LIMIT_BYTES must be a whole number, not 'much'\n"


def test_a_variable_that_no_setting_reads_is_warned_of(tmp_path: Path):
    server = ServerProcess(tmp_path / "data", {"AMDW_QUERY_POINT": "5"}).start()
    try:
        server.wait_ready()
        assert "AMDW_QUERY_POINTS" in server.log.read_text()
    finally:
        server.stop()


def test_bin_serve_starts_within_three_seconds_once_it_has_installed(tmp_path: Path):
    """Run from another directory, through a link, as users do."""
    if not (ROOT / ".venv" / ".amondawa-stamp").exists():
        subprocess.run([ROOT / "bin" / "amondawa", "--version"], check=True, capture_output=True, timeout=600)
    link = tmp_path / "serve"
    link.symlink_to(ROOT / "bin" / "serve")
    ports = Ports.free()
    arguments = [str(link), *command(tmp_path / "data", ports)[3:]]
    began = time.monotonic()
    process = subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        while "Ready" not in process.stdout.readline():
            assert process.poll() is None
        print(f"ready after {time.monotonic() - began:.1f} s")
        assert call((HOST, ports.http), "GET", "/health/ready").status == 200
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stdout.close()
