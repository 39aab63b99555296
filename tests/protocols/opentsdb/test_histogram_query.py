from __future__ import annotations

from typing import Any

import pytest

from amondawa.protocols.opentsdb.histogram_blob import Histogram
from amondawa.protocols.opentsdb.histogram_query import Counts, float32_text
from tests.protocols.opentsdb.served import START_S, Served

T = START_S


def counts(*buckets: tuple[float, float, int]) -> Counts:
    total = Counts()
    total.add(Histogram(buckets))
    return total


def test_a_percentile_is_the_middle_of_the_bucket_that_holds_it():
    total = counts((0, 1, 1), (1, 5, 10), (5, 10, 4))
    assert [total.percentile(percent) for percent in (1, 50, 73, 74, 100)] == [0.5, 3.0, 3.0, 7.5, 7.5]


def test_percentiles_below_one_and_of_nothing():
    assert counts((0, 1, 1)).percentile(0.5) == -1.0
    assert counts((0, 1, 0)).percentile(50) == 0.0


def test_sums_add_equal_buckets():
    total = counts((0, 1, 1))
    total.add(Histogram(((0, 1, 2), (1, 2, 3)), 4, 5))
    assert (total.buckets, total.underflow, total.overflow) == ({(0, 1): 3, (1, 2): 3}, 4, 5)


@pytest.mark.parametrize(
    ("value", "text"), [(99.9000015258789, "99.9"), (50.0, "50.0"), (0.0, "0.0"), (1e7, "1.0E7"), (1.5e-4, "1.5E-4")]
)
def test_32_bit_floats_look_as_java_prints_them(value: float, text: str):
    assert float32_text(value) == text


async def fill(tsdb: Served) -> None:
    for host, at, buckets in (
        ("a", 0, {"0,1": 1, "1,5": 10, "5,10": 4}),
        ("a", 60, {"0,1": 5, "1,5": 0, "5,10": 9}),
        ("b", 0, {"0,1": 5, "1,5": 0, "5,10": 9}),
    ):
        point = {"metric": "h", "timestamp": T + at, "buckets": buckets, "tags": {"host": host}, "overflow": 2}
        assert (await tsdb.ask("POST", "/api/histogram?details", point))[0] == 200


async def ask(tsdb: Served, m: str, start: int = T - 5) -> list[dict[str, Any]]:
    status, answer = await tsdb.ask("GET", f"/api/query?start={start}&end={T + 200}&m={m}")
    assert status == 200, answer
    return answer


async def test_percentiles_of_groups_come_one_a_result(tsdb: Served):
    await fill(tsdb)
    got = await ask(tsdb, "sum:percentiles[98,50]:h")
    assert [(one["metric"], one["aggregateTags"], one["dps"]) for one in got] == [
        ("h_pct_50.0", ["host"], {str(T): 3.0, str(T + 60): 7.5}),
        ("h_pct_98.0", ["host"], {str(T): 7.5, str(T + 60): 7.5}),
    ]
    got = await ask(tsdb, "none:percentiles[50]:h")
    assert [one["tags"] for one in got] == [{"host": "a"}, {"host": "b"}]


async def test_bucket_counts_are_integers(tsdb: Served):
    await fill(tsdb)
    got = await ask(tsdb, "sum:show-histogram-buckets:h")
    assert {one["metric"]: one["dps"][str(T)] for one in got} == {
        "h_UNDERFLOW": 0,
        "h_0.0_1.0": 6,
        "h_1.0_5.0": 10,
        "h_5.0_10.0": 13,
        "h_OVERFLOW": 4,
    }


async def test_downsampling_sums_the_histograms_of_a_bucket_of_time(tsdb: Served):
    await fill(tsdb)
    got = await ask(tsdb, "sum:2m-sum:show-histogram-buckets:h{host=a}", start=T)
    assert {one["metric"]: one["dps"] for one in got}["h_0.0_1.0"] == {str(T): 6}
    [got] = await ask(tsdb, "sum:0all-sum:percentiles[90]:h")
    assert got["dps"] == {}


async def test_a_query_of_numbers_passes_histograms_over(tsdb: Served):
    await fill(tsdb)
    assert await ask(tsdb, "sum:h") == []
