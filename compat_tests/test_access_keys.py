"""`bin/ac` beside a running gateway, and the tools that people sign requests with."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from requests_aws4auth import AWS4Auth

from compat_tests.access import AccessKey, ac, add_key, wait_for
from compat_tests.process import ROOT, ServerProcess
from compat_tests.wire import call, talk

REGION, SERVICE = "us-west-2", "amondawa"
POINT = [{"name": "signed.metric", "tags": {"host": "a b"}, "timestamp": 1_356_998_400_000, "value": 1}]
QUERY = "/domains/shop/api/query?start=1356998000&end=1356999000&m=sum:signed.metric%7Bhost=a%20b%7D&x=1+2&flag"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    one = ServerProcess(tmp_path_factory.mktemp("access") / "data").start()
    try:
        one.wait_ready()
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="module")
def key(server: ServerProcess) -> AccessKey:
    made = add_key(server, "shop:rw")
    wait_for(server, AccessKey("nobody", ""), 401)
    wait_for(server, made, 200)
    return made


def url(server: ServerProcess, path: str) -> str:
    return "http://{}:{}".format(*server.http) + path


def test_a_key_made_beside_a_running_gateway_opens_its_domain_and_closes_the_rest(
    server: ServerProcess, key: AccessKey
):
    assert call(server.http, "GET", "/api/v1/shop/metricnames", headers=key.basic).status == 200
    assert call(server.http, "GET", "/api/v1/bank/metricnames", headers=key.basic).status == 403
    assert call(server.http, "GET", "/api/v1/default/metricnames").status == 401
    for address, path in (
        (server.http, "/health/ready"),
        (server.kairosdb, "/api/v1/version"),
        (server.opentsdb, "/version"),
    ):
        assert call(address, "GET", path).status == 200


def test_every_action_of_the_command_reaches_the_running_gateway(server: ServerProcess, key: AccessKey):
    other = add_key(server, "shop:r", "bank:r")
    wait_for(server, other, 403)  # of two domains none is the only one, and the default one is not permitted
    assert ac(server, "set_perms", "--key", other.key, "--permission", "shop:r").returncode == 0
    wait_for(server, other, 200)
    assert ac(server, "deactivate", "--key", other.key).stdout == f"Set {other.key} key state to INACTIVE\n"
    wait_for(server, other, 401)
    assert ac(server, "activate", other.key).returncode == 0
    wait_for(server, other, 200)
    assert "permissions: bank:w shop:r " in ac(server, "add_perms", other.key, "--permission", "bank:w").stdout
    assert "permissions: shop:r " in ac(server, "delete_perms", other.key, "--permission", "bank:w").stdout
    refused = ac(server, "delete_perms", other.key, "--permission", "shop:r")
    assert refused.returncode == 1
    assert "empty" in refused.stderr
    listed = ac(server, "list").stdout
    assert f"access key: {other.key} permissions: shop:r state: ACTIVE" in listed
    assert key.secret not in listed
    assert ac(server, "rotate_master_key").returncode == 0
    wait_for(server, other, 200)
    assert ac(server, "delete", other.key).returncode == 0
    wait_for(server, other, 401)
    assert ac(server, "delete", other.key).returncode == 1


def test_any_domain_is_granted_after_a_typed_capital_y_only(server: ServerProcess, key: AccessKey):
    for answer in ("", "\n", "y\n", "yes\n", "N\n"):
        refused = ac(server, "add", "--permission", "*:r", answer=answer)
        assert refused.returncode == 1
        assert "WARNING" in refused.stdout
        assert "Added" not in refused.stdout
    everything = add_key(server, "*:r")
    wait_for(server, everything, 200)
    assert call(server.http, "GET", "/metrics", headers=everything.basic).status == 200


@pytest.mark.parametrize(
    "arguments", [[], ["--permission", "shop"], ["--permission", "shop:x"], ["--permission", "a/b:r"]]
)
def test_wrong_use_is_one_line_and_status_2(server: ServerProcess, arguments: list[str]):
    refused = ac(server, "add", *arguments)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1


def test_the_wrapper_runs_the_command(tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("wrapper")
    made = subprocess.run(
        [ROOT / "bin" / "ac", "add", "--permission", "shop:rw", "--data", directory],
        capture_output=True,
        text=True,
        timeout=300,
    )
    first, second = made.stdout.splitlines()
    assert len(first.removeprefix("Added access key ")) == 20
    assert second.startswith("Secret access key: ")
    assert (directory / "master.key").stat().st_mode & 0o777 == 0o600


# signers --------------------------------------------------------------------------------------------------------------


def by_botocore(server: ServerProcess, key: AccessKey, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
    asked = AWSRequest(method, url(server, path), data=body, headers={"Content-Type": "application/json"})
    SigV4Auth(Credentials(key.key, key.secret), SERVICE, REGION).add_auth(asked)
    answer = requests.request(method, url(server, path), data=body, headers=dict(asked.headers), timeout=30)
    return answer.status_code, answer.text


def by_requests_aws4auth(
    server: ServerProcess, key: AccessKey, method: str, path: str, body: bytes = b""
) -> tuple[int, str]:
    signer = AWS4Auth(key.key, key.secret, REGION, SERVICE)
    answer = requests.request(method, url(server, path), data=body, auth=signer, timeout=30)
    return answer.status_code, answer.text


def by_curl(server: ServerProcess, key: AccessKey, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
    signer = ["--aws-sigv4", f"aws:amz:{REGION}:{SERVICE}", "--user", f"{key.key}:{key.secret}"]
    data = ["--data-binary", body.decode(), "-H", "Content-Type: application/json"] if body else []
    command = ["curl", "-s", "-g", "-X", method, *signer, *data, "-w", "\n%{http_code}", url(server, path)]
    text, _, status = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.rpartition("\n")
    return int(status), text


SIGNERS = [by_botocore, by_requests_aws4auth, by_curl]


@pytest.mark.parametrize("signer", SIGNERS)
def test_any_signer_of_version_4_writes_and_reads(server: ServerProcess, key: AccessKey, signer: Any):
    if signer is by_curl and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    assert signer(server, key, "POST", "/api/v1/shop/datapoints", json.dumps(POINT).encode())[0] == 204
    status, text = signer(server, key, "GET", "/api/v1/shop/metricnames?prefix=signed")
    assert (status, json.loads(text)) == (200, {"results": ["signed.metric"]})
    query = json.dumps({"start_absolute": 0, "metrics": [{"name": "signed.metric"}]}).encode()
    status, text = signer(server, key, "POST", "/domains/shop/api/v1/datapoints/query", query)
    assert status == 200
    assert json.loads(text)["queries"][0]["sample_size"] == 1
    assert signer(server, AccessKey(key.key, "wrong"), "GET", "/api/v1/shop/metricnames")[0] == 401


@pytest.mark.parametrize("signer", SIGNERS)
def test_queries_with_every_kind_of_character_are_signed_alike(server: ServerProcess, key: AccessKey, signer: Any):
    status, text = signer(server, key, "GET", QUERY)
    assert status in (200, 400), text
    assert "signature" not in text


@pytest.mark.parametrize("port", ["opentsdb", "kairosdb_telnet"])
def test_lines_are_taken_after_auth(server: ServerProcess, key: AccessKey, port: str):
    address = getattr(server, port)
    assert b"AUTH_FAIL" in talk(address, f"auth {key.key} wrong\n".encode())
    line = f"put line.{port} 1356998400 1 host=a\nversion\n"
    assert talk(address, f"auth {key.key} {key.secret}\n{line}".encode()).startswith(b"AUTH_SUCCESS\n")
    assert call(server.kairosdb, "GET", f"/api/v1/metricnames?prefix=line.{port}", headers=key.basic).json()["results"]
