"""Turns: of several gateways on one store one at a time rewrites stored rows, or one would undo what another removes."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from amondawa.errors import Unavailable
from amondawa.store.base import BlockStore
from amondawa.store.lease import TimedLease

LENGTH_MS = 12_000
RENEW_S = 3.0
PATIENCE_S = 60.0
"""Longer than a lease, so that the turn of a gateway that is gone is waited out."""
_PAUSE_S = 0.1


class Turns:
    """The turn of one gateway; taken by one thread at a time, which may take it again while it has it.

    Args:
        store: where the lease is; nothing is taken where no other gateway can be.
        now_ms: the wall clock.
    """

    def __init__(self, store: BlockStore, now_ms: Callable[[], int]) -> None:
        self._lease = (
            TimedLease(store, "rewrite", secrets.token_hex(8), LENGTH_MS) if store.shared is not None else None
        )
        self._now_ms = now_ms
        self._lock = threading.RLock()
        self._depth = 0
        self._taken_s = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn, and have it inside.

        Raises:
            Unavailable: it did not come, or was lost to another gateway.
        """
        if self._lease is None:
            yield
            return
        with self._lock:
            self._take(self._lease)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth:
                    self._lease.release(self._now_ms())

    def _take(self, lease: TimedLease) -> None:
        if self._depth and time.monotonic() - self._taken_s < RENEW_S:
            return
        until = time.monotonic() + (0.0 if self._depth else PATIENCE_S)
        while not lease.take(self._now_ms()):
            if time.monotonic() >= until:
                raise Unavailable("another gateway rewrites stored rows; try again later", retry_after_s=5)
            time.sleep(_PAUSE_S)
        self._taken_s = time.monotonic()
