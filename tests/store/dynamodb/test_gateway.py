"""What is asked of the gateway on any store, asked of it on DynamoDB."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

import pytest

from amondawa.store.dynamodb.retry import RetryPolicy
from amondawa.store.dynamodb.store import DynamoStore, Options
from tests import test_gateway
from tests.store.strict_fake import StrictFake
from tests.store.strict_fake_faults import Faults

QUICK = RetryPolicy(base_s=0.0001, cap_s=0.001, deadline_s=60.0, budget=1e9)
NAMES = [
    name
    for name, test in vars(test_gateway).items()
    if name.startswith("test_") and inspect.iscoroutinefunction(test) and not inspect.signature(test).parameters
]


@pytest.mark.parametrize("faults", [Faults(), Faults(0.1, 0.3, 0.1, 0.1, 0.15)], ids=["well", "faults"])
@pytest.mark.parametrize("name", NAMES)
async def test_the_gateway_on_dynamodb(name: str, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = StrictFake(faults=faults)
    monkeypatch.setattr(
        test_gateway, "MemoryStore", lambda: DynamoStore(fake.client, "amdw", "one", Options(4, 4, QUICK))
    )
    test: Callable[[], Awaitable[None]] = getattr(test_gateway, name)
    await test()
    assert fake.requests["PutItem"] > 0


def test_there_is_something_to_ask() -> None:
    assert len(NAMES) >= 4
