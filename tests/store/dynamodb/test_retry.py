from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from amondawa.errors import NotFound, Unavailable
from amondawa.store.dynamodb.retry import ConditionFailed, Refused, Retrier, RetryPolicy
from tests.store.strict_fake_rules import refusal

THROTTLED = refusal("Query", "ProvisionedThroughputExceededException", "too fast")
BROKEN = refusal("Query", "InternalServerError", "oops", 500)
UNKNOWN = ReadTimeoutError(endpoint_url="http://x")


class Clock:
    """A clock that only sleeping moves on; draws are the largest."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def retrier(clock: Clock, draw: float = 1.0, **policy: float) -> Retrier:
    return Retrier(RetryPolicy(**policy), lambda: clock.now, clock.sleep, lambda: draw)


def failing(*errors: Exception) -> Callable[..., dict[str, Any]]:
    """Return a request that fails with each error in turn, then answers."""
    left = list(errors)

    def send(**arguments: Any) -> dict[str, Any]:
        if left:
            raise left.pop(0)
        return {"asked": arguments}

    return send


@pytest.mark.parametrize(
    "error",
    [
        THROTTLED,
        BROKEN,
        refusal("Query", "ThrottlingException", "slow down"),
        refusal("Query", "RequestLimitExceeded", "slow down"),
        refusal("Query", "", "bad gateway", 502),
        UNKNOWN,
        ConnectTimeoutError(endpoint_url="http://x"),
        EndpointConnectionError(endpoint_url="http://x"),
    ],
    ids=lambda error: str(error)[:40],
)
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    clock = Clock()
    made = retrier(clock)
    assert made.call(failing(error, error), TableName="t") == {"asked": {"TableName": "t"}}
    assert (made.retries, len(clock.pauses)) == (2, 2)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (refusal("Query", "ValidationException", "no"), Refused),
        (refusal("Query", "AccessDeniedException", "no"), Refused),
        (refusal("Query", "ResourceNotFoundException", "no"), NotFound),
        (refusal("PutItem", "ConditionalCheckFailedException", "no"), ConditionFailed),
        (NoCredentialsError(), Refused),
    ],
)
def test_what_will_not_pass_is_raised_at_once(error: Exception, raised: type[Exception]) -> None:
    clock = Clock()
    with pytest.raises(raised):
        retrier(clock).call(failing(error), TableName="t")
    assert clock.pauses == []


def test_pauses_double_up_to_the_cap() -> None:
    clock = Clock()
    retrier(clock, base_s=0.1, cap_s=0.5).call(failing(*[THROTTLED] * 5))
    assert clock.pauses == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_pauses_are_drawn_from_nothing_to_their_bound() -> None:
    clock = Clock()
    retrier(clock, draw=0.25, base_s=0.1).call(failing(THROTTLED, THROTTLED))
    assert clock.pauses == [0.025, 0.05]


def test_no_try_begins_after_the_deadline() -> None:
    clock = Clock()
    with pytest.raises(Unavailable, match="within 3 s: ProvisionedThroughputExceeded"):
        retrier(clock, base_s=1.0, cap_s=1.0, deadline_s=3.0).call(failing(*[THROTTLED] * 9))
    assert clock.now == 3.0


def test_the_budget_ends_retries_and_successes_fill_it() -> None:
    clock = Clock()
    made = retrier(clock, budget=20.0)
    with pytest.raises(Unavailable, match="too many requests"):
        made.call(failing(*[THROTTLED] * 9))
    assert len(clock.pauses) == 4
    with pytest.raises(Unavailable):
        made.call(failing(THROTTLED))
    for _ in range(5):
        made.call(failing())
    assert made.call(failing(THROTTLED))


def test_a_retry_that_succeeds_gives_back_what_it_took() -> None:
    made = retrier(Clock(), budget=10.0)
    for _ in range(50):
        made.call(failing(UNKNOWN))


def test_progress_of_a_batch_begins_the_deadline_anew() -> None:
    clock = Clock()
    tries = retrier(clock, base_s=1.0, cap_s=1.0, deadline_s=2.0).tries()
    for _ in range(10):
        tries.throttled(progressed=True)
    assert clock.now == 10.0
    tries.throttled(progressed=False)
    with pytest.raises(Unavailable, match="left unprocessed"):
        tries.throttled(progressed=False)


def test_a_try_without_an_answer_leaves_its_effect_unknown() -> None:
    made = retrier(Clock())
    for error, unknown in ((THROTTLED, False), (BROKEN, True), (UNKNOWN, True)):
        tries = made.tries()
        tries.send(failing(error))
        assert tries.unknown is unknown
