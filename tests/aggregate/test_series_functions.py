import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.aggregate import series_functions
from amondawa.errors import LimitExceeded
from amondawa.model.points import Kind, Points

TIMES = np.arange(6, dtype=np.int64) * 60_000
LONGS = Points.longs(TIMES, np.array([1, -2, 3, -4, 5, 60]))


def mixed() -> Points:
    bits = np.array([-3, np.float64(-2.5).view(np.int64)])
    return Points(TIMES[:2], np.array([Kind.LONG, Kind.DOUBLE], np.uint8), bits)


def test_scaling_by_a_whole_factor_keeps_integers():
    assert series_functions.scale(LONGS, 10.0).only(Kind.LONG)
    assert series_functions.scale(LONGS, 10.0).bits.tolist() == [10, -20, 30, -40, 50, 600]
    assert series_functions.scale(LONGS, 0.5).numbers().tolist() == [0.5, -1.0, 1.5, -2.0, 2.5, 30.0]
    got = series_functions.scale(mixed(), 2.0)
    assert [got.value_at(at) for at in range(2)] == [-6, -5.0]


def test_scaled_integers_wrap_in_64_bits():
    got = series_functions.scale(Points.longs(TIMES[:1], np.array([3])), 1e30)
    assert got.bits.tolist() == [3 * (2**63 - 1) - 2 * 2**64 + 2**64]


def test_absolute_values_keep_their_kind():
    got = series_functions.absolute(mixed())
    assert [got.value_at(at) for at in range(2)] == [3, 2.5]


def test_shift_moves_times_only():
    assert series_functions.shift(LONGS, 1000).times_ms.tolist() == (TIMES + 1000).tolist()


def test_a_moving_average_is_zero_until_its_window_is_full():
    got = series_functions.moving_average(LONGS, 3).numbers()
    assert got.tolist() == pytest.approx([0, 0, 2 / 3, -1, 4 / 3, 61 / 3])


def test_a_moving_average_over_time_leaves_out_the_point_at_its_far_end():
    got = series_functions.moving_average_over(LONGS, 120_000).numbers()
    assert got.tolist() == [0.0, 0.0, 0.5, -0.5, 0.5, 32.5]


STREAM = st.lists(st.floats(-100, 100) | st.just(math.nan), min_size=1, max_size=20)


@given(STREAM, st.integers(1, 6))
def test_moving_averages_are_those_of_the_last_numbers(values: list[float], count: int):
    points = Points.doubles(np.arange(len(values), dtype=np.int64), np.array(values))
    got = series_functions.moving_average(points, count).numbers()
    for at in range(len(values)):
        numbers = [value for value in values[: at + 1] if not math.isnan(value)]
        expected = sum(numbers[-count:]) / count if len(numbers) >= count else 0.0
        assert got[at] == pytest.approx(expected, abs=1e-9)


@given(STREAM, st.integers(1, 6))
def test_moving_averages_over_time_are_those_of_the_window(values: list[float], window_ms: int):
    times = np.cumsum(np.arange(len(values)) % 3 + 1)
    points = Points.doubles(times, np.array(values))
    got = series_functions.moving_average_over(points, window_ms).numbers()
    for at in range(len(values)):
        inside = [v for t, v in zip(times[: at + 1], values, strict=False) if t > times[at] - window_ms]
        numbers = [value for value in inside if not math.isnan(value)]
        full = times[0] <= times[at] - window_ms and numbers
        assert got[at] == pytest.approx(sum(numbers) / len(numbers) if full else 0.0, abs=1e-9)


def test_large_windows_are_summed_from_running_sums(monkeypatch: pytest.MonkeyPatch):
    exact = series_functions.moving_average(LONGS, 3).numbers()
    monkeypatch.setattr(series_functions, "WINDOW_CELLS", 1)
    assert series_functions.moving_average(LONGS, 3).numbers().tolist() == pytest.approx(exact.tolist())


def test_alignment_fills_where_a_series_has_no_value():
    a = Points.doubles(np.array([0, 10]), np.array([1.0, math.nan]))
    b = Points.longs(np.array([10, 20]), np.array([5, 6]))
    times, columns = series_functions.aligned([a, b], [0.0, -1.0])
    assert times.tolist() == [0, 10, 20]
    assert [column.tolist() for column in columns] == [[1.0, 0.0, 0.0], [-1.0, 5.0, 6.0]]
    assert len(series_functions.aligned([], [])[0]) == 0


def test_series_that_share_too_few_times_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(series_functions, "ALIGNED_CELLS", 5)
    with pytest.raises(LimitExceeded, match="2 series at 3 different times"):
        series_functions.aligned([LONGS.take(slice(0, 3)), LONGS.take(slice(0, 1))], [0.0, 0.0])
