"""What one domain uses and may use, as counted by this gateway."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from amondawa.auth.domains import DomainRules
from amondawa.errors import Overloaded, QuotaExceeded
from amondawa.model.series import Series, Tags

RECOUNT_S = 60.0
"""how often series are counted anew once there are as many as allowed: some may have been deleted"""
_MARK_BYTES = 8


@dataclass(slots=True)
class Counters:
    """What a domain did since the start."""

    points_written: int = 0
    points_refused: int = 0
    """past the points a second; a client that waits brings them again"""
    points_too_old: int = 0
    """past the retention"""
    series_refused: int = 0
    """new ones past the limit, each time they were tried"""
    queries: int = 0
    queries_refused: int = 0
    deletes: int = 0


class PointRate:
    """Points a second, on average over a second or a batch: a batch may go over and is paid off by waiting."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._credit = 0.0
        self._seen_s: float | None = None

    def take(self, points: int, per_second: int, domain: str) -> None:
        """Count points in.

        Raises:
            Overloaded: those before are not paid off yet; says when they will be.
        """
        now = self._clock()
        if self._seen_s is None:
            self._credit = float(per_second)
        else:
            self._credit = min(float(per_second), self._credit + (now - self._seen_s) * per_second)
        self._seen_s = now
        if self._credit <= 0:
            wait_s = int(-self._credit / per_second) + 1
            raise Overloaded(
                f"domain {domain} is limited to {per_second} points a second and has written more: slow down", wait_s
            )
        self._credit -= points


class SeriesCount:
    """The series of a domain with a limit on them, by short marks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: set[bytes] = set()
        self._since: set[bytes] = set()
        self._counted_s: float | None = None

    def __len__(self) -> int:
        return len(self._marks)

    def stale(self, limit: int) -> bool:
        """Say whether the series must be counted: never counted, or full for a while."""
        if self._counted_s is None:
            return True
        return len(self._marks) >= limit and self._clock() - self._counted_s > RECOUNT_S

    def begin(self) -> None:
        """A count begins: what is counted in from now on may be missing from it."""
        self._since = set()

    def count(self, series: Iterable[Series]) -> None:
        """Take these, and those that were counted in since the count began, for all there are."""
        self._marks = {_mark(one.metric, one.tags) for one in series} | self._since
        self._counted_s = self._clock()

    def forget(self) -> None:
        """There is no limit: what is counted now would be wrong by the time that there is one again."""
        self._marks.clear()
        self._counted_s = None

    def add(self, metric: str, tags: Tags, limit: int, domain: str) -> None:
        """Count a series in. Before the first count nobody knows which are new: all are taken.

        Raises:
            QuotaExceeded: it is a new one, and there are as many as allowed.
        """
        mark = _mark(metric, tags)
        if mark in self._marks:
            return
        if self._counted_s is not None and len(self._marks) >= limit:
            raise QuotaExceeded(f"domain {domain} is limited to {limit} series and has them: no new one is taken")
        self._marks.add(mark)
        self._since.add(mark)


def _mark(metric: str, tags: Tags) -> bytes:
    text = "\0".join((metric, *(part for pair in tags for part in pair)))
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=_MARK_BYTES).digest()


class Usage:
    """One domain's counters and meters.

    Args:
        domain: its name.
    """

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.counters = Counters()
        self.rate = PointRate()
        self.series = SeriesCount()

    def take_series(self, metric: str, tags: Tags, rules: DomainRules) -> None:
        """Count a series in. Raises QuotaExceeded past the limit."""
        try:
            self.series.add(metric, tags, rules.series, self.domain)
        except QuotaExceeded:
            self.counters.series_refused += 1
            raise

    def take_points(self, points: int, rules: DomainRules) -> None:
        """Count points in. Raises Overloaded past the rate."""
        if rules.points_per_second:
            try:
                self.rate.take(points, rules.points_per_second, self.domain)
            except Overloaded:
                self.counters.points_refused += points
                raise
        self.counters.points_written += points
