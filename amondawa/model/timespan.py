"""Units of time, time zones and calendar arithmetic: all on int64 milliseconds since 1970 UTC, vectorised.

Calendar steps are made on the local clock: a step of one month from 31 January is the last day of February, and further
steps count from the origin again, so nothing drifts. A local time that a clock change skips is moved on by the length of
the gap; of one that happens twice, the pass with the origin's offset from UTC is meant, else the first.
"""

from __future__ import annotations

import re
import zoneinfo
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Final

import numpy as np

from amondawa.errors import BadRequest
from amondawa.model.points import Int64s
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS

_MONDAY_MS = -3 * DAY_MS
"""1970-01-01 was a Thursday: the Monday before it."""
_PROBE_S = 604_800
"""No zone has changed its offset twice within a week."""
_FARTHEST_MONTHS = 12 * 200_000
"""Calendar steps end here; datetime64 overflows 90,000,000 years later."""


class Unit(Enum):
    """A unit of time; `fixed_ms` is its length when elapsed time decides, None when the calendar does."""

    MILLISECONDS = ("milliseconds", 1)
    SECONDS = ("seconds", SECOND_MS)
    MINUTES = ("minutes", MINUTE_MS)
    HOURS = ("hours", HOUR_MS)
    DAYS = ("days", None)
    WEEKS = ("weeks", None)
    MONTHS = ("months", None)
    YEARS = ("years", None)

    def __init__(self, word: str, fixed_ms: int | None) -> None:
        self.word = word
        self.fixed_ms = fixed_ms

    @property
    def months(self) -> int:
        """Calendar months in one unit; 0 for units made of days or less."""
        return {"MONTHS": 1, "YEARS": 12}.get(self.name, 0)

    @property
    def day_count(self) -> int:
        """Calendar days in one unit; 0 for other units."""
        return {"DAYS": 1, "WEEKS": 7}.get(self.name, 0)

    @classmethod
    def parse(cls, text: str) -> Unit:
        """Return the unit of a plural word in any case.

        Raises:
            BadRequest: no such unit.
        """
        found = cls.__members__.get(text.upper())
        if found is None:
            raise BadRequest(f"{text} is not a unit of time; use one of {', '.join(cls.__members__)}", value=text)
        return found


@dataclass(frozen=True, slots=True)
class Span:
    """A whole number of units."""

    value: int
    unit: Unit


class Zone:
    """A time zone as a table: the moments at which the offset from UTC changes, and the offsets between them.

    The table covers 1880 to 2150; before and after, the nearest offset holds.

    Args:
        name: the id, as it is written in queries.
        changes_ms: int64[m], ms, ascending: moments from which a new offset holds.
        offsets_ms: int64[m + 1], ms to add to UTC, before the first change, between changes, after the last.
    """

    __slots__ = ("_change_list", "_changes_ms", "_offset_list", "_offsets_ms", "fixed_offset_ms", "name")

    def __init__(self, name: str, changes_ms: Int64s, offsets_ms: Int64s) -> None:
        self.name = name
        self._changes_ms = changes_ms
        self._offsets_ms = offsets_ms
        self._change_list: list[int] = changes_ms.tolist()
        self._offset_list: list[int] = offsets_ms.tolist()
        self.fixed_offset_ms: int | None = self._offset_list[0] if not self._change_list else None
        """the only offset of a zone without clock changes, ms; else None"""

    def __repr__(self) -> str:
        return f"Zone({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Zone) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def offset_at(self, time_ms: int) -> int:
        """Return the offset from UTC at a moment, ms."""
        return self._offset_list[bisect_right(self._change_list, time_ms)]

    def offsets(self, times_ms: Int64s) -> Int64s:
        """Return the offset from UTC at each moment, int64[n] ms; times in any order."""
        return self._offsets_ms[np.searchsorted(self._changes_ms, times_ms, "right")]

    def to_local(self, times_ms: Int64s) -> Int64s:
        """Return what local clocks show, as ms since 1970-01-01 00:00 local, int64[n]."""
        if self.fixed_offset_ms is not None:
            return times_ms + self.fixed_offset_ms
        return times_ms + self.offsets(times_ms)

    def to_utc(self, local_ms: Int64s, like_offset_ms: int | None = None) -> Int64s:
        """Return the moments at which local clocks show these times, int64[n] ms; the counterpart of `to_local`.

        Args:
            local_ms: int64[n], ms since 1970-01-01 00:00 local, any order.
            like_offset_ms: the offset to prefer for a local time that happens twice; None = the first pass.
        """
        if self.fixed_offset_ms is not None:
            return local_ms - self.fixed_offset_ms
        before = self.offsets(local_ms - DAY_MS)
        after = self.offsets(local_ms + DAY_MS)
        first, second = local_ms - before, local_ms - after
        second_holds = self.offsets(second) == after
        prefer_second = self.offsets(first) != before
        if like_offset_ms is not None:
            prefer_second |= (after == like_offset_ms) & (before != like_offset_ms)
        return np.where(second_holds & prefer_second, second, first)

    def moment(self, local_ms: int, like_offset_ms: int | None = None) -> int:
        """Return `to_utc` of one local time."""
        if self.fixed_offset_ms is not None:
            return local_ms - self.fixed_offset_ms
        before, after = self.offset_at(local_ms - DAY_MS), self.offset_at(local_ms + DAY_MS)
        first, second = local_ms - before, local_ms - after
        prefer_second = self.offset_at(first) != before or (after == like_offset_ms != before)
        return second if prefer_second and self.offset_at(second) == after else first

    def exists(self, local_ms: int) -> bool:
        """Say whether local clocks ever show this time (a clock change may skip it)."""
        moment = self.moment(local_ms)
        return moment + self.offset_at(moment) == local_ms


UTC_ZONE: Final = Zone("UTC", np.zeros(0, np.int64), np.zeros(1, np.int64))

_OFFSET = re.compile(r"([+-])(\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d{3}))?)?)?")


def find_zone(name: str | None) -> Zone:
    """Return the zone of an id: an IANA or old id (EST5EDT), an offset ("+05:30", "-08", "+0530"), "" or None for UTC.

    Raises:
        BadRequest: no such zone.
    """
    return UTC_ZONE if not name or name == "UTC" else _load_zone(name)


@lru_cache(maxsize=1)
def zone_ids() -> list[str]:
    """Return all ids of named zones, sorted."""
    return sorted(zoneinfo.available_timezones() - {"localtime", "posixrules", "Factory"})


@lru_cache(maxsize=1024)
def _load_zone(name: str) -> Zone:
    match = _OFFSET.fullmatch(name)
    if match:
        hours, minutes, seconds, millis = (int(part or 0) for part in match.groups()[1:])
        if hours > 23 or minutes > 59 or seconds > 59:
            raise BadRequest(f"{name} is not a time zone", value=name)
        offset = hours * HOUR_MS + minutes * MINUTE_MS + seconds * SECOND_MS + millis
        return Zone(name, np.zeros(0, np.int64), np.array([offset if match[1] == "+" else -offset], np.int64))
    if name not in zone_ids():
        raise BadRequest(f"{name} is not a time zone", value=name)
    return _read_zone(name)


def _read_zone(name: str) -> Zone:
    """Build the table of a named zone by looking at every week, then closing in on each change to the second."""
    offset_at = _offset_reader(name)
    first = int(datetime(1880, 1, 1, tzinfo=UTC).timestamp())
    last = int(datetime(2150, 1, 1, tzinfo=UTC).timestamp())
    changes: list[int] = []
    offsets = [offset_at(first)]
    for end in range(first + _PROBE_S, last, _PROBE_S):
        offset = offset_at(end)
        if offset != offsets[-1]:
            changes.append(_change_between(offset_at, end - _PROBE_S, end))
            offsets.append(offset)
    return Zone(name, np.array(changes, np.int64) * SECOND_MS, np.array(offsets, np.int64) * SECOND_MS)


def _offset_reader(name: str) -> Callable[[int], int]:
    """Return a function from seconds since 1970 UTC to a zone's offset in seconds."""
    info = zoneinfo.ZoneInfo(name)
    epoch = datetime(1970, 1, 1, tzinfo=info)

    def offset_at(second: int) -> int:
        offset = info.fromutc(epoch + timedelta(seconds=second)).utcoffset()
        return round(offset.total_seconds()) if offset else 0

    return offset_at


def _change_between(offset_at: Callable[[int], int], low: int, high: int) -> int:
    """Return the first second at which the offset is no longer that of `low`; it has changed by `high`."""
    before = offset_at(low)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(middle) == before:
            low = middle
        else:
            high = middle
    return high


# calendar arithmetic --------------------------------------------------------------------------------------------------


def add_units(origin_ms: int, counts: Int64s, unit: Unit, zone: Zone = UTC_ZONE) -> Int64s:
    """Return the moments so many units after (negative: before) an origin, int64[n] ms, in the order of `counts`.

    Days and longer are steps of the zone's calendar, each counted from the origin; hours and shorter are elapsed time.
    Moments past the ends of int64 are moved to them.
    """
    if unit.fixed_ms is not None:
        return _clamped_line(origin_ms, counts, unit.fixed_ms)
    offset = zone.offset_at(origin_ms)
    local = origin_ms + offset
    if unit.day_count:
        moved = _clamped_line(local, counts, unit.day_count * DAY_MS)
    else:
        months = np.clip(counts, -_FARTHEST_MONTHS // unit.months, _FARTHEST_MONTHS // unit.months) * unit.months
        moved = _add_months(np.array([local], np.int64), months)
    return moved - offset if zone.fixed_offset_ms is not None else zone.to_utc(moved, offset)


def shift(times_ms: Int64s, value: int, unit: Unit, zone: Zone = UTC_ZONE) -> Int64s:
    """Return each moment moved by a number of units of the zone's calendar, int64[n] ms, order kept."""
    if unit.fixed_ms is not None:
        return times_ms + value * unit.fixed_ms
    local = zone.to_local(times_ms)
    if unit.day_count:
        return zone.to_utc(local + value * unit.day_count * DAY_MS)
    return zone.to_utc(_add_months(local, np.array([value * unit.months], np.int64)))


def before(now_ms: int, span: Span, zone: Zone = UTC_ZONE) -> int:
    """Return the moment a span before `now_ms`; months and years by the calendar (KairosDB's relative times, in UTC)."""
    moment = int(add_units(now_ms, np.array([-span.value], np.int64), span.unit, zone)[0])
    return max(moment, MIN_TIME_MS)


def floor_local(local_ms: int, unit: Unit, week_start_ms: int = _MONDAY_MS) -> int:
    """Return the start of the calendar unit that holds a local time; both as ms since 1970-01-01 00:00 local.

    Args:
        local_ms: local time.
        unit: any; hours and shorter begin at whole multiples since 1970.
        week_start_ms: any local midnight on which weeks begin; default a Monday.
    """
    if unit.months:
        month = np.datetime64(local_ms // DAY_MS, "D").astype("M8[Y]" if unit is Unit.YEARS else "M8[M]")
        return int(month.astype("M8[D]").astype(np.int64)) * DAY_MS
    if unit is Unit.WEEKS:
        return local_ms - (local_ms - week_start_ms) % WEEK_MS
    return local_ms - local_ms % (unit.fixed_ms or DAY_MS)


def month_numbers(local_ms: Int64s) -> Int64s:
    """Return months since January 1970 of local times, int64[n]."""
    months: Int64s = (local_ms // DAY_MS).astype("M8[D]").astype("M8[M]").astype(np.int64)
    return months


def _clamped_line(origin_ms: int, counts: Int64s, step_ms: int) -> Int64s:
    """Return origin + counts * step without wrapping around."""
    room_after = (MAX_TIME_MS - max(origin_ms, 0)) // step_ms
    room_before = (MIN_TIME_MS - min(origin_ms, 0)) // step_ms + 1
    return origin_ms + np.clip(counts, room_before, room_after) * np.int64(step_ms)


def _add_months(local_ms: Int64s, months: Int64s) -> Int64s:
    """Move local times by months; a day that the month lacks becomes its last."""
    days = local_ms // DAY_MS
    month = days.astype("M8[D]").astype("M8[M]")
    day_of_month = days - month.astype("M8[D]").astype(np.int64)
    target = month + months
    first_day = target.astype("M8[D]").astype(np.int64)
    length = (target + 1).astype("M8[D]").astype(np.int64) - first_day
    moved: Int64s = (first_day + np.minimum(day_of_month, length - 1)) * DAY_MS + local_ms % DAY_MS
    return moved
