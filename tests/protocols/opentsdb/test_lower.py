from __future__ import annotations

import pytest

from amondawa.aggregate.across_series import CombineGroups, KeepRange, OnlyKinds, RateSeries
from amondawa.aggregate.fill import DownsampleSeries
from amondawa.model.query import Identity, TagFilter
from amondawa.model.series import Series
from amondawa.protocols.opentsdb.data_query import CheckedQuery, DataQuery, SubQuery, check
from amondawa.protocols.opentsdb.errors import NoSuchName, TsdbError
from amondawa.protocols.opentsdb.filters import TagVFilter
from amondawa.protocols.opentsdb.lower import Lowered, lower, selection_of
from amondawa.protocols.opentsdb.uid import Uids
from amondawa.protocols.opentsdb.uri import parse_m
from tests.naive import NaiveGateway

HOUR_MS = 3_600_000
T = 1_356_998_400_000


@pytest.fixture
def uids() -> Uids:
    known = Uids(NaiveGateway(), "default")
    for host in ("b", "a"):
        known.register("m", [("host", host), ("dc", "x")])
    return known


async def lowered(uids: Uids, sub: SubQuery) -> Lowered:
    query: CheckedQuery = check(DataQuery(f"{T + 60_000}ms", f"{T + 120_000}ms", (sub,)), T)
    return await lower(query.sub_queries[0], query, uids)


async def test_one_read_carries_all_stages_in_their_order(uids: Uids):
    got = await lowered(uids, parse_m("sum:1m-avg:rate:m{host=*}"))
    [query] = got.queries
    kinds = [type(stage) for stage in query.stages]
    assert kinds == [OnlyKinds, DownsampleSeries, RateSeries, CombineGroups, KeepRange]
    assert got.group == ()
    assert query.identity is Identity.TIME


async def test_whole_rows_are_read_and_stages_see_the_range(uids: Uids):
    [query] = (await lowered(uids, parse_m("sum:m"))).queries
    assert (query.start_ms, query.end_ms) == (T, T + HOUR_MS - 1)
    assert (query.clock_start_ms, query.clock_end_ms) == (T + 60_000, T + 120_000)


async def test_filters_become_conditions_and_explicit_tags_the_exact_names(uids: Uids):
    [query] = (await lowered(uids, parse_m("sum:explicit_tags:m{host=a|b}{dc=not_literal_or(y)}"))).queries
    assert query.selection.filters == (
        TagFilter("host", frozenset({"a", "b"})),
        TagFilter("dc", frozenset({"y"}), negate=True),
    )
    assert query.selection.only_tags == {"host", "dc"}


async def test_groups_and_members_are_ordered_by_id(uids: Uids):
    [query] = (await lowered(uids, parse_m("sum:m{host=*}"))).queries
    stage = query.stages[1]
    assert isinstance(stage, CombineGroups) and stage.group is not None
    first = Series.of("default", "m", {"host": "b", "dc": "x"})
    second = Series.of("default", "m", {"host": "a", "dc": "x"})
    assert stage.order(first) < stage.order(second)
    assert stage.group(first) < stage.group(second)


async def test_none_groups_nothing_whatever_the_filters_say(uids: Uids):
    [query] = (await lowered(uids, parse_m("none:m{host=*}"))).queries
    stage = query.stages[1]
    assert isinstance(stage, CombineGroups) and stage.group is None


async def test_pre_aggregates_are_refused_without_rollups_once_all_names_are_known(uids: Uids):
    with pytest.raises(NoSuchName):
        await lowered(uids, parse_m("sum:pre-agg:m{host=nosuch}"))
    with pytest.raises(TsdbError) as refused:
        await lowered(uids, parse_m("sum:pre-agg:m"))
    assert (refused.value.status, refused.value.message) == (400, "No rollup or aggregations were configured")


async def test_series_named_by_id_are_read_one_by_one_and_grouped_after(uids: Uids):
    series = [Series.of("default", "m", {"host": host, "dc": "x"}) for host in ("a", "b")]
    tsuids = tuple(uids.tsuid(one) for one in series)
    got = await lowered(uids, SubQuery("sum", tsuids=(*tsuids, tsuids[0], tsuids[0][:6] + "0000FF0000FF")))
    assert [query.selection for query in got.queries] == [selection_of(one) for one in series]
    assert [type(stage) for stage in got.group] == [CombineGroups, KeepRange]
    assert [type(stage) for stage in got.queries[0].stages] == [OnlyKinds]


@pytest.mark.parametrize(
    ("tsuids", "status", "message"),
    [
        (("xyz",), 500, "begin 0, end 6, length 3"),
        (("",), 500, "begin 0, end 6, length 0"),
        (("000001",), 400, "UID was empty"),
        (("00000x000001000001",), 400, "contains illegal character for hexBinary: 00000x"),
        (("000001xyz",), 400, "contains illegal character for hexBinary: 0xyz"),
        (
            ("000001000001000001", "000002000001000001"),
            500,
            "One or more TSUIDs did not share the same metric [000001] [000002]",
        ),
    ],
)
async def test_what_is_no_tsuid_of_one_metric_is_refused(
    uids: Uids, tsuids: tuple[str, ...], status: int, message: str
):
    with pytest.raises(TsdbError) as refused:
        await lowered(uids, SubQuery("sum", tsuids=tsuids))
    assert (refused.value.status, refused.value.message) == (status, message)


async def test_series_named_by_id_are_one_group_whatever_the_filters_say(uids: Uids):
    tsuid = uids.tsuid(Series.of("default", "m", {"host": "a", "dc": "x"}))
    by_host = TagVFilter("wildcard", "host", "*", True)
    [query] = (await lowered(uids, SubQuery("sum", tsuids=(tsuid,), filters=(by_host,)))).queries
    stage = query.stages[1]
    assert isinstance(stage, CombineGroups) and stage.group is not None
    assert stage.group(Series.of("default", "m", {"host": "a", "dc": "x"})) == ()


async def conditions(uids: Uids, *filters: TagVFilter) -> list[tuple[str, frozenset[str] | None]]:
    [query] = (await lowered(uids, SubQuery("sum", "m", filters=filters))).queries
    return [(one.name, one.values) for one in query.selection.filters]


async def test_literals_of_the_first_tag_are_alternatives_across_filters(uids: Uids):
    a, b = TagVFilter("literal_or", "host", "a"), TagVFilter("literal_or", "host", "b")
    assert await conditions(uids, a, b) == [("host", frozenset({"a", "b"}))]


async def test_of_the_filters_of_a_later_tag_the_last_decides_on_literals(uids: Uids):
    host = TagVFilter("wildcard", "host", "*")
    x, a, any_dc = (
        TagVFilter("literal_or", "dc", "x"),
        TagVFilter("literal_or", "dc", "a"),
        TagVFilter("wildcard", "dc", "*"),
    )
    assert await conditions(uids, host, x, a) == [("host", None), ("dc", frozenset({"a"}))]
    assert await conditions(uids, host, x, any_dc) == [("host", None), ("dc", None)]


async def test_an_empty_literal_is_no_name(uids: Uids):
    with pytest.raises(TsdbError) as refused:
        await lowered(uids, parse_m("sum:m{host=|a}"))
    assert (refused.value.status, refused.value.message) == (400, "Missing UID name")


async def test_unknown_names_are_refused_values_before_tags(uids: Uids):
    for text, kind in (("sum:zz{host=q}", "metrics"), ("sum:m{zz=q}", "tagv"), ("sum:m{zz=a}", "tagk")):
        with pytest.raises(NoSuchName) as refused:
            await lowered(uids, parse_m(text))
        assert refused.value.kind == kind
