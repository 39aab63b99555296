"""Rollups: taken where configured, and read in place of the points they sum up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from amondawa.protocols.opentsdb.rollup_names import Rollups
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
        ({"groupByAggregator": "sum"}, "No rollup or aggregations were configured"),
        ({"timestamp": START_S * 1000}, f"bad timestamp={START_S}000: a rollup's time is in seconds"),
        ({"metric": "a b"}, 'Invalid metric name ("a b"): illegal character:  '),
        ({"metric": "m:1h:sum"}, 'Invalid metric name ("m:1h:sum"): illegal character: :'),
    ],
)
async def test_a_rollup_that_is_not_right_is_refused(rolling: Served, change: dict[str, Any], text: str):
    status, answer = await rolling.ask("POST", "/api/rollup?details", {**POINT, **change})
    assert (status, answer["errors"][0]["error"]) == (400, text)


def test_names_of_rollups_are_known_by_their_interval():
    rollups = Rollups("1h,1m")
    assert list(rollups.intervals_ms) == ["1h", "1m"]
    assert rollups.base(rollups.name("a:b", "1h", "sum")) == "a:b"
    assert rollups.base("a:5m:sum") == "a:5m:sum"
    assert rollups.serving("m", "sum", 7_200_000) == ["m:1h:sum", "m:1m:sum"]
    assert rollups.serving("m", "sum", 90_000) == []
    assert rollups.serving("m", "p99", 7_200_000) == []
    assert Rollups("").base("m:1h:sum") == "m:1h:sum"
