import pytest

from amondawa.aggregate.fill import Fill
from amondawa.model.timespan import DAY_MS, HOUR_MS, Unit
from amondawa.protocols.opentsdb.data_query import (
    LAST_ROW_MS,
    CheckedQuery,
    DataQuery,
    SubQuery,
    check,
    parse_downsample,
    read_range,
    row_range,
)
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.uri import parse_m

NOW_MS = 1_700_000_000_000
T = 1_356_998_400_000
SUM = SubQuery("sum", "x")


def checked(
    sub: SubQuery = SUM, start: str = "1356998400", end: str | None = "1356998700", **more: object
) -> CheckedQuery:
    return check(DataQuery(start, end, (sub,), **more), NOW_MS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (DataQuery(None, None, (SUM,)), "Missing start time"),
        (DataQuery("1", None), "Missing queries"),
        (DataQuery("20", "10", (SUM,)), "End time [10000] must be greater than the start time [20000]"),
        (DataQuery("10", "10", (SUM,)), "End time [10000] must be greater than the start time [10000]"),
        (DataQuery("1", "5z-ago", (SUM,)), "Invalid duration (suffix): 5z"),
        (DataQuery("1", None, (SubQuery("", "x"),)), "Missing the aggregation function"),
        (DataQuery("1", None, (SubQuery("foo", "x"),)), "No such aggregation function: foo"),
        (DataQuery("1", None, (SubQuery("SUM", "x"),)), "No such aggregation function: SUM"),
        (DataQuery("1", None, (SubQuery("sum"),)), "Missing the metric or tsuids, provide at least one"),
        (
            DataQuery("1", None, (SubQuery("max", "x", percentiles=(50.0,)),)),
            "Only NONE or SUM aggregation function supported for histogram query",
        ),
        (
            DataQuery("1", None, (SubQuery("sum", "x", percentiles=(50.0,), downsample="1m-avg"),)),
            "Only SUM downsampling aggregation supported for histogram query",
        ),
        (DataQuery("1", None, (SubQuery("sum", "x", percentiles=(150.0,)),)), "Invalid percentile parameters: 150.0"),
        (
            DataQuery("1", None, (SubQuery("sum", "x", downsample="1d-sum"),), zone_name="Mars/Olympus"),
            "The timezone specification could not be found",
        ),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_its_reason(query: DataQuery, message: str):
    with pytest.raises(TsdbError) as refused:
        check(query, NOW_MS)
    assert (refused.value.status, refused.value.message) == (400, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1m", "Invalid downsampling specifier '1m': must provide at least interval and function"),
        ("1m-", "Invalid downsampling specifier '1m-': must provide at least interval and function"),
        ("1m-avg-nan-x", "must consist of interval, function, and optional fill policy"),
        ("1m-foo", "No such downsampling function: foo"),
        ("1x-avg", "Invalid duration (suffix): 1x"),
        ("0m-avg", "Zero or negative duration: 0m"),
        ("m-avg", "Invalid duration (number): m"),
        ("-avg", "String index out of range: -1"),
        ("-1m-avg", "String index out of range: -1"),
        ("c-avg", "Invalid duration (number): "),
        ("1m-avg-foo", "Unrecognized fill policy: foo"),
        ("1m-none", "cannot use the NONE aggregator for downsampling"),
    ],
)
def test_downsamplers_that_are_not_right_are_refused(text: str, message: str):
    with pytest.raises(TsdbError) as refused:
        parse_downsample(text, 0, 1)
    assert refused.value.status == 400
    assert message in refused.value.message


def test_downsamplers_are_read():
    how = parse_downsample("2h-p99-NaN", 0, 1)
    assert (how.grid.count, how.grid.unit, how.grid.step_ms, how.grid.calendar) == (2, Unit.HOURS, 2 * HOUR_MS, False)
    assert (how.function, how.fill) == ("p99", Fill.NAN)
    assert parse_downsample("1nc-sum", 0, 1).grid.calendar
    assert parse_downsample("0all-sum", 5, 9).grid.whole == (5, 9)


def test_the_zone_and_the_calendar_of_the_query_reach_every_downsampler():
    [sub] = checked(SubQuery("sum", "x", downsample="1d-sum"), zone_name="Asia/Kolkata", use_calendar=True).sub_queries
    assert sub.downsample is not None
    assert (sub.downsample.grid.calendar, sub.downsample.grid.zone.name) == (True, "Asia/Kolkata")


@pytest.mark.parametrize(("start", "end"), [("1", "123456789012345"), ("10000000000000ms", "10000000000001ms")])
def test_times_of_more_than_thirteen_digits_are_refused(start: str, end: str):
    with pytest.raises(TsdbError, match="Invalid timestamp: 1") as refused:
        check(DataQuery(start, end, (SUM,)), NOW_MS)
    assert refused.value.status == 500


def test_equal_sub_queries_are_asked_once():
    query = check(DataQuery("1", None, (SUM, SubQuery("max", "x"), SubQuery("sum", "x"))), NOW_MS)
    assert [(sub.index, sub.aggregator) for sub in query.sub_queries] == [(0, "sum"), (1, "max")]
    assert query.end_ms == NOW_MS


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "downsample", "first_ms", "after_ms"),
    [
        (T, T + 300_000, None, T, T + HOUR_MS),
        (T - 10_000, T + 90_000, None, T - HOUR_MS, T + HOUR_MS),
        (T + 1, T + HOUR_MS, None, T, T + 2 * HOUR_MS),
        (T, T + HOUR_MS - 1, None, T, T + 2 * HOUR_MS),
        (T, T + HOUR_MS - 1_001, None, T, T + HOUR_MS),
        (T + 5 * HOUR_MS, T + 6 * HOUR_MS, "1d-sum", T, T + DAY_MS),
        (T + 5 * HOUR_MS, T + 6 * HOUR_MS, "0all-sum", T + 5 * HOUR_MS, T + 7 * HOUR_MS),
        (1_000, 2_000, "1w-sum", 0, 7 * DAY_MS),
        (1_000, 9_999_999_999_999, "292000000y-sum", 0, LAST_ROW_MS + HOUR_MS),
    ],
)
def test_whole_hours_are_read_around_the_range_and_its_buckets(
    start_ms: int, end_ms: int, downsample: str | None, first_ms: int, after_ms: int
):
    query = checked(SubQuery("sum", "x", downsample=downsample), f"{start_ms}ms", f"{end_ms}ms")
    assert row_range(query, query.sub_queries[0]) == (first_ms, after_ms)
    assert read_range(query, query.sub_queries[0]) == (first_ms, after_ms)


def test_where_filters_name_the_exact_tags_an_hour_more_is_read():
    for text, more_ms in (("sum:explicit_tags:x{host=*}", HOUR_MS), ("sum:explicit_tags:x", 0), ("sum:x{host=*}", 0)):
        query = checked(parse_m(text), f"{T}ms", f"{T + 1000}ms")
        assert read_range(query, query.sub_queries[0]) == (T, T + HOUR_MS + more_ms)
