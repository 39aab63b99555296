"""The contract on the strict fake, by statements and by queries, with slow tables, and under faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amondawa.store.base import BlockStore
from amondawa.store.dynamodb.retry import RetryPolicy
from amondawa.store.dynamodb.store import DynamoStore, Options
from tests.store.contract import StoreContract
from tests.store.strict_fake import StrictFake
from tests.store.strict_fake_faults import Faults

QUICK = RetryPolicy(base_s=0.0002, cap_s=0.002, deadline_s=60.0, budget=1e9)
FAULTS = {
    "throttling": Faults(throttle=0.5),
    "leftovers": Faults(leftover=0.5),
    "errors": Faults(broken=0.4),
    "timeouts": Faults(timeout_before=0.2, timeout_after=0.3),
    "everything": Faults(0.1, 0.3, 0.1, 0.1, 0.15),
}


class _Contract(StoreContract):
    @pytest.fixture
    def store(self, fake: StrictFake, options: Options) -> Iterator[BlockStore]:
        store = DynamoStore(fake.client, "amdw", "one", options)
        store.open()
        yield store
        store.close()


class TestDynamoStoreOnTheStrictFake(_Contract):
    @pytest.fixture
    def fake(self) -> StrictFake:
        return StrictFake()

    @pytest.fixture(params=[True, False], ids=["statements", "queries"])
    def options(self, request: pytest.FixtureRequest) -> Options:
        return Options(retry=QUICK, statements=request.param)


class TestDynamoStoreUnderFaults(_Contract):
    @pytest.fixture(params=FAULTS)
    def fake(self, request: pytest.FixtureRequest) -> StrictFake:
        faults = FAULTS[request.param]
        return StrictFake(
            faults=Faults(faults.throttle, faults.leftover, faults.broken, faults.timeout_before, faults.timeout_after)
        )

    @pytest.fixture
    def options(self) -> Options:
        return Options(retry=QUICK)
