"""What several of these tests need to run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.dynamodb_local import dynamodb_local, missing_tool
from compat_tests.process import ServerProcess


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Return the URL of an empty DynamoDB Local."""
    reason = missing_tool()
    if reason is not None:
        pytest.skip(reason)
    with dynamodb_local() as url:
        yield url


@pytest.fixture
def server(settings: dict[str, str], tmp_path: Path) -> Iterator[ServerProcess]:
    """Return a gateway that runs with what a module's own fixture `settings` says."""
    one = ServerProcess(tmp_path / "data", {**settings, "AMDW_GATEWAY_ID": "one"}).start()
    try:
        one.wait_ready()
        yield one
    finally:
        one.stop()
