"""The breaker: when it opens and closes, and what it spares."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from amondawa.errors import NotFound, Unavailable
from amondawa.store.dynamodb.breaker import Breaker, Prober
from amondawa.store.dynamodb.retry import Refused, Retrier, RetryPolicy
from tests.store.dynamodb.test_retry import BROKEN, THROTTLED, Clock, failing
from tests.store.strict_fake_rules import refusal

AWAY = EndpointConnectionError(endpoint_url="http://x")


def broken_after(clock: Clock, after_s: float) -> Breaker:
    breaker = Breaker(2.0, lambda: clock.now)
    for _ in range(5):
        breaker.failed("gone")
        clock.now += after_s / 4
    return breaker


def test_it_opens_when_nothing_was_answered_for_its_time_and_says_for_how_long() -> None:
    clock = Clock()
    assert not broken_after(clock, 1.9).opened.is_set()
    breaker = broken_after(clock, 2.4)
    clock.now += 10.0
    with pytest.raises(Unavailable, match="has not answered for 13 s: gone") as caught:
        breaker.check()
    assert caught.value.retry_after_s == 5


def test_an_answer_begins_the_time_anew_and_closes_it() -> None:
    clock = Clock()
    breaker = broken_after(clock, 1.9)
    breaker.answered()
    breaker.failed("gone")
    breaker.check()
    breaker = broken_after(clock, 8.0)
    breaker.answered()
    breaker.check()
    assert breaker.reason == ""


def test_two_failures_far_apart_do_not_open_it() -> None:
    clock = Clock()
    breaker = Breaker(2.0, lambda: clock.now)
    breaker.failed("gone")
    clock.now += 3_600.0
    breaker.failed("gone")
    breaker.check()


def test_a_dead_service_is_asked_no_longer_than_the_time_and_then_not_at_all() -> None:
    clock = Clock()
    retrier = Retrier(RetryPolicy(deadline_s=60.0), lambda: clock.now, clock.sleep, lambda: 1.0)
    asked = []

    def send(**_: Any) -> dict[str, Any]:
        asked.append(clock.now)
        raise AWAY

    with pytest.raises(Unavailable, match="has not answered"):
        retrier.call(send)
    assert 2.0 <= clock.now < 5.0
    before = len(asked)
    with pytest.raises(Unavailable, match="has not answered"):
        retrier.call(send)
    assert len(asked) == before


def test_retriers_that_share_a_breaker_fail_together() -> None:
    clock = Clock()
    one = Retrier(RetryPolicy(), lambda: clock.now, clock.sleep, lambda: 1.0)
    other = Retrier(RetryPolicy(), lambda: clock.now, clock.sleep, lambda: 1.0, one.breaker)
    with pytest.raises(Unavailable):
        one.call(failing(*[BROKEN] * 30))
    with pytest.raises(Unavailable):
        other.call(failing())


@pytest.mark.parametrize(
    "answer",
    [THROTTLED, refusal("Query", "ValidationException", "no"), refusal("Query", "ResourceNotFoundException", "")],
)
def test_a_refusal_is_an_answer(answer: Exception) -> None:
    clock = Clock()
    retrier = Retrier(RetryPolicy(), lambda: clock.now, clock.sleep, lambda: 1.0)
    for _ in range(10):
        retrier.breaker.failed("gone")
        clock.now += 1.0
    assert retrier.breaker.opened.is_set()
    retrier.probe(failing(answer))
    assert not retrier.breaker.opened.is_set()


def test_what_says_nothing_of_the_service_changes_nothing() -> None:
    retrier = Retrier(RetryPolicy())
    with pytest.raises(Refused):
        retrier.call(failing(NoCredentialsError()))
    with pytest.raises(NotFound):
        retrier.call(failing(refusal("Query", "ResourceNotFoundException", "")), TableName="t")
    assert retrier.breaker.reason == ""


def test_the_prober_asks_until_it_is_answered_and_then_says_so() -> None:
    clock = Clock()
    retrier = Retrier(RetryPolicy(), lambda: clock.now, clock.sleep, lambda: 1.0)
    send = failing(AWAY, BROKEN, AWAY)
    back = threading.Event()
    prober = Prober(retrier.breaker, lambda: retrier.probe(send), back.set, pause_s=0.001)
    try:
        assert not back.is_set()
        for _ in range(3):
            retrier.breaker.failed("gone")
            clock.now += 2.0
        assert back.wait(30.0)
        retrier.breaker.check()
    finally:
        prober.stop()
