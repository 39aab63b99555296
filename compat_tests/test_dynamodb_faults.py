"""A real gateway process on the strict fake, another process, while that has faults: nothing acknowledged is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.crash_campaign import SMALL_HEAD, Campaign
from compat_tests.process import ServerProcess
from compat_tests.strict_fake_process import StrictFakeProcess, strict_fake_process
from compat_tests.wire import call, eventually, stored

ROUNDS = int(os.environ.get("DYNAMODB_FAULT_ROUNDS", "6"))
START_MS = 1_700_000_000_000


@pytest.fixture
def fake() -> Iterator[StrictFakeProcess]:
    with strict_fake_process() as one:
        yield one


def post(server: ServerProcess, time_ms: int, value: int) -> int:
    body = [{"name": "kept", "tags": {"host": "a"}, "datapoints": [[time_ms, value]]}]
    return call(server.kairosdb, "POST", "/api/v1/datapoints", body, timeout_s=90.0).status


@pytest.mark.timeout(600)
def test_no_crash_under_faults_loses_or_invents_a_point(fake: StrictFakeProcess, tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "data")
    campaign.server = ServerProcess(tmp_path / "data", {**SMALL_HEAD, **fake.settings})
    try:
        for number in range(ROUNDS):
            fake.set_faults(throttle=0.05, leftover=0.1, broken=0.03, timeout_before=0.02, timeout_after=0.03)
            problems = campaign.round()
            assert not problems, f"round {number}: {problems[:5]} ({len(problems)} in all)"
        assert campaign.last_check() == []
    finally:
        campaign.server.stop()
    assert campaign.tally.acknowledged > 0


@pytest.mark.timeout(300)
def test_while_the_service_fails_writes_are_spooled_known_rows_answer_and_afterwards_all_is_there(
    fake: StrictFakeProcess, tmp_path: Path
) -> None:
    server = ServerProcess(tmp_path / "data", {**fake.settings, "AMDW_GATEWAY_ID": "one"}).start()
    try:
        server.wait_ready()
        assert post(server, START_MS, 1) == 204
        assert stored(server, "kept") == [[START_MS, 1]]
        fake.set_faults(down=True)
        assert post(server, START_MS + 1, 2) == 204
        assert stored(server, "kept") == [[START_MS, 1], [START_MS + 1, 2]]
        fake.set_faults(down=False)
        assert eventually(lambda: post(server, START_MS + 2, 3), lambda status: status == 204, 60.0) == 204
        server.kill9()
        server.start().wait_ready()
        assert stored(server, "kept") == [[START_MS, 1], [START_MS + 1, 2], [START_MS + 2, 3]]
    finally:
        server.stop()
