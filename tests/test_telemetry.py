import io
import json
import logging
import sys

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMessage

from amondawa.telemetry import COUNTERS, Metrics, Readiness, configure_logs


def test_a_process_is_ready_between_start_and_stop():
    readiness = Readiness()
    assert readiness.reasons() == ["starting: the journal is being read back"]
    readiness.serving(dict)
    assert readiness.reasons() == []
    readiness.draining()
    assert readiness.reasons() == ["draining: the process is stopping"]


def test_a_process_that_cannot_write_is_not_ready_until_it_can():
    statistics = {"storage_full": 1.0}
    readiness = Readiness()
    readiness.serving(lambda: statistics)
    assert readiness.reasons() == ["storage full: writes are refused"]
    statistics["storage_full"] = 0.0
    assert readiness.reasons() == []


def test_the_gateways_statistics_are_shown_as_they_are_now():
    statistics = {"points_written": 1.0, "head_bytes": 7.0}
    metrics = Metrics()
    metrics.watch(lambda: statistics)
    statistics["points_written"] = 2.0
    text = metrics.render().decode()
    assert "# TYPE amondawa_points_written_total counter\namondawa_points_written_total 2.0" in text
    assert "# TYPE amondawa_head_bytes gauge\namondawa_head_bytes 7.0" in text
    assert "points_written" in COUNTERS


def test_two_registries_do_not_meet():
    one, other = Metrics(), Metrics()
    one.count("kairosdb", "write", "POST", 204, 0.01)
    assert b'protocol="kairosdb"' in one.render()
    assert b'protocol="kairosdb"' not in other.render()


@pytest.fixture
def log(monkeypatch):
    """Everything logged while a test runs, as JSON lines on a stderr of its own."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level, filters = root.handlers, root.level, logging.getLogger("aiohttp.server").filters[:]
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logs("json")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers, logging.getLogger("aiohttp.server").filters[:] = handlers, filters
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_log_line_is_one_json_object(log):
    structlog.get_logger("amondawa.x").info("stopped", count=3)
    logging.getLogger("other").warning("said %s", "this")
    first, second = log()
    assert (first["event"], first["count"], first["level"], first["logger"]) == ("stopped", 3, "info", "amondawa.x")
    assert (second["event"], second["level"]) == ("said this", "warning")


def test_bytes_that_are_no_http_are_one_short_line(log):
    error = BadHttpMessage("nonsense")
    logging.getLogger("aiohttp.server").error("Error handling request from %s", "10.0.0.1", exc_info=error)
    (line,) = log()
    assert line["event"] == "Error handling request from 10.0.0.1: BadHttpMessage"
    assert (line["level"], "exception" in line) == ("warning", False)


SPOOLED = {"spool_limit_bytes": 100.0, "spool_bytes": 7.0, "spool_entries": 2.0}


def test_a_process_that_spools_is_ready_and_says_so():
    readiness = Readiness()
    readiness.serving(lambda: SPOOLED, lambda: "DynamoDB has not answered")
    assert readiness.reasons() == []
    assert readiness.notes() == {
        "spooling": True,
        "reason": "DynamoDB has not answered",
        "spool_bytes": 7,
        "spool_entries": 2,
    }


def test_a_process_whose_spool_is_full_is_not_ready():
    readiness = Readiness()
    readiness.serving(lambda: {**SPOOLED, "spool_full": 1.0, "storage_full": 1.0}, lambda: "gone")
    assert readiness.reasons() == ["spool full: writes are refused"]


def test_a_process_that_may_not_spool_is_not_ready_while_its_store_is_away():
    away = ["gone"]
    readiness = Readiness()
    readiness.serving(lambda: {"spool_limit_bytes": 0.0}, lambda: away[0])
    assert readiness.reasons() == ["writes are refused: gone"]
    assert readiness.notes() == {}
    away[0] = ""
    assert readiness.reasons() == []
    assert readiness.notes() == {}
