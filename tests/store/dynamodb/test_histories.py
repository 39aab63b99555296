"""The gateway on DynamoDB against the naive one: random histories, also while the service has faults."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amondawa.store.dynamodb.retry import RetryPolicy
from amondawa.store.dynamodb.store import DynamoStore, Options
from tests.store.strict_fake import StrictFake
from tests.store.strict_fake_faults import Faults
from tests.test_gateway import NOW_MS, STEP, Pair, play

QUICK = RetryPolicy(base_s=0.0001, cap_s=0.001, deadline_s=60.0, budget=1e9)


def pair_on(fake: StrictFake, *, statements: bool) -> Pair:
    options = Options(4, 4, QUICK, statements)
    return Pair(lambda: DynamoStore(fake.client, "amdw", "one", options), keep_store=False)


@pytest.mark.parametrize("statements", [True, False], ids=["statements", "queries"])
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(STEP, max_size=14))
def test_any_history_answers_as_the_naive_gateway(statements: bool, history: list[tuple[Any, ...]]) -> None:
    asyncio.run(play(pair_on(StrictFake(), statements=statements), history))


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(STEP, max_size=14), seed=st.integers(0, 2**32))
def test_any_history_answers_as_the_naive_gateway_where_reads_may_be_stale_and_items_expire(
    history: list[tuple[Any, ...]], seed: int
) -> None:
    fake = StrictFake(
        faults=Faults(stale=1.0, seed=seed), clock_s=lambda: NOW_MS / 1_000, expiry_lag_s=3_600.0, limited=True
    )
    asyncio.run(play(pair_on(fake, statements=True), history))


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(STEP, max_size=14), seed=st.integers(0, 2**32))
def test_any_history_under_faults_answers_as_the_naive_gateway(history: list[tuple[Any, ...]], seed: int) -> None:
    faults = Faults(0.1, 0.3, 0.1, 0.1, 0.15, seed=seed)
    asyncio.run(play(pair_on(StrictFake(faults=faults), statements=True), history))
