"""Standard deviation of each bucket."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from amondawa.aggregate.buckets import Buckets, Runs
from amondawa.aggregate.downsample import RangeStage
from amondawa.aggregate.recurrence import columns, lengthy, loops_cheaper, slices
from amondawa.aggregate.reduce import SUM
from amondawa.aggregate.stages import AGGREGATORS
from amondawa.model.points import Float64s, Points


class DeviationKind(Enum):
    """What `dev` returns."""

    VALUE = "value"
    """the deviation itself"""
    POS_SD = "pos_sd"
    """the mean plus deviations"""
    NEG_SD = "neg_sd"
    """the mean less deviations"""


@AGGREGATORS.register("dev")
@dataclass(frozen=True, slots=True)
class Deviation(RangeStage):
    """The sample deviation of each bucket, a double; 0 for one point.

    It comes from running means of x and x squared, in one pass over the points in order, rounding included.
    *Source:* KairosDB. Buckets of very many points are computed in two passes instead, which is more exact.

    Attributes:
        return_type: the deviation, or the mean and so many deviations more or less.
        dev_count: how many.
    """

    return_type: DeviationKind = DeviationKind.VALUE
    dev_count: int = 1

    def reduce_runs(self, points: Points, runs: Runs, buckets: Buckets) -> Points:
        """Return one double a run."""
        stamps = self.stamps(points.times_ms[runs.firsts], runs.numbers, buckets)
        means, deviations = _mean_and_deviation(points.numbers(), runs)
        if self.return_type is DeviationKind.POS_SD:
            deviations = means + deviations * self.dev_count
        elif self.return_type is DeviationKind.NEG_SD:
            deviations = means - deviations * self.dev_count
        return Points.doubles(stamps, deviations)


def _mean_and_deviation(values: Float64s, runs: Runs) -> tuple[Float64s, Float64s]:
    """Return the mean and the deviation of each run, float64[m] each."""
    if lengthy(runs):
        return _two_passes(values, runs)
    means, squares = _looped(values, runs) if loops_cheaper(runs) else _by_columns(values, runs)
    lengths = runs.lengths
    variances = (squares * lengths - lengths * means * means) / np.maximum(lengths - 1, 1)
    variances[(lengths == 1) | ~(variances > 0)] = 0.0
    return means, np.sqrt(variances)


def _looped(values: Float64s, runs: Runs) -> tuple[Float64s, Float64s]:
    """Return the running means of x and of x squared of each run, float64[m] each."""
    out = []
    for run in slices(values, runs):
        mean = square = 0.0
        for count, value in enumerate(run, 1):
            mean += (value - mean) / count
            square += (value * value - square) / count
        out.append((mean, square))
    means, squares = np.array(out).T
    return means, squares


def _by_columns(values: Float64s, runs: Runs) -> tuple[Float64s, Float64s]:
    """Return the running means of x and of x squared of each run, float64[m] each."""
    means = np.zeros(len(runs.firsts))
    squares = np.zeros(len(runs.firsts))
    for count, active, column in columns(values, runs):
        means[active] += (column - means[active]) / count
        squares[active] += (column * column - squares[active]) / count
    return means, squares


def _two_passes(values: Float64s, runs: Runs) -> tuple[Float64s, Float64s]:
    lengths = runs.lengths
    means = SUM.run(values, runs.firsts) / lengths
    residues = values - np.repeat(means, lengths)
    return means, np.sqrt(SUM.run(residues * residues, runs.firsts) / np.maximum(lengths - 1, 1))
