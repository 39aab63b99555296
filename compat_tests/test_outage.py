"""A real gateway process whose store becomes unreachable: writes are spooled, recent data answers, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compat_tests.outage_proxy import OutageProxy, outage_proxy
from compat_tests.process import ServerProcess
from compat_tests.strict_fake_process import StrictFakeProcess, strict_fake_process
from compat_tests.wire import Answer, call, eventually, stored, talk

START_MS = 1_700_000_000_000
SOON_S = 8.0
"""no answer may take longer while the store is away: the first write waits for its time, everything else for less"""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def fake() -> Iterator[StrictFakeProcess]:
    with strict_fake_process() as one:
        yield one


@pytest.fixture
def proxy(fake: StrictFakeProcess) -> Iterator[OutageProxy]:
    with outage_proxy(fake.port) as one:
        yield one


def gateway(fake: StrictFakeProcess, proxy: OutageProxy, data: Path, **more: str) -> ServerProcess:
    settings = {
        **fake.settings,
        "AMDW_DYNAMODB_ENDPOINT": proxy.url,
        "AMDW_GATEWAY_ID": "one",
        "AMDW_SPOOL_AFTER_S": "1",
    }
    return ServerProcess(data, {**settings, **more})


@pytest.fixture
def server(fake: StrictFakeProcess, proxy: OutageProxy, tmp_path: Path) -> Iterator[ServerProcess]:
    one = gateway(fake, proxy, tmp_path / "data").start()
    try:
        one.wait_ready()
        yield one
    finally:
        proxy.open()
        one.stop()


def post(server: ServerProcess, points: list[list[Any]], metric: str = "kept", host: str = "a") -> Answer:
    body = [{"name": metric, "tags": {"host": host}, "datapoints": points}]
    return call(server.kairosdb, "POST", "/api/v1/datapoints", body, timeout_s=SOON_S)


def ack(answer: Answer) -> str:
    assert answer.status in (200, 204), answer
    return answer.headers["x-amondawa-ack"]


def ready(server: ServerProcess) -> Answer:
    return call(server.http, "GET", "/health/ready")


def metrics(server: ServerProcess) -> dict[str, float]:
    lines = call(server.http, "GET", "/metrics").body.decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("amondawa_spool"))
    return {name: float(value) for name, value in pairs}


def wait_drained(server: ServerProcess) -> None:
    seen = eventually(lambda: ready(server).json(), lambda body: "spooling" not in body, 60.0)
    assert seen == {"status": "ready"}


def test_every_protocol_says_what_its_acknowledgement_stands_on(server: ServerProcess, proxy: OutageProxy) -> None:
    def write(at_ms: int) -> list[Answer]:
        series = [{"name": "kept", "tags": {"host": "a"}, "datapoints": [[at_ms, 1]]}]
        line = {"metric": "kept", "timestamp": at_ms, "value": 1, "tags": {"host": "b"}}
        bad = {"metric": "kept", "timestamp": at_ms, "value": "x", "tags": {"host": "b"}}
        return [
            call(server.kairosdb, "POST", "/api/v1/datapoints", series, timeout_s=SOON_S),
            call(server.opentsdb, "POST", "/api/put", line, timeout_s=SOON_S),
            call(server.opentsdb, "POST", "/api/put?details", [line, bad], timeout_s=SOON_S),
            call(server.http, "POST", "/api/v1/default/datapoints", series, timeout_s=SOON_S),
            call(server.http, "POST", "/domains/default/api/v1/datapoints", series, timeout_s=SOON_S),
        ]

    assert {answer.headers.get("x-amondawa-ack") for answer in write(START_MS)} == {"stored"}
    proxy.shut()
    answers = write(START_MS + 1)
    assert [answer.status for answer in answers] == [204, 204, 400, 204, 204]
    assert {answer.headers.get("x-amondawa-ack") for answer in answers} == {"spooled"}
    assert "x-amondawa-ack" not in ready(server).headers
    proxy.open()
    wait_drained(server)
    assert {answer.headers.get("x-amondawa-ack") for answer in write(START_MS + 2)} == {"stored"}


def test_what_was_spooled_answers_at_once_and_is_there_after_a_crash(server: ServerProcess, proxy: OutageProxy) -> None:
    points = [[START_MS, 0]]
    assert ack(post(server, points)) == "stored"
    assert stored(server, "kept") == points
    proxy.shut()
    for number in range(1, 40):
        point = [START_MS + number, number]
        assert ack(post(server, [point])) == "spooled"
        points.append(point)
    assert stored(server, "kept") == points
    body = ready(server)
    assert body.status == 200
    assert body.json()["spooling"] is True
    assert "DynamoDB" in body.json()["reason"]
    seen = metrics(server)
    assert seen["amondawa_spooling"] == 1
    assert seen["amondawa_spool_entries"] > 0
    assert seen["amondawa_spool_bytes"] > 0
    assert seen["amondawa_spool_age_seconds"] >= 0
    server.kill9()
    proxy.open()
    server.start().wait_ready()
    assert stored(server, "kept") == points
    wait_drained(server)
    assert metrics(server)["amondawa_spool_drained_entries_total"] > 0
    assert list((server.data / "spool").rglob("*.spool")) == []
    server.kill9()
    server.start().wait_ready()
    assert stored(server, "kept") == points


def test_what_began_within_the_outage_answers_in_every_dialect(server: ServerProcess, proxy: OutageProxy) -> None:
    now_s = int(time.time())
    old = {"metric": "old.one", "timestamp": now_s, "value": 1, "tags": {"host": "a"}}
    assert call(server.opentsdb, "POST", "/api/put", old).status == 204
    time.sleep(6.0)  # what is stored of a metric is looked at soon after its first point
    proxy.shut()
    for second in range(3):
        for metric in ("old.one", "new.one"):
            point = {"metric": metric, "timestamp": now_s + second, "value": second, "tags": {"host": "new"}}
            assert ack(call(server.opentsdb, "POST", "/api/put", point, timeout_s=SOON_S)) == "spooled"
    for metric in ("old.one", "new.one"):
        answer = call(
            server.opentsdb, "GET", f"/api/query?start={now_s - 60}&end={now_s + 60}&m=sum:{metric}{{host=new}}"
        )
        assert answer.status == 200, answer
        assert list(answer.json()[0]["dps"].values()) == [0, 1, 2]
        body = {
            "start_absolute": (now_s - 60) * 1000,
            "end_absolute": (now_s + 60) * 1000,
            "metrics": [{"name": metric}],
        }
        answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query", body)
        assert answer.status == 200, answer
        assert answer.json()["queries"][0]["sample_size"] == 3 + (metric == "old.one")
    proxy.open()
    wait_drained(server)


def test_no_request_hangs_on_a_store_that_does_not_answer(server: ServerProcess, proxy: OutageProxy) -> None:
    assert ack(post(server, [[START_MS, 0]])) == "stored"
    server.terminate()  # which writes a chunk that the next process has not seen
    server.start().wait_ready()
    proxy.deafen()
    began = time.monotonic()
    assert ack(post(server, [[START_MS + 1, 1]])) == "spooled"
    assert ack(post(server, [[START_MS + 2, 2]])) == "spooled"
    unseen = {"start_absolute": 0, "end_absolute": START_MS, "metrics": [{"name": "kept"}]}
    assert eventually(lambda: ready(server).json()["reason"], lambda text: "not answered" in text, SOON_S)
    answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query", unseen, timeout_s=SOON_S)
    assert answer.status == 503
    assert "DynamoDB" in answer.json()["errors"][0]
    assert int(answer.headers["retry-after"]) > 0
    assert time.monotonic() - began < 60.0
    proxy.open()
    wait_drained(server)
    assert stored(server, "kept") == [[START_MS, 0], [START_MS + 1, 1], [START_MS + 2, 2]]


def test_a_full_spool_refuses_writes_until_it_is_drained(
    fake: StrictFakeProcess, proxy: OutageProxy, tmp_path: Path
) -> None:
    server = gateway(fake, proxy, tmp_path / "data", AMDW_SPOOL_LIMIT=str(1024 * 1024)).start()
    try:
        server.wait_ready()
        assert ack(post(server, [[START_MS, 0]])) == "stored"
        proxy.shut()
        kept: dict[str, list[list[Any]]] = {}
        for number in range(200):
            points = [[START_MS + at, (at * 7919 + number * 31) ** 5 % 1_000_003 / 7] for at in range(2_000)]
            answer = post(server, points, "many", f"h{number}")
            if answer.status != 204:
                break
            kept[f"h{number}"] = points
        assert answer.status == 503
        assert "AMDW_SPOOL_LIMIT" in answer.json()["errors"][0]
        assert 5 < len(kept) < 199
        assert ready(server).status == 503
        assert "spool full: writes are refused" in ready(server).json()["reasons"]
        proxy.open()
        assert eventually(lambda: ready(server).status, lambda status: status == 200, 60.0) == 200
        assert ack(post(server, [[START_MS, 1]])) in ("stored", "spooled")
        wait_drained(server)
        for host, points in kept.items():
            assert stored(server, "many", host=host) == points
    finally:
        proxy.open()
        server.stop()


def test_whoever_wants_stored_only_is_refused_meanwhile(
    fake: StrictFakeProcess, proxy: OutageProxy, tmp_path: Path
) -> None:
    server = gateway(fake, proxy, tmp_path / "data", AMDW_ACK="stored").start()
    try:
        server.wait_ready()
        assert ack(post(server, [[START_MS, 0]])) == "stored"
        assert stored(server, "kept") == [[START_MS, 0]]
        proxy.shut()
        refused = post(server, [[START_MS + 1, 1]])
        assert refused.status == 503
        assert "x-amondawa-ack" not in refused.headers
        assert "writes are refused" in ready(server).json()["reasons"][0]
        assert ready(server).status == 503
        assert stored(server, "kept") == [[START_MS, 0]]
        assert not (server.data / "spool").exists()
        proxy.open()
        assert eventually(lambda: ready(server).status, lambda status: status == 200, 30.0) == 200
        assert eventually(lambda: post(server, [[START_MS + 2, 2]]).status, lambda status: status == 204, 30.0) == 204
    finally:
        proxy.open()
        server.stop()


def test_an_orderly_end_keeps_the_spool_and_a_start_needs_the_store(server: ServerProcess, proxy: OutageProxy) -> None:
    assert ack(post(server, [[START_MS, 0]])) == "stored"
    proxy.shut()
    assert ack(post(server, [[START_MS + 1, 1]])) == "spooled"
    assert server.terminate(30.0) == 0
    server.start()
    assert server.wait_end(60.0) == 2
    last = server.log_tail(1)
    assert last.startswith("amondawa: the tables of space 'amdw' cannot be used: DynamoDB"), last
    proxy.open()
    server.start().wait_ready()
    assert stored(server, "kept") == [[START_MS, 0], [START_MS + 1, 1]]
    wait_drained(server)


def _history(server: ServerProcess, rounds: range) -> None:
    """Write the same points in the same order, whatever becomes of the store: late ones, others over them, text, lines."""
    for number in rounds:
        points: list[list[Any]] = [
            [START_MS + (number * 37 + at * 101) % 5_000 * 1000, number + at / 8] for at in range(30)
        ]
        assert post(server, points, "a", f"h{number % 3}").status == 204
        assert post(server, [[START_MS + number % 7 * 1000, f"text {number}"]], "b").status == 204
        lines = [b"put c %d %d host=x%d\n" % (START_MS // 1000 + number % 11, number, at) for at in range(3)]
        assert talk(server.opentsdb, b"".join(lines)) == b""


def _answers(server: ServerProcess) -> list[Any]:
    """Ask over several protocols; times of the answer itself are left out."""
    metric: dict[str, Any] = {"name": "a", "group_by": [{"name": "tag", "tags": ["host"]}]}
    average = {**metric, "aggregators": [{"name": "avg", "sampling": {"value": 10, "unit": "minutes"}}]}
    asked = {
        "start_absolute": START_MS - 1,
        "end_absolute": START_MS + 10**8,
        "metrics": [metric, average, {"name": "b"}],
    }
    path = f"/api/query?start={START_MS - 1}&end={START_MS + 10**8}&m=sum:1m-max:c{{host=*}}"
    return [
        call(server.kairosdb, "POST", "/api/v1/datapoints/query", asked).json(),
        call(server.opentsdb, "GET", path).json(),
        call(server.kairosdb, "GET", "/api/v1/metricnames").json(),
        stored(server, "c"),
    ]


@pytest.mark.parametrize("crash", [False, True])
def test_answers_are_those_of_a_run_without_an_outage(
    fake: StrictFakeProcess, proxy: OutageProxy, tmp_path: Path, *, crash: bool
) -> None:
    server = gateway(fake, proxy, tmp_path / "data").start()
    undisturbed = ServerProcess(
        tmp_path / "other", {**fake.settings, "AMDW_GATEWAY_ID": "two", "AMDW_TABLE_SPACE": "other"}
    ).start()
    try:
        server.wait_ready()
        undisturbed.wait_ready()
        for one in (server, undisturbed):
            _history(one, range(20))
            assert len(_answers(one)) == 4
        proxy.shut()
        for one in (server, undisturbed):
            _history(one, range(20, 50))
        assert _answers(server) == _answers(undisturbed)
        if crash:
            server.kill9()
            proxy.open()
            server.start().wait_ready()
        proxy.open()
        for one in (server, undisturbed):
            _history(one, range(50, 60))
        assert _answers(server) == _answers(undisturbed)
        wait_drained(server)
        for one in (server, undisturbed):
            _history(one, range(60, 70))
        for one in (server, undisturbed):  # the end in order writes chunks
            one.terminate()
            one.start().wait_ready()
        assert _answers(server) == _answers(undisturbed)
    finally:
        proxy.open()
        server.stop()
        undisturbed.stop()
