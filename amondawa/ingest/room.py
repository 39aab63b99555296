"""Room in memory for points that are not in chunks yet: how much there is, and who has to wait when it gets short."""

from __future__ import annotations

from collections.abc import Callable

from amondawa.ingest.fairness import Shares

SHORT = 0.9
"""of the room: from here on those who can wait should"""
SHORT_FOR_LARGEST = 0.8
"""sooner for the domain that has filled most of it"""
FULL_FOR_LARGEST = 0.9
"""from here on that domain's writes are refused"""
TIGHT = 0.8
"""of the room: from here on nothing is kept that could be let go"""


class Room:
    """Bounds the memory of one gateway's points. Lives on the event loop.

    Args:
        usual_bytes: what points may take.
        spool_bytes: what they may take while there are any in the spool, when that is more.
        held: returns the bytes that they take.
        is_spooling: whether there are any in the spool.
    """

    def __init__(
        self, usual_bytes: int, spool_bytes: int, held: Callable[[], int], is_spooling: Callable[[], bool]
    ) -> None:
        self._usual_bytes, self._spool_bytes = usual_bytes, max(usual_bytes, spool_bytes)
        self._held = held
        self._is_spooling = is_spooling
        self._is_wide = False
        self._filled = Shares(0)

    @property
    def limit_bytes(self) -> int:
        """What points may take now: more while there are any in the spool, and until they are flushed."""
        if self._is_spooling():
            self._is_wide = True
        elif self._is_wide:
            self._is_wide = self._held() > self._usual_bytes // 2
        return self._spool_bytes if self._is_wide else self._usual_bytes

    def recover(self, held_bytes: int) -> None:
        """Begin with points that a start brought back, however many."""
        self._is_wide = held_bytes > self._usual_bytes

    def begin_anew(self) -> None:
        """Forget who filled it: a generation was frozen."""
        self._filled = Shares(0)

    def add(self, domain: str, size_bytes: int) -> None:
        """Note what a domain puts in."""
        self._filled.add(domain, size_bytes)

    @property
    def is_half_empty(self) -> bool:
        """Whether there is no hurry."""
        return self._held() <= self.limit_bytes // 2

    @property
    def is_tight(self) -> bool:
        """Whether what could be let go should be."""
        return self._held() > self.limit_bytes * TIGHT

    @property
    def is_short(self) -> bool:
        """Whether writers that can wait should."""
        return self._held() > self.limit_bytes * SHORT

    def is_short_for(self, domain: str) -> bool:
        """Whether writers of a domain that can wait should."""
        share = SHORT_FOR_LARGEST if self._filled.most_is_of(domain) else SHORT
        return self._held() > self.limit_bytes * share

    def is_full_for(self, domain: str) -> bool:
        """Whether a domain's writes are refused."""
        share = FULL_FOR_LARGEST if self._filled.most_is_of(domain) else 1.0
        return self._held() > self.limit_bytes * share

    def share_bytes(self, others: int) -> int:
        """What the active generation may take: as much is kept of each other gateway's, and is being flushed."""
        return self._usual_bytes // 2 // (1 + others)
