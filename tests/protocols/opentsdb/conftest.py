"""Fixtures of this dialect's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.protocols.opentsdb.served import Served, serve


@pytest.fixture
async def tsdb() -> AsyncIterator[Served]:
    served = await serve()
    yield served
    await served.client.close()
