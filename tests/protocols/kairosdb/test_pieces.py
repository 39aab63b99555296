from __future__ import annotations

import json
from typing import Any

import pytest

from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.problems import RequestRefused, SyntaxRefused
from amondawa.protocols.kairosdb.queries import MetricRequest, parse_query, read_json

MINUTE = {"value": 1, "unit": "minutes"}
AGG = "query.metric[0].aggregators[0]"
GROUP = "query.metric[0].group_by[0]"


def read(**fields: Any) -> MetricRequest:
    body = json.dumps({"start_absolute": 1, "metrics": [{"name": "m", **fields}]}).encode()
    (metric,) = parse_query(read_json(body), 1).metrics
    return metric


def aggregated(name: str, **properties: Any) -> dict[str, Any]:
    return {"aggregators": [{"name": name, **properties}]}


def grouped(name: str, **properties: Any) -> dict[str, Any]:
    return {"group_by": [{"name": name, **properties}]}


BROKEN: list[tuple[dict[str, Any], str | None]] = [
    (aggregated("sum", sampling=None), "cannot validate null"),
    (aggregated("sum", time_zone=None), "cannot validate null"),
    (aggregated("trim", trim=None), "cannot validate null"),
    (aggregated("dev", return_type="VALUE"), "cannot validate null"),
    (aggregated("score", thresholds=[], order="DESCENDING"), "cannot validate null"),
    (aggregated("rate", unit={}), "JsonObject"),
    (aggregated("rate", unit=[None]), "JsonNull"),
    (aggregated("save_as", metric_name="n", tags={"a": None}), "null value in entry: a=null"),
    ({"aggregators": [{"name": None}]}, "JsonNull"),
    ({"aggregators": [{"name": ["a", "b"]}]}, None),
    ({"aggregators": ["sum"]}, 'Not a JSON Object: "sum"'),
    ({"aggregators": None}, "This is not a JSON Array."),
    ({"group_by": 1.5}, "This is not a JSON Array."),
    ({"plugins": "x"}, "This is not a JSON Array."),
    (grouped("tag", tags=[None]), None),
    (grouped("bin", bins=[1, None]), None),
    (grouped("value", range_size=None), "cannot validate null"),
    ({"name": None}, "JsonNull"),
    ({"name": {}}, "JsonObject"),
    ({"limit": None}, "JsonNull"),
    ({"limit": "x"}, 'For input string: "x"'),
    ({"order": None}, "JsonNull"),
    ({"order": ["asc", "x"]}, None),
    ({"exclude_tags": None}, "JsonNull"),
    ({"tags": {"a": {}}}, "JsonObject"),
]


@pytest.mark.parametrize(("fields", "text"), BROKEN)
def test_what_breaks_off_says_what_java_says(fields: dict[str, Any], text: str | None) -> None:
    with pytest.raises(InternalFailure) as broken:
        read(**fields)
    assert broken.value.text == text


SYNTAX: list[tuple[dict[str, Any], str]] = [
    (aggregated("sum", sampling=""), "java.lang.IllegalStateException: Expected BEGIN_OBJECT but was STRING"),
    (aggregated("sum", align_sampling=1), "java.lang.IllegalStateException: Expected BOOLEAN but was NUMBER"),
    (aggregated("sma", size="1.5"), 'java.lang.NumberFormatException: For input string: "1.5"'),
    (aggregated("score", thresholds={}), "java.lang.IllegalStateException: Expected BEGIN_ARRAY but was BEGIN_OBJECT"),
    (aggregated("save_as", metric_name=[]), "java.lang.IllegalStateException: Expected STRING but was BEGIN_ARRAY"),
    (
        aggregated("save_as", metric_name="n", tags=[[]]),
        "java.lang.IllegalStateException: Expected STRING but was END_ARRAY",
    ),
    (
        aggregated("save_as", metric_name="n", tags=[["a", "b", 5]]),
        "java.lang.IllegalStateException: Expected END_ARRAY but was NUMBER",
    ),
    (
        aggregated("save_as", metric_name="n", tags=[[{}, "b"]]),
        "java.lang.IllegalStateException: Expected STRING but was BEGIN_OBJECT",
    ),
    (
        aggregated("save_as", metric_name="n", tags=["ab"]),
        "java.lang.IllegalStateException: Expected BEGIN_ARRAY but was STRING",
    ),
    (aggregated("rate", unit=[]), "java.lang.IllegalStateException"),
    (aggregated("dev", return_type=True), "java.lang.IllegalStateException: Expected STRING but was BOOLEAN"),
    (grouped("bin", bins=[True]), "java.lang.IllegalStateException: Expected NUMBER but was BOOLEAN"),
    ({"name": []}, "java.lang.IllegalStateException"),
    ({"tags": None}, "java.lang.IllegalStateException: Not a JSON Object: null"),
    ({"limit": []}, "java.lang.IllegalStateException"),
]


@pytest.mark.parametrize(("fields", "text"), SYNTAX)
def test_what_gson_refuses_is_refused_in_its_words(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(SyntaxRefused) as refused:
        read(**fields)
    assert refused.value.texts == [text]


PLACED: list[tuple[dict[str, Any], list[str]]] = [
    (aggregated("div", divisor="x"), [f'{AGG}.divisor For input string: "x"']),
    (aggregated("score", thresholds=[{"value": "x"}]), [f'{AGG}.thresholds For input string: "x"']),
    (grouped("bin", bins=["x"]), [f'{GROUP}.bins For input string: "x"']),
    (grouped("time", range_size={"value": 1}), [f"{GROUP}.range_size.unit may not be null"]),
    (aggregated("sum", sampling={"value": None, "unit": None}), [f"{AGG}.sampling.unit may not be null"]),
    (
        aggregated("sum", sampling={"value": 2**63, "unit": "days"}),
        [f"{AGG}.sampling.value must be greater than or equal to 0"],
    ),
]


@pytest.mark.parametrize(("fields", "texts"), PLACED)
def test_other_faults_say_where(fields: dict[str, Any], texts: list[str]) -> None:
    with pytest.raises(RequestRefused) as refused:
        read(**fields)
    assert refused.value.texts == texts


BAD_UNIT, UNKNOWN = {"sampling": {"value": 1, "unit": "x"}}, {"bogus": 1}


@pytest.mark.parametrize(
    ("first", "second", "said"), [(BAD_UNIT, UNKNOWN, "x is not a valid"), (UNKNOWN, BAD_UNIT, "Property 'bogus'")]
)
def test_the_first_property_that_is_wrong_is_told(first: dict[str, Any], second: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestRefused, match=said):
        read(**aggregated("sum", **first, **second))


def test_a_property_that_lacks_something_is_told_before_one_that_nothing_takes() -> None:
    with pytest.raises(RequestRefused, match="sampling.unit may not be null"):
        read(**aggregated("sum", sampling={"value": 1}, bogus=1))


def test_a_wrong_property_is_told_before_one_that_is_missing() -> None:
    with pytest.raises(RequestRefused, match="sampling.unit"):
        read(**aggregated("percentile", sampling={"value": 1}))


def test_elements_that_are_arrays_of_one_count_as_their_member() -> None:
    metric = read(name=["n"], limit=[2], order=["DESC"], tags={"a": [["b"]]}, aggregators=[{"name": ["sum"]}])
    assert (metric.name, metric.limit, metric.descending, metric.tags) == ("n", 2, True, {"a": ["b"]})
    assert metric.aggregators[0].name == "sum"


def test_numbers_in_place_of_texts_keep_how_they_were_written() -> None:
    body = b'{"start_absolute":1,"metrics":[{"name":1.50,"tags":{"a":1e3}}]}'
    (metric,) = parse_query(read_json(body), 1).metrics
    assert (metric.name, metric.tags) == ("1.50", {"a": ["1e3"]})


@pytest.mark.parametrize(("sent", "threshold"), [(2.5, 2.5), ("2.5", "2.5"), (True, None), ([1], None), ({}, None)])
def test_a_threshold_is_a_number_or_a_text_or_neither(sent: object, threshold: object) -> None:
    (piece,) = read(**aggregated("filter", filter_op="gt", threshold=sent)).aggregators
    assert piece.properties["threshold"] == threshold
    assert type(piece.properties["threshold"]) is type(threshold)
