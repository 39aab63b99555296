"""The fitted line of each bucket."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amondawa.aggregate.buckets import Buckets, Indexes, Runs
from amondawa.aggregate.downsample import RangeStage
from amondawa.aggregate.recurrence import columns, lengthy, loops_cheaper, slices
from amondawa.aggregate.reduce import SUM
from amondawa.aggregate.stages import AGGREGATORS
from amondawa.model.points import Float64s, Int64s, Kind, Points


@AGGREGATORS.register("least_squares")
@dataclass(frozen=True, slots=True)
class LeastSquares(RangeStage):
    """Two doubles for each bucket of three points and more: the fitted line at its first and at its last point's time.

    Buckets of one or two points give them as they are; times are never aligned. The line comes from running means of
    times since 1970, whose rounding shows in the ninth digit; it is kept. *Source:* KairosDB.
    """

    def reduce_runs(self, points: Points, runs: Runs, buckets: Buckets) -> Points:
        """Return one or two points a run."""
        long = np.flatnonzero(runs.lengths >= 3)
        ends = np.sort(np.concatenate((runs.firsts, runs.lasts[runs.lengths >= 2])))
        out = points.take(ends)
        if len(long) == 0:
            return Points(out.times_ms, out.kinds, out.bits)
        firsts, lasts = runs.firsts[long], runs.lasts[long]
        at_first, at_last = _fit(points.times_ms, points.numbers(), runs, long)
        kinds, bits = np.array(out.kinds), np.array(out.bits)
        for indexes, fitted in ((firsts, at_first), (lasts, at_last)):
            where = np.searchsorted(ends, indexes)
            kinds[where] = Kind.DOUBLE
            bits[where] = fitted.view(np.int64)
        return Points(out.times_ms, kinds, bits)


def _fit(times_ms: Int64s, values: Float64s, runs: Runs, chosen: Indexes) -> tuple[Float64s, Float64s]:
    """Return the fitted value at the first and at the last time of the chosen runs, float64[a] each."""
    times = times_ms.astype(np.float64)
    sums = _long_sums if lengthy(runs) else _looped_sums if loops_cheaper(runs) else _column_sums
    slopes, sum_x, sum_y = sums(times, values, runs)
    lengths = runs.lengths[chosen]
    slopes = slopes[chosen]
    intercepts = (sum_y[chosen] - slopes * sum_x[chosen]) / lengths
    return intercepts + slopes * times[runs.firsts[chosen]], intercepts + slopes * times[runs.lasts[chosen]]


def _column_sums(times: Float64s, values: Float64s, runs: Runs) -> tuple[Float64s, Float64s, Float64s]:
    """Return slope, sum of times and sum of values of each run, by the recurrence of running means."""
    mean_x, mean_y, sum_xx, sum_xy, sum_x, sum_y = np.zeros((6, len(runs.firsts)))
    pairs = zip(columns(times, runs), columns(values, runs), strict=True)
    for (count, active, x), (_, _, y) in pairs:
        off_x, off_y = x - mean_x[active], y - mean_y[active]
        if count == 1:
            mean_x[active], mean_y[active] = x, y
        else:
            weight = (count - 1) / count
            sum_xx[active] += off_x * off_x * weight
            sum_xy[active] += off_x * off_y * weight
            mean_x[active] += off_x / count
            mean_y[active] += off_y / count
        sum_x[active] += x
        sum_y[active] += y
    return _slopes(sum_xy, sum_xx), sum_x, sum_y


def _looped_sums(times: Float64s, values: Float64s, runs: Runs) -> tuple[Float64s, Float64s, Float64s]:
    """Return what `_column_sums` does, in a plain loop."""
    out = []
    for run_x, run_y in zip(slices(times, runs), slices(values, runs), strict=True):
        mean_x, mean_y, sum_x, sum_y, sum_xx, sum_xy = run_x[0], run_y[0], run_x[0], run_y[0], 0.0, 0.0
        for count in range(2, len(run_x) + 1):
            x, y = run_x[count - 1], run_y[count - 1]
            off_x, off_y, weight = x - mean_x, y - mean_y, (count - 1) / count
            sum_xx += off_x * off_x * weight
            sum_xy += off_x * off_y * weight
            mean_x += off_x / count
            mean_y += off_y / count
            sum_x += x
            sum_y += y
        out.append((sum_xy, sum_xx, sum_x, sum_y))
    sums_xy, sums_xx, sums_x, sums_y = np.array(out).T
    return _slopes(sums_xy, sums_xx), sums_x, sums_y


def _long_sums(times: Float64s, values: Float64s, runs: Runs) -> tuple[Float64s, Float64s, Float64s]:
    """Return slope, sum of times and sum of values of each run, in two passes."""
    lengths = runs.lengths
    sum_x, sum_y = SUM.run(times, runs.firsts), SUM.run(values, runs.firsts)
    off_x = times - np.repeat(sum_x / lengths, lengths)
    off_y = values - np.repeat(sum_y / lengths, lengths)
    return _slopes(SUM.run(off_x * off_y, runs.firsts), SUM.run(off_x * off_x, runs.firsts)), sum_x, sum_y


def _slopes(sum_xy: Float64s, sum_xx: Float64s) -> Float64s:
    """Return the slopes; NaN where all times of a run are one."""
    out = np.full(len(sum_xy), np.nan)
    np.divide(sum_xy, sum_xx, out=out, where=sum_xx > 0)
    return out
