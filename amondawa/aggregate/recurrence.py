"""Recurrences along runs: how to repeat, bit for bit, what a loop over each run's points computes.

Many runs are walked at once, as columns: the first point of each, then the second of each … A few runs are cheaper as a
plain loop over their points; very long ones have neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np

from amondawa.aggregate.buckets import Indexes, Runs
from amondawa.model.points import Float64s

LONGEST_RUN: Final = 65_536
"""Runs beyond are too long to walk point by point."""
_POINTS_A_COLUMN: Final = 32
"""A step over a column costs as much as a plain loop over so many points."""


def lengthy(runs: Runs) -> bool:
    """Say whether a run is too long for a recurrence."""
    return len(runs.firsts) > 0 and int(runs.lengths.max()) > LONGEST_RUN


def loops_cheaper(runs: Runs) -> bool:
    """Say whether a plain loop over all points is cheaper than columns."""
    return len(runs.firsts) > 0 and runs.end < _POINTS_A_COLUMN * int(runs.lengths.max())


def slices(values: Float64s, runs: Runs) -> Iterator[list[float]]:
    """Yield the values of each run, in order."""
    listed = values.tolist()
    bounds = [*runs.firsts.tolist(), runs.end]
    for start, end in pairwise(bounds):
        yield listed[start:end]


def columns(values: Float64s, runs: Runs) -> Iterator[tuple[int, slice | Indexes, Float64s]]:
    """Yield (k, active, column): `column` holds the k-th value (from 1) of every run that has one, float64[a].

    `active` selects those runs from an array with one entry a run. Nothing may change between the values and their runs.
    """
    firsts, lengths = runs.firsts, runs.lengths
    shortest = int(lengths.min(initial=LONGEST_RUN))
    for count in range(1, shortest + 1):
        yield count, slice(None), values[firsts + (count - 1)]
    active = np.flatnonzero(lengths > shortest)
    count = shortest
    while len(active):
        count += 1
        yield count, active, values[firsts[active] + (count - 1)]
        active = active[lengths[active] > count]
