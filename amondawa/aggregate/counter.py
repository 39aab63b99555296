"""Rates of change in units a second, with the rules of counters that wrap or start anew.

Source: suite query_rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amondawa.aggregate.members import Bools
from amondawa.model.points import Float64s, Kind, Points

MILLIS = 1000.0
MAX_COUNTER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class CounterRules:
    """How a falling value is understood.

    Attributes:
        counter: a falling value means that a counter passed its maximum.
        maximum: the counter's largest value.
        reset: when above 0, a wrap whose rate is above it is taken for a restart and gives 0.
        drop_resets: leave out the point after a fall.
    """

    counter: bool = False
    maximum: int = MAX_COUNTER
    reset: int = 0
    drop_resets: bool = False


PLAIN = CounterRules()


def rates(points: Points, rules: CounterRules = PLAIN) -> Points:
    """Return the rate at every point against the one before it.

    The first rate is taken against the value 0 at time 0. OpenTSDB shows it to nobody but lets it stand in for the series
    until its first true rate (see `combine(held=True)`).

    Args:
        points: ascending, without equal times, LONG and DOUBLE only.
        rules: how a falling value is understood.

    Returns:
        DOUBLE points; one a point, less the dropped ones.
    """
    if not len(points):
        return points
    seconds = np.diff(points.times_ms, prepend=0) / MILLIS
    rise = _differences(points, 0)
    fell = rise < 0
    if not (rules.counter and fell.any()):
        return Points.doubles(points.times_ms, _divide(rise, seconds))
    if rules.drop_resets:
        return Points.doubles(points.times_ms[~fell], _divide(rise[~fell], seconds[~fell]))
    wrapped = _divide(_differences(points, rules.maximum), seconds)
    if rules.reset > 0:
        wrapped[wrapped > rules.reset] = 0.0
    return Points.doubles(points.times_ms, np.where(fell, wrapped, _divide(rise, seconds)))


def _divide(rise: Float64s, seconds: Float64s) -> Float64s:
    with np.errstate(divide="ignore", invalid="ignore"):
        return rise / seconds


def _differences(points: Points, offset: int) -> Float64s:
    """Return offset - previous + current at every point; between two integers in wrapping 64-bit arithmetic."""
    if points.only(Kind.DOUBLE):
        return np.diff(points.numbers(), prepend=0.0) + offset
    integer = _integer_steps(points)
    longs = (np.diff(points.bits, prepend=np.int64(0)) + np.int64(offset)).astype(np.float64)
    if integer.all():
        return longs
    return np.where(integer, longs, np.diff(points.numbers(), prepend=0.0) + offset)


def _integer_steps(points: Points) -> Bools:
    """Say at which points both the value and the one before are integers; before the first stands an integer."""
    longs = points.kinds == Kind.LONG
    before = np.append(True, longs[:-1])
    return np.asarray(longs & before)
