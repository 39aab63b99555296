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
"""Most buckets that one result may have: a bucket of a millisecond over a year would fill the memory."""


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
            LimitExceeded: more buckets than BUCKET_LIMIT.
        """
        origin_ms = self.origin_ms(clock.start_ms)
        buckets = origin_buckets(origin_ms, self.sampling, self.zone)
        end_ms = min(clock.end_ms, clock.now_ms)
        out = []
        begun = False
        for frame in frames:
            clock.check()
            points = merged(frame)
            if self.trim:
                start_ms = origin_ms if begun or not len(points) else int(points.times_ms[0])
                begun = begun or len(points) > 0
                out.append(frame.with_points(_mark(points, buckets, start_ms, None)))
            else:
                out.append(frame.with_points(_mark(points, buckets, clock.start_ms, end_ms)))
        return out

    def reduce_runs(self, points: Points, runs: Runs, buckets: Buckets) -> Points:
        """Return the points unchanged: runs are never empty."""
        return points


def _mark(points: Points, buckets: Buckets, start_ms: int, end_ms: int | None) -> Points:
    """Return the points with nulls for empty buckets from `start_ms` to `end_ms` or the last point, if that is later."""
    runs = cut(points.times_ms, buckets)
    first = _bucket_at(start_ms, buckets)
    last = first - 1 if end_ms is None or end_ms < start_ms else int(buckets.numbers(np.array([end_ms]))[0])
    if len(runs.numbers):
        last = max(last, int(runs.numbers[-1]))
    if last - first >= BUCKET_LIMIT:
        raise LimitExceeded(
            f"gaps would look at {last - first + 1} buckets, more than {BUCKET_LIMIT}; "
            "use a longer sampling or a shorter range"
        )
    taken = np.maximum(runs.numbers, first)  # points of earlier buckets count for the first one
    empty = np.setdiff1d(np.arange(first, last + 1), taken)
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
    positions = np.append(runs.firsts, runs.end)[before_run]
    return Points(
        np.insert(points.times_ms, positions, null_times_ms),
        np.insert(points.kinds, positions, np.uint8(Kind.NULL)),
        np.insert(points.bits, positions, 0),
        points.texts,
    )
