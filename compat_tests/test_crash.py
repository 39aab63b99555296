"""Fifty crashes on one data directory: every acknowledged point is there afterwards, and nothing else is."""

import os
from dataclasses import asdict
from pathlib import Path

import pytest

from compat_tests.crash_campaign import Campaign

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "50"))


@pytest.mark.timeout(600)
def test_no_crash_loses_or_invents_a_point(tmp_path: Path):
    campaign = Campaign(tmp_path / "data", seed=int(os.environ.get("CRASH_SEED", "1")))
    try:
        for number in range(ROUNDS):
            problems = campaign.round()
            assert not problems, f"round {number}: {problems[:5]} ({len(problems)} in all)"
        assert campaign.last_check() == []
    finally:
        campaign.server.stop()
        print(asdict(campaign.tally))
    assert campaign.tally.acknowledged > 0
