"""Grids that series are downsampled to before they are grouped: from the epoch, along a calendar, or one bucket for all.

Source: suites query_downsample, query_calendar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from amondawa.aggregate.buckets import Buckets, CalendarBuckets, EqualBuckets, epoch_buckets
from amondawa.model.points import Int64s
from amondawa.model.timespan import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, UTC_ZONE, Unit, Zone, floor_local

SUNDAY_MS: Final = 3 * DAY_MS
"""1970-01-01 was a Thursday: the Sunday after it."""

_FULL: Final = {
    Unit.MILLISECONDS: (1000, Unit.SECONDS, Unit.MINUTES),
    Unit.SECONDS: (60, Unit.MINUTES, Unit.HOURS),
    Unit.MINUTES: (60, Unit.HOURS, Unit.DAYS),
    Unit.HOURS: (24, Unit.DAYS, Unit.MONTHS),
}
"""how many make the next longer unit, that unit, and the one after it"""

_FLOORS: Final = {Unit.SECONDS: SECOND_MS, Unit.MINUTES: MINUTE_MS, Unit.HOURS: HOUR_MS, Unit.DAYS: DAY_MS}


@dataclass(frozen=True, slots=True)
class Grid:
    """Buckets of a number of units.

    Attributes:
        count, unit: length of a bucket.
        step_ms: its length in elapsed time (months of 30 days, years of 365), used unless `calendar`.
        calendar: buckets follow the zone's calendar.
        zone: whose calendar.
        whole: one bucket for everything from the first time up to, not including, the second; count and unit say nothing.
    """

    count: int
    unit: Unit
    step_ms: int
    calendar: bool = False
    zone: Zone = UTC_ZONE
    whole: tuple[int, int] | None = None

    def buckets_at(self, time_ms: int) -> Buckets:
        """Return the buckets as they lie around a moment.

        Calendar buckets count from the start of a longer unit: of the next longer one where a whole number of them
        fills it, of the one after it where not; weeks from a Sunday, several days, months and years from the start of
        the year. Hours and shorter ones are then elapsed time, across changes of the clock.
        """
        if not self.calendar:
            return epoch_buckets(self.step_ms)
        origin_ms = self._origin(time_ms)
        if self.unit.fixed_ms is not None:
            return EqualBuckets(origin_ms, self.count * self.unit.fixed_ms)
        return CalendarBuckets(origin_ms, self.count, self.unit, self.zone)

    def floor(self, time_ms: int) -> int:
        """Return the start of the bucket that holds a moment."""
        buckets = self.buckets_at(time_ms)
        return int(buckets.edges(buckets.numbers(np.array([time_ms], np.int64)))[0])

    def ceiling(self, time_ms: int) -> int:
        """Return the start of the first bucket that begins at a moment or later."""
        buckets = self.buckets_at(time_ms)
        number = buckets.numbers(np.array([time_ms], np.int64))
        start_ms = int(buckets.edges(number)[0])
        return start_ms if start_ms >= time_ms else int(buckets.edges(number + 1)[0])

    def starts(self, first_ms: int, end_ms: int) -> Int64s:
        """Return the starts of the buckets from the one that holds a moment up to the one that holds another, int64[n].

        The last one is left out. Calendar buckets count from where they do at the first moment, the end from where
        they do there; both moments in one calendar bucket give that bucket.
        """
        buckets = self.buckets_at(first_ms)
        last_ms = self.floor(end_ms)
        first, last = buckets.numbers(np.array([first_ms, last_ms], np.int64)).tolist()
        edges = buckets.edges(np.arange(first, last + 1))
        if self.calendar and edges[0] == last_ms:
            return edges[:1]
        return edges[edges < last_ms]

    def _origin(self, time_ms: int) -> int:
        """Return where calendar buckets around a moment count from."""
        offset = self.zone.offset_at(time_ms)
        local = self._floor_local(time_ms + offset)
        return self.zone.moment(local, offset)

    def _floor_local(self, local_ms: int) -> int:
        if self.unit in _FULL:
            full, longer, longest = _FULL[self.unit]
            unit = longer if full % self.count == 0 else longest
            if unit in _FLOORS:
                return local_ms - local_ms % _FLOORS[unit]
            return floor_local(local_ms, unit)
        if self.unit is Unit.WEEKS:
            return floor_local(local_ms, Unit.WEEKS, SUNDAY_MS)
        if self.unit is Unit.DAYS and self.count == 1:
            return floor_local(local_ms, Unit.DAYS)
        return floor_local(local_ms, Unit.YEARS)
