"""The names under which the original tells figures, and where they stand."""

from tests.protocols.opentsdb.served import START_S, Served

RESULT = [
    "aggregationTime", "emittedDPs", "groupByTime", "queryIndex", "queryScanTime", "saltScannerMergeTime",
    "serializationTime", "uidToStringTime",
]  # fmt: skip
OUTPUT = {"avgAggregationTime", "avgSerializationTime", "emittedDPs", "maxAggregationTime", "maxSerializationTime"}
SCANNER = [
    "compactionTime", "dpsPostFilter", "dpsPreFilter", "hbaseTime", "rowsPostFilter", "rowsPreFilter", "scannerId",
    "scannerTime", "scannerUidToStringTime", "successfulScan", "uidPairsResolved",
]  # fmt: skip
RANGE = f"start={START_S}&end={START_S + 300}"


async def test_each_result_has_the_figures_of_its_sub_query(tsdb: Served):
    await tsdb.put("m", host="a")
    await tsdb.put("m", host="b", at_s=START_S + 1)
    await tsdb.put("m", host="b", at_s=START_S + 2)
    _, answer = await tsdb.ask("GET", f"/api/query?{RANGE}&m=max:m&m=sum:m{{host=*}}&show_stats")
    assert [list(one)[-1] for one in answer] == ["stats"] * 3
    assert [list(one["stats"]) for one in answer] == [RESULT] * 3
    assert [(one["stats"]["queryIndex"], one["stats"]["emittedDPs"]) for one in answer] == [(0, 3), (1, 1), (1, 2)]


async def test_arithmetic_has_the_figures_of_its_first_series(tsdb: Served):
    await tsdb.put("m")
    await tsdb.put("n")
    _, [one] = await tsdb.ask("GET", f"/api/query/gexp?{RANGE}&exp=sum(sum:m,sum:n)&show_stats")
    assert list(one["stats"]) == RESULT


async def test_the_summary_comes_last_and_adds_up(tsdb: Served):
    for host in "ab":
        await tsdb.put("m", host=host)
    _, answer = await tsdb.ask("GET", f"/api/query?{RANGE}&m=sum:m{{host=*}}&m=max:m&show_summary")
    found = answer[-1]["statsSummary"]
    assert list(found) == sorted(found)
    assert set(found) > OUTPUT
    assert (found["dpsPostFilter"], found["rowsPreFilter"], found["emittedDPs"], found["successfulScan"]) == (
        4,
        4,
        3,
        2,
    )
    assert [found[f"queryIdx_0{at}"]["emittedDPs"] for at in (0, 1)] == [2, 1]
    assert list(found["queryIdx_01"]["scannerStats"]["scannerIdx_00"]) == SCANNER


async def test_without_results_the_summary_tells_of_none(tsdb: Served):
    await tsdb.put("m")
    _, [only] = await tsdb.ask("GET", "/api/query?start=1&end=2&m=sum:m&show_summary")
    assert not OUTPUT & set(only["statsSummary"])
    assert only["statsSummary"]["queryIdx_00"]["rowsPostFilter"] == 0
