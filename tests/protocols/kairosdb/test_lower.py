from __future__ import annotations

from typing import Any

import numpy as np
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
from amondawa.protocols.kairosdb.queries import parse_query
from amondawa.protocols.kairosdb.save import write_saved
from tests.naive import NaiveClock, NaiveGateway

CLOCK = NaiveClock(0, 10, 10)
NEEDED: dict[str, dict[str, Any]] = {
    "div": {"divisor": 2},
    "percentile": {"percentile": 0.5},
    "save_as": {"metric_name": "n"},
    "score": {"thresholds": [{"value": 1, "boundary": "INFERIOR"}]},
    "trim": {"trim": "BOTH"},
}


def lowered(**fields: Any) -> Any:
    return lower(parse_query({"start_absolute": 0, "metrics": [{"name": "m", **fields}]}, 0), "d")


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
