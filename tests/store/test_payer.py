"""Who pays: in the thread of the work and in those that it uses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from amondawa.store.dynamodb.parallel import in_parallel
from amondawa.store.payer import GATEWAY, at_cost_of, paid_by, payers


def test_the_gateway_pays_for_what_nobody_asked_for() -> None:
    assert payers() == {GATEWAY: 1.0}
    with paid_by({}):
        assert payers() == {GATEWAY: 1.0}


def test_domains_share_by_their_weights_and_only_inside() -> None:
    with paid_by({"shop": 3, "bank": 1}):
        assert payers() == {"shop": 0.75, "bank": 0.25}
        assert at_cost_of("bank", payers) == {"bank": 1.0}
        assert payers() == {"shop": 0.75, "bank": 0.25}
    assert payers() == {GATEWAY: 1.0}


def test_an_error_ends_who_pays_too() -> None:
    with pytest.raises(ValueError, match="x"), paid_by({"shop": 1}):
        raise ValueError("x")
    assert payers() == {GATEWAY: 1.0}


def test_work_in_a_pool_is_paid_by_whoever_had_it_done() -> None:
    with ThreadPoolExecutor(2) as pool:
        with paid_by({"shop": 1}):
            assert in_parallel(pool, lambda _: payers(), range(5)) == [{"shop": 1.0}] * 5
        assert in_parallel(pool, lambda _: payers(), range(5)) == [{GATEWAY: 1.0}] * 5
