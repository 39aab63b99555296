"""Marking of empty buckets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from amondawa.aggregate.buckets import Buckets, Runs, cut, origin_buckets
from amondawa.aggregate.downsample import RangeStage
from amondawa.aggregate.merge import merged
from amondawa.aggregate.stages import AGGREGATORS
from amondawa.errors import LimitExceeded
from amondawa.model.points import Int64s, Kind, Points
from amondawa.model.query import Clock
from amondawa.model.result import Frame

BUCKET_LIMIT: Final = 10_000_000
"""Most buckets that the results of a query may have: a bucket of a millisecond over a year would fill the memory."""


@AGGREGATORS.register("gaps")
@dataclass(frozen=True, slots=True)
class Gaps(RangeStage):
    """Let points of any kind through and put a null at the start of every empty bucket.

    Without `trim` the buckets from the query's start to its end (or now, when that is earlier) are looked at. With `trim`
    those up to the last point, and in the first result that has points, from its first point on; later results begin with
    the origin's bucket, as KairosDB's do.
    """

    numbers_only: ClassVar[bool] = False

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames with nulls.

        Raises:
            ComputeError: an empty sampling, or an origin that clocks skipped.
            LimitExceeded: more than BUCKET_LIMIT buckets in all results together.
        """
        origin_ms = self.origin_ms(clock.start_ms)
        buckets = origin_buckets(origin_ms, self.sampling, self.zone)
        end_ms = min(clock.end_ms, clock.now_ms)
        out = []
        begun = False
        room = BUCKET_LIMIT
        for frame in frames:
            clock.check()
            points = merged(frame)
            start_ms = clock.start_ms
            if self.trim:
                start_ms = origin_ms if begun or not len(points) else int(points.times_ms[0])
                begun = begun or len(points) > 0
            marked = _mark(points, buckets, start_ms, None if self.trim else end_ms, room)
            room -= len(marked)
            out.append(frame.with_points(marked))
        return out

    def reduce_runs(self, points: Points, runs: Runs, buckets: Buckets) -> Points:
        """Return the points unchanged: runs are never empty."""
        return points


def _mark(points: Points, buckets: Buckets, start_ms: int, end_ms: int | None, room: int) -> Points:
    """Return the points with nulls for empty buckets from `start_ms` to `end_ms` or the last point, if that is later.

    Raises:
        LimitExceeded: those are more than `room` buckets.
    """
    runs = cut(points.times_ms, buckets)
    first = _bucket_at(start_ms, buckets)
    last = first - 1 if end_ms is None or end_ms < start_ms else int(buckets.numbers(np.array([end_ms]))[0])
    if len(runs.numbers):
        last = max(last, int(runs.numbers[-1]))
    if last - first >= room:
        raise LimitExceeded(
            f"gaps would look at more than {BUCKET_LIMIT} buckets; use a longer sampling, a shorter range or fewer groups"
        )
    taken = np.maximum(runs.numbers, first)  # points of earlier buckets count for the first one
    without = np.ones(max(last - first + 1, 0), np.bool_)
    without[taken - first] = False
    empty = np.flatnonzero(without) + first
    if len(empty) == 0:
        return points
    return _insert(points, np.searchsorted(taken, empty), runs, buckets.edges(empty))


def _bucket_at(time_ms: int, buckets: Buckets) -> int:
    """Return the bucket a walk that begins at `time_ms` looks at first: before the origin it is counted by truncation."""
    number = int(buckets.numbers(np.array([time_ms], np.int64))[0])
    if number < 0:
        number += int(buckets.edges(np.array([number], np.int64))[0]) != time_ms
    return number


def _insert(points: Points, before_run: Int64s, runs: Runs, null_times_ms: Int64s) -> Points:
    """Put nulls before the runs given (the number of runs = after all points)."""
    positions = np.append(runs.firsts, runs.end)[before_run] + np.arange(len(null_times_ms))
    own = np.ones(len(points) + len(positions), np.bool_)
    own[positions] = False
    times_ms = np.empty(len(own), np.int64)
    times_ms[positions] = null_times_ms
    times_ms[own] = points.times_ms
    kinds = np.full(len(own), Kind.NULL.value, np.uint8)
    kinds[own] = points.kinds
    bits = np.zeros(len(own), np.int64)
    bits[own] = points.bits
    return Points(times_ms, kinds, bits, points.texts)
