"""Faults that the strict fake can be told to have: throttling, leftovers, errors, timeouts before and after the effect."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from tests.store.strict_fake_rules import refusal

T = TypeVar("T")
URL = "http://fake.invalid/"


@dataclass(slots=True)
class Faults:
    """Shares (0 to 1) of data requests that meet a fault.

    Attributes:
        throttle: the whole request is refused.
        leftover: share of the entries of a batch that are left unprocessed.
        broken: answered with a 500, half of them after the effect.
        timeout_before, timeout_after: no answer; the effect did not, or did, take place.
        down: nothing can be reached.
        stale: share of what an eventually consistent read sees that is some writes old.
        seed: of the draws.
    """

    throttle: float = 0.0
    leftover: float = 0.0
    broken: float = 0.0
    timeout_before: float = 0.0
    timeout_after: float = 0.0
    down: bool = False
    seed: int = 1
    stale: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def clear(self) -> None:
        """Have no faults from now on."""
        self.throttle = self.leftover = self.broken = self.timeout_before = self.timeout_after = 0.0
        self.stale = 0.0
        self.down = False

    def met(self, name: str, share: float) -> bool:
        """Draw whether a fault is met, and count it."""
        if share <= 0 or self._random.random() >= share:
            return False
        self.counts[name] = self.counts.get(name, 0) + 1
        return True

    def around(self, operation: str, effect: Callable[[], T]) -> T:
        """Carry out a request's effect with the faults before and after it."""
        if self.down:
            raise EndpointConnectionError(endpoint_url=URL)
        if self.met("timeout_before", self.timeout_before):
            raise ConnectTimeoutError(endpoint_url=URL)
        if self.met("throttle", self.throttle):
            raise refusal(operation, "ProvisionedThroughputExceededException", "the level of throughput is exceeded")
        broken = self.met("broken", self.broken)
        if broken and self._random.random() < 0.5:
            raise refusal(operation, "InternalServerError", "internal server error", 500)
        answer = effect()
        if broken:
            raise refusal(operation, "InternalServerError", "internal server error", 500)
        if self.met("timeout_after", self.timeout_after):
            raise ReadTimeoutError(endpoint_url=URL)
        return answer
