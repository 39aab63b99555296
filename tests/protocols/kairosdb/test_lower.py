from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from amondawa.aggregate.group import GroupPoints, GroupSeries, Limit
from amondawa.errors import LimitExceeded
from amondawa.model.points import Kind, Points
from amondawa.model.query import Identity, Query, Selection
from amondawa.model.result import Frame
from amondawa.model.series import Series
from amondawa.protocols.kairosdb.aggregators import AGGREGATORS
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.lower import SaveAs, lower
from amondawa.protocols.kairosdb.queries import parse_query, read_json
from amondawa.protocols.kairosdb.save import write_saved
from tests.naive import NaiveClock, NaiveGateway

CLOCK = NaiveClock(0, 10, 10)
NEEDED: dict[str, dict[str, Any]] = {
    "div": {"divisor": 2},
    "filter": {"filter_op": "GT"},
    "percentile": {"percentile": 0.5},
    "save_as": {"metric_name": "n"},
    "score": {"thresholds": [{"value": 1, "boundary": "inferior"}]},
    "trim": {"trim": "BOTH"},
}


def lowered(**fields: Any) -> Any:
    body = orjson.dumps({"start_absolute": 0, "metrics": [{"name": "m", **fields}]})
    return lower(parse_query(read_json(body), 0), "d")


@pytest.mark.parametrize("name", AGGREGATORS.names())
def test_every_aggregator_becomes_a_stage_that_runs(name: str) -> None:
    (query,) = lowered(aggregators=[{"name": name, **NEEDED.get(name, {})}]).queries
    frame = Frame(
        "m", (Series.of("d", "m", {"h": "a"}),), (Points.doubles(np.array([1, 2, 3]), np.array([1.0, 2.0, 4.0])),)
    )
    if name == "sma":
        return
    assert query.stages[-1].apply([frame], CLOCK)


def test_stages_stand_in_the_order_series_points_limit_aggregators() -> None:
    groups = [{"name": "value", "range_size": 5}, {"name": "tag", "tags": ["h"]}]
    (query,) = lowered(group_by=groups, limit=3, order="desc", aggregators=[{"name": "diff"}]).queries
    assert [type(stage) for stage in query.stages[:3]] == [GroupSeries, GroupPoints, Limit]
    assert (query.limit, query.descending, query.identity) == (3, True, Identity.KIND)


def test_patterns_match_whole_values_beside_plain_ones() -> None:
    (query,) = lowered(tags={"host": ["regex:web.?", "db"], "dc": []}).queries
    (one,) = query.selection.filters
    assert one.test is not None
    assert [one.test(value) for value in ("web", "web1", "aweb", "db", "dbx")] == [True, True, False, True, False]


def test_a_bad_pattern_is_an_internal_failure() -> None:
    with pytest.raises(InternalFailure, match="host"):
        lowered(tags={"host": "regex:("})


def saved_tags(**fields: Any) -> Any:
    request = lowered(
        aggregators=[{"name": "save_as", "metric_name": "n", **fields}],
        group_by=[{"name": "tag", "tags": ["h", "g", "x"]}],
    )
    members = (Series.of("d", "m", {"h": "a", "g": "1"}), Series.of("d", "m", {"h": "a", "g": "2"}))
    stage = request.queries[0].stages[-1]
    assert isinstance(stage, SaveAs)
    stage.apply([Frame("m", members, (Points.longs(np.array([1]), np.array([1])),))], CLOCK)
    return request.saved[0]


def test_saved_points_carry_their_source_and_grouped_tags_of_one_value() -> None:
    assert saved_tags(tags={"made": 1}).tags == (("h", "a"), ("made", "1"), ("saved_from", "m"))


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ({"saved_from": "x"}, "saved_from=x and saved_from=m"),
        ({"saved_from": "x", "h": "b", "a": "c"}, "h=b and h=a"),
        ({"h": "a"}, "h=a and h=a"),
    ],
)
def test_a_tag_that_is_added_anyway_cannot_be_asked_for(tags: dict[str, str], text: str) -> None:
    with pytest.raises(InternalFailure, match=f"^Multiple entries with same key: {text}$"):
        saved_tags(tags=tags)


def test_tags_of_the_grouping_with_several_values_are_free_to_ask_for() -> None:
    assert saved_tags(tags={"g": "both"}).tags == (("g", "both"), ("h", "a"), ("saved_from", "m"))


def test_the_source_is_left_out_when_asked() -> None:
    assert saved_tags(add_saved_from=False).tags == (("h", "a"),)


async def test_saved_points_are_written_without_nulls_and_expire() -> None:
    gateway = NaiveGateway(lambda: 1000)
    saved = saved_tags(ttl=5)
    kinds = np.array([Kind.LONG, Kind.NULL], np.uint8)
    nulled = type(saved)(saved.metric, saved.tags, Points(np.array([1, 2]), kinds, np.array([7, 0])), saved.ttl_s)
    assert await write_saved(gateway, "d", [nulled]) == 1
    result = gateway.run(Query(Selection("d", "n"), 0, 9))
    points = result.frames[0].points
    assert points.times_ms.tolist() == [1]
    assert points.expires_ms is not None
    assert points.expires_ms.tolist() == [6000]


def test_a_pattern_that_runs_away_is_stopped() -> None:
    (query,) = lowered(tags={"host": "regex:(a|a)*b"}).queries
    (one,) = query.selection.filters
    assert one.test is not None
    try:
        assert not one.test("a" * 40 + "!")
    except LimitExceeded as error:
        assert "(a|a)*b" in str(error)


def values_of(points: Points, start_ms: int, **fields: Any) -> list[tuple[int, Any]]:
    (query,) = lowered(**fields).queries
    frames = [Frame("m", (Series.of("d", "m", {"h": "a"}),), (points,))]
    for stage in query.stages:
        frames = stage.apply(frames, NaiveClock(start_ms, 100, 100))
    return [
        (int(part.times_ms[at]), part.value_at(at))
        for frame in frames
        for part in frame.parts
        for at in range(len(part))
    ]


TWO = Points.doubles(np.array([1, 2]), np.array([1.0, 2.0]))


def test_buckets_count_from_an_aggregators_own_start_time() -> None:
    window = {"value": 2, "unit": "milliseconds"}
    aggregator = {"name": "sum", "sampling": window, "align_sampling": False}
    assert values_of(TWO, 0, aggregators=[aggregator]) == [(1, 1.0), (2, 2.0)]
    assert values_of(TWO, 0, aggregators=[{**aggregator, "start_time": 1}]) == [(1, 3.0)]


def test_gaps_end_at_an_aggregators_own_end_time() -> None:
    aggregator = {"name": "gaps", "sampling": {"value": 1, "unit": "milliseconds"}, "end_time": "4"}
    assert values_of(TWO, 1, aggregators=[aggregator]) == [(1, 1.0), (2, 2.0), (3, None), (4, None)]


def test_ranges_of_time_count_from_a_groupings_own_start_date() -> None:
    grouping = {"name": "time", "range_size": {"value": 2, "unit": "milliseconds"}, "group_count": 2}
    assert values_of(TWO, 0, group_by=[grouping]) == [(1, 1.0), (2, 2.0)]
    (query,) = lowered(group_by=[{**grouping, "start_date": 1}]).queries
    frames = [Frame("m", (Series.of("d", "m", {"h": "a"}),), (TWO,))]
    for stage in query.stages:
        frames = stage.apply(frames, NaiveClock(0, 100, 100))
    assert len(frames) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"aggregators": [{"name": "filter", "threshold": 1}]},
        {"aggregators": [{"name": "save_as"}]},
        {"aggregators": [{"name": "save_as", "metric_name": ""}]},
        {"group_by": [{"name": "bin", "bins": []}]},
        {"group_by": [{"name": "bin"}]},
    ],
)
def test_what_lacks_a_property_breaks_off_when_there_are_points(fields: dict[str, Any]) -> None:
    assert values_of(Points.empty(), 0, **fields) == []
    with pytest.raises(InternalFailure):
        values_of(TWO, 0, **fields)
