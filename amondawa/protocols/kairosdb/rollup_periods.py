"""The periods of a roll-up: one fixed grid a sampling and zone, whenever and from wherever a run begins.

Days, weeks, months and years follow the zone's calendar from Monday, 1 January 2001 on. Shorter periods that divide a day
begin anew at every local midnight; others follow one another in elapsed time from that Monday on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from amondawa.aggregate.buckets import CalendarBuckets, EqualBuckets
from amondawa.model.points import Int64s
from amondawa.model.timespan import DAY_MS, Span, Unit, Zone

EARLIEST_MS = -(2**52)
"""Periods are counted back to here, 140,000 years ago; calendars reach little farther, and points before it are in none."""

_MONDAY_2001_MS = 978_307_200_000
_MOST_PERIODS = 10_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive whole periods that one query can compute: buckets counted from its start are the periods.

    Attributes:
        start_ms: start of the first period.
        end_ms: end of the last one, exclusive.
    """

    start_ms: int
    end_ms: int


class PeriodGrid:
    """The periods of one sampling in one zone.

    Args:
        period: their length, at least one unit.
        zone: whose calendar and midnights they follow.
    """

    def __init__(self, period: Span, zone: Zone) -> None:
        self._zone = zone
        self._period = Span(max(1, period.value), period.unit)
        origin_ms = zone.moment(_MONDAY_2001_MS)
        fixed_ms = self._period.unit.fixed_ms
        self._step_ms = None if fixed_ms is None else self._period.value * fixed_ms
        self._daily = self._step_ms is not None and DAY_MS % self._step_ms == 0
        self._days = CalendarBuckets(origin_ms, 1, Unit.DAYS, zone)
        self._periods: CalendarBuckets | EqualBuckets
        if self._step_ms is None:
            self._periods = CalendarBuckets(origin_ms, self._period.value, self._period.unit, zone)
        else:
            self._periods = EqualBuckets(origin_ms, self._step_ms)

    def floor(self, time_ms: int) -> int:
        """Return the start of the period that holds a moment."""
        if self._daily and self._step_ms:
            midnight = _edge(self._days, time_ms, 0)
            return midnight + (time_ms - midnight) // self._step_ms * self._step_ms
        return _edge(self._periods, time_ms, 0)

    def ceiling(self, time_ms: int) -> int:
        """Return the moment itself when a period begins there, else the end of the period that holds it."""
        start_ms = self.floor(time_ms)
        return start_ms if start_ms == time_ms else self.after(time_ms)

    def after(self, time_ms: int) -> int:
        """Return the end of the period that holds a moment."""
        if self._daily and self._step_ms:
            return min(self.floor(time_ms) + self._step_ms, _edge(self._days, time_ms, 1))
        return _edge(self._periods, time_ms, 1)

    def stretches(self, start_ms: int, end_ms: int) -> Iterator[Stretch]:
        """Yield the stretches from one edge to another: a local day each, or up to 10,000 longer periods."""
        at = start_ms
        while at < end_ms:
            until = _edge(self._days, at, 1) if self._daily else _edge(self._periods, at, _MOST_PERIODS)
            until = min(until, end_ms)
            yield Stretch(at, until)
            at = until


def _edge(buckets: CalendarBuckets | EqualBuckets, time_ms: int, ahead: int) -> int:
    """Return the edge so many buckets ahead of the start of the one that holds a moment."""
    moment: Int64s = np.array([time_ms], np.int64)
    return int(buckets.edges(buckets.numbers(moment) + ahead)[0])
