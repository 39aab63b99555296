"""Who pays: the domains for whose points or questions the requests to a billed store are made.

Work says so around itself, in its own thread; a store that bills meters each request's units to whoever is set then. What
nobody is set for (leases, the looks at access keys, maintenance of blocks) is the gateway's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

GATEWAY = ""
"""stands for no domain"""
Shares = Mapping[str, float]
"""share of each domain; they add up to 1"""
_NOBODY: Shares = {GATEWAY: 1.0}
_payers: ContextVar[Shares] = ContextVar("payers", default=_NOBODY)


def payers() -> Shares:
    """Return who pays for what is done now."""
    return _payers.get()


@contextmanager
def paid_by(weights: Mapping[str, float]) -> Iterator[None]:
    """Have domains pay for what is done inside, each by its weight (its points, say); nobody where all weigh nothing."""
    total = sum(weights.values())
    token = _payers.set({domain: weight / total for domain, weight in weights.items()} if total else _NOBODY)
    try:
        yield
    finally:
        _payers.reset(token)


def at_cost_of(domain: str, work: Callable[[], T]) -> T:
    """Do some work for which one domain pays."""
    with paid_by({domain: 1.0}):
        return work()
