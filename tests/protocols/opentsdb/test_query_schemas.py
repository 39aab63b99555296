from typing import Any

import pytest

from amondawa.aggregate.counter import CounterRules
from amondawa.protocols.opentsdb.data_query import SubQuery
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.filters import TagVFilter
from amondawa.protocols.opentsdb.query_schemas import load_query


def sub(**fields: Any) -> SubQuery:
    query = load_query({"start": 1, "queries": [{"aggregator": "sum", "metric": "x", **fields}]})
    return query.sub_queries[0]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ([], "Invalid input type."),
        ("nonsense", "Invalid input type."),
        ({"start": {}, "queries": []}, "start: Not a text."),
        ({"queries": {}}, "queries: Not a valid list."),
        ({"queries": [{"rate": "maybe"}]}, "queries.0.rate: Not a boolean."),
        (
            {"queries": [{"rateOptions": {"counterMax": 1e300}}]},
            "queries.0.rateOptions.counterMax: Not a 64-bit integer.",
        ),
        ({"queries": [{"filters": [{"tagk": "h", "filter": "a"}]}]}, "The filter type cannot be null or empty"),
        ({"queries": [{"filters": [{"type": "wildcard", "tagk": "h", "filter": "a"}]}]}, "must contain an asterisk"),
        ({"queries": [{"tags": {"host": "wildcard(a"}}]}, "Filter must end with a ')'"),
        ({"queries": [{"tags": {"host": ["a"]}}]}, "Not a text."),
    ],
)
def test_bodies_that_do_not_fit_say_where(body: Any, where: str):
    with pytest.raises(TsdbError) as refused:
        load_query(body)
    assert (refused.value.status, refused.value.message) == (400, "Unable to parse the given JSON")
    assert where in refused.value.details


def test_a_body_without_sub_queries_trips_as_the_original_does():
    with pytest.raises(TsdbError) as refused:
        load_query({"start": 1})
    assert refused.value.status == 500
    assert load_query({"start": 1, "queries": []}).sub_queries == ()


def test_numbers_may_stand_for_texts_and_nulls_for_nothing():
    query = load_query(
        {"start": 1356998400, "end": None, "queries": [{"aggregator": "sum", "metric": 5, "rate": None}]}
    )
    assert (query.start, query.end) == ("1356998400", None)
    assert query.sub_queries == (SubQuery("sum", "5"),)


@pytest.mark.parametrize("value", ["TRUE", "FALSE", "1", "yes", 1.0, [True], {}])
def test_what_the_original_takes_for_no_flag_is_none(value: Any):
    with pytest.raises(TsdbError) as refused:
        load_query({"start": 1, "delete": value, "queries": []})
    assert refused.value.details == "delete: Not a boolean."


def test_flags_may_be_texts_and_integers():
    def flag(value: Any) -> bool:
        return load_query({"start": 1, "delete": value, "queries": []}).delete

    assert all(flag(value) for value in (True, "true", "True", " true ", 1, -1))
    assert not any(flag(value) for value in (False, "false", "False", "null", "", " ", 0, None))


def test_unknown_fields_are_passed_over():
    assert load_query({"start": 1, "whatever": [], "queries": [{"aggregator": "sum", "zz": {}}]}).sub_queries


def test_flags_are_read():
    names = ("msResolution", "showQuery", "showTSUIDs", "showStats", "showSummary", "delete", "useCalendar")
    query = load_query({"queries": [], "globalAnnotations": True, "noAnnotations": True, **dict.fromkeys(names, True)})
    assert all((query.ms, query.show_query, query.show_tsuids, query.show_stats, query.show_summary, query.delete))
    assert (query.use_calendar, query.global_annotations, query.annotations) == (True, True, False)


def test_tags_all_group_and_the_later_of_tags_and_filters_counts():
    host = {"type": "wildcard", "tagk": "host", "filter": "*"}
    assert sub(tags={"dc": "a"}).filters == (TagVFilter("literal_or", "dc", "a", True),)
    assert sub(tags={"dc": "a"}, filters=[host]).filters == (TagVFilter("wildcard", "host", "*"),)
    assert sub(filters=[host], tags={"dc": "a"}).filters == (TagVFilter("literal_or", "dc", "a", True),)


def test_tags_alone_of_all_fields_may_not_be_null():
    with pytest.raises(TsdbError, match="Unable to parse the given JSON"):
        sub(tags=None)
    assert sub(filters=None, rateOptions=None, tsuids=None).filters == ()


def test_both_spellings_of_group_by_are_known():
    for name in ("groupBy", "group_by"):
        assert sub(filters=[{"type": "wildcard", "tagk": "host", "filter": "*", name: True}]).filters[0].group_by


def test_rate_options_are_read():
    assert sub(rate=True, rateOptions={"counter": True, "counterMax": 65535, "dropResets": True}).rate_rules == (
        CounterRules(True, 65535, 0, True)
    )
    assert sub(rate=True, rateOptions={}).rate_rules == CounterRules()
    assert sub(rate=True).rate_rules is None


def test_tsuids_and_percentiles_are_lists():
    assert sub(tsuids=["01", "02"], percentiles=[50, 99.9]).tsuids == ("01", "02")
    assert sub(percentiles=[50]).percentiles == (50.0,)


def test_rate_options_hold_no_unknown_field_and_nulls_are_zero():
    with pytest.raises(TsdbError, match="Unable to parse the given JSON"):
        sub(rate=True, rateOptions={"dropcounter": True})
    rules = sub(rate=True, rateOptions={"counter": None, "counterMax": None}).rate_rules
    assert rules is not None
    assert (rules.counter, rules.maximum) == (False, 0)
