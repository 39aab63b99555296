"""The walk-through of the first version's manual with the commands in bin/, on DynamoDB Local: both are real processes.

Configure, make the tables of keys and a key, create the schema, run, write, query, change the rules of a domain, delete.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import subprocess
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import boto3
import pytest

from compat_tests.dynamodb_local import CREDENTIALS
from compat_tests.process import ROOT, Ports, ServerProcess
from compat_tests.test_original_commands import FIRST_VERSION, post, written_and_read
from compat_tests.wire import eventually

pytestmark = [pytest.mark.dynamodb, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
SPACE = "manual"
BLOCK_S = 20 * 60
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(endpoint: str, tmp_path: Path) -> dict[str, str]:
    """What a person has in the environment: where DynamoDB is, and which tables are ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AMDW_")}
    own = {"AMDW_STORE": "dynamodb", "AMDW_DYNAMODB_ENDPOINT": endpoint, "AMDW_TABLE_SPACE": SPACE}
    master = base64.b64encode(secrets.token_bytes(32)).decode()
    here = {"AMDW_DATA": str(tmp_path / "data"), "AMDW_GATEWAY_ID": "one", "AMDW_MASTER_KEY": master}
    return {**kept, **CREDENTIALS, **own, **here}


@pytest.fixture
def command(environment: dict[str, str]) -> Command:
    """Return a function that runs a command of bin/ with what is typed into it."""

    def run(name: str, *words: str, typed: str = "", status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [ROOT / "bin" / name, *words],
            input=typed,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == status, (name, words, done.stdout, done.stderr)
        return done

    return run


class Served(ServerProcess):
    """A gateway that `bin/serve` started."""

    def _command(self) -> list[str]:
        options = ("--http", "--kairosdb", "--opentsdb", "--kairosdb-telnet")
        ports = [part for pair in zip(options, map(str, astuple(self.ports)), strict=True) for part in pair]
        return [str(ROOT / "bin" / "serve"), *ports]


@contextmanager
def serving(environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    own = {name: value for name, value in environment.items() if name.startswith(("AMDW_", "AWS_"))}
    server = Served(tmp_path / "data", own, Ports.free()).start()
    try:
        server.wait_ready()
        yield server
    finally:
        assert server.terminate() == 0


def tables(endpoint: str) -> list[str]:
    """Return the names of the tables of the space, as DynamoDB Local lists them."""
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    client = boto3.client("dynamodb", region_name="us-west-2", endpoint_url=endpoint, **keys)
    try:
        found: list[str] = client.list_tables()["TableNames"]
    finally:
        client.close()
    return [name for name in found if name.startswith(SPACE + "_")]


def throughput(endpoint: str, table: str) -> tuple[int, int]:
    """Return the read and write units a second that a table has."""
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    client = boto3.client("dynamodb", region_name="us-west-2", endpoint_url=endpoint, **keys)
    try:
        given = client.describe_table(TableName=table)["Table"]["ProvisionedThroughput"]
    finally:
        client.close()
    return given["ReadCapacityUnits"], given["WriteCapacityUnits"]


@pytest.mark.timeout(600)
def test_the_walk_through_of_the_manual(
    endpoint: str, environment: dict[str, str], command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "configuration.py"
    file.write_text(FIRST_VERSION)
    shown = command("configure", str(file), typed="Y\n").stdout
    assert "'store_column_height': 300000" in shown
    assert shown.endswith("Configuration written.\n")
    command("ac", "create_table")
    added = command("ac", "--permission", "default:rw", "add").stdout
    key = ":".join(re.findall(r"key:? ([A-Za-z0-9]+)$", added, re.MULTILINE))
    assert key.partition(":")[0] in command("ac", "list").stdout
    assert "Schema is ready" in command("create_schema").stdout
    blocks = [name for name in tables(endpoint) if re.search(r"_(datapoints|index)_", name)]
    assert blocks
    assert all(name.endswith(f"-{BLOCK_S}") for name in blocks)
    assert throughput(endpoint, next(name for name in blocks if "datapoints" in name)) == (20, 160)
    with serving(environment, tmp_path) as server:
        with pytest.raises(urllib.error.HTTPError) as refused:
            written_and_read(server, 1.5)
        assert refused.value.code in (401, 403)
        refused.value.close()
        written_and_read(server, 1.5, key)
        command("configure", str(file), "--yes")  # beside the gateway
        _change_rules(server, command, key)
    with serving(environment, tmp_path) as server:
        assert eventually(lambda: _value_of(server, key), lambda values: values == [1.5, 2.5]) == [1.5, 2.5]
    command("delete_schema", typed="no\n", status=1)
    assert tables(endpoint)
    assert command("delete_schema", typed="Y\n").stdout.endswith("Schema and data deleted.\n")
    assert tables(endpoint) == []


def _change_rules(server: ServerProcess, command: Command, key: str) -> None:
    """Keep less of a domain, and take a key back, while the gateway runs: both hold within seconds."""
    written_and_read(server, 2.5, key)
    command("ac", "set_domain", "default", "--retention", "10m")
    old = {"name": "walk", "tags": {"host": "a"}, "timestamp": int(time.time() * 1_000) - 900_000, "value": 9}

    def refused() -> int:
        try:
            return post(server, "/api/v1/default/datapoints", [old], key)[0]
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert eventually(refused, lambda status: status == 400, 60.0) == 400
    command("ac", "set_domain", "default", "--retention", "0")


def _value_of(server: ServerProcess, key: str) -> list[float]:
    query = {"start_relative": {"value": 1, "unit": "hours"}, "metrics": [{"name": "walk"}]}
    _, body = post(server, "/api/v1/default/datapoints/query", query, key)
    return [value for _, value in json.loads(body)["queries"][0]["results"][0]["values"] if value != 9]


@pytest.mark.timeout(600)
def test_access_keys_are_changed_on_dynamodb(endpoint: str, command: Command) -> None:
    command("ac", "create_table")
    added = command("ac", "--permission", "shop:r", "add").stdout
    key = re.findall(r"key:? ([A-Za-z0-9]+)$", added, re.MULTILINE)[0]
    command("ac", "--permission", "bank:w", "add_perms", key)
    command("ac", "deactivate", key)
    listed = command("ac", "list").stdout
    assert all(word in listed for word in (key, "shop:r", "bank:w", "INACTIVE"))
    command("ac", "delete", key, "--yes")
    assert key not in command("ac", "list").stdout
    command("ac", "delete_table", "--yes")
    assert not [name for name in tables(endpoint) if "credentials" in name]
    command("delete_schema", "--yes")
