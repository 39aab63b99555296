"""The circuit breaker: while DynamoDB does not answer, requests fail at once, so that nobody waits for a dead service.

It is closed (all requests pass), opens when nothing was answered for a while, and closes with the first answer. Meanwhile a
probe every second is the only request that passes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from amondawa.errors import Unavailable

AFTER_S = 2.0
FAILURES = 3
"""Fewer failures in a row do not open it, however long ago the first one was."""
PROBE_S = 1.0
RETRY_AFTER_S = 5

log = structlog.get_logger()


class Breaker:
    """Judges from what became of requests whether the service is there; safe in any thread.

    A throttled or refused request was answered. One without an answer, or with the service's own failure, was not.

    Args:
        after_s: it opens when nothing was answered for this long after a failure.
        clock: monotonic seconds.
    """

    def __init__(self, after_s: float, clock: Callable[[], float]) -> None:
        self._after_s = after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._first_s = 0.0
        self._cause = ""
        self.opened = threading.Event()

    def check(self) -> None:
        """Raise Unavailable while it is open."""
        if self.opened.is_set():
            raise Unavailable(self.reason or "DynamoDB has not answered", RETRY_AFTER_S)

    @property
    def reason(self) -> str:
        """Why it is open; empty while it is closed."""
        if not self.opened.is_set():
            return ""
        with self._lock:
            return f"DynamoDB has not answered for {self._clock() - self._first_s:.0f} s: {self._cause}"

    def failed(self, cause: str) -> None:
        """Note a request that was not answered."""
        with self._lock:
            now = self._clock()
            if not self._failures:
                self._first_s = now
            self._failures += 1
            self._cause = cause
            opens = self._failures >= FAILURES and now - self._first_s >= self._after_s
            if not opens or self.opened.is_set():
                return
            self.opened.set()
        log.error("DynamoDB does not answer; requests fail at once until it does", cause=cause)

    def answered(self) -> None:
        """Note an answer."""
        if not self._failures:
            return
        with self._lock:
            away_s = self._clock() - self._first_s
            self._failures = 0
            was_open = self.opened.is_set()
            self.opened.clear()
        if was_open:
            log.info("DynamoDB answers again", away_s=round(away_s, 1))


class Prober:
    """Asks the service while the breaker is open, in a thread of its own.

    Args:
        breaker: told what becomes of each probe by `ask`.
        ask: makes one request past the breaker.
        pause_s: between two probes.
        back: called when the service answers again.
    """

    def __init__(
        self, breaker: Breaker, ask: Callable[[], None], back: Callable[[], None], pause_s: float = PROBE_S
    ) -> None:
        self._breaker = breaker
        self._ask = ask
        self._back = back
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dynamodb-probe", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._breaker.opened.wait()
            if self._stop.wait(self._pause_s):
                return
            self._ask()
            if not self._breaker.opened.is_set():
                self._back()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._breaker.opened.set()
        self._thread.join()
        self._breaker.opened.clear()
