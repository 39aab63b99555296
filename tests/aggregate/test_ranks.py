import math

import numpy as np

from amondawa.aggregate import ranks
from amondawa.model.points import Points


def doubles(first_s: int, *values: float) -> Points:
    return Points.doubles(np.arange(first_s, first_s + len(values)) * 1000, np.array(values))


def longs(first_s: int, *values: int) -> Points:
    return Points.longs(np.arange(first_s, first_s + len(values)) * 1000, np.array(values))


def largest(series: list[Points], start_s: int = 0, end_s: int = 100) -> list[float]:
    return ranks.largest(series, start_s * 1000, end_s * 1000)


def latest(series: list[Points], start_s: int = 0, end_s: int = 100) -> list[float]:
    return ranks.latest(series, start_s * 1000, end_s * 1000)


def test_the_highest_ranks_come_first_and_equals_in_order():
    assert ranks.highest([1.0, 5.0, 5.0], 2) == [1, 2]
    assert ranks.highest([1.0, 5.0, 5.0], 9) == [1, 2, 0]


def test_no_number_ranks_above_all_numbers():
    assert ranks.highest([1.0, math.nan, 5.0], 3) == [1, 2, 0]


def test_series_of_the_same_times_rank_by_their_largest_and_by_their_last_value():
    falling, rising = longs(0, 9, 5, 1), longs(0, 2, 3, 4)
    assert largest([falling, rising]) == [9.0, 4.0]
    assert latest([falling, rising]) == [1.0, 4.0]


def test_negative_integers_rank_by_themselves_and_negative_doubles_do_not():
    assert largest([longs(0, -9, -5), longs(0, -3, -4)]) == [-5.0, -3.0]
    assert largest([doubles(0, -9.0), doubles(0, -3.0)]) == [ranks.LEAST_DOUBLE, ranks.LEAST_DOUBLE]


def test_the_values_of_a_series_count_for_the_one_before_it_once_that_has_ended():
    short, long = doubles(0, 1.0, 2.0), doubles(0, 3.0, 4.0, 50.0)
    assert latest([short, long]) == [50.0, 0.0]
    assert largest([short, long]) == [50.0, 4.0]


def test_integers_and_doubles_of_different_times_both_count():
    assert largest([longs(0, 7, 8, 9), doubles(10, 2.5)]) == [9.0, ranks.LEAST_DOUBLE]
    assert latest([longs(0, 7, 8), doubles(10, 2.5)]) == [2.5, 0.0]


def test_nothing_ranks_by_nothing():
    assert latest([Points.empty()]) == [0.0]
    assert largest([]) == []


def test_points_outside_the_range_do_not_rank_but_keep_a_series_from_having_ended():
    short, long = doubles(0, 90.0, 1.0, 2.0), doubles(1, 3.0, 4.0, 50.0)
    assert latest([short, long], 1, 2) == [2.0, 4.0]
    assert largest([short, long], 1, 2) == [2.0, 4.0]
    ragged = Points.doubles(np.array([1000, 4000]), np.array([1.0, 4.0]))
    assert latest([ragged, long], 1, 2) == [2.0, 4.0]
