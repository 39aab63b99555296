"""Who the request at hand comes from, and what it may do. Set around a request, looked at by the guarded door.

Work that no request began (start-up, roll-ups, flushes) has no caller and may do everything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field

from amondawa.auth.permissions import Right
from amondawa.errors import Forbidden
from amondawa.model.receipt import Receipt


@dataclass(slots=True, eq=False)
class Caller:
    """One request's or connection's identity.

    Attributes:
        domain: the one domain that it works on.
        rights: what it may do there.
        key: access key; empty = without one.
        operator: whether it may see what concerns all domains.
        signature: of a signed request; None = it was not signed.
        signed_s: when it was signed, seconds since 1970.
        body: of a request whose body was read already.
    """

    domain: str
    rights: Right
    key: str = ""
    operator: bool = False
    signature: bytes | None = None
    signed_s: int = 0
    body: bytes | None = field(default=None, repr=False)
    replayed: bool | None = field(default=None)
    """whether a signed request was applied before; None = not looked at yet"""
    failed: bool = False
    """whether one of its changes was not carried out"""
    sent: dict[str, str] | None = field(default=None, repr=False)
    """clear values of hashed tags that the request names, by their hashes; None = its answers are not translated"""
    receipt: Receipt | None = field(default=None, repr=False)
    """what makes the request known once its changes were carried out; None = it is not signed, or changed nothing yet"""

    def require(self, right: Right, domain: str) -> None:
        """Let only what is permitted pass.

        Raises:
            Forbidden: another domain, or a right that the caller lacks.
        """
        if domain != self.domain:
            raise Forbidden("this request may not leave its domain")
        if right not in self.rights:
            what = "read" if right is Right.READ else "write"
            raise Forbidden(f"no permission to {what} in domain {domain}")


_CALLER: ContextVar[Caller | None] = ContextVar("amondawa_caller", default=None)


def current_caller() -> Caller | None:
    """Return the caller of the work at hand; None = the gateway itself."""
    return _CALLER.get()


@contextlib.contextmanager
def acting_for(caller: Caller | None) -> Iterator[None]:
    """Do the work inside for a caller; None = for the gateway itself."""
    token = _CALLER.set(caller)
    try:
        yield
    finally:
        _CALLER.reset(token)


def context_of(caller: Caller) -> Context:
    """Return a context in which work is a caller's; one that runs for long, or waits, is run in a copy of it."""
    context = copy_context()
    context.run(_CALLER.set, caller)
    return context


def acting_as_gateway() -> contextlib.AbstractContextManager[None]:
    """Do what a request needs but its caller need not be permitted: the gateway's own book-keeping."""
    return acting_for(None)
