"""A query that runs for long is seen in OpenTSDB's list of running queries, and can be ended there."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from compat_tests.process import ServerProcess
from compat_tests.wire import call

START_S = 1_356_998_400
SERIES = 3_000
AGGREGATORS = ("sum", "avg", "min", "max", "dev", "count", "median", "mult", "p50", "p75", "p90", "p95", "p99", "p999")
SLOW = "/api/query?" + "&".join(
    [f"start={START_S}&end={START_S + 3_000}"]
    + [f"m={outer}:1s-{inner}-zero:slow" for outer in AGGREGATORS for inner in ("sum", "max", "avg")]
)
"""every second of an hour is filled for every series, forty-two times over"""


def test_a_running_query_is_listed_and_ended_and_its_client_told(tmp_path: Path):
    server = ServerProcess(tmp_path / "data").start()
    server.wait_ready()
    try:
        points = [
            {"metric": "slow", "timestamp": START_S, "value": number, "tags": {"host": f"h{number}"}}
            for number in range(SERIES)
        ]
        assert call(server.opentsdb, "POST", "/api/put", json.dumps(points).encode()).status == 204
        assert _running(server) == []
        assert call(server.opentsdb, "DELETE", "/api/stats/query?id=999").status == 404
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(call, server.opentsdb, "GET", SLOW, timeout_s=120)
            listed = _seen(server)
            assert (listed["domain"], listed["label"][:20]) == ("default", "opentsdb api/query s")
            assert not asked.done()
            assert call(server.opentsdb, "DELETE", f"/api/stats/query?id={listed['id']}").status == 204
            answer = asked.result(60)
        assert answer.status == 400
        assert json.loads(answer.body) == {"error": {"code": 400, "message": "the query was ended"}}
        assert _running(server) == []
        alive = call(server.opentsdb, "GET", f"/api/query?start={START_S}&end={START_S + 1}&m=max:slow")
        assert json.loads(alive.body)[0]["dps"] == {str(START_S): SERIES - 1}
    finally:
        server.stop()


def _running(server: ServerProcess) -> list[dict[str, Any]]:
    running: list[dict[str, Any]] = json.loads(call(server.opentsdb, "GET", "/api/stats/query").body)["running"]
    return running


def _seen(server: ServerProcess) -> dict[str, Any]:
    """Return the one running query as soon as it is listed."""
    for _ in range(3_000):
        running = _running(server)
        if running:
            [only] = running
            return only
        time.sleep(0.01)
    raise AssertionError("the query was never listed")
