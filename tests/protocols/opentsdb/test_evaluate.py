from __future__ import annotations

import numpy as np
import pytest

from amondawa.model.points import Points, WriteBatch
from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.data_query import CheckedQuery, DataQuery, check
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.evaluate import evaluate
from amondawa.protocols.opentsdb.render import Answered
from amondawa.protocols.opentsdb.uid import Uids, uids_of
from amondawa.protocols.opentsdb.uri import parse_m
from tests.protocols.opentsdb.served import START_S, Served

T = START_S


def checked(*texts: str, delete: bool = False) -> CheckedQuery:
    subs = tuple(parse_m(text) for text in texts)
    return check(DataQuery(str(T), str(T + 300), subs, delete=delete), T * 1000)


def totals(answered: list[Answered], uids: Uids) -> list[tuple[str, int]]:
    return [(each.sub.aggregator, int(each.frames[0].points.bits.sum())) for each in answered if each.frames]


async def test_each_sub_query_gets_its_own_results_in_the_order_asked(tsdb: Served):
    for host, value in (("a", 1), ("b", 10)):
        await tsdb.put("m", value, host=host)
    got = await evaluate(tsdb.scope, "default", checked("max:m", "sum:m", "min:m{host=*}"), totals)
    assert got == [("max", 10), ("sum", 11), ("min", 1)]


async def test_figures_tell_what_each_sub_query_read(tsdb: Served):
    for host in "ab":
        await tsdb.put("m", host=host)
    await tsdb.put("n")
    answers = await evaluate(tsdb.scope, "default", checked("sum:m", "sum:n"), lambda answered, uids: answered)
    found = [each.figures for each in answers]
    assert [(one.index, one.metric, one.points, one.rows) for one in found] == [(0, "m", 2, 2), (1, "n", 1, 1)]
    assert all(one.scan_ms >= 0 for one in found)


async def test_rows_are_deleted_after_they_were_read(tsdb: Served):
    await tsdb.put("m", 5)
    assert await evaluate(tsdb.scope, "default", checked("sum:m", delete=True), totals) == [("sum", 5)]
    assert await evaluate(tsdb.scope, "default", checked("sum:m"), totals) == []


async def test_nothing_is_deleted_when_the_answer_fails(tsdb: Served):
    await tsdb.put("m", 5)

    def fail(answered: list[Answered], uids: Uids) -> None:
        raise ArithmeticError("no answer")

    with pytest.raises(ArithmeticError):
        await evaluate(tsdb.scope, "default", checked("sum:m", delete=True), fail)
    assert await evaluate(tsdb.scope, "default", checked("sum:m"), totals) == [("sum", 5)]


async def test_an_empty_bucket_under_a_scalar_fill_is_refused(tsdb: Served):
    await tsdb.put("m")
    with pytest.raises(TsdbError) as refused:
        await evaluate(tsdb.scope, "default", checked("sum:1m-avg-scalar:m"), totals)
    assert (refused.value.status, refused.value.message) == (400, "unhandled fill policy")
    assert refused.value.details == refused.value.message


async def test_series_of_other_protocols_get_ids_when_they_are_read(tsdb: Served):
    gateway = tsdb.scope.gateway
    ref = gateway.resolve("default", "foreign", (("host", "a"),))
    points = Points.longs(np.array([T * 1000]), np.array([3]))
    await gateway.write(WriteBatch(np.array([ref], np.int32), points.times_ms, points.kinds, points.bits))
    assert await evaluate(Scope(gateway, tsdb.scope.settings), "default", checked("sum:foreign"), totals) == [
        ("sum", 3)
    ]
    uids = await uids_of(tsdb.scope, "default")
    assert uids.id_of("metric", "foreign") is not None
    assert not uids.dirty


async def test_where_filters_name_the_exact_tags_the_next_hour_feeds_interpolation_and_stays_when_rows_are_deleted(
    tsdb: Served,
):
    for at_s, host in ((0, "a"), (3500, "a"), (0, "b"), (5400, "b"), (3600, "edge"), (3601, "late")):
        await tsdb.put("e", 10.0 * at_s, T + at_s, host=host)

    async def ask(sub: str) -> list[tuple[dict[str, str], dict[str, float]]]:
        _, answer = await tsdb.ask("GET", f"/api/query?start={T}&end={T + 3500}&m={sub}")
        return [(one["tags"], one["dps"]) for one in answer]

    assert await ask("sum:e{}{host=*}") == [({}, {str(T): 0.0, str(T + 3500): 35_000.0})]
    assert await ask("sum:explicit_tags:e{}{host=*}") == [({}, {str(T): 0.0, str(T + 3500): 70_000.0})]
    named = await ask("sum:explicit_tags:e{host=*}")
    assert [tags["host"] for tags, _ in named] == ["a", "b", "edge"]
    assert [len(points) for _, points in named] == [2, 1, 0]
    _, text = await tsdb.ask("GET", f"/q?start={T}&end={T + 3500}&m=sum:explicit_tags:e{{host=*}}&ascii")
    assert [int(line.split()[1]) - T for line in text.splitlines()] == [0, 3500, 0, 3600]
    await tsdb.ask("DELETE", f"/api/query?start={T}&end={T + 3500}&m=sum:explicit_tags:e{{host=*}}")
    _, left = await tsdb.ask("GET", f"/api/query?start={T}&end={T + 7000}&m=none:e")
    assert [one["dps"] for one in left] == [
        {str(T + 5400): 54_000.0},
        {str(T + 3600): 36_000.0},
        {str(T + 3601): 36_010.0},
    ]
