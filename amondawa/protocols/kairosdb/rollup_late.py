"""Which periods of roll-ups a batch of points touches that may have been computed already.

Another gateway may be the one that computes: how far it has come is not known here to the second, but that it never computes
a period that has not ended is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from amondawa.model.points import Int64s, WriteBatch
from amondawa.model.series import Series
from amondawa.protocols.kairosdb.rollup_periods import EARLIEST_MS, PeriodGrid

SETTLE_MS = 3_000
"""By how much gateways' clocks may differ, and how long a point may need until all of them see it, together."""
_SINGLE_PERIODS = 16
"""Late points in more periods than this are marked as ranges of several, no more of them."""


@dataclass(frozen=True, slots=True)
class Source:
    """A metric that a roll-up reads.

    Attributes:
        domain, metric: what is read.
        task_id, query_key: for which query.
        grid: its periods.
    """

    domain: str
    metric: str
    task_id: str
    query_key: str
    grid: PeriodGrid


class LateWatch:
    """The sources of all roll-ups, and the test whether a batch touches a period that has ended, or is about to.

    Args:
        series_of: the gateway's.
    """

    def __init__(self, series_of: Callable[[int], Series]) -> None:
        self._series_of = series_of
        self._sources: dict[tuple[str, str], list[Source]] = {}
        self._ended_ms: dict[Source, int] = {}
        self._newest_ms: int | None = None
        self._until_ms: int | None = None

    def set(self, sources: Iterable[Source]) -> None:
        """Replace all sources."""
        self._sources = {}
        for one in sources:
            self._sources.setdefault((one.domain, one.metric), []).append(one)
        self._until_ms = None

    def _look(self, now_ms: int) -> None:
        """Note which periods have ended, unless that was noted and none has since."""
        if self._until_ms is not None and now_ms < self._until_ms:
            return
        soon_ms = now_ms + SETTLE_MS
        sources = [one for group in self._sources.values() for one in group]
        self._ended_ms = {one: one.grid.floor(soon_ms) for one in sources}
        self._newest_ms = max(self._ended_ms.values(), default=None)
        self._until_ms = min((one.grid.after(soon_ms) for one in sources), default=2**63) - SETTLE_MS

    def touched(self, batch: WriteBatch, now_ms: int) -> list[tuple[Source, int, int]]:
        """Return the ranges of whole periods (start, end exclusive) that late points of a batch fall into.

        All at once: the sources may be others by the time that a range is marked.
        """
        self._look(now_ms)
        if self._newest_ms is None or not len(batch) or int(batch.times_ms.min()) >= self._newest_ms:
            return []
        late = (batch.times_ms < self._newest_ms) & (batch.times_ms >= EARLIEST_MS)
        refs, times_ms = batch.refs[late], batch.times_ms[late]
        found = []
        for ref in np.unique(refs).tolist():
            series = self._series_of(ref)
            for source in self._sources.get((series.domain, series.metric), ()):
                own = np.unique(times_ms[refs == ref])
                for start_ms, end_ms in _ranges(own[own < self._ended_ms[source]], source.grid):
                    found.append((source, start_ms, end_ms))
        return found


def _ranges(times_ms: Int64s, grid: PeriodGrid) -> list[tuple[int, int]]:
    """Return the periods that hold some ascending times; a few ranges around them when they are many."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(times_ms):
        if len(found) == _SINGLE_PERIODS:
            return _wide_ranges(times_ms, grid)
        time_ms = int(times_ms[at])
        found.append((grid.floor(time_ms), grid.after(time_ms)))
        at = int(np.searchsorted(times_ms, found[-1][1], "left"))
    return found


def _wide_ranges(times_ms: Int64s, grid: PeriodGrid) -> list[tuple[int, int]]:
    """Return ranges around ascending times, parted where the times lie farthest from one another."""
    gaps = np.diff(times_ms)
    last_ones = np.sort(np.argsort(gaps, kind="stable")[-(_SINGLE_PERIODS - 1) :])
    firsts = [0, *(last_ones + 1).tolist()]
    lasts = [*last_ones.tolist(), len(times_ms) - 1]
    found: list[tuple[int, int]] = []
    for first, last in zip(firsts, lasts, strict=True):
        start_ms, end_ms = grid.floor(int(times_ms[first])), grid.after(int(times_ms[last]))
        if found and start_ms <= found[-1][1]:
            start_ms = found.pop()[0]
        found.append((start_ms, end_ms))
    return found
