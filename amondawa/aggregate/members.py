"""Reductions across the members of a group: one column a time, one row a member.

Every function takes `values` (float64 or int64, shape [members, times]) and `present` (bool, same shape: whether the
member takes part at that time) and returns one value a time. At least one member is present in every column.

Float reductions leave NaN out unless said otherwise; a column of nothing but NaN gives NaN. Integer reductions wrap in
64 bits and truncate toward zero, as OpenTSDB's do. Source: suites query_aggregators, query_numbers, query_downsample.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from amondawa.model.points import Float64s, Int64s

Bools = npt.NDArray[np.bool_]
FloatReduction = Callable[[Float64s, Bools], Float64s]
LongReduction = Callable[[Int64s, Bools], Int64s]
Estimate = Callable[[Int64s, float], Float64s]
"""(number of values int64[n], quantile 0..1) -> position among them, counted from 1 (float64[n])"""


def truncating_divide(dividend: Int64s, divisor: Int64s) -> Int64s:
    """Divide integers toward zero; a divisor is never 0."""
    quotient = dividend // divisor
    inexact = quotient * divisor != dividend
    return np.asarray(quotient + (inexact & ((dividend < 0) != (divisor < 0))), dtype=np.int64)


def _numbers(values: Float64s, present: Bools) -> Bools:
    """Say where a member is present with a number."""
    nan = np.isnan(values)
    return present & ~nan if nan.any() else present


def _blank(result: Float64s, taken: Bools) -> Float64s:
    """Put NaN where nothing was taken."""
    if not taken.all():
        result[~taken.any(axis=0)] = np.nan
    return result


def sum_floats(values: Float64s, present: Bools) -> Float64s:
    """Add up."""
    taken = _numbers(values, present)
    if taken.all():
        return np.asarray(np.add.reduce(values, axis=0))
    return _blank(np.add.reduce(values, axis=0, where=taken), taken)


def sum_longs(values: Int64s, present: Bools) -> Int64s:
    """Add up."""
    return np.asarray(np.add.reduce(values, axis=0, where=present))


def square_sum_floats(values: Float64s, present: Bools) -> Float64s:
    """Add up the squares."""
    return sum_floats(values * values, present)


def square_sum_longs(values: Int64s, present: Bools) -> Int64s:
    """Add up the squares."""
    return sum_longs(values * values, present)


def product_floats(values: Float64s, present: Bools) -> Float64s:
    """Multiply; NaN is not left out."""
    return np.asarray(np.multiply.reduce(values, axis=0, where=present))


def product_longs(values: Int64s, present: Bools) -> Int64s:
    """Multiply."""
    return np.asarray(np.multiply.reduce(values, axis=0, where=present))


def minimum_floats(values: Float64s, present: Bools) -> Float64s:
    """Take the least."""
    taken = _numbers(values, present)
    return _blank(np.minimum.reduce(values, axis=0, where=taken, initial=np.inf), taken)


def minimum_longs(values: Int64s, present: Bools) -> Int64s:
    """Take the least."""
    return np.asarray(np.minimum.reduce(values, axis=0, where=present, initial=np.iinfo(np.int64).max))


def maximum_floats(values: Float64s, present: Bools) -> Float64s:
    """Take the greatest."""
    taken = _numbers(values, present)
    return _blank(np.maximum.reduce(values, axis=0, where=taken, initial=-np.inf), taken)


def maximum_longs(values: Int64s, present: Bools) -> Int64s:
    """Take the greatest."""
    return np.asarray(np.maximum.reduce(values, axis=0, where=present, initial=np.iinfo(np.int64).min))


def mean_floats(values: Float64s, present: Bools) -> Float64s:
    """Take the arithmetic mean."""
    taken = _numbers(values, present)
    count = np.count_nonzero(taken, axis=0)
    return np.asarray(sum_floats(values, present) / np.maximum(count, 1))


def mean_longs(values: Int64s, present: Bools) -> Int64s:
    """Take the arithmetic mean, truncated."""
    return truncating_divide(sum_longs(values, present), np.count_nonzero(present, axis=0).astype(np.int64))


def count_floats(values: Float64s, present: Bools) -> Float64s:
    """Count the numbers; a column of NaN gives 0."""
    return np.asarray(np.count_nonzero(_numbers(values, present), axis=0), dtype=np.float64)


def count_longs(values: Int64s, present: Bools) -> Int64s:
    """Count the members."""
    return np.asarray(np.count_nonzero(present, axis=0).astype(np.int64))


def deviation_floats(values: Float64s, present: Bools) -> Float64s:
    """Take the deviation of the population by the running form, member after member."""
    taken = _numbers(values, present)
    count = np.zeros(values.shape[1])
    mean = np.zeros(values.shape[1])
    squares = np.zeros(values.shape[1])
    for row, take in zip(values, taken, strict=True):
        count += take
        number = np.where(take, row, mean)
        delta = number - mean
        mean = mean + delta / np.maximum(count, 1)
        squares += delta * (number - mean)
    return _blank(np.sqrt(squares / np.maximum(count, 1)), taken)


def deviation_longs(values: Int64s, present: Bools) -> Int64s:
    """Take the deviation of the population, truncated."""
    return deviation_floats(values.astype(np.float64), present).astype(np.int64)


def _first(present: Bools) -> Int64s:
    return np.asarray(present.argmax(axis=0), dtype=np.int64)


def _last(present: Bools) -> Int64s:
    return np.asarray(len(present) - 1 - present[::-1].argmax(axis=0), dtype=np.int64)


def first_floats(values: Float64s, present: Bools) -> Float64s:
    """Take the first member's value, NaN or not."""
    return np.asarray(values[_first(present), np.arange(values.shape[1])])


def first_longs(values: Int64s, present: Bools) -> Int64s:
    """Take the first member's value."""
    return np.asarray(values[_first(present), np.arange(values.shape[1])])


def last_floats(values: Float64s, present: Bools) -> Float64s:
    """Take the last member's value, NaN or not."""
    return np.asarray(values[_last(present), np.arange(values.shape[1])])


def last_longs(values: Int64s, present: Bools) -> Int64s:
    """Take the last member's value."""
    return np.asarray(values[_last(present), np.arange(values.shape[1])])


def difference_floats(values: Float64s, present: Bools) -> Float64s:
    """Take the last member's value (NaN or not) less the first number; 0 for one member."""
    taken = _numbers(values, present)
    columns = np.arange(values.shape[1])
    first, last = _first(taken), _last(present)
    out = np.where(first == last, 0.0, values[last, columns] - values[first, columns])
    return _blank(out, taken)


def difference_longs(values: Int64s, present: Bools) -> Int64s:
    """Take the last member's value less the first one's; 0 for one member."""
    return last_longs(values, present) - first_longs(values, present)


def _ranked(values: Float64s, taken: Bools) -> tuple[Float64s, Int64s]:
    """Sort each column, what is not taken at its end; return with the number taken in each."""
    ranked = np.sort(np.where(taken, values, np.inf), axis=0)
    return ranked, np.count_nonzero(taken, axis=0).astype(np.int64)


def median_floats(values: Float64s, present: Bools) -> Float64s:
    """Take the middle value, the upper one of two."""
    taken = _numbers(values, present)
    ranked, count = _ranked(values, taken)
    middle = np.minimum(count // 2, len(values) - 1)
    return _blank(ranked[middle, np.arange(values.shape[1])], taken)


def median_longs(values: Int64s, present: Bools) -> Int64s:
    """Take the middle value, the upper one of two."""
    ranked = np.sort(np.where(present, values, np.iinfo(np.int64).max), axis=0)
    middle = np.count_nonzero(present, axis=0) // 2
    return np.asarray(ranked[middle, np.arange(values.shape[1])])


def position_classic(count: Int64s, quantile: float) -> Float64s:
    """Place a quantile at q * (n + 1)."""
    return np.asarray(quantile * (count + 1), dtype=np.float64)


def position_r3(count: Int64s, quantile: float) -> Float64s:
    """Place a quantile at the nearest of n values, halves to the even one (Hyndman and Fan's type 3)."""
    nearest = np.rint(count * quantile)
    return np.where(quantile <= 0.5 / np.maximum(count, 1), 0.0, nearest)


def position_r7(count: Int64s, quantile: float) -> Float64s:
    """Place a quantile at 1 + q * (n - 1) (Hyndman and Fan's type 7)."""
    return np.asarray(1.0 + (count - 1) * quantile, dtype=np.float64)


def quantile_floats(values: Float64s, present: Bools, quantile: float, place: Estimate) -> Float64s:
    """Estimate a quantile (0..1), linear between neighbours."""
    taken = _numbers(values, present)
    ranked, count = _ranked(values, taken)
    position = place(count, quantile)
    columns = np.arange(values.shape[1])
    top = np.maximum(count - 1, 0)
    lower = np.clip(np.floor(position).astype(np.int64) - 1, 0, top)
    upper = np.minimum(lower + 1, top)
    share = np.where((position < 1) | (position >= count), 0.0, position - np.floor(position))
    low = ranked[lower, columns]
    with np.errstate(invalid="ignore"):  # between infinities there is no number, as in Java
        gap = np.where(share > 0, ranked[upper, columns], low) - low
        return _blank(low + share * gap, taken)


def quantile_reductions(percent: float, place: Estimate) -> tuple[FloatReduction, LongReduction]:
    """Return the float and the integer reduction of a percentile.

    Floats always use the classic position, whatever `place` says: OpenTSDB forgets its R-3 and R-7 there.
    """

    def floats(values: Float64s, present: Bools) -> Float64s:
        return quantile_floats(values, present, percent / 100, position_classic)

    def longs(values: Int64s, present: Bools) -> Int64s:
        return quantile_floats(values.astype(np.float64), present, percent / 100, place).astype(np.int64)

    return floats, longs
