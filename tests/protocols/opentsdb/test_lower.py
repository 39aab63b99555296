from __future__ import annotations

import pytest

from amondawa.aggregate.across_series import CombineGroups, KeepRange, OnlyKinds, RateSeries
from amondawa.aggregate.fill import DownsampleSeries
from amondawa.model.query import Identity, TagFilter
from amondawa.model.series import Series
from amondawa.protocols.opentsdb.data_query import CheckedQuery, DataQuery, SubQuery, check
from amondawa.protocols.opentsdb.errors import NoSuchName, TsdbError
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
        TagFilter("dc", frozenset({"y"}), negate=True),
        TagFilter("host", frozenset({"a", "b"})),
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


async def test_series_named_by_id_are_read_one_by_one_and_grouped_after(uids: Uids):
    series = [Series.of("default", "m", {"host": host, "dc": "x"}) for host in ("a", "b")]
    tsuids = tuple(uids.tsuid(one) for one in series)
    got = await lowered(uids, SubQuery("sum", tsuids=(*tsuids, tsuids[0], "0000FF" + tsuids[0][6:])))
    assert [query.selection for query in got.queries] == [selection_of(one) for one in series]
    assert [type(stage) for stage in got.group] == [CombineGroups, KeepRange]
    assert [type(stage) for stage in got.queries[0].stages] == [OnlyKinds]


@pytest.mark.parametrize("tsuid", ["xyz", "0001", "000001", "00000100000100001", ""])
async def test_what_is_no_tsuid_is_refused(uids: Uids, tsuid: str):
    with pytest.raises(TsdbError) as refused:
        await lowered(uids, SubQuery("sum", tsuids=(tsuid,)))
    assert refused.value.status == 500


async def test_unknown_names_are_refused_values_before_tags(uids: Uids):
    for text, kind in (("sum:zz{host=q}", "metrics"), ("sum:m{zz=q}", "tagv"), ("sum:m{zz=a}", "tagk")):
        with pytest.raises(NoSuchName) as refused:
            await lowered(uids, parse_m(text))
        assert refused.value.kind == kind
