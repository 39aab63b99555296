"""Numbers of generations, segments and chunks: each is given once, whatever clocks say, by whichever gateway asks."""

from __future__ import annotations

from collections.abc import Callable

from amondawa.ingest.stamps import StampClock
from amondawa.store.base import BlockStore, Item

MASTER = "master"
_LAST = (b"journal", b"generation")


class Numbers:
    """Gives numbers that ascend, near the time in ms since 1970 UTC; safe in any thread.

    Args:
        clock: what it stamps from then on is later than chunks of the number; None where nothing is stamped.
    """

    def __init__(self, store: BlockStore, now_ms: Callable[[], int], clock: StampClock | None) -> None:
        self._store = store
        self._now_ms = now_ms
        self._clock = clock

    def next(self, least: int) -> int:
        """Return a number above all earlier ones and above `least`, and remember it. Raises StoreError."""
        while True:  # until no other gateway took a number meanwhile
            kept = self._store.get(MASTER, [_LAST])[0]
            last = max(least, int(kept.value) if kept else 0)
            number = max(last + 1, self._now_ms())
            if self._store.put_if(MASTER, Item(*_LAST, str(number).encode()), kept.value if kept else None):
                if self._clock is not None:
                    self._clock.observe(number * 1000)
                return number
