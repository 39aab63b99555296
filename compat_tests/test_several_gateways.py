"""Three real gateways on DynamoDB Local: killed at random under mixed load, they lose nothing and agree on everything."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from compat_tests.cluster_campaign import ClusterCampaign
from compat_tests.dynamodb_local import CREDENTIALS
from compat_tests.outage_proxy import outage_proxy
from compat_tests.process import ServerProcess
from compat_tests.wire import call, eventually, stored

pytestmark = pytest.mark.dynamodb
KILLS = int(os.environ.get("CLUSTER_KILLS", "6"))
SEED = int(os.environ.get("CLUSTER_SEED", "1"))


START_MS = 1_700_000_000_000


@pytest.mark.timeout(900)
def test_no_killed_gateway_takes_anything_with_it(endpoint: str, tmp_path: Path) -> None:
    settings = {
        **CREDENTIALS,
        "AMDW_STORE": "dynamodb",
        "AMDW_DYNAMODB_ENDPOINT": endpoint,
        "AMDW_TABLE_SPACE": "cluster",
    }
    campaign = ClusterCampaign(tmp_path, settings, seed=SEED)
    try:
        campaign.run(KILLS)
    finally:
        campaign.stop()
    assert campaign.tally.problems == []
    assert campaign.tally.kills == KILLS
    assert campaign.tally.acknowledged > 0 and campaign.tally.looks > 0


def _write(server: ServerProcess, points: list[list[int]]) -> str:
    body = {"name": "cut", "tags": {"host": "a"}, "datapoints": points}
    answer = call(server.kairosdb, "POST", "/api/v1/datapoints", body, timeout_s=20.0)
    assert answer.status == 204, answer
    return answer.headers["x-amondawa-ack"]


def _succeeded(server: ServerProcess) -> int:
    lines = call(server.http, "GET", "/metrics").body.decode().splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("amondawa_gateways_succeeded"))


def _state(server: ServerProcess) -> dict[str, object]:
    """Return what /health/ready says; a gateway that starts again does not listen for a moment."""
    try:
        state: dict[str, object] = call(server.http, "GET", "/health/ready").json()
    except OSError:
        return {}
    return state


@pytest.mark.timeout(300)
def test_a_gateway_that_was_cut_off_and_succeeded_comes_back_by_itself(endpoint: str, tmp_path: Path) -> None:
    settings = {**CREDENTIALS, "AMDW_STORE": "dynamodb", "AMDW_TABLE_SPACE": "cut", "AMDW_SPOOL_AFTER_S": "1"}
    with outage_proxy(urlsplit(endpoint).port or 0) as proxy:
        cut_off, other = (
            ServerProcess(tmp_path / name, {**settings, "AMDW_DYNAMODB_ENDPOINT": url, "AMDW_GATEWAY_ID": name})
            for name, url in (("cut", proxy.url), ("other", endpoint))
        )
        try:
            other.start().wait_ready()
            cut_off.start().wait_ready()
            process = cut_off.pid
            assert _write(cut_off, [[START_MS, 1], [START_MS + 1, 1]]) == "stored"
            proxy.shut()
            assert _write(cut_off, [[START_MS + 2, 2], [START_MS + 3, 2]]) == "spooled"
            assert _write(other, [[START_MS + 1, 3], [START_MS + 3, 3]]) == "stored"
            assert eventually(lambda: _succeeded(other), lambda count: count == 1, 60.0) == 1
            assert _write(cut_off, [[START_MS + 4, 4]]) == "spooled"
            other.terminate()  # which writes chunks: what is spooled is older than some of their points
            other.start().wait_ready()
            proxy.open()
            assert eventually(lambda: _state(cut_off), lambda state: state == {"status": "ready"}, 60.0)
            assert cut_off.pid == process and cut_off.alive
            assert _write(cut_off, [[START_MS + 5, 5]]) == "stored"
            wanted = [[START_MS, 1], [START_MS + 1, 3], [START_MS + 2, 2], [START_MS + 3, 3], [START_MS + 4, 4]]
            wanted.append([START_MS + 5, 5])
            for server in (cut_off, other):
                assert eventually(lambda one=server: stored(one, "cut"), lambda found: found == wanted, 10.0) == wanted
            for server in (cut_off, other):  # the same from chunks
                server.terminate()
                server.start().wait_ready()
                assert stored(server, "cut") == wanted
        finally:
            proxy.open()
            cut_off.stop()
            other.stop()
