"""Rollups: taken where configured, and read in place of the points they sum up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from amondawa.protocols.opentsdb import telnet
from amondawa.protocols.opentsdb.rollup_names import Rollups
from tests.protocols.line_gateways import talk
from tests.protocols.opentsdb.served import SETTINGS, START_S, Served, serve

HOUR_S = 3600
RANGE = f"start={START_S}&end={START_S + 4 * HOUR_S}"
POINT = {
    "metric": "m",
    "timestamp": START_S,
    "value": 100,
    "tags": {"host": "a"},
    "interval": "1h",
    "aggregator": "SUM",
}


@pytest.fixture
async def rolling() -> AsyncIterator[Served]:
    served = await serve(settings=replace(SETTINGS, opentsdb_rollups="1m, 1h"))
    await served.put("m", 1, START_S)
    await served.put("m", 2, START_S + HOUR_S)
    yield served
    await served.client.close()


async def sums(served: Served, downsample: str) -> dict[str, float]:
    status, answer = await served.ask("GET", f"/api/query?{RANGE}&m=sum:{downsample}:m&show_tsuids")
    assert status == 200
    assert [one["metric"] for one in answer] == ["m"]
    dps: dict[str, float] = answer[0]["dps"]
    return dps


async def test_buckets_that_a_rollup_serves_are_read_from_it(rolling: Served):
    second = {**POINT, "timestamp": START_S + HOUR_S, "value": 0.5}
    assert await rolling.ask("POST", "/api/rollup?summary", [POINT, second]) == (200, {"success": 2, "failed": 0})
    assert await sums(rolling, "1h-sum") == {str(START_S): 100.0, str(START_S + HOUR_S): 0.5}
    assert await sums(rolling, "2h-sum") == {str(START_S): 100.5}
    for raw in ("1h-max", "1h-avg", "90m-sum", "1m-sum", "1hc-sum"):
        assert sum((await sums(rolling, raw)).values()) == 3.0


async def test_the_longest_rollup_that_fits_is_read(rolling: Served):
    minute = {**POINT, "interval": "1m", "value": 7}
    assert (await rolling.ask("POST", "/api/rollup", [POINT, minute]))[0] == 204
    assert await sums(rolling, "1h-sum") == {str(START_S): 100.0}
    assert await sums(rolling, "30m-sum") == {str(START_S): 7.0}


async def test_a_series_and_its_rollup_have_one_tsuid_and_one_name(rolling: Served):
    await rolling.ask("POST", "/api/rollup", POINT)
    path = f"/api/query?{RANGE}&show_tsuids&m=sum"
    _, (rolled,) = await rolling.ask("GET", f"{path}:1h-sum:m")
    _, (raw,) = await rolling.ask("GET", f"{path}:m")
    assert rolled["tsuids"] == raw["tsuids"]
    assert await rolling.ask("GET", "/api/suggest?type=metrics") == (200, ["m"])
    _, answer = await rolling.ask("GET", "/api/search/lookup?m={host=a}")
    assert [one["metric"] for one in answer["results"]] == ["m"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"interval": "5m"}, "No rollup or aggregations were configured"),
        ({"interval": "5m", "groupByAggregator": "sum"}, "No rollup or aggregations were configured"),
        ({"groupByAggregator": "total"}, "Invalid group by aggregator"),
        ({"groupByAggregator": "sum", "aggregator": None}, "Invalid aggregator"),
        ({"timestamp": START_S * 1000}, f"bad timestamp={START_S}000: a rollup's time is in seconds"),
        ({"metric": "a b"}, 'Invalid metric name ("a b"): illegal character:  '),
        ({"metric": "m:1h:sum"}, 'Invalid metric name ("m:1h:sum"): illegal character: :'),
    ],
)
async def test_a_rollup_that_is_not_right_is_refused(rolling: Served, change: dict[str, Any], text: str):
    status, answer = await rolling.ask("POST", "/api/rollup?details", {**POINT, **change})
    assert (status, answer["errors"][0]["error"]) == (400, text)


async def query(served: Served, sub: str) -> list[dict[str, Any]]:
    status, answer = await served.ask("GET", f"/api/query?{RANGE}&m={sub}")
    assert status == 200, answer
    found: list[dict[str, Any]] = answer
    return found


async def test_pre_aggregates_are_read_where_a_query_asks_for_them(rolling: Served):
    grouped = {"metric": "m", "timestamp": START_S, "value": 50, "tags": {"dc": "x"}, "groupByAggregator": "SUM"}
    largest = {**grouped, "value": 9, "groupByAggregator": "max", "timestamp": START_S * 1000 + 500}
    assert (await rolling.ask("POST", "/api/rollup", [grouped, largest]))[0] == 204
    (summed,) = await query(rolling, "sum:pre-agg:m")
    assert (summed["tags"], summed["dps"]) == ({"dc": "x", "_aggregate": "SUM"}, {str(START_S): 50})
    assert [one["dps"] for one in await query(rolling, "mimmax:pre-agg:m")] == [{str(START_S): 9}]
    assert await query(rolling, "avg:pre-agg:m") == []
    assert [one["dps"] for one in await query(rolling, "avg:pre-agg:m{_aggregate=MAX}")] == [{str(START_S): 9}]
    assert len(await query(rolling, "none:pre-agg:m")) == 2
    assert [one["tags"] for one in await query(rolling, "sum:m")] == [{"host": "a"}]
    body = {
        "start": START_S,
        "queries": [{"aggregator": "sum", "metric": "m", "preAggregate": True}],
        "showQuery": True,
    }
    _, (answer,) = await rolling.ask("POST", "/api/query", body)
    assert (answer["query"]["preAggregate"], answer["dps"]) == (True, {str(START_S): 50})


async def test_pre_aggregates_may_be_rolled_up(rolling: Served):
    point = {**POINT, "groupByAggregator": "sum"}
    assert (await rolling.ask("POST", "/api/rollup", point))[0] == 204
    assert [one["dps"] for one in await query(rolling, "sum:1h-sum:pre-agg:m")] == [{str(START_S): 100.0}]
    assert await query(rolling, "sum:pre-agg:m") == []


async def test_a_query_may_ask_for_the_points_themselves(rolling: Served):
    await rolling.ask("POST", "/api/rollup", POINT)
    (answer,) = await query(rolling, "sum:1h-sum:rollup_raw:m")
    assert answer["dps"] == {str(START_S): 1.0, str(START_S + HOUR_S): 2.0}


async def test_lines_store_rollups_too(rolling: Served):
    lines = [
        f"rollup 1h-SUM m {START_S} 70 host=a",
        f"rollup 1m-sum:SUM m {START_S} 80 dc=x",
        f"rollup SUM m {START_S} 0.5 dc=x",
    ]
    assert await talk(telnet.session(rolling.scope), ("\n".join(lines) + "\n").encode()) == b""
    assert await sums(rolling, "1h-sum") == {str(START_S): 70.0}
    assert [one["dps"] for one in await query(rolling, "sum:pre-agg:m")] == [{str(START_S): 0.5}]
    assert [one["dps"] for one in await query(rolling, "sum:30m-sum:pre-agg:m")] == [{str(START_S): 80.0}]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("rollup 5m-SUM m 1356998400 1 a=b", "illegal argument: No rollup or aggregations were configured"),
        ("rollup 1h-TOTAL m 1356998400 1 a=b", "illegal argument: Invalid aggregator"),
        ("rollup 1h-SUM:TOTAL m 1356998400 1 a=b", "illegal argument: Invalid group by aggregator"),
        ("rollup : m 1356998400 1 a=b", "illegal argument: Missing interval or aggregator"),
        ("rollup 1h-SUM m 1356998400 x a=b", "invalid value: Invalid character 'x' in x"),
        ("rollup 1h-SUM m! 1356998400 1 a=b", 'illegal argument: Invalid metric name ("m!"): illegal character: !'),
        (
            "rollup 1h-SUM m 1356998400000 1 a=b",
            "illegal argument: bad timestamp=1356998400000: a rollup's time is in seconds",
        ),
    ],
)
async def test_a_line_that_is_not_right_is_refused(rolling: Served, line: str, text: str):
    answer = await talk(telnet.session(rolling.scope), line.encode() + b"\n")
    assert answer.decode() == f"rollup: {text}\n"


def test_names_of_rollups_are_known_by_their_interval():
    rollups = Rollups("1h,1m")
    assert list(rollups.intervals_ms) == ["1h", "1m"]
    assert rollups.base(rollups.name("a:b", "1h", "sum")) == "a:b"
    assert rollups.base(rollups.name(rollups.grouped_name("a:b"), "1m", "max")) == "a:b"
    assert rollups.base(":_aggregate") == ":_aggregate"
    assert rollups.base("a:5m:sum") == "a:5m:sum"
    assert rollups.serving("m", "sum", 7_200_000) == ["m:1h:sum", "m:1m:sum"]
    assert rollups.serving("m", "sum", 90_000) == []
    assert rollups.serving("m", "p99", 7_200_000) == []
    assert Rollups("").base("m:1h:sum") == "m:1h:sum"
