"""Queries of histograms: sums of bucket counts by group and time, shown as percentiles or as counts a bucket.

Series are not interpolated: at a time the members that have a histogram are summed. Source: suite histogram_rollup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amondawa.aggregate.across_series import KeepRange, OnlyKinds, SortKey
from amondawa.aggregate.fill import Downsampling
from amondawa.model.points import Float64s, Int64s, Kind, Points
from amondawa.model.query import Clock, Stage
from amondawa.model.result import Frame
from amondawa.protocols.opentsdb.data_query import CheckedSubQuery
from amondawa.protocols.opentsdb.histogram_blob import Histogram, decode_histogram

LEAST_PERCENTILE = 1.0
NO_PERCENTILE = -1.0
"""what the original gives for percentiles below the least one"""

Bucket = tuple[float, float]


class Counts:
    """A sum of histograms."""

    __slots__ = ("buckets", "overflow", "underflow")

    def __init__(self) -> None:
        self.buckets: dict[Bucket, int] = {}
        self.underflow = 0
        self.overflow = 0

    def add(self, histogram: Histogram) -> None:
        """Add a histogram."""
        for lower, upper, count in histogram.buckets:
            self.buckets[lower, upper] = self.buckets.get((lower, upper), 0) + count
        self.underflow += histogram.underflow
        self.overflow += histogram.overflow

    def percentile(self, percent: float) -> float:
        """Return the middle of the bucket that holds a percentile; 0 when all buckets are empty."""
        if percent < LEAST_PERCENTILE:
            return NO_PERCENTILE
        total = sum(self.buckets.values())
        running = 0
        for bucket in sorted(self.buckets):
            running += self.buckets[bucket]
            if total and running * 100.0 / total >= percent:
                return (bucket[0] + bucket[1]) / 2
        return 0.0


@dataclass(frozen=True, slots=True)
class SumHistograms:
    """Sum the histograms of each group, then show the sums.

    Attributes:
        order: order of the members, and of the results when `group` is None.
        group: what series of one group share; None = every series on its own.
        downsample: buckets of time to sum in first; one bucket for everything gives nothing, as in the original.
        first_ms: start of what was read; a bucket of time that begins before it is left out.
        percentiles: 0..100, shown as `metric_pct_99.0`.
        show_buckets: counts shown as `metric_<lower>_<upper>`.
    """

    order: SortKey
    group: SortKey | None
    downsample: Downsampling | None
    first_ms: int
    percentiles: tuple[float, ...]
    show_buckets: bool

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return a frame for every group and percentile or bucket, its name's end as `suffix` in its groups."""
        groups: dict[Any, list[Frame]] = {}
        for frame in sorted(frames, key=lambda frame: self.order(frame.members[0])):
            key = self.order(frame.members[0]) if self.group is None else self.group(frame.members[0])
            groups.setdefault(key, []).append(frame)
        out = []
        for key in sorted(groups):
            clock.check()
            out += self._show(groups[key])
        return out

    def _show(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return the frames of one group."""
        sums: dict[int, Counts] = {}
        unplaced = Counts()
        for frame in frames:
            points = frame.points
            for time_ms, at in zip(self._stamps(points), points.bits.tolist(), strict=True):
                if time_ms is not None:
                    sums.setdefault(time_ms, Counts()).add(decode_histogram(points.texts[at]))
                elif self.downsample is not None and self.downsample.grid.whole is not None:
                    unplaced.add(decode_histogram(points.texts[at]))
        members = tuple(series for frame in frames for series in frame.members)
        template = Frame(frames[0].metric, members, ())
        times = np.array(sorted(sums), np.int64)
        ordered = [sums[time_ms] for time_ms in times.tolist()]
        shown = [
            _shown(template, Points.doubles(times, values), f"_pct_{percentile}")
            for percentile, values in self._percentiles(ordered)
        ]
        if self.show_buckets:
            found = _bucket_counts(ordered, unplaced)
            shown += [_shown(template, Points.longs(times, counts), name) for name, counts in found]
        return shown

    def _stamps(self, points: Points) -> Iterable[int | None]:
        """Return the time each histogram counts for; None for those left out."""
        times: list[int] = points.times_ms.tolist()
        if self.downsample is None:
            return times
        grid = self.downsample.grid
        if grid.whole is not None:
            return [None] * len(times)
        first_ms = grid.ceiling(self.first_ms)
        return [start_ms if (start_ms := grid.floor(time_ms)) >= first_ms else None for time_ms in times]

    def _percentiles(self, sums: Sequence[Counts]) -> list[tuple[str, Float64s]]:
        return [
            (float32_text(percent), np.array([counts.percentile(percent) for counts in sums], np.float64))
            for percent in sorted(self.percentiles)
        ]


def _shown(template: Frame, points: Points, suffix: str) -> Frame:
    return Frame(template.metric, template.members, (points,), ({"suffix": suffix},))


def _bucket_counts(sums: Sequence[Counts], unplaced: Counts) -> list[tuple[str, Int64s]]:
    """Return the counts of underflow, each bucket and overflow over time, by the ends of their names.

    Args:
        sums: the sum for each time.
        unplaced: of what counts for no time: its buckets are named all the same.
    """
    if not sums and not unplaced.buckets:
        return []
    columns: dict[str, list[int]] = {"_UNDERFLOW": [counts.underflow for counts in sums]}
    for bucket in sorted({bucket for counts in (*sums, unplaced) for bucket in counts.buckets}):
        name = f"_{float32_text(bucket[0])}_{float32_text(bucket[1])}"
        columns[name] = [counts.buckets.get(bucket, 0) for counts in sums]
    columns["_OVERFLOW"] = [counts.overflow for counts in sums]
    return [(name, np.array(column, np.int64)) for name, column in columns.items()]


def float32_text(value: float) -> str:
    """Return a 32-bit float as Java prints it."""
    size = abs(value)
    number = np.float32(value)
    if size == 0 or 1e-3 <= size < 1e7:
        return np.format_float_positional(number, unique=True, trim="0")
    mantissa, _, exponent = np.format_float_scientific(number, unique=True, trim="0").partition("e")
    return f"{mantissa}E{int(exponent)}"


def histogram_stages(sub: CheckedSubQuery, first_ms: int, order: SortKey, group: SortKey | None) -> tuple[Stage, ...]:
    """Return the stages of a histogram query.

    Args:
        sub: what was asked.
        first_ms: start of what is read.
        order: order of the members.
        group: what series of one group share; None = every series on its own.
    """
    asked = sub.asked
    total = SumHistograms(order, group, sub.downsample, first_ms, asked.percentiles, asked.show_buckets)
    return (OnlyKinds((Kind.BLOB,)), total, KeepRange())
