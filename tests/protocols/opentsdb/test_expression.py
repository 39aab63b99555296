from __future__ import annotations

from typing import Any

import pytest

from tests.protocols.opentsdb.served import START_S, Served

T = START_S
MS = T * 1000
ALL = {"id": "f", "tags": [{"type": "wildcard", "tagk": "host", "filter": "*", "groupBy": True}]}


def query(*expressions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "time": {"start": str(T), "end": str(T + 300), "aggregator": "sum"},
        "filters": [ALL],
        "metrics": [{"id": "a", "metric": "a", "filter": "f"}, {"id": "b", "metric": "b", "filter": "f"}],
        "expressions": list(expressions),
        **more,
    }


async def fill(tsdb: Served) -> None:
    """Metric a on h1 and h2, metric b on h2 and h3, b without its middle point."""
    for at in range(3):
        for host in ("h1", "h2"):
            await tsdb.put("a", at + 1, T + 60 * at, host=host)
        if at != 1:
            for host in ("h2", "h3"):
                await tsdb.put("b", 10 * (at + 1), T + 60 * at, host=host)


async def outputs(tsdb: Served, body: dict[str, Any]) -> list[dict[str, Any]]:
    status, answer = await tsdb.ask("POST", "/api/query/exp", body)
    assert status == 200, answer
    return answer["outputs"]


async def test_a_union_gives_every_series_and_fills_with_zero(tsdb: Served):
    await fill(tsdb)
    [got] = await outputs(tsdb, query({"id": "e", "expr": "a + b"}))
    assert got["dps"] == [
        [MS, 1.0, 11.0, 10.0],
        [MS + 60_000, 2.0, 2.0, 0.0],
        [MS + 120_000, 3.0, 33.0, 30.0],
    ]
    assert got["dpsMeta"] == {"firstTimestamp": MS, "lastTimestamp": MS + 120_000, "setCount": 3, "series": 3}
    assert [one.get("commonTags") for one in got["meta"]] == [None, {"host": "h1"}, {"host": "h2"}, {}]


async def test_an_intersection_gives_the_series_that_all_have(tsdb: Served):
    await fill(tsdb)
    joined = {"operator": "intersection", "useQueryTags": True, "includeAggTags": False}
    [got] = await outputs(tsdb, query({"id": "e", "expr": "a + b", "join": joined}))
    assert [row[1:] for row in got["dps"]] == [[11.0], [2.0], [33.0]]
    assert got["meta"][1] == {"index": 1, "metrics": ["a", "b"], "commonTags": {"host": "h2"}, "aggregatedTags": []}


async def test_an_empty_intersection_is_refused(tsdb: Served):
    await tsdb.put("a", host="h1")
    await tsdb.put("b", host="h2")
    body = query({"id": "e", "expr": "a + b", "join": {"operator": "intersection"}})
    status, answer = await tsdb.ask("POST", "/api/query/exp", body)
    assert status == 400
    assert answer["error"]["message"].startswith("No intersections found")


async def test_of_series_that_a_join_cannot_tell_apart_the_last_counts_and_the_times_of_all(tsdb: Served):
    for at, host in ((0, "h1"), (60, "h2"), (120, "h2")):
        await tsdb.put("a", at + 1, T + at, host=host)
    body = query({"id": "e", "expr": "a * 2", "join": {"operator": "union", "useQueryTags": True}})
    body["metrics"] = [{"id": "a", "metric": "a", "aggregator": "none"}]
    [got] = await outputs(tsdb, body)
    assert got["dps"] == [[MS, 0.0], [MS + 60_000, 122.0], [MS + 120_000, 242.0]]


async def test_fill_values_stand_for_missing_points(tsdb: Served):
    await fill(tsdb)
    body = query({"id": "e", "expr": "a * b"})
    body["metrics"][1]["fillPolicy"] = {"policy": "scalar", "value": 100}
    [got] = await outputs(tsdb, body)
    assert got["dps"][1] == [MS + 60_000, 0.0, 200.0, 0.0]


async def test_expressions_may_use_expressions(tsdb: Served):
    await fill(tsdb)
    body = query({"id": "later", "expr": "first * 2"}, {"id": "first", "expr": "a + 1"}, outputs=[{"id": "later"}])
    [got] = await outputs(tsdb, body)
    assert got["dps"][0] == [MS, 4.0, 4.0]
    assert got["meta"][1]["metrics"] == ["a"]


@pytest.mark.parametrize(
    ("expressions", "message"),
    [
        ([{"id": "e", "expr": "e + a"}], "Self referencing expression found: e"),
        ([{"id": "e", "expr": "g + a"}, {"id": "g", "expr": "e"}], "Circular reference found: g"),
    ],
)
async def test_circles_are_refused(tsdb: Served, expressions: list[dict[str, Any]], message: str):
    await fill(tsdb)
    status, answer = await tsdb.ask("POST", "/api/query/exp", query(*expressions))
    assert (status, answer["error"]["message"]) == (400, message)


async def test_metrics_may_be_put_out_and_unknown_outputs_are_passed_over(tsdb: Served):
    await fill(tsdb)
    body = query({"id": "e", "expr": "a"}, outputs=[{"id": "b", "alias": "B"}, {"id": "zz"}])
    [got] = await outputs(tsdb, body)
    assert (got["id"], got["alias"], got["dps"]) == ("b", "B", [[MS, 10.0, 10.0], [MS + 120_000, 30.0, 30.0]])


async def test_a_metric_is_put_out_with_all_points_of_its_rows_and_an_expression_with_those_in_range(tsdb: Served):
    await fill(tsdb)
    body = query({"id": "e", "expr": "a"}, outputs=[{"id": "e"}, {"id": "a"}])
    body["time"] = {"start": str(T + 60), "end": str(T + 90), "aggregator": "sum"}
    got = await outputs(tsdb, body)
    assert [len(one["dps"]) for one in got] == [1, 3]


async def test_the_first_time_of_a_metric_without_series_is_the_end_of_time(tsdb: Served):
    await fill(tsdb)
    body = query({"id": "e", "expr": "a"}, outputs=[{"id": "a"}])
    body["time"] = {"start": str(T + 86400), "end": str(T + 90000), "aggregator": "sum"}
    [got] = await outputs(tsdb, body)
    assert got["dpsMeta"] == {"firstTimestamp": 2**63 - 1, "lastTimestamp": 0, "setCount": 0, "series": 0}


async def test_an_expression_that_is_put_out_twice_has_points_once_and_a_metric_always(tsdb: Served):
    await fill(tsdb)
    twice = [{"id": "e"}, {"id": "a"}, {"id": "e", "alias": "again"}, {"id": "a"}]
    got = await outputs(tsdb, query({"id": "e", "expr": "a"}, outputs=twice))
    assert [len(one["dps"]) for one in got] == [3, 3, 0, 3]
    assert got[2]["dpsMeta"] == {"firstTimestamp": 0, "lastTimestamp": 0, "setCount": 0, "series": 2}


async def test_outputs_are_not_checked_but_may_not_be_null(tsdb: Served):
    await fill(tsdb)
    assert await outputs(tsdb, query({"id": "e", "expr": "a"}, outputs=[{}, {"id": "1"}])) == []
    assert (await tsdb.ask("POST", "/api/query/exp", query(outputs=[None])))[0] == 400


async def test_a_result_that_is_no_double_is_refused(tsdb: Served):
    await fill(tsdb)
    status, _ = await tsdb.ask("POST", "/api/query/exp", query({"id": "e", "expr": "a > 1 ? 1 : 0"}))
    assert status == 400


async def test_an_empty_intersection_names_its_variables(tsdb: Served):
    await fill(tsdb)
    await tsdb.put("c", 1, T, host="h9")
    body = query({"id": "e", "expr": "a + c", "join": {"operator": "intersection"}})
    body["metrics"].append({"id": "c", "metric": "c", "filter": "f"})
    status, answer = await tsdb.ask("POST", "/api/query/exp", body)
    text = (
        "No intersections found: IntersectionIterator(id=e, useQueryTags=false, includeAggTags=true, index=0, queries={"
        "a=TimeSyncedIterator(id=a, index=0, dpsSize=2), c=TimeSyncedIterator(id=c, index=1, dpsSize=1)}"
    )
    assert (status, answer["error"]["message"]) == (400, text)


async def test_reads_that_are_not_right_are_the_servers_fault(tsdb: Served):
    body = query({"id": "e", "expr": "a"}, time={"start": str(T), "end": str(T - 1), "aggregator": "sum"})
    status, answer = await tsdb.ask("POST", "/api/query/exp", body)
    assert status == 500
    assert answer["error"]["message"].startswith("End time [")


async def test_without_outputs_and_expressions_the_metrics_are_put_out(tsdb: Served):
    await fill(tsdb)
    assert [one["id"] for one in await outputs(tsdb, query())] == ["a", "b"]


async def test_metrics_without_series_give_empty_outputs(tsdb: Served):
    await fill(tsdb)
    body = query({"id": "e", "expr": "a + b"})
    body["time"] = {"start": str(T + 86400), "end": str(T + 90000), "aggregator": "sum"}
    [got] = await outputs(tsdb, body)
    assert (got["dps"], got["dpsMeta"]["series"], "meta" in got) == ([], 0, False)


async def test_the_query_is_echoed_in_full(tsdb: Served):
    await fill(tsdb)
    body = query(
        {"id": "e", "expr": "a", "fillPolicy": {"policy": "nan"}},
        time={
            "start": str(T),
            "end": str(T + 300),
            "aggregator": "sum",
            "downsampler": {"interval": "1m", "aggregator": "avg", "fillPolicy": {"policy": "zero"}},
        },
    )
    _, answer = await tsdb.ask("POST", "/api/query/exp", body)
    assert answer["query"] == {
        "name": None,
        "time": {
            "start": str(T),
            "end": str(T + 300),
            "timezone": None,
            "downsampler": {"interval": "1m", "aggregator": "avg", "fillPolicy": {"policy": "zero", "value": 0.0}},
            "aggregator": "sum",
            "rate": False,
        },
        "filters": [
            {
                "id": "f",
                "tags": [{"tagk": "host", "filter": "*", "group_by": True, "type": "wildcard"}],
                "explicitTags": False,
            }
        ],
        "metrics": [
            {"metric": name, "id": name, "filter": "f", "aggregator": None, "timeOffset": None, "fillPolicy": None}
            for name in ("a", "b")
        ],
        "expressions": [
            {
                "id": "e",
                "expr": "a",
                "join": {"operator": "union", "useQueryTags": False, "includeAggTags": True},
                "fillPolicy": {"policy": "nan", "value": "NaN"},
            }
        ],
        "outputs": None,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": None}, "missing time"),
        ({"time": {"start": "1"}}, "Invalid time"),
        ({"time": {"aggregator": "sum"}}, "Invalid time"),
        ({"time": {"start": "1", "aggregator": "nosuch"}}, "Invalid time"),
        ({"time": {"start": "abc", "aggregator": "sum"}}, "Invalid time"),
        ({"time": {"start": "1", "aggregator": "sum", "downsampler": {"interval": ""}}}, "Invalid time"),
        ({"metrics": []}, "missing or empty metrics"),
        ({"metrics": [{"id": "a", "metric": "a"}, {"id": "a", "metric": "b"}]}, "duplicated metric id: a"),
        ({"metrics": [{"id": "a"}]}, "Invalid metric at index 0"),
        ({"metrics": [{"id": "a", "metric": "a", "aggregator": "zz"}]}, "Invalid metric at index 0"),
        ({"metrics": [{"id": "a", "metric": "a", "timeOffset": "zz"}]}, "Invalid metric at index 0"),
        ({"filters": [ALL, ALL]}, "duplicated filter id: f"),
        ({"filters": []}, "unrecognized filter id f in metric a"),
        ({"expressions": [{"id": "a", "expr": "b"}]}, "Duplicated variable or expression id: a"),
        ({"expressions": [{"id": "e"}]}, "Invalid expression at index 0"),
        ({"expressions": [{"id": "e", "expr": "a + nosuch"}]}, "Expression [a + nosuch] was missing input nosuch"),
        ({"expressions": [{"id": "e", "expr": "1 + 1"}]}, "The expression didn't appear to have any variables"),
        (
            {"expressions": [{"id": "e", "expr": "a + * b"}]},
            "net.opentsdb.query.pojo.Expression.validate@1:5 parsing error in 'a + * b'",
        ),
        ({"expressions": [{"id": "e_1", "expr": "a"}]}, "Invalid expression at index 0"),
        ({"metrics": [{"id": "a_1", "metric": "a"}]}, "Invalid metric at index 0"),
        ({"filters": [{"id": "f 1", "tags": []}]}, "Invalid filter at index 0"),
        ({"filters": [{"id": "f"}]}, "An internal null pointer exception was thrown"),
        ({"filters": None}, "An internal null pointer exception was thrown"),
        ({"metrics": [None]}, "An internal null pointer exception was thrown"),
        ({"expressions": [{"id": "e", "expr": "a", "join": {}}]}, "The set operator cannot be null"),
        (
            {"expressions": [{"id": "e", "expr": "a", "join": {"operator": "cross"}}]},
            "Unable to parse the given JSON",
        ),
        (
            {"expressions": [{"id": "e", "expr": "a", "fillPolicy": {"policy": "zero", "value": 5}}]},
            "Unable to parse the given JSON",
        ),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_reason(tsdb: Served, change: dict[str, Any], message: str):
    status, answer = await tsdb.ask("POST", "/api/query/exp", {**query({"id": "e", "expr": "a"}), **change})
    assert (status, answer["error"]["message"]) == (500, message)


async def test_a_body_is_needed(tsdb: Served):
    assert (await tsdb.ask("GET", "/api/query/exp"))[0] == 500
    assert (await tsdb.ask("POST", "/api/query/exp", b"{"))[0] == 500
    assert (await tsdb.ask("POST", "/api/query/exp", b"null"))[0] == 500
