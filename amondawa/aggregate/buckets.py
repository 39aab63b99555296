"""Buckets of time: numbered half-open intervals, and how a stream of points falls into them.

Bucket 0 begins at the origin; bucket n runs from edge n to edge n + 1. Numbers before the origin are negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from amondawa.errors import ComputeError
from amondawa.model.points import Int64s
from amondawa.model.timespan import (
    DAY_MS,
    UTC_ZONE,
    Span,
    Unit,
    Zone,
    add_units,
    floor_local,
    month_numbers,
)

Indexes = npt.NDArray[np.intp]

_EDGES: Final = 1_000
"""So many edges are computed without a thought."""
_FARTHEST_MS: Final = 2**62
"""Origins and lengths stay within this, so that their sum stays within int64."""
_FARTHEST_UNITS: Final = 2**36
"""More days than int64 has milliseconds for."""


class Buckets(Protocol):
    """Numbered intervals of time."""

    @property
    def origin_ms(self) -> int:
        """Edge 0."""

    def edges(self, numbers: Int64s) -> Int64s:
        """Return the edge at which each bucket begins, int64[n] ms, in the order of `numbers`."""

    def numbers(self, times_ms: Int64s) -> Int64s:
        """Return the number of the bucket that holds each moment, int64[n]; times in any order."""


@dataclass(frozen=True, slots=True)
class EqualBuckets:
    """Buckets of one length in elapsed time."""

    origin_ms: int
    step_ms: int

    def edges(self, numbers: Int64s) -> Int64s:
        """Return the edge at which each bucket begins, int64[n] ms."""
        return self.origin_ms + numbers * self.step_ms

    def numbers(self, times_ms: Int64s) -> Int64s:
        """Return the number of the bucket that holds each moment, int64[n]."""
        return (times_ms - self.origin_ms) // self.step_ms


@dataclass(frozen=True, slots=True)
class CalendarBuckets:
    """Buckets of whole days, weeks, months or years of a zone's calendar, counted from the origin."""

    origin_ms: int
    count: int
    unit: Unit
    zone: Zone = UTC_ZONE

    def edges(self, numbers: Int64s) -> Int64s:
        """Return the edge at which each bucket begins, int64[n] ms."""
        return add_units(self.origin_ms, numbers * self.count, self.unit, self.zone)

    def numbers(self, times_ms: Int64s) -> Int64s:
        """Return the number of the bucket that holds each moment, int64[n]."""
        if len(times_ms) == 0:
            return np.zeros(0, np.int64)
        extremes = self._estimate(np.array([times_ms.min(), times_ms.max()], np.int64))
        first, last = int(extremes[0]) - 1, int(extremes[1]) + 1
        if last - first > 4 * len(times_ms) + _EDGES:
            return self._corrected(times_ms, self._estimate(times_ms))
        return first - 1 + np.searchsorted(self.edges(np.arange(first, last + 2)), times_ms, "right")

    def _estimate(self, times_ms: Int64s) -> Int64s:
        """Return each moment's bucket number, int64[n], exact to one."""
        units = self._units(self.zone.to_local(times_ms))
        origin_units = self._units(self.zone.to_local(np.array([self.origin_ms], np.int64)))
        return (units - origin_units) // self.count

    def _units(self, local_ms: Int64s) -> Int64s:
        if self.unit.day_count:
            return local_ms // (self.unit.day_count * DAY_MS)
        return month_numbers(local_ms) // self.unit.months

    def _corrected(self, times_ms: Int64s, numbers: Int64s) -> Int64s:
        numbers = numbers - (self.edges(numbers) > times_ms)
        return numbers + (self.edges(numbers + 1) <= times_ms)


def bucket_edges(buckets: Buckets, first_ms: int, last_ms: int) -> Int64s:
    """Return the edges of every bucket that meets the inclusive range, int64[m + 1] ms, ascending.

    The first edge is at or before `first_ms`, the last one after `last_ms`.
    """
    first, last = (int(n) for n in buckets.numbers(np.array([first_ms, last_ms], np.int64)))
    return buckets.edges(np.arange(first, last + 2))


def bucket_index(buckets: Buckets, times_ms: Int64s) -> Int64s:
    """Return the number of the bucket that holds each moment, int64[n]; times in any order."""
    return buckets.numbers(times_ms)


def epoch_buckets(step_ms: int) -> EqualBuckets:
    """Return buckets that begin at multiples of `step_ms` since 1970: a time's bucket starts at t - t mod step."""
    return EqualBuckets(0, step_ms)


def origin_buckets(origin_ms: int, span: Span, zone: Zone = UTC_ZONE) -> Buckets:
    """Return buckets of a span that count from an origin; days and longer follow the zone's calendar.

    Raises:
        ComputeError: the span is empty, or the origin so far away that times since it overflow. *Source:* KairosDB, which
            answers sampling 0 over data with "/ by zero".
    """
    if span.value <= 0:
        raise ComputeError("/ by zero")
    if abs(origin_ms) > _FARTHEST_MS:
        raise ComputeError(f"The calculation caused an overflow: buckets cannot count from {origin_ms}")
    if span.unit.fixed_ms is None:
        return CalendarBuckets(origin_ms, min(span.value, _FARTHEST_UNITS), span.unit, zone)
    return EqualBuckets(origin_ms, min(span.value * span.unit.fixed_ms, _FARTHEST_MS))


def aligned_origin(start_ms: int, unit: Unit, zone: Zone = UTC_ZONE) -> int:
    """Move a query's start back to where aligned buckets begin in the zone.

    Years, months, weeks: their first midnight (weeks begin on Monday). Days, hours, minutes and seconds: that day's midnight.
    Milliseconds: the full second. *Source:* KairosDB's align_sampling.

    Raises:
        ComputeError: clocks skipped that midnight.
    """
    offset = zone.offset_at(start_ms)
    local = start_ms + offset
    if unit is Unit.MILLISECONDS:
        return local - local % 1000 - offset
    midnight = floor_local(local, Unit.DAYS if unit.fixed_ms else unit)
    if zone.fixed_offset_ms is None and not zone.exists(midnight):
        raise ComputeError(_no_midnight(local, midnight, unit, zone))
    return zone.moment(midnight, offset)


def first_origin(start_ms: int, sampling: Span, zone: Zone = UTC_ZONE) -> int:
    """Move a query's start back as `aligned_origin` does, also where clocks skipped that midnight.

    The day then begins at the moment of the change. So that later days begin at their midnights all the same, buckets of days
    and longer count from one further back.
    """
    offset = zone.offset_at(start_ms)
    local = start_ms + offset
    unit = sampling.unit
    if unit is Unit.MILLISECONDS:
        return local - local % 1000 - offset
    midnight = floor_local(local, Unit.DAYS if unit.fixed_ms else unit)
    while unit.fixed_ms is None and not zone.exists(midnight):
        midnight = int(add_units(midnight, np.array([-sampling.value], np.int64), unit)[0])
    return zone.moment(midnight, offset)


def _no_midnight(local_ms: int, midnight_ms: int, unit: Unit, zone: Zone) -> str:
    """Word the refusal as KairosDB's calendar library does."""
    field = "hourOfDay" if unit.fixed_ms is not None or unit is Unit.DAYS else "millisOfDay"
    shown_ms = midnight_ms + (local_ms % 3_600_000 if field == "hourOfDay" else 0)
    shown = np.datetime_as_string(np.datetime64(shown_ms, "ms"))
    return (
        f"Value 0 for {field} is not supported: Illegal instant due to time zone offset transition "
        f"(daylight savings time 'gap'): {shown} ({zone.name})"
    )


# how a stream falls into buckets --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """A stream cut into runs of points of one bucket each.

    Attributes:
        firsts: intp[m], index of each run's first point, ascending; a run ends where the next begins.
        numbers: int64[m], the bucket of each run.
        ends: int, number of points in the stream.
    """

    firsts: Indexes
    numbers: Int64s
    end: int

    @property
    def lengths(self) -> Int64s:
        """Points in each run, int64[m]."""
        return np.diff(self.firsts, append=self.end).astype(np.int64, copy=False)

    @property
    def lasts(self) -> Indexes:
        """Index of each run's last point, intp[m]."""
        return self.firsts + self.lengths - 1


def cut(times_ms: Int64s, buckets: Buckets) -> Runs:
    """Cut one stream into runs as it is walked: a point opens its bucket, which then takes every point before its end.

    For ascending times from the origin on that is simply "the points of each bucket". A descending stream is one run,
    because every later point lies before the end of the newest point's bucket. Before the origin buckets are counted by
    truncation, towards it. *Source:* KairosDB's range aggregators.
    """
    count = len(times_ms)
    if count == 0:
        return Runs(np.zeros(0, np.intp), np.zeros(0, np.int64), 0)
    if not ascends(times_ms):
        return _walk(times_ms, buckets)
    if times_ms[0] >= buckets.origin_ms:
        return _cut_ascending(times_ms, buckets)
    return _cut_from_before_origin(times_ms, buckets)


def cut_unmerged(times_ms: Int64s, lengths: Sequence[int], buckets: Buckets) -> Runs:
    """Cut several ascending streams laid end to end into runs; a bucket has up to one run a stream.

    Args:
        times_ms: int64[n], none before the origin.
        lengths: points of each stream, none of them 0.
        buckets: where to cut.
    """
    numbers = buckets.numbers(times_ms)
    begins = np.empty(len(numbers), np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=begins[1:])
    begins[np.cumsum([0, *lengths[:-1]])] = True
    firsts = np.flatnonzero(begins)
    return Runs(firsts, numbers[firsts], len(numbers))


def ascends(times_ms: Int64s) -> bool:
    """Say whether no time is smaller than the one before."""
    return len(times_ms) < 2 or bool((times_ms[1:] >= times_ms[:-1]).all())


def _runs_of_numbers(numbers: Int64s) -> Runs:
    changes = np.flatnonzero(numbers[1:] != numbers[:-1])
    firsts = np.zeros(len(changes) + 1, np.intp)
    np.add(changes, 1, out=firsts[1:])
    return Runs(firsts, numbers[firsts], len(numbers))


def _cut_ascending(times_ms: Int64s, buckets: Buckets) -> Runs:
    """Cut by looking the edges up in the times where buckets are few, else by numbering each time."""
    extremes = buckets.numbers(times_ms[[0, -1]])
    first, last = int(extremes[0]), int(extremes[1])
    if (last - first) * 16 > len(times_ms):
        return _runs_of_numbers(buckets.numbers(times_ms))
    numbers = np.arange(first, last + 1)
    firsts = np.searchsorted(times_ms, buckets.edges(numbers), "left")
    firsts[0] = 0
    filled = np.append(firsts[1:], len(times_ms)) > firsts
    return Runs(firsts[filled], numbers[filled], len(times_ms))


def _cut_from_before_origin(times_ms: Int64s, buckets: Buckets) -> Runs:
    """Walk until a bucket ends past the origin, then go on as usual."""
    firsts, numbers = [], []
    at, count = 0, len(times_ms)
    while at < count and times_ms[at] < buckets.origin_ms:
        number, end_ms = _opened(int(times_ms[at]), buckets)
        firsts.append(at)
        numbers.append(number)
        at = max(at + 1, int(np.searchsorted(times_ms, end_ms, "left")))
    walked = Runs(np.array(firsts, np.intp), np.array(numbers, np.int64), at)
    if at == count:
        return walked
    rest = _cut_ascending(times_ms[at:], buckets)
    return Runs(
        np.concatenate((walked.firsts, rest.firsts + at)), np.concatenate((walked.numbers, rest.numbers)), count
    )


def _walk(times_ms: Int64s, buckets: Buckets) -> Runs:
    """Cut a stream whose times do not ascend, a bucket at a time."""
    firsts, numbers = [], []
    at, count = 0, len(times_ms)
    while at < count:
        number, end_ms = _opened(int(times_ms[at]), buckets)
        firsts.append(at)
        numbers.append(number)
        beyond = times_ms[at:] >= end_ms
        step = int(beyond.argmax())
        at = at + max(step, 1) if beyond[step] else count
    return Runs(np.array(firsts, np.intp), np.array(numbers, np.int64), count)


def _opened(time_ms: int, buckets: Buckets) -> tuple[int, int]:
    """Return number and end of the bucket that a point opens; before the origin the count is truncated towards it."""
    number = int(buckets.numbers(np.array([time_ms], np.int64))[0])
    if number < 0:
        start_ms = int(buckets.edges(np.array([number], np.int64))[0])
        number += start_ms != time_ms
    return number, int(buckets.edges(np.array([number + 1], np.int64))[0])
