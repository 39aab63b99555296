from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.gexp_grammar import CallNode, MetricNode, parse_gexp
from amondawa.protocols.opentsdb.uri import parse_m
from tests.protocols.opentsdb.served import START_S, Served

T = START_S


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sum:x",
        "scale(sum:x,10",
        "scale(sum:x,)",
        "scale()",
        "scale(sum:x{host=},1)",
        "scale(sum:x{host=web*},1)",
        "scale(sum:x{host=a,1)",
        "scale(sum:x 10)",
        "scale(sum::x,10)",
        "(" * 500,
        "scale(" * 500 + "sum:x" + ")" * 500,
    ],
)
def test_what_the_grammar_cannot_read_is_refused(text: str):
    with pytest.raises(TsdbError) as refused:
        parse_gexp(text)
    assert (refused.value.status, refused.value.message) == (500, f"Failed to parse {text}")


def test_an_unknown_function_is_named():
    with pytest.raises(TsdbError) as refused:
        parse_gexp("scale(nosuch(sum:x),1)")
    assert (refused.value.status, refused.value.message) == (500, "Function nosuch has not been implemented")


def test_calls_hold_series_and_words():
    node = parse_gexp(" scale ( sum : 1m-avg : rate : x { host = * , dc = a|b } , -1.5 ) trailing")
    [text] = node.metrics()
    assert node == CallNode("scale", (MetricNode(text),), ("-1.5",), 1)
    metric = parse_m(text)
    assert (metric.aggregator, metric.metric, metric.downsample, metric.rate) == ("sum", "x", "1m-avg", True)
    assert [(one.tag_name, one.text) for one in metric.filters] == [("host", "*"), ("dc", "a|b")]


def test_metrics_are_listed_in_order_through_nested_calls():
    node = parse_gexp("sum(scale(sum:a,2),absolute(max:b),min:c)")
    assert node.metrics() == ["sum:a", "max:b", "min:c"]


async def ask(tsdb: Served, *expressions: str, flags: str = "") -> tuple[int, Any]:
    exps = "&".join(f"exp={quote(text)}" for text in expressions)
    return await tsdb.ask("GET", f"/api/query/gexp?start={T}&end={T + 300}&{exps}{flags}")


async def fill(tsdb: Served) -> None:
    for at, (one, two) in enumerate(((1, 3), (-2, -3), (3, 7))):
        await tsdb.put("a", one, T + 60 * at, host="h1")
        await tsdb.put("a", two, T + 60 * at, host="h2")
        await tsdb.put("b", 10 * one, T + 60 * at, host="h1")


async def test_functions_follow_one_another(tsdb: Served):
    await fill(tsdb)
    status, [got] = await ask(tsdb, "alias(absolute(scale(sum:a,-1)),neg)")
    assert status == 200
    assert got == {
        "metric": "neg",
        "tags": {},
        "aggregateTags": [],
        "dps": {str(T): 4, str(T + 60): 5, str(T + 120): 10},
    }


async def test_an_alias_may_hold_tag_values(tsdb: Served):
    await fill(tsdb)
    _, got = await ask(tsdb, "alias(sum:a{host=*},name-@host)")
    assert [one["metric"] for one in got] == ["name-h1", "name-h2"]


async def test_series_functions_join_by_equal_tags_and_give_floats(tsdb: Served):
    await fill(tsdb)
    _, got = await ask(tsdb, "sumSeries(sum:a{host=*},sum:b{host=*})")
    assert [(one["tags"], one["annotations"], one["dps"][str(T)]) for one in got] == [
        ({"host": "h1"}, [], 11.0),
        ({"host": "h2"}, [], 3.0),
    ]


async def test_one_metric_cannot_stand_twice_in_the_same_way(tsdb: Served):
    await fill(tsdb)
    for texts in (("diffSeries(sum:a,sum:a)",), ("scale(sum:a,2)", "absolute(sum:a)")):
        status, got = await ask(tsdb, *texts)
        assert (status, got["error"]["message"]) == (400, "Index 1 out of bounds for length 1")


async def test_series_functions_pair_points_by_their_place_and_take_the_earlier_time(tsdb: Served):
    for at_s, value in ((T, 1), (T + 60, 2)):
        await tsdb.put("p", value, at_s)
        await tsdb.put("q", value * 10, at_s + 7)
    _, [got] = await ask(tsdb, "sumSeries(sum:p,sum:q)")
    assert got["dps"] == {str(T): 11.0, str(T + 60): 22.0}
    await tsdb.put("q", 5, T + 100)
    status, got = await ask(tsdb, "sumSeries(sum:p,sum:q)")
    assert (status, got["error"]["message"]) == (400, "No more elements")


async def test_arithmetic_cannot_be_renamed_and_names_not_computed_with(tsdb: Served):
    await fill(tsdb)
    status, got = await ask(tsdb, "alias(sumSeries(sum:a,sum:b),x)")
    assert (status, got["error"]["message"]) == (400, "-1")
    assert (await ask(tsdb, "alias(scale(sumSeries(sum:a,sum:b),1),x)"))[0] == 200
    status, got = await ask(tsdb, "sumSeries(alias(sum:a,x),sum:b)")
    assert (status, got["error"]["message"]) == (400, "Wrong id.length = 0 which is != 3 required for 'metrics'")


async def test_words_before_series_are_refused(tsdb: Served):
    await fill(tsdb)
    for text, shown in (
        ("scale(2,sum:a)", "scale(a)"),
        ("difference(sum:a,2,alias(sum:b,x),sum:a{host=h1})", "diffSeries(alias(b,x),a,a)"),
    ):
        status, got = await ask(tsdb, text)
        assert (status, got["error"]["message"]) == (400, f"Unknown parameter type: null in tree: {shown}")
    assert (await ask(tsdb, "scale(2,sum:nosuch)"))[1]["error"]["message"] == "No such name for 'metrics': 'nosuch'"
    _, got = await ask(tsdb, "sum(scale(sum:a,abc),2,sum:b)")
    assert got["error"]["message"] == "Unparseable scale factor value: 0.0"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("scale(sumSeries(sum:b,sum:c),abc)",), "Unparseable scale factor value: 0.0"),
        (("highestMax(sumSeries(sum:b,sum:c),0)",), "Top n value must be greater than zero: 0"),
        (("sumSeries(diffSeries(sum:b,sum:c))",), "Must have 2 to 26 series, got 1 instead"),
        (("sumSeries(sum:b,sum:c)", "alias(sum:a)"), "Missing the alias"),
        (("scale(sumSeries(sum:b,sum:c),2)", "alias(sum:a)"), "No more elements"),
        (("alias(sumSeries(sum:b,sum:c),x)",), "No more elements"),
        (("sumSeries(sumSeries(sum:b,sum:c),sum:a)",), "No more elements"),
        (("sumSeries(alias(sum:b,x),sum:c)",), "Wrong id.length = 0 which is != 3 required for 'metrics'"),
        (("scale(sumSeries(alias(sum:b,x),alias(sum:c,x)),1)",), "No more elements"),
        (("sumSeries(alias(sum:b,x),sum:a)", "scale(sumSeries(sum:b{host=h1},sum:c),2)"), "No more elements"),
        (("scale(sum:a,abc)", "scale(sum:a,2)"), "Unparseable scale factor value: 0.0"),
        (("highestMax(sumSeries(sum:a,sum:a,sum:b),abc)",), "Index 2 out of bounds for length 2"),
    ],
)
async def test_the_first_error_in_the_order_of_evaluation_is_told(tsdb: Served, texts: tuple[str, ...], message: str):
    await fill(tsdb)
    await tsdb.put("c", 1, host="h1")
    status, got = await ask(tsdb, *texts)
    assert (status, got["error"]["message"], got["error"]["details"]) == (400, message, message)


async def test_metrics_take_the_results_in_order_those_beside_expressions_first(tsdb: Served):
    await fill(tsdb)
    _, [got] = await ask(tsdb, "scale(sum:a,2)", flags="&m=sum:b")
    assert (got["metric"], got["dps"][str(T)]) == ("b", 20)
    assert await tsdb.ask("GET", f"/api/query/gexp?start={T}&end={T + 300}&m=sum:b") == (200, [])


async def test_an_ordinary_query_asks_for_the_metrics_of_expressions_too(tsdb: Served):
    await fill(tsdb)
    _, got = await tsdb.ask("GET", f"/api/query?start={T}&end={T + 300}&m=sum:b&exp={quote('scale(sum:a,2)')}")
    assert [(one["metric"], one["dps"][str(T)]) for one in got] == [("b", 10), ("a", 4)]


async def test_the_highest_of_series_without_points_in_range_are_refused(tsdb: Served):
    await fill(tsdb)
    later = f"/api/query/gexp?start={T + 300}&end={T + 400}&exp="
    for function in ("highestMax", "highestCurrent"):
        status, got = await tsdb.ask("GET", later + quote(f"{function}(sum:a{{host=*}},1)"))
        assert (status, got["error"]["message"]) == (400, "No series has a point in the range")
    assert await tsdb.ask("GET", later + quote("absolute(sum:a{host=h1})")) == (
        200,
        [{"metric": "a", "tags": {"host": "h1"}, "aggregateTags": [], "dps": {}}],
    )


async def test_the_highest_series_are_kept(tsdb: Served):
    await fill(tsdb)
    for function in ("highestCurrent", "highestMax"):
        _, [got] = await ask(tsdb, f"{function}(sum:a{{host=*}},1)")
        assert got["tags"] == {"host": "h2"}


async def test_functions_see_the_points_of_the_rows_around_the_range_and_averages_those_in_it(tsdb: Served):
    for at, host in ((0, "a"), (60, "a"), (120, "a"), (60, "b"), (120, "b")):
        await tsdb.put("m", at + (host == "b"), T + at, host=host)
    await tsdb.put("n", 1, T + 60)

    async def within(expression: str) -> tuple[int, Any]:
        return await tsdb.ask("GET", f"/api/query/gexp?start={T + 60}&end={T + 90}&exp={quote(expression)}")

    status, answer = await within("sum(sum:m{host=a},sum:n)")
    assert (status, answer["error"]["message"]) == (400, "No more elements")
    _, [averaged] = await within("movingAverage(sum:m{host=a},1)")
    assert averaged["dps"] == {str(T + 60): 60.0}
    _, highest = await within("highestCurrent(sum:m{host=*},2)")
    assert [one["tags"]["host"] for one in highest] == ["b", "a"]
    assert [one["dps"] for one in highest] == [{str(T + 60): 61}, {str(T + 60): 60}]


async def test_expressions_answer_in_their_order(tsdb: Served):
    await fill(tsdb)
    _, got = await ask(tsdb, "scale(sum:b,2)", "movingAverage(max:b,2)", flags="&arrays")
    assert [one["dps"][1][0] for one in got] == [T + 60, T + 60]
    assert [one["dps"][0][1] for one in got] == [2 * 10, 0.0]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("alias(sum:a)", "Missing the alias"),
        ("scale(sum:a)", "Missing scaling factor"),
        ("scale(sum:a,abc)", "Unparseable scale factor value: 0.0"),
        ("scale(sum:a,1-2)", "Invalid parameter, must be an integer or floating point"),
        ("movingAverage(sum:a)", "Missing moving average window size"),
        ("movingAverage(sum:a,0)", "Moving average window must be an integer greater than zero"),
        ("movingAverage(sum:a,2min)", "Unparseable window size: 2min"),
        ("movingAverage(sum:a,'2parsec')", "Unknown time unit=parsec in window='2parsec'"),
        ("movingAverage(sum:a,'min')", "Invalid moving window parameter: 'min'"),
        ("movingAverage(sum:a,'0min')", "Moving average window must be an integer greater than zero"),
        ("movingAverage(sum:a,99999999999)", "Invalid parameter, must be an integer"),
        (f"movingAverage(sum:a,{'9' * 5000})", "Invalid parameter, must be an integer"),
        ("highestMax(sum:a)", "Need aggregation window for moving average"),
        ("highestMax(sum:a,x)", "Unparseable top n value: x"),
        ("highestCurrent(sum:a,0)", "Top n value must be greater than zero: 0"),
        ("shift(sum:a)", "Need amount of timeshift to perform timeshift"),
        ("shift(sum:a,2min)", "Invalid timeshift parameter: eg '10min'"),
        ("timeShift(sum:a,'2min')", "unknown time unit=min'"),
        ("sumSeries(sum:a)", "Must have 2 to 26 series, got 1 instead"),
        ("scale(sum:nosuch,1)", "No such name for 'metrics': 'nosuch'"),
    ],
)
async def test_parameters_that_are_not_right_are_refused(tsdb: Served, expression: str, message: str):
    await fill(tsdb)
    status, answer = await ask(tsdb, expression)
    assert (status, answer["error"]["message"]) == (400, message)


async def test_an_expression_is_needed(tsdb: Served):
    status, answer = await tsdb.ask("GET", f"/api/query/gexp?start={T}")
    assert (status, answer["error"]["message"]) == (400, "Missing sub queries")
