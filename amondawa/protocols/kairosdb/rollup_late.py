"""Which periods of roll-ups a batch of points touches that were computed already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from amondawa.model.points import Int64s, WriteBatch
from amondawa.model.series import Series
from amondawa.protocols.kairosdb.rollup_periods import PeriodGrid

_SINGLE_PERIODS = 16
"""Late points in more periods than this are marked as one range."""


@dataclass(frozen=True, slots=True)
class Source:
    """A metric that a roll-up reads.

    Attributes:
        domain, metric: what is read.
        task_id, query_key: for which query.
        grid: its periods.
        watermark_ms: the end of what was computed.
    """

    domain: str
    metric: str
    task_id: str
    query_key: str
    grid: PeriodGrid
    watermark_ms: int


class LateWatch:
    """The sources of all roll-ups, and the test whether a batch touches what was computed.

    Args:
        series_of: the gateway's.
    """

    def __init__(self, series_of: Callable[[int], Series]) -> None:
        self._series_of = series_of
        self._sources: dict[tuple[str, str], list[Source]] = {}
        self._newest_ms: int | None = None

    def set(self, sources: Iterable[Source]) -> None:
        """Replace all sources."""
        self._sources = {}
        for one in sources:
            self._sources.setdefault((one.domain, one.metric), []).append(one)
        marks = [one.watermark_ms for group in self._sources.values() for one in group]
        self._newest_ms = max(marks, default=None)

    def touched(self, batch: WriteBatch) -> Iterator[tuple[Source, int, int]]:
        """Yield the ranges of whole periods (start, end exclusive) that late points of a batch fall into."""
        if self._newest_ms is None or not len(batch) or int(batch.times_ms.min()) >= self._newest_ms:
            return
        late = batch.times_ms < self._newest_ms
        refs, times_ms = batch.refs[late], batch.times_ms[late]
        for ref in np.unique(refs).tolist():
            series = self._series_of(ref)
            for source in self._sources.get((series.domain, series.metric), ()):
                own = np.unique(times_ms[refs == ref])
                for start_ms, end_ms in _ranges(own[own < source.watermark_ms], source.grid):
                    yield source, start_ms, end_ms


def _ranges(times_ms: Int64s, grid: PeriodGrid) -> list[tuple[int, int]]:
    """Return the periods that hold some ascending times; one range around all when they are many."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(times_ms):
        time_ms = int(times_ms[at])
        if len(found) == _SINGLE_PERIODS:
            return [(found[0][0], grid.after(int(times_ms[-1])))]
        found.append((grid.floor(time_ms), grid.after(time_ms)))
        at = int(np.searchsorted(times_ms, found[-1][1], "left"))
    return found
