from __future__ import annotations

import json
from typing import Any

import pytest

from amondawa.model.query import MAX_TIME_MS
from amondawa.model.timespan import Span, Unit
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.problems import RequestRefused
from amondawa.protocols.kairosdb.queries import QueryRequest, parse_query, read_json

NOW_MS = 1_356_998_400_000
UNITS = "MILLISECONDS,SECONDS,MINUTES,HOURS,DAYS,WEEKS,MONTHS,YEARS"


def query(*metrics: Any, **fields: Any) -> dict[str, Any]:
    return {"start_absolute": 1, "metrics": list(metrics), **fields}


def metric(**fields: Any) -> dict[str, Any]:
    return {"name": "m", **fields}


def aggregated(**fields: Any) -> dict[str, Any]:
    return query(metric(aggregators=[fields]))


def grouped(**fields: Any) -> dict[str, Any]:
    return query(metric(group_by=[fields]))


def sent(document: Any) -> Any:
    """Return a document as it is read from a body."""
    return read_json(json.dumps(document).encode())


def refusal(document: Any, prefix: str = "") -> list[str]:
    with pytest.raises(RequestRefused) as caught:
        parse_query(sent(document), NOW_MS, prefix)
    return caught.value.texts


MINUTE = {"value": 1, "unit": "minutes"}
AGG = "query.metric[0].aggregators[0]"
GROUP = "query.metric[0].group_by[0]"

REFUSED: list[tuple[Any, list[str]]] = [
    ({}, ["query.metric[] must have a size of at least 1"]),
    ({"metrics": [{"name": "m"}]}, ["query.metric[0].start_time relative or absolute time must be set"]),
    (query({}), ["query.metric[0].name may not be null"]),
    (query(metric(), {"name": ""}), ["query.metric[1].name may not be empty"]),
    (query("x"), ['java.lang.IllegalStateException: Not a JSON Object: "x"']),
    (query(metric(), end_absolute=0), ["query.metric[0].end_time must be greater than the start time"]),
    (query(metric(), start_absolute="x"), ['java.lang.NumberFormatException: For input string: "x"']),
    (
        {"metrics": [metric()], "start_relative": {"value": 1, "unit": "foo"}},
        [f"query.foo is not a valid time unit, must be one of {UNITS}"],
    ),
    (
        {"metrics": [metric()], "start_relative": {"value": -1}},
        ["start_relative.value must be greater than or equal to 0", "start_relative.unit may not be null"],
    ),
    (query(metric(), cache_time=-1), ["cache_time must be greater than or equal to 0"]),
    (query(metric(order="foo")), ["query.metric[0].order must be either 'asc' or 'desc'"]),
    (query(metric(tags={"host": ""})), ["query.metric[0].tags[0].host value must not be null or empty"]),
    (
        query(metric(tags={"a": "b", "host": ["a", None]})),
        ["query.metric[0].tags[1].host value must not be null or empty"],
    ),
    (query(metric(tags={"": "a"})), ["query.metric[0].tags[0] name must not be empty"]),
    (query(metric(tags=["host"])), ['java.lang.IllegalStateException: Not a JSON Object: ["host"]']),
    (query(metric(), plugins=[{"name": "nope"}]), [".plugins[0].nope invalid query plugin name"]),
    (query(metric(plugins=[{}])), ["query.metric[0].plugins[0] must have a name"]),
    (aggregated(sampling=MINUTE), [f"{AGG} must have a name"]),
    (aggregated(name="SUM"), [f"{AGG}.SUM invalid aggregators name"]),
    (aggregated(name="sum", sampling={"value": 1}), [f"{AGG}.sampling.unit may not be null"]),
    (
        aggregated(name="sum", sampling={"value": 1, "unit": "eons"}),
        [f"{AGG}.eons is not a valid time unit, must be one of {UNITS}"],
    ),
    (
        aggregated(name="sum", sampling={"value": -1, "unit": "days"}),
        [f"{AGG}.sampling.value must be greater than or equal to 0"],
    ),
    (
        aggregated(name="sum", sampling={"value": "x", "unit": "days"}),
        ['java.lang.NumberFormatException: For input string: "x"'],
    ),
    (
        aggregated(name="sum", sampling=5),
        ["java.lang.IllegalStateException: Expected BEGIN_OBJECT but was NUMBER"],
    ),
    (aggregated(name="percentile", sampling=MINUTE), [f"{AGG}.percentile may not be zero"]),
    (aggregated(name="percentile", percentile="x"), [f'{AGG}.percentile For input string: "x"']),
    (aggregated(name="div", divisor=0), [f"{AGG}.m_divisor may not be zero"]),
    (aggregated(name="div"), [f"{AGG}.m_divisor may not be zero"]),
    (
        aggregated(name="filter", filter_op="foo"),
        [f"{AGG}.foo is not a valid trim type, must be 'lte', 'lt', 'gte', 'gt', 'equal' or 'ne'."],
    ),
    (
        aggregated(name="trim", trim="middle"),
        [f"{AGG}.middle is not a valid trim type, must be 'first', 'last' or 'both'."],
    ),
    (aggregated(name="rate", unit="foo"), [f"{AGG}.foo is not a valid time unit, must be one of {UNITS}"]),
    (aggregated(name="score"), [f"{AGG}.thresholds may not be null"]),
    (grouped(tags=["host"]), [f"{GROUP} must have a name"]),
    (grouped(name="nope"), [f"{GROUP}.nope invalid group_by name"]),
    (grouped(name="tag"), [f"{GROUP}.tags may not be null"]),
    (grouped(name="tag", tags=[]), [f"{GROUP}.tags may not be empty"]),
    (grouped(name="value", range_size=0), [f"{GROUP}.rangeSize must be greater than or equal to 1"]),
    (grouped(name="time", range_size=MINUTE), [f"{GROUP}.groupCount must be greater than or equal to 1"]),
    (grouped(name="time", group_count=3), [f"{GROUP}.rangeSize may not be null"]),
    (
        grouped(name="time", group_count=3, range_size={"value": 1, "unit": "eon"}),
        [f"{GROUP}.eon is not a valid time unit, must be one of {UNITS}"],
    ),
]


@pytest.mark.parametrize(("document", "texts"), REFUSED)
def test_faults_are_worded_with_their_place(document: Any, texts: list[str]) -> None:
    assert refusal(document) == texts


def test_places_inside_a_roll_up_begin_with_it() -> None:
    assert refusal({}, "rollup[0]") == ["rollup[0]query.metric[] must have a size of at least 1"]
    assert refusal(query({}), "rollup[0]") == ["rollup[0].query.metric[0].name may not be null"]


@pytest.mark.parametrize(("piece", "what"), [("aggregators", "sum"), ("group_by", "value")])
def test_properties_without_a_setter_are_refused(piece: str, what: str) -> None:
    (text,) = refusal(query(metric(**{piece: [{"name": what, "bogus": 1}]})))
    assert text.startswith(
        f"Property 'bogus' was specified for object '{what}' but no matching setter was found on 'class "
    )


def test_an_unknown_time_zone_is_answered_with_all_there_are() -> None:
    (text,) = refusal(query(metric(), time_zone="Nowhere"))
    assert text.startswith("query.Nowhere is not a valid time zone, must be one of [")
    assert "Europe/Berlin" in text


BROKEN = [
    None,
    [],
    5,
    query(metric(limit="x")),
    query({"name": None}),
    query(metric(aggregators={"name": "sum"})),
    query(metric(group_by="tag")),
    {"start_absolute": 1, "metrics": {}},
]


@pytest.mark.parametrize("document", BROKEN)
def test_broken_shapes_are_internal_failures(document: Any) -> None:
    with pytest.raises(InternalFailure):
        parse_query(sent(document), NOW_MS)


def parsed(document: dict[str, Any]) -> QueryRequest:
    return parse_query(sent(document), NOW_MS)


def test_absolute_times_beat_relative_ones() -> None:
    asked = parsed(
        query(
            metric(),
            start_relative={"value": 1, "unit": "hours"},
            end_absolute="7",
            end_relative={"value": 0, "unit": "DAYS"},
        )
    )
    assert (asked.start_ms, asked.end_ms) == (1, 7)


def test_relative_times_count_from_now_by_the_calendar() -> None:
    asked = parsed(
        {
            "start_relative": {"value": "1", "unit": "Months"},
            "end_relative": {"value": 1, "unit": "hours"},
            "metrics": [metric()],
        }
    )
    assert (asked.start_ms, asked.end_ms) == (1_354_320_000_000, NOW_MS - 3_600_000)


def test_without_an_end_there_is_none() -> None:
    assert parsed(query(metric())).end_ms == MAX_TIME_MS


def test_no_metrics_need_no_start() -> None:
    assert parsed({"metrics": []}).metrics == ()


def test_properties_are_taken_loosely_and_have_defaults() -> None:
    document = aggregated(
        name="sum", sampling={"value": "5", "unit": "Hours", "more": 1}, align_sampling="maybe", align_end_time="TRUE"
    )
    (piece,) = parsed(document).metrics[0].aggregators
    assert piece.properties == {
        "sampling": Span(5, Unit.HOURS),
        "align_sampling": False,
        "align_start_time": False,
        "align_end_time": True,
        "trim": False,
        "start_time": None,
        "end_time": None,
        "time_zone": None,
    }


def test_tag_filters_are_texts() -> None:
    one = parsed(query(metric(tags={"port": 80, "up": True, "host": ["a", 1.5], "none": []}))).metrics[0]
    assert one.tags == {"port": ["80"], "up": ["true"], "host": ["a", "1.5"], "none": []}


@pytest.mark.parametrize(("limit", "kept"), [(3, 3), ("4", 4), (0, 0), (-2, 0), (2.9, 2)])
def test_limits_are_whole_and_not_negative(limit: object, kept: int) -> None:
    assert parsed(query(metric(limit=limit))).metrics[0].limit == kept


def test_of_several_wrong_fields_of_a_metric_the_one_that_kairosdb_reads_first_is_told() -> None:
    wrong = {"order": "up", "limit": {}, "tags": {"": "a"}, "exclude_tags": [], "name": "m"}
    with pytest.raises(RequestRefused) as caught:
        parsed(query(wrong))
    assert caught.value.texts == ["java.lang.IllegalStateException"]
    del wrong["exclude_tags"]
    assert refusal(query(wrong)) == ["query.metric[0].tags[0] name must not be empty"]
    del wrong["tags"]
    with pytest.raises(InternalFailure, match="JsonObject"):
        parsed(query(wrong))
    del wrong["limit"]
    assert refusal(query(wrong)) == ["query.metric[0].order must be either 'asc' or 'desc'"]


def test_nulls_of_a_query_itself_count_as_absent() -> None:
    asked = parsed(query(metric(), end_absolute=None, end_relative=None, time_zone=None, cache_time=None))
    assert asked.end_ms == MAX_TIME_MS


def test_json_is_read_leniently() -> None:
    assert read_json(b"{start_absolute: 1e3, 'a': [1.5,], /* x */ b: true}") == {
        "start_absolute": "1e3",
        "a": ["1.5", None],
        "b": True,
    }


def test_text_behind_a_query_is_refused() -> None:
    with pytest.raises(RequestRefused, match="malformed JSON at line 1 column 5"):
        read_json(b"{} x")


def test_numbers_of_thousands_of_digits_do_no_harm() -> None:
    many = "9" * 5000
    assert read_json(f"{{a: {many}}}".encode()) == {"a": many}
    assert parsed(query(metric(limit=10**300), end_absolute=10**300 + 7)).end_ms > 0
    assert refusal(query(metric(), start_absolute=many)) == [
        f'java.lang.NumberFormatException: For input string: "{many}"'
    ]


@pytest.mark.parametrize("unit", Unit)
def test_spans_beyond_reason_are_cut_not_overflown(unit: Unit) -> None:
    (piece,) = parsed(aggregated(name="sum", sampling={"value": 2**62, "unit": unit.name})).metrics[0].aggregators
    assert 10**7 < piece.properties["sampling"].value <= 2**61
