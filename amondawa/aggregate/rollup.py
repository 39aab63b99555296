"""Rolling points up: which points may be, how they are put together, and what of an interval stands for its points."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
import numpy.typing as npt

from amondawa.model.points import Kind, Points
from amondawa.model.rollup import Rollup

Bools = npt.NDArray[np.bool_]


class Column(Enum):
    """What stands for an interval's points in an aggregation: one point, at the time of the first of them."""

    SUM = "sum"
    COUNT = "count"
    LEAST = "least"
    MOST = "most"
    FIRST = "first"
    LAST = "last"
    """at the time of the last of them"""
    MEAN = "mean"
    """the point itself where the interval has just one"""


def may_be_rolled_up(points: Points) -> Bools:
    """Say which points of a row (in order) can be put together without harm, bool[n].

    Texts and blobs cannot be. A NaN is left out by one dialect and not by the other, a point that expires must be able to
    vanish alone, and of two kinds at one time one dialect sees both and the other one: all of these stay as they are.
    """
    fit: Bools = points.kinds <= Kind.DOUBLE.value
    if not points.only(Kind.LONG):
        fit = fit & ~np.isnan(points.numbers())
    if points.expires_ms is not None:
        fit = fit & (points.expires_ms == 0)
    same = points.times_ms[1:] == points.times_ms[:-1]
    if same.any():
        fit = fit.copy()
        fit[1:][same] = False
        fit[:-1][same] = False
    return fit


def roll_up(points: Points, step_ms: int) -> Rollup:
    """Put points together.

    Args:
        points: ascending, at least one, all of them as `may_be_rolled_up` wants them.
        step_ms: length of an interval.
    """
    numbers = points.times_ms // step_ms
    firsts = np.concatenate([[0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1])
    counts = np.diff(firsts, append=len(points)).astype(np.int64, copy=False)
    values = points.numbers()
    plain = Points(points.times_ms, points.kinds, points.bits)
    with np.errstate(over="ignore", invalid="ignore"):
        return Rollup(
            step_ms,
            counts,
            np.add.reduceat(values, firsts),
            np.minimum.reduceat(values, firsts),
            np.maximum.reduceat(values, firsts),
            plain.take(firsts),
            plain.take(firsts + counts - 1),
        )


def join(parts: Sequence[Rollup], step_ms: int) -> Rollup:
    """Put rolled-up data together.

    Args:
        parts: in order of arrival, at least one; their intervals may overlap. All of their steps divide `step_ms`.
        step_ms: length of the new intervals.
    """
    if len(parts) == 1 and parts[0].step_ms == step_ms:
        return parts[0]
    firsts, lasts = Points.concat([part.firsts for part in parts]), Points.concat([part.lasts for part in parts])
    numbers = firsts.times_ms // step_ms
    order = np.argsort(numbers, kind="stable")
    changes = np.flatnonzero(numbers[order][1:] != numbers[order][:-1]) + 1
    groups = np.concatenate([[0], changes]).astype(np.intp)
    ends = np.append(groups[1:], len(order)) - 1

    def column(of: str) -> npt.NDArray[np.float64]:
        return np.concatenate([getattr(part, of) for part in parts])[order]

    arrival = np.arange(len(numbers))
    earliest = np.lexsort((-arrival, firsts.times_ms, numbers))[groups]
    latest = np.lexsort((arrival, lasts.times_ms, numbers))[ends]
    with np.errstate(over="ignore", invalid="ignore"):
        return Rollup(
            step_ms,
            np.add.reduceat(np.concatenate([part.counts for part in parts])[order], groups),
            np.add.reduceat(column("sums"), groups),
            np.minimum.reduceat(column("least"), groups),
            np.maximum.reduceat(column("most"), groups),
            firsts.take(earliest),
            lasts.take(latest),
        )


def points_of(rollup: Rollup, column: Column) -> Points:
    """Return a column as points, one an interval, ascending."""
    times = rollup.firsts.times_ms
    if column is Column.FIRST:
        return rollup.firsts
    if column is Column.LAST:
        return rollup.lasts
    if column is Column.COUNT:
        return Points.longs(times, rollup.counts)
    if column is Column.MEAN:
        return _means(rollup)
    values = {Column.SUM: rollup.sums, Column.LEAST: rollup.least, Column.MOST: rollup.most}[column]
    return Points.doubles(times, values)


def _means(rollup: Rollup) -> Points:
    alone = rollup.counts == 1
    if alone.all():
        return rollup.firsts
    means = Points.doubles(rollup.firsts.times_ms, rollup.sums / rollup.counts)
    if not alone.any():
        return means
    kinds = np.where(alone, rollup.firsts.kinds, np.uint8(Kind.DOUBLE.value))
    return Points(means.times_ms, kinds, np.where(alone, rollup.firsts.bits, means.bits))


def raw_points(points: Points, column: Column) -> Points:
    """Return what points that are not rolled up give for a column: each stands for itself, once."""
    if column is not Column.COUNT:
        return points
    numbers = points.kinds <= Kind.DOUBLE.value
    if numbers.all():
        return Points.longs(points.times_ms, np.ones(len(points), np.int64))
    kinds = np.where(numbers, np.uint8(Kind.LONG.value), points.kinds)
    return Points(points.times_ms, kinds, np.where(numbers, np.int64(1), points.bits), points.texts)


def interleaved(parts: Sequence[Points]) -> Points:
    """Return ascending parts as one ascending stream; points of one time stay beside one another, in the parts' order."""
    points = Points.concat(parts)
    times = points.times_ms
    if (times[1:] >= times[:-1]).all():
        return points
    return points.take(np.argsort(times, kind="stable"))
