"""Three real gateways on DynamoDB Local: killed at random under mixed load, they lose nothing and agree on everything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.cluster_campaign import ClusterCampaign
from compat_tests.dynamodb_local import CREDENTIALS, dynamodb_local, missing_tool

pytestmark = pytest.mark.dynamodb
KILLS = int(os.environ.get("CLUSTER_KILLS", "6"))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    reason = missing_tool()
    if reason is not None:
        pytest.skip(reason)
    with dynamodb_local() as url:
        yield url


@pytest.mark.timeout(900)
def test_no_killed_gateway_takes_anything_with_it(endpoint: str, tmp_path: Path) -> None:
    settings = {
        **CREDENTIALS,
        "AMDW_STORE": "dynamodb",
        "AMDW_DYNAMODB_ENDPOINT": endpoint,
        "AMDW_TABLE_SPACE": "cluster",
    }
    campaign = ClusterCampaign(tmp_path, settings)
    try:
        campaign.run(KILLS)
    finally:
        campaign.stop()
    assert campaign.tally.problems == []
    assert campaign.tally.kills == KILLS
    assert campaign.tally.acknowledged > 0 and campaign.tally.looks > 0
