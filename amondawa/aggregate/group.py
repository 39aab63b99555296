"""Grouping: series by kind of value and by tags, then single points by value, bin or time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from amondawa.aggregate.merge import merge_points, merged
from amondawa.aggregate.reduce import place
from amondawa.aggregate.registry import Registry
from amondawa.aggregate.streams import highest_kind
from amondawa.errors import ComputeError
from amondawa.model.points import Int64s, Kind, Points
from amondawa.model.query import Clock
from amondawa.model.result import Frame
from amondawa.model.series import Series
from amondawa.model.timespan import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Span, Unit, month_numbers

NUMBER_TYPE: Final = "number"
TEXT_TYPE: Final = "text"


@dataclass(frozen=True, slots=True)
class GroupSeries:
    """Put series together: numbers before texts, inside each by the values of the named tags.

    Each result's `groups` are the tag group (when tags are named), then the type: `{"name": "tag", "tags": [...],
    "group": {tag: value}}` and `{"name": "type", "type": "number" | "text"}`. Its members are the series with points of its
    type. Without any series there is one empty frame without members and groups. Ascending frames keep their streams as
    unmerged parts, descending ones are merged. *Source:* KairosDB's merging and tag grouping.

    Attributes:
        metric: name of the frame when there is none.
        tags: tag names; None = no grouping by tag. A series that lacks a tag has "" for it.
        descending: the streams run from new to old.
    """

    metric: str
    tags: tuple[str, ...] | None = None
    descending: bool = False

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return one frame a group, ordered by type, then by tag names and values run together."""
        if not frames:
            return [Frame(self.metric, (), ())]
        numbers, texts = _split_types(frames)
        out = []
        for type_name, typed in ((NUMBER_TYPE, numbers), (TEXT_TYPE, texts)):
            for group, members in self._by_tags(typed):
                clock.check()
                out.append(self._join(members, (*group, {"name": "type", "type": type_name})))
        return out or [Frame(self.metric, (), ())]

    def _by_tags(self, frames: list[Frame]) -> list[tuple[tuple[dict[str, Any], ...], list[Frame]]]:
        if self.tags is None:
            return [((), frames)] if frames else []
        groups: dict[str, list[Frame]] = {}
        for frame in frames:
            groups.setdefault(self._sort_key(frame.members[0]), []).append(frame)
        ordered = sorted(groups.items(), key=lambda entry: utf16_order(entry[0]))
        return [((self._describe(members[-1].members[0]),), members) for _, members in ordered]

    def _sort_key(self, series: Series) -> str:
        """Names and values run together, each name once: what KairosDB tells groups apart by, and sorts them by."""
        return "".join(name + (series.tag(name) or "") for name in dict.fromkeys(self.tags or ()))

    def _describe(self, series: Series) -> dict[str, Any]:
        names = self.tags or ()
        return {"name": "tag", "tags": list(names), "group": {name: series.tag(name) or "" for name in names}}

    def _join(self, frames: list[Frame], groups: tuple[dict[str, Any], ...]) -> Frame:
        members = tuple(series for frame in frames for series in frame.members)
        parts = tuple(part for frame in frames for part in frame.parts)
        if self.descending or len(parts) == 1:
            parts = (merge_points(parts, self.descending),)
        return Frame(frames[0].metric, members, parts, groups)


def _split_types(frames: list[Frame]) -> tuple[list[Frame], list[Frame]]:
    """Return the frames of numbers and the frames of texts; a frame with both comes out in both, cut in two."""
    numbers, texts = [], []
    for frame in frames:
        number_parts: list[Points] = []
        text_parts: list[Points] = []
        for part in frame.parts:
            _sort_part(part, number_parts, text_parts)
        if number_parts:
            numbers.append(Frame(frame.metric, frame.members, tuple(number_parts)))
        if text_parts:
            texts.append(Frame(frame.metric, frame.members, tuple(text_parts)))
    return numbers, texts


def _sort_part(part: Points, number_parts: list[Points], text_parts: list[Points]) -> None:
    if len(part) == 0:
        return
    if highest_kind(part) <= Kind.DOUBLE:
        number_parts.append(part)
        return
    is_number = part.kinds <= Kind.DOUBLE
    if is_number.any():
        number_parts.append(part.take(is_number))
        part = part.take(~is_number)
    text_parts.append(part)


def utf16_order(text: str) -> bytes:
    """Return the sort key of a text in Java's order of strings, by UTF-16 code units."""
    return text.encode("utf-16-be", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Limit:
    """Keep the first points of every frame, in the direction of its stream; comes after grouping, before aggregators.

    Attributes:
        limit: how many; 0 = all.
    """

    limit: int

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames, merged where a cut is asked for."""
        if self.limit <= 0:
            return frames
        out = []
        for frame in frames:
            clock.check()
            out.append(frame.with_points(merged(frame).take(slice(0, self.limit))))
        return out


# single points --------------------------------------------------------------------------------------------------------


class PointGrouping(Protocol):
    """A rule that gives every point a group number."""

    def numbers(self, points: Points, clock: Clock) -> Int64s:
        """Return each point's group number, int64[n]."""

    def describe(self, number: int) -> dict[str, Any]:
        """Return the description of one group, as a result carries it."""


POINT_GROUPINGS: Final[Registry[type[PointGrouping]]] = Registry("grouping of points")


@dataclass(frozen=True, slots=True)
class GroupPoints:
    """Split every frame by one or more rules; groups come in order of their first point, empty ones not at all.

    Their descriptions come before those that the frame has already. *Source:* KairosDB's value, bin and time grouping.

    Attributes:
        groupings: the rules, in the order of the request.
    """

    groupings: tuple[PointGrouping, ...]

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return one merged frame a group; a frame without points gives none."""
        out = []
        for frame in frames:
            clock.check()
            out.extend(self._split(frame, merged(frame), clock))
        return out

    def _split(self, frame: Frame, points: Points, clock: Clock) -> list[Frame]:
        if len(points) == 0:
            return []
        columns = [rule.numbers(points, clock) for rule in self.groupings]
        codes = _codes(columns)
        narrow = codes.astype(np.uint16) if codes.max() < 2**16 else codes  # two bytes sort in linear time
        order = np.argsort(narrow, kind="stable")
        firsts = np.flatnonzero(np.diff(codes[order], prepend=-1))
        ends = np.append(firsts[1:], len(order))
        out = []
        for at in np.argsort(order[firsts]):
            chosen = order[firsts[at] : ends[at]]
            described = (rule.describe(int(col[chosen[0]])) for rule, col in zip(self.groupings, columns, strict=True))
            out.append(Frame(frame.metric, frame.members, (points.take(chosen),), (*described, *frame.groups)))
        return out


def _codes(columns: Sequence[Int64s]) -> Int64s:
    """Give each distinct combination of group numbers a code from 0 on, int64[n]."""
    codes = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        distinct = place(column)
        codes = place(codes * len(distinct.numbers) + distinct.of_run).of_run
    return codes


@POINT_GROUPINGS.register("value")
@dataclass(frozen=True, slots=True)
class ValueGrouping:
    """Ranges of values: value / range_size cut towards zero, a double cut to an integer first; texts are group -1."""

    range_size: int

    def numbers(self, points: Points, clock: Clock) -> Int64s:
        """Return each point's group number, int64[n]."""
        if highest_kind(points) > Kind.DOUBLE:
            return np.full(len(points), -1, np.int64)
        as_long = _divide_towards_zero(points.bits, self.range_size).astype(np.int32).astype(np.int64)
        if points.only(Kind.LONG):
            return as_long
        whole = np.nan_to_num(np.clip(points.numbers(), -(2.0**31), 2.0**31 - 1)).astype(np.int64)
        return np.where(points.kinds == Kind.LONG, as_long, _divide_towards_zero(whole, self.range_size))

    def describe(self, number: int) -> dict[str, Any]:
        """Return the description of one group."""
        return {"name": "value", "range_size": self.range_size, "group": {"group_number": number}}


@POINT_GROUPINGS.register("bin")
@dataclass(frozen=True, slots=True)
class BinGrouping:
    """Bins: 0 below the first edge, i + 1 from edge i up to edge i + 1, n from the last on; texts are group -1.

    Where edges do not ascend the first fitting pair counts, and what fits none is in group n.
    """

    bins: tuple[float, ...]

    def numbers(self, points: Points, clock: Clock) -> Int64s:
        """Return each point's group number, int64[n]."""
        if highest_kind(points) > Kind.DOUBLE:
            return np.full(len(points), -1, np.int64)
        values = points.numbers()
        out = np.full(len(values), len(self.bins), np.int64)
        for at in range(len(self.bins) - 2, -1, -1):
            out[(values >= self.bins[at]) & (values < self.bins[at + 1])] = at + 1
        out[values < self.bins[0]] = 0
        return out

    def describe(self, number: int) -> dict[str, Any]:
        """Return the description of one group."""
        return {"name": "bin", "bins": list(self.bins), "group": {"bin_number": number}}


_RANGE_MS: Final = {
    Unit.MILLISECONDS: 1,
    Unit.SECONDS: SECOND_MS,
    Unit.MINUTES: MINUTE_MS,
    Unit.HOURS: HOUR_MS,
    Unit.DAYS: DAY_MS,
    Unit.WEEKS: 7 * DAY_MS,
    Unit.YEARS: 52 * 7 * DAY_MS,
}


@POINT_GROUPINGS.register("time")
@dataclass(frozen=True, slots=True)
class TimeGrouping:
    """A cycle of ranges of time that begins at the query's start.

    A year is 52 weeks; months are those of the calendar in UTC, one by one, whatever the range's value.
    """

    range_size: Span
    group_count: int

    def numbers(self, points: Points, clock: Clock) -> Int64s:
        """Return each point's group number, int64[n].

        Raises:
            ComputeError: the range is empty.
        """
        if self.range_size.unit is Unit.MONTHS:
            start = int(month_numbers(np.array([clock.start_ms], np.int64))[0])
            turns = month_numbers(points.times_ms) - start
        else:
            turns = _divide_towards_zero(points.times_ms - clock.start_ms, self._step_ms())
        numbers: Int64s = np.fmod(turns, self.group_count)
        return numbers

    def _step_ms(self) -> int:
        if self.range_size.value == 0:
            raise ComputeError("/ by zero")
        return self.range_size.value * _RANGE_MS[self.range_size.unit]

    def describe(self, number: int) -> dict[str, Any]:
        """Return the description of one group."""
        return {
            "name": "time",
            "range_size": {"value": self.range_size.value, "unit": self.range_size.unit.name},
            "group_count": self.group_count,
            "group": {"group_number": number},
        }


def _divide_towards_zero(dividends: Int64s, divisor: int) -> Int64s:
    """Divide as Java does, int64[n]; `divisor` is positive."""
    quotients: Int64s = dividends // divisor
    quotients += (dividends < 0) & (quotients * divisor != dividends)
    return quotients
