"""A real gateway process on DynamoDB Local: what it acknowledged is there after a restart and after kill -9."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest

from compat_tests.crash_campaign import SMALL_HEAD, Campaign
from compat_tests.dynamodb_local import CREDENTIALS
from compat_tests.process import ServerProcess
from compat_tests.wire import call, stored, talk

pytestmark = pytest.mark.dynamodb
ROUNDS = int(os.environ.get("DYNAMODB_CRASH_ROUNDS", "8"))
START_MS = 1_700_000_000_000
spaces = count()


@pytest.fixture
def settings(endpoint: str) -> dict[str, str]:
    space = f"gateway{next(spaces)}"
    own = {"AMDW_STORE": "dynamodb", "AMDW_DYNAMODB_ENDPOINT": endpoint, "AMDW_TABLE_SPACE": space}
    return {**CREDENTIALS, **own}


def write(server: ServerProcess, first: int, number: int) -> list[list[int]]:
    """Write points and return them."""
    points = [[START_MS + n * 1000, n] for n in range(first, first + number)]
    body = [{"name": "kept", "tags": {"host": "a"}, "datapoints": points}]
    assert call(server.kairosdb, "POST", "/api/v1/datapoints", body).status == 204
    return points


def test_points_are_there_after_a_restart_and_after_a_crash(server: ServerProcess) -> None:
    points = write(server, 0, 500)
    assert stored(server, "kept") == points
    assert server.terminate() == 0
    server.start().wait_ready()
    assert stored(server, "kept") == points
    points += write(server, 500, 500)
    server.kill9()
    server.start().wait_ready()
    assert stored(server, "kept") == points


def test_opentsdb_lines_are_answered_from_chunks_after_a_restart(server: ServerProcess) -> None:
    lines = [b"put sys.cpu %d %d host=a\n" % (START_MS // 1000 + n, n) for n in range(50)]
    assert talk(server.opentsdb, b"".join(lines)) == b""
    server.terminate()
    server.start().wait_ready()
    path = f"/api/query?start={START_MS // 1000}&end={START_MS // 1000 + 100}&m=sum:sys.cpu"
    answer = call(server.opentsdb, "GET", path).json()
    assert list(answer[0]["dps"].values()) == list(range(50))


def test_a_second_process_of_the_same_gateway_id_is_refused(server: ServerProcess, tmp_path: Path) -> None:
    other = ServerProcess(tmp_path / "other", server.env).start()
    try:
        with pytest.raises(RuntimeError, match=r"gateway id 'one' is in use .*AMDW_GATEWAY_ID"):
            other.wait_ready()
    finally:
        other.stop()


@pytest.mark.timeout(600)
def test_no_crash_loses_or_invents_a_point(settings: dict[str, str], tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "data")
    campaign.server = ServerProcess(tmp_path / "data", {**SMALL_HEAD, **settings})
    try:
        for number in range(ROUNDS):
            problems = campaign.round()
            assert not problems, f"round {number}: {problems[:5]} ({len(problems)} in all)"
        assert campaign.last_check() == []
    finally:
        campaign.server.stop()
    assert campaign.tally.acknowledged > 0
