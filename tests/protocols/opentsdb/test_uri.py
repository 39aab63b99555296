import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.aggregate.counter import MAX_COUNTER, CounterRules
from amondawa.protocols.opentsdb.calls import Params
from amondawa.protocols.opentsdb.data_query import DataQuery, SubQuery, check
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.filters import TagVFilter
from amondawa.protocols.opentsdb.uri import parse_m, parse_metric, parse_query, parse_rate, parse_tsuid


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("", 400, "The query string was empty"),
        ("zq.x", 400, "Invalid parameter m=zq.x (not enough :-separated parts)"),
        ("sum:1m-avg:rate:a:b:x", 400, "Invalid parameter m=sum:1m-avg:rate:a:b:x (too many :-separated parts)"),
        ("sum:", 500, "Metric cannot be null or empty"),
        ("sum:x{host=a", 500, "Missing '}' at the end of: x{host=a"),
        ("sum:x{host}", 500, "When parsing tag 'host': invalid tag: host"),
        ("sum:x{=a}", 500, "When parsing tag '=a': invalid tag: =a"),
        ("sum:x{host=}", 500, "When parsing tag 'host=': invalid tag: host="),
        ("sum:x{a=b=c}", 500, "When parsing tag 'a=b=c': invalid tag: a=b=c"),
        ("sum:x{}{host}", 500, "When parsing filter 'host': invalid tag: host"),
        ("sum:x{host=nosuch(a)}", 500, "Could not find a tag value filter of the type: nosuch"),
        ("sum:percentiles[99:x", 400, "Malformated percentile query paramater: percentiles[99"),
        ("sum:percentiles[5,a]:x", 500, 'For input string: "a"'),
        ("sum:percentiles[]:x", 500, "empty String"),
        ("sum::x", 500, "String index out of range: 0"),
        ("sum:rate{:x", 400, "Invalid rate options specification: rate{"),
        ("sum:rate{counter,abc}:x", 400, "Max value of counter was not a number, received 'abc'"),
        ("sum:rate{counter,1,abc}:x", 400, "Reset value of counter was not a number, received 'abc'"),
        (
            "sum:rate{counter,1,2,3}:x",
            400,
            "Incorrect number of values in rate options specification, must be "
            "counter[,counter max value,reset value], recieved: 4 parts",
        ),
    ],
)
def test_what_the_grammar_cannot_read_is_refused_with_its_reason(text: str, status: int, message: str):
    with pytest.raises(TsdbError) as refused:
        parse_m(text)
    assert refused.value.status == status
    assert message in refused.value.message


def test_the_shortest_m_is_an_aggregator_and_a_metric():
    assert parse_m("sum:x") == SubQuery("sum", "x")
    assert parse_m("sum:x{}") == SubQuery("sum", "x")


def test_parts_may_stand_in_any_order_and_unknown_ones_are_passed_over():
    expected = SubQuery("sum", "x", downsample="1m-avg", rate=True)
    assert parse_m("sum:1m-avg:rate:x") == expected
    assert parse_m("sum:rate:1m-avg:x") == expected
    assert parse_m("sum:m-avg:nothing:x") == SubQuery("sum", "x")
    assert parse_m("sum:explicit_tags:pre-agg:x") == SubQuery("sum", "x", explicit_tags=True, pre_aggregate=True)
    assert parse_m("sum:show-histogram-buckets:x") == SubQuery("sum", "x", show_buckets=True)


def test_first_braces_group_and_second_ones_filter():
    metric, filters = parse_metric("x{host=*,dc=a|b}{rack=wildcard(1*)}")
    assert metric == "x"
    assert filters == (
        TagVFilter("wildcard", "rack", "1*"),
        TagVFilter("wildcard", "host", "*", group_by=True),
        TagVFilter("literal_or", "dc", "a|b", group_by=True),
    )
    assert parse_metric("x{}{host=a}") == ("x", (TagVFilter("literal_or", "host", "a"),))


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("rate{counter}", CounterRules(counter=True)),
        ("rate{counter,200}", CounterRules(True, 200)),
        ("rate{counter,,5}", CounterRules(True, MAX_COUNTER, 5)),
        ("rate{dropcounter,65535,100}", CounterRules(True, 65535, 100, True)),
        ("rate{}", CounterRules()),
        ("rate{false,,0}", CounterRules()),
    ],
)
def test_rate_options_are_read(text: str, rules: CounterRules):
    assert parse_rate(text) == rules


def test_percentiles_are_32_bit_floats():
    assert parse_m("sum:percentiles[50, 99.9]:x").percentiles == (50.0, 99.9000015258789)


def test_tsuids_are_a_list_behind_the_same_parts():
    assert parse_tsuid("max:2m-avg:rate:01,02") == SubQuery("max", tsuids=("01", "02"), downsample="2m-avg", rate=True)


def test_tsuid_queries_come_first_and_flags_count_by_being_there():
    query = parse_query(Params("start=1&m=sum:x&tsuid=sum:01&ms&arrays=true&show_query=false&no_annotations"))
    assert [sub.metric for sub in query.sub_queries] == [None, "x"]
    assert (query.ms, query.arrays, query.show_query, query.annotations, query.show_stats) == (
        True,
        True,
        True,
        False,
        False,
    )


def test_start_and_a_sub_query_are_needed():
    with pytest.raises(TsdbError, match="Missing parameter <code>start</code>"):
        parse_query(Params("m=sum:x"))
    with pytest.raises(TsdbError, match="Missing sub queries"):
        parse_query(Params("start=1"))


PIECES = ["sum", "x", ":", "{", "}", "=", ",", "*", "|", "(", ")", "[", "]", "-", "1m", "avg", "rate", "counter", "c", "all",
          "percentiles", "wildcard", "regexp", "nan", "0", "9", "é", " "]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_any_text_is_read_or_refused_with_a_status(text: str):
    for parse in (parse_m, parse_tsuid):
        try:
            check(DataQuery("1", "2", (parse(text),)), 3_000)
        except TsdbError as refused:
            assert refused.status in (400, 500)
            assert refused.message
