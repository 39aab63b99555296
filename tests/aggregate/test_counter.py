import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.aggregate.counter import MAX_COUNTER, CounterRules, rates
from amondawa.model.points import Kind, Points


def points_of(stream: list[tuple[int, int | float]]) -> Points:
    kinds = np.array([Kind.LONG if isinstance(value, int) else Kind.DOUBLE for _, value in stream], np.uint8)
    bits = [value if isinstance(value, int) else int(np.float64(value).view(np.int64)) for _, value in stream]
    return Points(np.array([time for time, _ in stream], np.int64), kinds, np.array(bits, np.int64))


def walk(stream: list[tuple[int, int | float]], rules: CounterRules) -> list[tuple[int, float]]:
    """Take rates a point at a time."""
    out = []
    t0, v0 = 0, 0
    for t1, v1 in stream:
        rise = v1 - v0
        rate = rise / ((t1 - t0) / 1000)
        dropped = False
        if rules.counter and rise < 0:
            dropped = rules.drop_resets
            rate = (rules.maximum - v0 + v1) / ((t1 - t0) / 1000)
            if 0 < rules.reset < rate:
                rate = 0.0
        if not dropped:
            out.append((t1, rate))
        t0, v0 = t1, v1
    return out


VALUES = st.integers(0, 10**6) | st.floats(0, 1e6)
STREAM = st.dictionaries(st.integers(1, 10**6), VALUES, max_size=12).map(lambda d: sorted(d.items()))
RULES = st.builds(
    CounterRules, st.booleans(), st.integers(10**6, 10**9), st.integers(0, 10**6), st.booleans()
)  # fmt: skip


@given(STREAM, RULES)
def test_rates_are_those_of_the_walk(stream: list[tuple[int, int | float]], rules: CounterRules):
    got = rates(points_of(stream), rules)
    expected = walk(stream, rules)
    assert got.times_ms.tolist() == [time for time, _ in expected]
    assert got.numbers().tolist() == pytest.approx([rate for _, rate in expected], rel=1e-9, abs=1e-9)


def test_a_wrap_of_long_counters_is_exact():
    stream = [(10_000, 9223372036854775708), (20_000, 20)]
    assert rates(points_of(stream), CounterRules(counter=True)).numbers()[1] == 11.9


def test_a_fall_without_a_maximum_gives_the_whole_range():
    got = rates(points_of([(10_000, 160), (20_000, 10)]), CounterRules(counter=True))
    assert got.numbers()[1] == pytest.approx(MAX_COUNTER / 10)


def test_the_reset_value_only_looks_at_wraps():
    rules = CounterRules(counter=True, maximum=200, reset=1)
    got = rates(points_of([(10_000, 100), (20_000, 160), (30_000, 10)]), rules)
    assert got.numbers()[1:].tolist() == [6.0, 0.0]


def test_rates_are_per_second_at_any_resolution():
    got = rates(points_of([(400_000, 0), (400_500, 10), (402_000, 40)]))
    assert got.numbers()[1:].tolist() == [20.0, 20.0]


def test_the_first_rate_is_taken_against_nothing_at_time_zero():
    assert rates(points_of([(1356998410000, 5)])).numbers()[0] == 5 / 1356998410


def test_no_points_give_no_rates():
    assert len(rates(Points.empty())) == 0
