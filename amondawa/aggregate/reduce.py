"""Reductions of runs: from the values of a stream and the first index of each run to one value a run.

`run` reduces each run; `join` reduces several results of one bucket to one, so that unmerged streams can be reduced
where they lie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from amondawa.aggregate.buckets import Indexes
from amondawa.model.points import Float64s, Int64s

_BLOCK_VALUES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Reduction:
    """An order-blind reduction.

    Attributes:
        run: (values float64[n], firsts intp[m]) to float64[m], one value a run.
        join: (values float64[m], place intp[m], width) to float64[width], one value a place; every place occurs.
    """

    run: Callable[[Float64s, Indexes], Float64s]
    join: Callable[[Float64s, Indexes, int], Float64s]


def _sum_runs(values: Float64s, firsts: Indexes) -> Float64s:
    """Add each run's values one after another, as a loop would: the last digits depend on the order."""
    sums = np.zeros(len(firsts))
    for begin in range(0, len(values), _BLOCK_VALUES):
        block = values[begin : begin + _BLOCK_VALUES]
        low, high = np.searchsorted(firsts, [begin, begin + len(block)], "right") - [1, 0]
        bounds = np.append(firsts[low:high], begin + len(block))
        bounds[0] = begin
        places = np.repeat(np.arange(high - low), np.diff(bounds))
        # A run that began in the block before goes on from what it had come to.
        block_sums = np.bincount(np.append(0, places), np.append(sums[low], block), minlength=high - low)
        sums[low:high] = block_sums
    return sums


def _sum_places(values: Float64s, places: Indexes, width: int) -> Float64s:
    sums: Float64s = np.bincount(places, weights=values, minlength=width).astype(np.float64, copy=False)
    return sums


def _min_runs(values: Float64s, firsts: Indexes) -> Float64s:
    return np.minimum.reduceat(values, firsts)


def _min_places(values: Float64s, places: Indexes, width: int) -> Float64s:
    out = np.full(width, np.inf)
    np.minimum.at(out, places, values)
    return out


def _max_runs(values: Float64s, firsts: Indexes) -> Float64s:
    return np.maximum.reduceat(values, firsts)


def _max_places(values: Float64s, places: Indexes, width: int) -> Float64s:
    out = np.full(width, -np.inf)
    np.maximum.at(out, places, values)
    return out


SUM = Reduction(_sum_runs, _sum_places)
MIN = Reduction(_min_runs, _min_places)
MAX = Reduction(_max_runs, _max_places)


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where runs of several streams go: each distinct bucket has one place, in order of its number.

    Attributes:
        numbers: int64[width], the bucket numbers, ascending.
        of_run: intp[m], the place of each run.
    """

    numbers: Int64s
    of_run: Indexes

    def earliest(self, times_ms: Int64s) -> Int64s:
        """Return the smallest time of each place, int64[width], from one time a run."""
        out = np.full(len(self.numbers), np.iinfo(np.int64).max)
        np.minimum.at(out, self.of_run, times_ms)
        return out

    def total(self, lengths: Int64s) -> Int64s:
        """Return the sum of each place, int64[width], from one length a run."""
        out = np.zeros(len(self.numbers), np.int64)
        np.add.at(out, self.of_run, lengths)
        return out


def by_length(lengths: Int64s) -> list[Indexes]:
    """Return the indexes of the runs of each length, shortest first: runs of one length are the rows of a matrix."""
    if len(lengths) == 0:
        return []
    order = np.argsort(lengths, kind="stable")
    changes = np.flatnonzero(np.diff(lengths[order])) + 1
    return np.split(order, changes)


def place(run_numbers: Int64s) -> Places:
    """Give each distinct bucket number its place; numbers in any order."""
    low = int(run_numbers.min())
    span = int(run_numbers.max()) - low + 1
    if span > 4 * len(run_numbers):
        numbers, of_run = np.unique(run_numbers, return_inverse=True)
        return Places(numbers, of_run)
    seen = np.zeros(span, np.bool_)
    offsets: npt.NDArray[np.int64] = run_numbers - low
    seen[offsets] = True
    positions = np.cumsum(seen) - 1
    return Places(np.flatnonzero(seen) + low, positions[offsets])
