"""Grouping of series and of points, limits, merging."""

from __future__ import annotations

from typing import Any

import pytest

from amondawa.aggregate.group import (
    POINT_GROUPINGS,
    BinGrouping,
    GroupPoints,
    GroupSeries,
    Limit,
    PointGrouping,
    TimeGrouping,
    ValueGrouping,
)
from amondawa.aggregate.merge import Merge, merge_points
from amondawa.errors import ComputeError
from amondawa.model.points import Points
from amondawa.model.result import Frame
from amondawa.model.timespan import Span, Unit
from tests.aggregate.frames import Clock, Pairs, frame_of, pairs_of, points_of, series_frame

CLOCK = Clock()
NUMBER, TEXT = {"name": "type", "type": "number"}, {"name": "type", "type": "text"}


def tag_group(**group: str) -> dict[str, Any]:
    return {"name": "tag", "tags": list(group), "group": group}


def shown(frames: list[Frame]) -> list[tuple[tuple[dict[str, Any], ...], Pairs]]:
    return [(frame.groups, pairs_of(frame.points)) for frame in Merge().apply(frames, CLOCK)]


def test_without_tags_all_numbers_are_one_frame_of_unmerged_streams() -> None:
    frames = [series_frame({"h": "a"}, [(2, 1)]), series_frame({"h": "b"}, [(1, 2.5)])]
    (frame,) = GroupSeries("m").apply(frames, CLOCK)
    assert len(frame.parts) == 2
    assert [series.tags for series in frame.members] == [(("h", "a"),), (("h", "b"),)]
    assert shown([frame]) == [((NUMBER,), [(1, 2.5), (2, 1)])]


def test_nothing_is_one_empty_frame_without_groups() -> None:
    (frame,) = GroupSeries("m", ("h",)).apply([], CLOCK)
    assert (frame.metric, frame.members, frame.groups, len(frame.points)) == ("m", (), (), 0)
    (frame,) = GroupSeries("m").apply([series_frame({"h": "a"}, [])], CLOCK)
    assert (frame.members, frame.groups) == ((), ())


def test_numbers_of_all_groups_come_before_texts() -> None:
    frames = [series_frame({"h": "a"}, [(1, 1), (2, "x")]), series_frame({"h": "b"}, [(1, "y"), (3, 2.5)])]
    assert shown(GroupSeries("m", ("h",)).apply(frames, CLOCK)) == [
        ((tag_group(h="a"), NUMBER), [(1, 1)]),
        ((tag_group(h="b"), NUMBER), [(3, 2.5)]),
        ((tag_group(h="a"), TEXT), [(2, "x")]),
        ((tag_group(h="b"), TEXT), [(1, "y")]),
    ]


def test_a_series_is_a_member_only_where_it_has_points_of_the_kind() -> None:
    frames = [series_frame({"h": "a"}, [(1, 1)]), series_frame({"h": "b"}, [(1, "y")])]
    numbers, texts = GroupSeries("m").apply(frames, CLOCK)
    assert [series.tag("h") for series in numbers.members] == ["a"]
    assert [series.tag("h") for series in texts.members] == ["b"]


def test_groups_are_ordered_as_text_and_lacking_tags_are_empty() -> None:
    frames = [series_frame(tags, [(1, 1)]) for tags in ({"r": "r2"}, {"r": "r10"}, {"x": "1"}, {"r": "r2", "y": "z"})]
    groups = [frame.groups[0]["group"] for frame in GroupSeries("m", ("r",)).apply(frames, CLOCK)]
    assert groups == [{"r": ""}, {"r": "r10"}, {"r": "r2"}]


def test_groups_are_told_apart_by_names_and_values_run_together() -> None:
    frames = [
        series_frame({"a": "1b2", "b": "x"}, [(1, 1)]),
        series_frame({"a": "1", "b": "2"}, [(2, 2)]),
        series_frame({"a": "1", "b": "2bx"}, [(3, 3)]),
    ]
    groups = GroupSeries("m", ("a", "b")).apply(frames, CLOCK)
    assert [pairs for _, pairs in shown(groups)] == [[(2, 2)], [(1, 1), (3, 3)]]


def test_a_tag_named_twice_orders_groups_once() -> None:
    frames = [series_frame({"h": value}, [(1, 1)]) for value in ("a b", "a")]
    groups = [frame.groups[0]["group"]["h"] for frame in GroupSeries("m", ("h", "h")).apply(frames, CLOCK)]
    assert groups == ["a", "a b"]


def test_text_beyond_the_basic_plane_sorts_by_code_units() -> None:
    frames = [series_frame({"h": name}, [(1, 1)]) for name in ("\uffee", "\U0001f600")]
    groups = [frame.groups[0]["group"]["h"] for frame in GroupSeries("m", ("h",)).apply(frames, CLOCK)]
    assert groups == ["\U0001f600", "\uffee"]


def test_descending_series_are_merged_newest_first() -> None:
    frames = [series_frame({"h": "a"}, [(3, 1), (1, 5)]), series_frame({"h": "b"}, [(3, 2.5), (2, 0)])]
    (frame,) = GroupSeries("m", descending=True).apply(frames, CLOCK)
    assert pairs_of(frame.parts[0]) == [(3, 2.5), (3, 1), (2, 0), (1, 5)]


def test_points_of_one_series_at_one_time_are_ordered_by_value() -> None:
    (frame,) = GroupSeries("m").apply([series_frame({"h": "a"}, [(1, 7), (1, 2.5), (2, 0.0), (2, -0.0)])], CLOCK)
    assert str(pairs_of(frame.points)) == "[(1, 2.5), (1, 7), (2, -0.0), (2, 0.0)]"


def test_limit_cuts_the_merged_stream_of_each_frame() -> None:
    frames = [frame_of([(1, 1), (4, 4)], [(2, 2), (3, 3)]), frame_of([(9, 9)])]
    assert [pairs_of(f.points) for f in Limit(3).apply(frames, CLOCK)] == [[(1, 1), (2, 2), (3, 3)], [(9, 9)]]
    assert Limit(0).apply(frames, CLOCK) is frames


def test_texts_of_one_time_stay_in_the_order_of_their_series() -> None:
    parts = [points_of([(1, "b"), (2, "d")]), points_of([(1, "a")])]
    assert pairs_of(merge_points(parts)) == [(1, "b"), (1, "a"), (2, "d")]
    assert len(merge_points([])) == 0


def test_streams_on_one_grid_are_interleaved_and_sorted_by_value() -> None:
    parts = [points_of([(t, (t * 7 + n * 5) % 11) for t in range(6)]) for n in range(4)]
    merged = pairs_of(merge_points(parts))
    assert merged == sorted(merged)  # type: ignore[type-var]


def test_a_merged_frame_is_left_as_it_is() -> None:
    frame = frame_of([(2, 1), (1, 1)])
    assert Merge().apply([frame], CLOCK)[0] is frame


# points ---------------------------------------------------------------------------------------------------------------


def grouped(points: Pairs, *rules: PointGrouping, start_ms: int = 0) -> list[tuple[list[Any], Pairs]]:
    frame = Frame("m", (), (points_of(points),), (NUMBER,))
    frames = GroupPoints(rules).apply([frame], Clock(start_ms))
    assert all(frame.groups[-1] is NUMBER for frame in frames)
    return [([list(g["group"].values())[0] for g in f.groups[:-1]], pairs_of(f.points)) for f in frames]


def test_value_groups_cut_towards_zero_and_come_in_order_of_appearance() -> None:
    points: Pairs = [(0, 25), (1, -10), (2, -9), (3, 9.99), (4, -19.9), (5, 20)]
    assert grouped(points, ValueGrouping(10)) == [
        ([2], [(0, 25), (5, 20)]),
        ([-1], [(1, -10), (4, -19.9)]),
        ([0], [(2, -9), (3, 9.99)]),
    ]


def test_values_past_32_bits_wrap_as_longs_and_stop_as_doubles() -> None:
    points: Pairs = [(0, 2**31), (1, 1e18), (2, -1e18)]
    assert [numbers for numbers, _ in grouped(points, ValueGrouping(1))] == [[-(2**31)], [2**31 - 1]]


@pytest.mark.parametrize("rule", [ValueGrouping(5), BinGrouping((1.0, 2.0))])
def test_texts_are_group_minus_one(rule: PointGrouping) -> None:
    assert grouped([(0, "a"), (1, "b")], rule) == [([-1], [(0, "a"), (1, "b")])]


def test_bins_that_do_not_ascend_leave_their_gaps_to_the_last_group() -> None:
    numbers = BinGrouping((10.0, 30.0, 20.0)).numbers(points_of([(0, 5), (1, 10), (2, 25), (3, 30), (4, 35)]), CLOCK)
    assert numbers.tolist() == [0, 1, 1, 3, 3]


def test_time_groups_cycle_from_the_query_start() -> None:
    points: Pairs = [(5, 1), (14, 2), (15, 3), (25, 4)]
    rule = TimeGrouping(Span(10, Unit.MILLISECONDS), 2)
    assert grouped(points, rule, start_ms=5) == [([0], [(5, 1), (14, 2), (25, 4)]), ([1], [(15, 3)])]
    assert rule.describe(1) == {
        "name": "time",
        "range_size": {"value": 10, "unit": "MILLISECONDS"},
        "group_count": 2,
        "group": {"group_number": 1},
    }


def test_an_empty_range_of_time_divides_by_zero() -> None:
    with pytest.raises(ComputeError, match="/ by zero"):
        grouped([(0, 1)], TimeGrouping(Span(0, Unit.DAYS), 2))


def test_several_rules_group_together_in_the_order_asked() -> None:
    points: Pairs = [(0, 1), (1, 11), (2, 1), (3, 12)]
    rules = (TimeGrouping(Span(2, Unit.MILLISECONDS), 9), ValueGrouping(10))
    assert grouped(points, *rules) == [
        ([0, 0], [(0, 1)]),
        ([0, 1], [(1, 11)]),
        ([1, 0], [(2, 1)]),
        ([1, 1], [(3, 12)]),
    ]


def test_many_groups_keep_their_points_in_order() -> None:
    points: Pairs = [(t, (t * 31) % 70_000) for t in range(140_000)]
    frames = grouped(points, ValueGrouping(1))
    assert len(frames) == 70_000
    assert frames[1] == ([31], [(1, 31), (70_001, 31)])


def test_a_frame_without_points_gives_no_group() -> None:
    assert GroupPoints((ValueGrouping(1),)).apply([Frame("m", (), (Points.empty(),))], CLOCK) == []


def test_rules_are_filed_by_name() -> None:
    assert POINT_GROUPINGS.names() == ["value", "bin", "time"]
    assert BinGrouping((1.5,)).describe(1) == {"name": "bin", "bins": [1.5], "group": {"bin_number": 1}}
