import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.aggregate import members
from amondawa.aggregate.combine import COMBINATIONS


def columns(*rows: list[float | None]) -> tuple[np.ndarray, np.ndarray]:
    """Build values and presence; None = the member is absent."""
    present = np.array([[value is not None for value in row] for row in rows])
    return np.array([[0.0 if value is None else value for value in row] for row in rows]), present


def test_division_truncates_toward_zero():
    quotients = members.truncating_divide(np.array([7, -7, 7, -7, 6]), np.array([2, 2, -2, -2, 3]))
    assert quotients.tolist() == [3, -3, -3, 3, 2]


def test_integer_mean_truncates_toward_zero():
    values = np.array([[1, -1], [4, -4]])
    assert members.mean_longs(values, np.ones_like(values, bool)).tolist() == [2, -2]


def test_float_sums_leave_nan_out_unless_all_are_nan():
    values, present = columns([1.0, math.nan, math.nan], [2.0, 5.0, math.nan])
    np.testing.assert_array_equal(members.sum_floats(values, present), [3.0, 5.0, math.nan])


def test_count_of_nothing_but_nan_is_zero():
    values, present = columns([math.nan], [math.nan])
    assert members.count_floats(values, present).tolist() == [0.0]


def test_product_does_not_leave_nan_out():
    values, present = columns([2.0, math.nan], [3.0, 4.0])
    np.testing.assert_array_equal(members.product_floats(values, present), [6.0, math.nan])


def test_absent_members_take_no_part():
    values, present = columns([None, 1.0], [7.0, None])
    for name in ("sum", "min", "max", "avg", "median", "mult", "first", "last", "p99"):
        combination = COMBINATIONS.find(name)
        assert combination is not None
        assert combination.floats(values, present).tolist() == [7.0, 1.0], name


def test_difference_is_last_less_first_and_zero_for_one():
    values, present = columns([1.0, 5.0], [2.0, None], [9.0, None])
    assert members.difference_floats(values, present).tolist() == [8.0, 0.0]
    longs = values.astype(np.int64)
    assert members.difference_longs(longs, present).tolist() == [8, 0]


def test_median_takes_the_upper_middle():
    values, present = columns([1.0, 1.0], [4.0, 4.0], [2.0, 2.0], [3.0, None])
    assert members.median_floats(values, present).tolist() == [3.0, 2.0]
    assert members.median_longs(values.astype(np.int64), present).tolist() == [3, 2]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("p50", 5), ("p90", 100), ("p75", 76), ("ep99r7", 97), ("ep50r7", 5), ("ep50r3", 3), ("ep99r3", 100)],
)
def test_percentiles_of_integers_follow_their_estimate(name: str, expected: int):
    values = np.array([[3], [1], [100], [7]])
    combination = COMBINATIONS.find(name)
    assert combination is not None
    assert combination.longs(values, np.ones_like(values, bool)).tolist() == [expected]


def test_percentiles_of_floats_are_classic_whatever_their_name_says():
    values, present = columns([1.0], [4.25], [-4.0], [7.0])
    for name in ("p50", "ep50r3", "ep50r7"):
        combination = COMBINATIONS.find(name)
        assert combination is not None
        assert combination.floats(values, present).tolist() == [2.625], name


@given(st.lists(st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=3, max_size=3), min_size=1, max_size=6))
def test_deviation_is_that_of_the_population(rows: list[list[float | None]]):
    rows.append([1.0, 2.0, 3.0])
    values, present = columns(*rows)
    got = members.deviation_floats(values, present)
    for at in range(3):
        column = [row[at] for row in rows if row[at] is not None]
        assert got[at] == pytest.approx(np.std(column), rel=1e-6, abs=1e-6)


def test_deviation_of_equal_values_is_exactly_zero():
    values, present = columns([0.1], [0.1], [0.1])
    assert members.deviation_floats(values, present).tolist() == [0.0]


def test_integer_deviation_truncates():
    values = np.array([[1, 1], [4, 2]])
    assert members.deviation_longs(values, np.ones_like(values, bool)).tolist() == [1, 0]


def test_integers_wrap_in_64_bits():
    top = np.iinfo(np.int64).max
    assert members.sum_longs(np.array([[top], [1]]), np.ones((2, 1), bool)).tolist() == [np.iinfo(np.int64).min]
