"""The one retry layer: capped exponential back-off with full jitter, a budget, a deadline for each request, a breaker.

Every request that goes through here is idempotent, so one whose fate is unknown (a timeout, a lost connection) is simply
made again. What DynamoDB leaves unprocessed of a batch counts as throttling.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amondawa.errors import NotFound, StoreError, Unavailable
from amondawa.store.dynamodb.breaker import AFTER_S, Breaker

_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "TransactionInProgressException",
        "ReplicatedWriteConflictException",
    }
)
_FAILED_THERE = frozenset(
    {"InternalServerError", "InternalFailure", "InternalServerException", "ServiceUnavailable", "RequestTimeout"}
)
_SLOW_STATUS = frozenset({429, 500, 502, 503, 504})


_own = random.Random()
"""of our own: whoever seeds the common one does not want threads of ours to draw from it"""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a request is tried.

    Attributes:
        base_s: longest first pause; it doubles with each try,
        cap_s: up to this; each pause is drawn evenly from 0 to that bound (full jitter).
        deadline_s: no try begins later than this after the first one, or after the last progress of a batch.
        budget: tokens that all requests of a store share. A retry takes some, a success gives some back, so that a
            service in trouble is not met with many times the usual requests.
        away_s: when nothing was answered for this long the service counts as away, see Breaker.
    """

    base_s: float = 0.05
    cap_s: float = 5.0
    deadline_s: float = 15.0
    budget: float = 500.0
    throttled_cost: float = 5.0
    unknown_cost: float = 10.0
    refund: float = 1.0
    away_s: float = AFTER_S


class ConditionFailed(Exception):
    """A conditional put found another value than expected.

    Args:
        item: attributes of the stored item; empty when there is none.
    """

    def __init__(self, item: dict[str, Any]) -> None:
        super().__init__("condition failed")
        self.item = item


class Refused(StoreError):
    """DynamoDB refused a request for good.

    Args:
        code: DynamoDB's error code.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a try did not succeed, when it may be repeated."""

    cause: str
    unknown: bool = False


class Budget:
    """Tokens for retries, shared by all requests of a store; safe in any thread."""

    def __init__(self, tokens: float) -> None:
        self._most = tokens
        self._tokens = tokens
        self._lock = threading.Lock()

    def take(self, cost: float) -> bool:
        """Take tokens; say whether there were enough."""
        with self._lock:
            if self._tokens < cost:
                return False
            self._tokens -= cost
            return True

    def give(self, tokens: float) -> None:
        """Give tokens back."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + tokens)


class Retrier:
    """Makes requests by a policy.

    Args:
        policy: how often and how long.
        clock, sleep, draw: time.monotonic, time.sleep and random.random, for tests to replace.
        breaker: that of another retrier of the same service; None = one of its own.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = _own.random,
        breaker: Breaker | None = None,
    ) -> None:
        self.breaker = breaker or Breaker(policy.away_s, clock)
        self.policy = policy
        self.clock = clock
        self.sleep = sleep
        self.draw = draw
        self.budget = Budget(policy.budget)
        self._lock = threading.Lock()
        self.retries = 0

    def call(self, send: Callable[..., dict[str, Any]], **arguments: Any) -> dict[str, Any]:
        """Make one request until it succeeds.

        Raises:
            Unavailable: not within the deadline or the budget, or the service is away; a write may or may not have been
                carried out.
            NotFound: no such table.
            ConditionFailed: of a conditional put.
            Refused: anything else, for good.
        """
        tries = self.tries()
        response = tries.send(send, **arguments)
        tries.succeeded()
        return response

    def ask(
        self, send: Callable[..., dict[str, Any]], arguments: dict[str, Any]
    ) -> tuple[dict[str, Any], _Failure | None, Exception | None]:
        """Make one request once, and tell the breaker; return its answer, or why it failed and may be repeated.

        Raises:
            NotFound, ConditionFailed, Refused: it may not.
        """
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            answer = send(**arguments)
        except ClientError as error:
            failed_there = _is_failure_there(error)
            self._note(_named(error) if failed_there else "")
            return {}, _judge(error, arguments), error
        except (BotoCoreError, ResponseParserError) as error:
            failure = _judge_connection(error)
            self._note(failure.cause)
            return {}, failure, error
        self._note("")
        return answer, None, None

    def probe(self, send: Callable[..., dict[str, Any]], **arguments: Any) -> None:
        """Make one request past the breaker, to see whether the service answers."""
        try:
            self.ask(send, arguments)
        except (NotFound, ConditionFailed, Refused):
            return  # an answer as well

    def _note(self, failure: str) -> None:
        """Tell the breaker why a request was not answered; empty = it was."""
        if failure:
            self.breaker.failed(failure)
        else:
            self.breaker.answered()

    def tries(self) -> Tries:
        """Return the tries of one request, or of one batch until nothing of it is left."""
        return Tries(self)

    def count_retry(self) -> None:
        """Note that a request is made again."""
        with self._lock:
            self.retries += 1


class Tries:
    """The tries of one request.

    Attributes:
        unknown: whether any try ended without an answer, so that it may have been carried out.
    """

    def __init__(self, retrier: Retrier) -> None:
        self._retrier = retrier
        self._began = retrier.clock()
        self._made = 0
        self._paid = 0.0
        self.unknown = False

    def send(self, send: Callable[..., dict[str, Any]], **arguments: Any) -> dict[str, Any]:
        """Return a request's answer, see Retrier.call; what it leaves unprocessed is the caller's to send again."""
        self._retrier.breaker.check()
        while True:
            answer, failure, error = self._retrier.ask(send, arguments)
            if failure is None:
                return answer
            self.unknown |= failure.unknown
            self._retrier.breaker.check()
            self._pause(failure, error)
            self._retrier.breaker.check()

    def throttled(self, *, progressed: bool) -> None:
        """Pause after an answer that left something unprocessed.

        Args:
            progressed: whether a part was carried out; then the deadline and the pauses begin anew.
        """
        if progressed:
            self.succeeded()
            self._began = self._retrier.clock()
            self._made = 0
        self._pause(_Failure("a part of a batch was left unprocessed"), None)

    def succeeded(self) -> None:
        """Note a success: what the last retry took from the budget is given back."""
        self._retrier.budget.give(self._paid or self._retrier.policy.refund)
        self._paid = 0.0

    def _pause(self, failure: _Failure, error: Exception | None) -> None:
        """Wait before the next try, or raise Unavailable."""
        retrier, policy = self._retrier, self._retrier.policy
        bound = min(policy.cap_s, policy.base_s * 2 ** min(self._made, 30))
        pause = bound * retrier.draw()
        self._made += 1
        if retrier.clock() + pause - self._began > policy.deadline_s:
            raise Unavailable(f"DynamoDB did not answer within {policy.deadline_s:g} s: {failure.cause}") from error
        cost = policy.unknown_cost if failure.unknown else policy.throttled_cost
        if not retrier.budget.take(cost):
            raise Unavailable(f"DynamoDB refuses too many requests: {failure.cause}") from error
        self._paid = cost
        retrier.count_retry()
        retrier.sleep(pause)


def _code_and_text(error: Any) -> tuple[str, str]:
    details = error.response.get("Error", {})
    return str(details.get("Code", "")), str(details.get("Message", ""))


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))


def _is_failure_there(error: Any) -> bool:
    """Whether a ClientError is the service's own failure, after which nobody knows what was carried out."""
    code = _code_and_text(error)[0]
    return code not in _THROTTLED and (code in _FAILED_THERE or _status(error) in _SLOW_STATUS)


def _named(error: Any) -> str:
    code, text = _code_and_text(error)
    return f"{code or _status(error)}: {text}"


def _judge(error: Any, arguments: dict[str, Any]) -> _Failure:
    """Return why a ClientError may be retried.

    Raises:
        NotFound, ConditionFailed, Refused: it may not.
    """
    code, text = _code_and_text(error)
    if code in _THROTTLED:
        return _Failure(f"{code}: {text}")
    if _is_failure_there(error):
        return _Failure(_named(error), unknown=True)
    if code == "ConditionalCheckFailedException":
        raise ConditionFailed(error.response.get("Item") or {}) from error
    if code == "ResourceNotFoundException":
        tables = [arguments["TableName"]] if "TableName" in arguments else list(arguments.get("RequestItems", ()))
        raise NotFound(f"there is no table {', '.join(tables)}: {text}") from error
    raise Refused(f"DynamoDB refused {error.operation_name}: {code}: {text}", code) from error


def _judge_connection(error: Exception) -> _Failure:
    """Return why an error without an answer may be retried. Raises Refused when it may not."""
    from botocore import exceptions, parsers

    passing = (
        exceptions.HTTPClientError,
        exceptions.ConnectionError,
        exceptions.IncompleteReadError,
        exceptions.CredentialRetrievalError,
        exceptions.MetadataRetrievalError,
        parsers.ResponseParserError,
    )
    if isinstance(error, passing):
        return _Failure(f"{type(error).__name__}: {error}", unknown=True)
    raise Refused(f"DynamoDB cannot be asked: {error}", type(error).__name__) from error
