"""Fair shares of the journal: who commits next, and who may still queue, when several domains write at once.

Deficit round robin: every domain with something queued gets the same number of points in its turn, whatever the size of
its batches, and a batch larger than a turn is paid off over several. One domain alone has everything.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from amondawa.model.points import WriteBatch
from amondawa.model.receipt import carries_receipt

T = TypeVar("T")

SHARED_POINTS = 8_192
"""points of one commit while several domains write: nobody waits long for a commit of somebody else's"""
TURN_POINTS = 4_096
"""points of one domain in one turn"""


@dataclass(slots=True)
class _Line(Generic[T]):
    """What one domain has queued.

    Attributes:
        waiting: (operation, its points; None = it goes alone).
        credit: points that the domain may still have in this turn; below 0 it owes.
    """

    waiting: deque[tuple[T, int | None]] = field(default_factory=deque)
    credit: int = 0


class FairQueue(Generic[T]):
    """Operations that wait for the journal: in order within a domain, in turns among them. Not thread-safe by itself.

    Args:
        turn_points: see TURN_POINTS.
    """

    def __init__(self, turn_points: int = TURN_POINTS) -> None:
        self._turn_points = turn_points
        self._lines: dict[str, _Line[T]] = {}
        self._turns: deque[str] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, domain: str, operation: T, points: int | None) -> None:
        """Queue an operation of a domain; `points` None: it must be taken alone."""
        line = self._lines.get(domain)
        if line is None:
            line = self._lines[domain] = _Line()
            self._turns.append(domain)
        line.waiting.append((operation, points))
        self._count += 1

    def take(self, most: int) -> list[T]:
        """Return what is to be committed together: one operation that goes alone, or some of about `most` points.

        At least one operation comes back; the queue must not be empty.
        """
        group: list[T] = []
        room = most
        while self._turns and room > 0:
            domain = self._turns[0]
            line = self._lines[domain]
            if line.waiting[0][1] is None:
                if not group:
                    group.append(self._pop(line))
                    self._end_turn(domain, line)
                return group
            line.credit += self._turn_points
            while room > 0 and line.credit > 0 and line.waiting and (points := line.waiting[0][1]) is not None:
                group.append(self._pop(line))
                line.credit -= points
                room -= points
            self._end_turn(domain, line)
        return group

    def _pop(self, line: _Line[T]) -> T:
        self._count -= 1
        return line.waiting.popleft()[0]

    def _end_turn(self, domain: str, line: _Line[T]) -> None:
        """Let the next domain have its turn; one that has nothing left owes nothing either."""
        self._turns.popleft()
        if line.waiting:
            self._turns.append(domain)
        else:
            del self._lines[domain]


def cut(batch: WriteBatch) -> list[WriteBatch]:
    """Return a batch in pieces of SHARED_POINTS points, in order; whole when it is small, has texts, or carries a receipt.

    Texts belong to the whole, and a receipt must be durable with all that it stands for.
    """
    if len(batch) <= SHARED_POINTS or batch.texts or carries_receipt():
        return [batch]
    columns = batch.points()
    places = [slice(at, at + SHARED_POINTS) for at in range(0, len(batch), SHARED_POINTS)]
    return [WriteBatch.of(batch.refs[place], columns.take(place)) for place in places]


class Shares:
    """Bytes that wait for their commit, by domain: a full journal turns away those who filled it.

    Args:
        limit_bytes: from here on a domain needs to be below its share to queue more.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._bytes: dict[str, int] = {}
        self.total = 0

    def add(self, domain: str, size: int) -> None:
        """Count bytes in (or, below 0, out)."""
        self.total += size
        now = self._bytes.get(domain, 0) + size
        if now > 0:
            self._bytes[domain] = now
        else:
            self._bytes.pop(domain, None)

    def most_is_of(self, domain: str) -> bool:
        """Say whether a domain has more than its share among several."""
        return len(self._bytes) > 1 and self._bytes.get(domain, 0) * len(self._bytes) > self.total

    def full_for(self, domain: str, limit_bytes: int = 0) -> bool:
        """Say whether a domain must wait: all that wait is past the limit, and it has its share of that or more.

        A share is what each domain that has something would have of half the limit, so that n domains together reach
        1 + ln(n)/2 limits at most, and one batch each; the limit of all memory holds besides.
        """
        limit = limit_bytes or self._limit
        if self.total <= limit:
            return False
        among = len(self._bytes) + (domain not in self._bytes)
        return among == 1 or self._bytes.get(domain, 0) >= limit // (2 * among)
