"""What rollups/status says."""

from __future__ import annotations

import json

import pytest

from amondawa.protocols.kairosdb.rollup_status import run_status, shown_time, task_status
from amondawa.protocols.kairosdb.rollups import RollupQuery, read_task

NOW = 1_356_998_400_000
HOUR = 3_600_000


def query() -> RollupQuery:
    asked = {
        "start_relative": {"value": 1, "unit": "hours"},
        "metrics": [{"name": "source", "aggregators": [{"name": "sum", "sampling": {"value": 1, "unit": "hours"}}]}],
    }
    rollups = [{"save_as": "target", "query": asked}]
    task = {"name": "t", "execution_interval": {"value": 1, "unit": "hours"}, "rollups": rollups}
    return read_task(json.dumps(task).encode(), NOW).queries[0]


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (NOW, "01 Jan 2013 00:00:00 AM"),
        (NOW + 12 * HOUR, "01 Jan 2013 00:00:00 PM"),
        (NOW + 15 * HOUR + 61_999, "01 Jan 2013 03:01:01 PM"),
        (NOW + 24 * HOUR - 1, "01 Jan 2013 11:59:59 PM"),
        (2**62, "31 Dec 9999 11:59:59 PM"),
    ],
)
def test_times_are_shown_as_java_shows_them(time_ms: int, text: str) -> None:
    assert shown_time(time_ms) == text


def test_a_run_has_the_fields_of_the_original_and_how_far_it_has_come() -> None:
    assert run_status(query(), NOW, NOW + 20, 3, NOW + HOUR, None) == {
        "metric_name": "source",
        "save_as": "target",
        "last_executed": "01 Jan 2013 00:00:00 AM",
        "data_point_count": 3,
        "execution_length": 20,
        "last_execution_time": NOW,
        "watermark": "2013-01-01T01:00:00.000+00:00",
    }


def test_a_run_that_failed_says_what() -> None:
    status = run_status(query(), NOW, NOW + 20, 0, None, "no memory left")
    assert (status["error_message"], status["watermark"]) == ("no memory left", None)


def test_a_task_says_where_it_ran_and_when_it_runs_next() -> None:
    assert task_status([], "host", NOW, 2) == {
        "statuses": [],
        "executing_host": "host",
        "next_scheduled": "01 Jan 2013 00:00:00 AM",
        "late_ranges": 2,
    }
