"""What stages do at their limits: kinds, nulls, text, empty frames, wrong parameters."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from amondawa.aggregate import downsample, reduce
from amondawa.aggregate.aggregators import AGGREGATORS
from amondawa.aggregate.deviation import Deviation
from amondawa.aggregate.downsample import Average, Count, First, Last, Maximum, RangeStage, Sum
from amondawa.aggregate.filter import Comparison, Filter
from amondawa.aggregate.gaps import Gaps
from amondawa.aggregate.least_squares import LeastSquares
from amondawa.aggregate.merge import merged
from amondawa.aggregate.percentile import Percentile
from amondawa.aggregate.rate import Difference, Rate, Sampler
from amondawa.aggregate.recurrence import LONGEST_RUN
from amondawa.aggregate.transform import Divide, Ends, MovingAverage, Scale, Score, Threshold, Trim
from amondawa.errors import ComputeError, LimitExceeded
from amondawa.model.points import Kind, Points
from amondawa.model.query import MAX_TIME_MS, Stage
from amondawa.model.result import Frame
from amondawa.model.timespan import Span, Unit
from tests.aggregate.frames import Clock, Pairs, frame_of, pairs_of

TEN = Span(10, Unit.MILLISECONDS)
NUMERIC: dict[str, dict[str, Any]] = {
    "avg": {},
    "sum": {},
    "min": {},
    "max": {},
    "dev": {},
    "percentile": {},
    "least_squares": {},
    "rate": {},
    "sampler": {},
    "diff": {},
    "div": {"divisor": 2.0},
    "scale": {},
    "sma": {"size": 1},
    "score": {"thresholds": (Threshold(1.0),)},
}


def made(name: str, **options: Any) -> Stage:
    found = AGGREGATORS.find(name)
    assert found is not None
    return found(**options)


def run(stage: Stage, *parts: Pairs, clock: Clock | None = None) -> Pairs:
    (frame,) = stage.apply([frame_of(*parts)], clock or Clock())
    return pairs_of(frame.points)


def test_all_aggregators_have_their_names() -> None:
    assert set(AGGREGATORS.names()) == {*NUMERIC, "count", "first", "last", "gaps", "filter", "trim"}


@pytest.mark.parametrize("name", NUMERIC)
def test_stages_for_numbers_let_text_pass(name: str) -> None:
    frame = frame_of([(1, "a"), (1, None), (2, "b")])
    assert made(name, **NUMERIC[name]).apply([frame], Clock()) == [frame]


@pytest.mark.parametrize("name", sorted(NUMERIC.keys() - {"avg"}))
def test_stages_for_numbers_refuse_nulls(name: str) -> None:
    with pytest.raises(ComputeError, match="No aggregator can be chained after"):
        run(made(name, **NUMERIC[name]), [(1, 1), (2, None)])


@pytest.mark.parametrize("name", ["sum", "avg"])
def test_what_is_added_up_begins_at_zero(name: str) -> None:
    ((_, value),) = run(made(name), [(1, -0.0)])
    assert math.copysign(1, value) == 1


# Added in another order or in pairs these come to another last digit, or to nothing at all.
DELICATE = [0.1, 0.2, 0.3, 1e16, 1.5, -1e16, 0.7, 0.1, 2.25, 1e-3, 0.6, 0.3, 123.45]


def in_order(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_sums_add_the_points_one_after_another_in_order_of_time(streams: int) -> None:
    given: Pairs = list(enumerate(DELICATE * 3))
    parts = [given[part::streams] for part in range(streams)]
    hour = Span(1, Unit.HOURS)
    for stage, divisor in ((Sum(hour), 1), (Average(hour), len(given))):
        (frame,) = stage.apply([frame_of(*parts)], Clock())
        assert pairs_of(frame.points) == [(0, in_order(DELICATE * 3) / divisor)]


def test_sums_of_long_runs_go_on_from_block_to_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduce, "_BLOCK_VALUES", 7)
    values, firsts = DELICATE * 4, [0, 3, 4, 7, 14, 35]
    wanted = [in_order(values[first:end]) for first, end in itertools.pairwise([*firsts, len(values)])]
    assert reduce.SUM.run(np.array(values), np.array(firsts)).tolist() == wanted


def test_very_many_points_of_several_streams_are_added_stream_by_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downsample, "_ORDERED_POINTS", 3)
    (frame,) = Sum(TEN).apply([frame_of([(1, 1e16), (12, 1.0)], [(2, 1.5), (3, -1e16)])], Clock())
    assert pairs_of(frame.points) == [(1, 1e16 + (1.5 - 1e16)), (12, 1.0)]


def test_an_average_leaves_out_nulls() -> None:
    given: Pairs = [(1, 2), (2, None), (3, 5.0)]
    assert run(made("avg", sampling=Span(10, Unit.MILLISECONDS)), given) == [(1, 3.5)]
    (first, nothing, last) = run(made("avg"), given)
    assert (first, last) == ((1, 2.0), (3, 5.0))
    assert np.isnan(nothing[1])


@pytest.mark.parametrize(("name", "values"), [("scale", [-1.0, -2.0]), ("div", [-1.0, -2.0]), ("score", [1.0, 0.0])])
def test_points_of_one_time_keep_their_order_when_the_order_of_values_turns_round(
    name: str, values: list[float]
) -> None:
    needed = {
        "scale": {"factor": -1},
        "div": {"divisor": -1},
        "score": {"thresholds": (Threshold(1.5),), "descending": True},
    }
    (frame,) = made(name, **needed[name]).apply([frame_of([(5, 2)], [(5, 1)])], Clock())
    assert [value for _, value in pairs_of(merged(frame))] == values


@pytest.mark.parametrize("name", [*NUMERIC, "count", "first", "last", "filter", "trim"])
@pytest.mark.parametrize("parts", [(), ([],), ([], [])])
def test_nothing_stays_nothing(name: str, parts: tuple[Pairs, ...]) -> None:
    (frame,) = made(name, **NUMERIC.get(name, {})).apply([frame_of(*parts)], Clock())
    assert sum(map(len, frame.parts)) == 0


@pytest.mark.parametrize("name", [*NUMERIC, "count", "first", "last", "gaps", "filter"])
def test_stages_look_at_the_clock_for_every_frame(name: str) -> None:
    clock = Clock(end_ms=3)
    made(name, **NUMERIC.get(name, {})).apply([frame_of([(1, 1)]), frame_of([(2, 2)])], clock)
    assert clock.checks >= 2


@pytest.mark.parametrize("name", ["sum", "count", "first", "gaps"])
def test_an_empty_sampling_divides_points_by_zero(name: str) -> None:
    with pytest.raises(ComputeError, match="/ by zero"):
        run(made(name, sampling=Span(0, Unit.MINUTES)), [(1, 1)], clock=Clock(end_ms=10))


def test_an_empty_sampling_does_no_harm_without_points() -> None:
    assert run(Sum(Span(0, Unit.MINUTES)), []) == []


@pytest.mark.parametrize("stage", [Average(TEN), Sum(TEN), Maximum(TEN), Deviation(TEN), Percentile(TEN)])
def test_results_over_longs_are_doubles(stage: RangeStage) -> None:
    assert [type(value) for _, value in run(stage, [(1, 1), (2, 4), (11, 2)])] == [float, float]


def test_sums_of_longs_past_53_bits_lose_digits() -> None:
    assert run(Sum(TEN), [(1, 2**53 + 1)]) == [(1, float(2**53))]
    assert run(First(TEN), [(1, 2**53 + 1)]) == [(1, 2**53 + 1)]


def test_counts_are_longs_and_count_texts_and_nulls() -> None:
    assert run(Count(TEN), [(1, "a"), (2, None), (3, "b")], [(12, "c")]) == [(1, 3), (12, 1)]


def test_first_and_last_keep_the_point_as_it_was() -> None:
    points: Pairs = [(1, 7), (5, 2.5), (9, "x"), (11, None)]
    assert run(First(TEN), points) == [(1, 7), (11, None)]
    assert run(Last(TEN), points) == [(9, "x"), (11, None)]
    assert run(Last(TEN, align_end_time=True), points) == [(10, "x"), (20, None)]
    assert run(First(TEN, align_start_time=True, align_end_time=True), points) == [(0, 7), (10, None)]


def test_a_later_range_sees_the_times_that_an_earlier_one_made() -> None:
    frames = [frame_of([(3, 1), (14, 2), (25, 3)])]
    clock = Clock(start_ms=1_005)
    first = Sum(TEN, align_start_time=True, align_sampling=True).apply(frames, Clock(start_ms=0))
    assert pairs_of(Count(Span(15, Unit.MILLISECONDS), align_sampling=False).apply(first, Clock(5))[0].points) == [
        (0, 2),
        (20, 1),
    ]
    assert run(Sum(TEN), [(1, 1), (900, 2)], clock=clock) == [(1, 1.0), (900, 2.0)]


def test_least_squares_lets_one_and_two_points_through() -> None:
    points: Pairs = [(1, 7), (11, 2.5), (12, 3), (21, 1), (23, 5), (29, 9)]
    out = run(LeastSquares(TEN), points)
    assert out[:3] == points[:3]
    assert [time for time, _ in out[3:]] == [21, 29]


def test_least_squares_over_one_time_has_no_slope() -> None:
    out = run(LeastSquares(TEN), [(1, 1), (1, 2), (1, 3)])
    assert all(math.isnan(value) for _, value in out if isinstance(value, float))


@pytest.mark.parametrize("count", [3, 3_000, LONGEST_RUN + 5])
def test_a_long_bucket_has_the_line_and_the_deviation_of_its_points(count: int) -> None:
    times = np.arange(count) * 10
    frame = Frame("m", (), (Points.doubles(times, times * 0.5 + 3.0),))
    sampling = Span(1, Unit.DAYS)
    (line,) = LeastSquares(sampling).apply([frame], Clock())
    assert np.allclose(line.points.numbers(), [3.0, times[-1] * 0.5 + 3.0])
    (deviation,) = Deviation(sampling).apply([frame], Clock())
    assert np.allclose(deviation.points.numbers(), np.std(times * 0.5, ddof=1))


@pytest.mark.parametrize("percentile", [-0.1, 1.5])
def test_percentiles_outside_of_one_are_refused_over_points(percentile: float) -> None:
    assert run(Percentile(TEN, percentile=percentile), []) == []
    with pytest.raises(ComputeError, match="is not in"):
        run(Percentile(TEN, percentile=percentile), [(1, 1)])


@pytest.mark.parametrize(("stage", "name"), [(Rate(), "rate"), (Sampler(), "sampler")])
def test_rates_over_one_time_are_refused_with_advice(stage: Stage, name: str) -> None:
    with pytest.raises(ComputeError, match=f"You must precede {name} with another aggregator"):
        run(stage, [(1, 1), (2, 2)], [(2, 3)])


@pytest.mark.parametrize("stage", [Rate(), Sampler(), Difference(), MovingAverage(2)])
def test_one_point_changes_nothing(stage: Stage) -> None:
    assert run(stage, [(1, 1)]) == []


@pytest.mark.parametrize("size", [0, -3])
def test_a_moving_average_of_nothing_is_refused(size: int) -> None:
    with pytest.raises(ComputeError, match="size"):
        run(MovingAverage(size), [])


@pytest.mark.parametrize("size", [5, 16, 17, 100, 999, 1000])
def test_moving_averages_of_any_size_are_means_of_windows(size: int) -> None:
    values = np.random.default_rng(size).normal(1e6, 1.0, 1000)
    (frame,) = MovingAverage(size).apply([Frame("m", (), (Points.doubles(np.arange(1000), values),))], Clock())
    windows = np.lib.stride_tricks.sliding_window_view(values, size)
    assert np.allclose(frame.points.numbers(), windows.mean(axis=1), rtol=1e-13)
    assert frame.points.times_ms[0] == size - 1


def test_single_values_are_mapped_without_merging() -> None:
    frame = frame_of([(1, 1), (3, 2)], [(2, 3.0)])
    for stage in (Scale(2.0), Divide(0.5)):
        (out,) = stage.apply([frame], Clock())
        assert [pairs_of(part) for part in out.parts] == [[(1, 2.0), (3, 4.0)], [(2, 6.0)]]
    assert run(Scale(), [(1, 5)]) == [(1, 0.0)]
    assert run(Score(()), [(1, 5)]) == [(1, 0.0)]


@pytest.mark.parametrize(
    ("trim", "left"),
    [(None, "abc"), (Ends.FIRST, "bc"), (Ends.LAST, "ab"), (Ends.BOTH, "b")],
)
def test_trim_cuts_the_ends_of_the_merged_stream(trim: Ends | None, left: str) -> None:
    (frame,) = Trim(trim).apply([frame_of([(1, "a"), (2, "b"), (3, "c")])], Clock())
    assert [value for _, value in pairs_of(frame.points)] == list(left)


@pytest.mark.parametrize("count", [1, 2])
def test_trim_of_both_ends_leaves_nothing_of_few_points(count: int) -> None:
    assert run(Trim(Ends.BOTH), [(t, t) for t in range(count)]) == []


# filter ---------------------------------------------------------------------------------------------------------------


def test_filter_tells_the_zeros_apart() -> None:
    points: Pairs = [(1, -0.0), (2, 0.0), (3, 0)]
    assert run(Filter(Comparison.LT), points) == [(2, 0.0), (3, 0)]
    assert run(Filter(Comparison.EQUAL), points) == [(1, -0.0)]


def test_filter_drops_the_other_kind() -> None:
    points: Pairs = [(1, 5), (2, "a"), (3, "b")]
    assert run(Filter(Comparison.GT, 9.0), points) == [(1, 5)]
    assert run(Filter(Comparison.GT, "a"), points) == [(2, "a")]
    assert run(Filter(Comparison.EQUAL, "zz"), [(1, 5), (2, None)]) == []


def test_filter_orders_texts_by_code_units() -> None:
    points: Pairs = [(1, "\uffee"), (2, "\U0001f600"), (3, "B"), (4, "")]
    assert run(Filter(Comparison.LTE, "\U0001f600"), points) == [(1, "\uffee")]


def test_filter_does_not_compare_nulls_with_numbers() -> None:
    with pytest.raises(ComputeError, match="No aggregator can be chained after"):
        run(Filter(Comparison.LT, 1.0), [(1, 1), (2, None)])


def test_filter_keeps_kinds_and_streams() -> None:
    (frame,) = Filter(Comparison.GT, 2).apply([frame_of([(1, 1), (2, 3)], [(1, 2.0)])], Clock())
    assert [pairs_of(part) for part in frame.parts] == [[(1, 1)], [(1, 2.0)]]


# gaps -----------------------------------------------------------------------------------------------------------------


def test_gaps_end_now_when_the_query_ends_later() -> None:
    clock = Clock(start_ms=0, end_ms=MAX_TIME_MS, now_ms=35)
    assert run(Gaps(TEN), [(12, 1)], clock=clock) == [(0, None), (12, 1), (20, None), (30, None)]


def test_gaps_of_a_future_query_are_none() -> None:
    assert run(Gaps(TEN), [], clock=Clock(start_ms=50, end_ms=90, now_ms=40)) == []


def test_gaps_in_a_descending_stream_stand_around_its_points() -> None:
    clock = Clock(start_ms=0, end_ms=39)
    assert run(Gaps(TEN), [(25, 1), (3, 2)], clock=clock) == [
        (0, None),
        (10, None),
        (25, 1),
        (3, 2),
        (30, None),
    ]


def test_gaps_keep_texts_and_kinds() -> None:
    (frame,) = Gaps(TEN).apply([frame_of([(1, "a"), (21, "b")])], Clock(end_ms=29))
    assert frame.points.kinds.tolist() == [Kind.TEXT, Kind.NULL, Kind.TEXT]
    assert pairs_of(frame.points) == [(1, "a"), (10, None), (21, "b")]


def test_trimmed_gaps_of_later_results_begin_at_the_origin() -> None:
    frames = [frame_of([]), frame_of([(12, 1), (31, 2)]), frame_of([(21, 3)])]
    out = Gaps(TEN, trim=True).apply(frames, Clock(start_ms=5, end_ms=99))
    assert [pairs_of(frame.points) for frame in out] == [
        [],
        [(12, 1), (20, None), (31, 2)],
        [(0, None), (10, None), (21, 3)],
    ]


def test_points_before_the_first_bucket_belong_to_it() -> None:
    clock = Clock(start_ms=20, end_ms=39)
    assert run(Gaps(TEN, align_sampling=False), [(3, 1), (31, 2)], clock=clock) == [(3, 1), (31, 2)]


def test_gaps_without_bound_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="longer sampling"):
        run(Gaps(), [], clock=Clock(start_ms=0, end_ms=10**11, now_ms=10**12))


def test_numbers_after_gaps_are_refused_and_counts_are_not() -> None:
    gaps = Gaps(TEN).apply([frame_of([(1, 1)])], Clock(end_ms=25))
    assert pairs_of(Count(Span(1, Unit.SECONDS)).apply(gaps, Clock())[0].points) == [(1, 3)]
    with pytest.raises(ComputeError):
        Sum().apply(gaps, Clock())
