"""What several of these tests need to run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compat_tests.dynamodb_local import dynamodb_local, missing_tool


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Return the URL of an empty DynamoDB Local."""
    reason = missing_tool()
    if reason is not None:
        pytest.skip(reason)
    with dynamodb_local() as url:
        yield url
