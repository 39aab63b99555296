"""The walk-through of the first version's manual: configure, make a key, create the schema, run, write, query, delete."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from compat_tests.process import ROOT, ServerProcess

FIRST_VERSION = """
MIN=60*1000
HR=60*MIN

configuration = {
 'store_column_height':   5*MIN,
 'store_history':         1*HR,
 'store_history_blocks':  3,
 'mt_readers':            20,
 'mt_writers':            5,
 'mt_write_delay':        2,
 'cache_datapoints':      400,
 'cache_query_index_key': 400,
 'cache_write_index_key': 400,
 'tp_write_datapoints':   160,
 'tp_read_datapoints':    80,
 'tp_write_index_key':    160,
 'tp_read_index_key':     80,
 'mx_create_next_min':    4,
 'mx_create_next_pct':    15,
 'mx_turndown_min':       2,
 'mx_turndown_pct':       20,
}
"""
BLOCK_S = 20 * 60
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def command(data: Path) -> Command:
    """Return a function that runs a command of the project with what is typed into it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AMDW_")}
    environment.update(AMDW_DATA=str(data), PYTHONPATH=str(ROOT))

    def run(*words: str, typed: str = "", status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "amondawa", *words],
            input=typed,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, (done.stdout, done.stderr)
        return done

    return run


def post(server: ServerProcess, path: str, body: object, key: str = "") -> tuple[int, bytes]:
    """Post JSON, signed in by `key:secret` when one is given."""
    headers = {"Authorization": "Basic " + base64.b64encode(key.encode()).decode()} if key else {}
    request = urllib.request.Request(  # noqa: S310 - a loopback address
        f"http://{server.http[0]}:{server.http[1]}{path}", json.dumps(body).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return answer.status, answer.read()


def written_and_read(server: ServerProcess, value: float, key: str = "") -> None:
    """Write a point of now and read it back."""
    now_ms = int(time.time() * 1_000)
    point = {"name": "walk", "tags": {"host": "a"}, "timestamp": now_ms, "value": value}
    assert post(server, "/api/v1/default/datapoints", [point], key)[0] == 204
    query = {"start_absolute": now_ms, "end_absolute": now_ms, "metrics": [{"name": "walk"}]}
    status, body = post(server, "/api/v1/default/datapoints/query", query, key)
    assert (status, json.loads(body)["queries"][0]["results"][0]["values"]) == (200, [[now_ms, value]])


def blocks(data: Path) -> list[str]:
    return sorted(path.stem for path in (data / "blocks").glob("*.sqlite"))


def test_the_walk_through_of_the_manual_with_its_own_configuration(
    tmp_path: Path, data: Path, command: Command
) -> None:
    file = tmp_path / "configuration.py"
    file.write_text(FIRST_VERSION)
    shown = command("configure", str(file), typed="Y\n").stdout
    assert "'store_column_height': 300000" in shown
    assert shown.endswith("Configuration written.\n")
    command("ac", "create_table")
    added = command("ac", "--permission", "default:rw", "add").stdout
    key = ":".join(re.findall(r"key:? ([A-Za-z0-9]+)$", added, re.MULTILINE))
    assert "Schema is ready" in command("create_schema").stdout
    assert blocks(data)
    assert all(name.endswith(f"-{BLOCK_S}") for name in blocks(data))
    server = ServerProcess(data).start()
    try:
        server.wait_ready()
        with pytest.raises(urllib.error.HTTPError) as refused:
            written_and_read(server, 1.5)
        assert refused.value.code in (401, 403)
        refused.value.close()
        written_and_read(server, 1.5, key)
        command("configure", str(file), "--yes")  # beside the gateway
        assert "in use by another process" in command("delete_schema", "--yes", status=2).stderr
    finally:
        assert server.terminate() == 0
    assert all(name.endswith(f"-{BLOCK_S}") for name in blocks(data))
    command("delete_schema", typed="no\n", status=1)
    assert blocks(data)
    assert command("delete_schema", typed="Y\n").stdout.endswith("Schema and data deleted.\n")
    assert blocks(data) == []


def test_the_schema_is_created_and_the_gateway_runs_when_nothing_was_configured(data: Path, command: Command) -> None:
    command("create_schema")
    server = ServerProcess(data).start()
    try:
        server.wait_ready()
        written_and_read(server, 2.5)
    finally:
        assert server.terminate() == 0


def test_a_gateway_reads_what_was_configured_and_its_environment_wins(
    tmp_path: Path, data: Path, command: Command
) -> None:
    file = tmp_path / "configuration.py"
    file.write_text("configuration = {'store_history': 3_600_000, 'store_history_blocks': 3}")
    command("configure", str(file), "--yes")
    hour_ago_ms = int(time.time() * 1_000) - 2 * 3_600_000
    point = {"name": "walk", "tags": {"host": "a"}, "timestamp": hour_ago_ms, "value": 1}
    for environment, refused in (({}, True), ({"AMDW_STORE_HISTORY_S": "86400"}, False)):
        server = ServerProcess(data, environment).start()
        try:
            server.wait_ready()
            if refused:
                with pytest.raises(urllib.error.HTTPError) as caught:
                    post(server, "/api/v1/default/datapoints", [point])
                assert caught.value.code == 400
                assert "older than the history" in caught.value.read().decode()
                caught.value.close()
            else:
                assert post(server, "/api/v1/default/datapoints", [point])[0] == 204
        finally:
            assert server.terminate() == 0


def test_a_point_of_kairosdb_with_a_ttl_vanishes_with_its_names(data: Path) -> None:
    server = ServerProcess(data).start()
    try:
        server.wait_ready()
        now_ms = int(time.time() * 1_000)
        point = {"name": "short.lived", "tags": {"host": "a"}, "timestamp": now_ms, "value": 1, "ttl": 1}
        assert post(server, "/api/v1/datapoints", [point])[0] == 204
        names = f"http://{server.http[0]}:{server.http[1]}/api/v1/metricnames"
        while True:  # until the point's second is over: the test's own limit ends it otherwise
            with urllib.request.urlopen(names, timeout=10) as answer:  # noqa: S310 - a loopback address
                if "short.lived" not in json.loads(answer.read())["results"]:
                    break
            time.sleep(0.1)
        query = {"start_absolute": 1, "metrics": [{"name": "short.lived", "tags": {}}]}
        _, body = post(server, "/api/v1/datapoints/query", query)
        assert json.loads(body)["queries"][0]["sample_size"] == 0
    finally:
        assert server.terminate() == 0
