"""Percentiles of each bucket."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amondawa.aggregate.buckets import Buckets, Indexes, Runs
from amondawa.aggregate.downsample import RangeStage
from amondawa.aggregate.reduce import by_length
from amondawa.aggregate.stages import AGGREGATORS
from amondawa.errors import ComputeError
from amondawa.model.points import Float64s, Points


@AGGREGATORS.register("percentile")
@dataclass(frozen=True, slots=True)
class Percentile(RangeStage):
    """A percentile of each bucket, a double: of n sorted values the one at position p * (n + 1), counted from 1.

    Below 1 it is the smallest, from n on the largest, in between it is linear. Every point counts, however many there are
    (KairosDB draws a random sample of 1,028).

    Attributes:
        percentile: p, from 0 to 1.
    """

    percentile: float = 0.1

    def reduce_runs(self, points: Points, runs: Runs, buckets: Buckets) -> Points:
        """Return one double a run.

        Raises:
            ComputeError: p is not from 0 to 1.
        """
        if not 0.0 <= self.percentile <= 1.0:
            raise ComputeError(f"{self.percentile} is not in [0..1]")
        stamps = self.stamps(points.times_ms[runs.firsts], runs.numbers, buckets)
        return Points.doubles(stamps, percentiles(points.numbers(), runs, self.percentile))


def percentiles(values: Float64s, runs: Runs, fraction: float) -> Float64s:
    """Return a percentile of each run, float64[m]. Runs of one length are sorted together, as the rows of a matrix."""
    lengths = runs.lengths
    out = np.empty(len(lengths))
    for chosen in by_length(lengths):
        out[chosen] = _of_rows(values, runs.firsts[chosen], int(lengths[chosen[0]]), fraction)
    return out


def _of_rows(values: Float64s, firsts: Indexes, length: int, fraction: float) -> Float64s:
    """Return a percentile of the runs of one length that begin at `firsts`, float64[a]."""
    position = fraction * (length + 1)
    low = int(position) - 1
    rows: Float64s = values[firsts[:, None] + np.arange(length)]
    if position < 1:
        out: Float64s = rows.min(axis=1)
    elif position >= length:
        out = rows.max(axis=1)
    else:
        rows.partition((low, low + 1), axis=1)
        out = rows[:, low] + (position - np.floor(position)) * (rows[:, low + 1] - rows[:, low])
    return out
