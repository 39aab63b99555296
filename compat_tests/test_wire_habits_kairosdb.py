"""Wire habits of KairosDB's clients, byte for byte where it matters; each test names the client that has the habit."""

import gzip
import json
import socket
from collections.abc import Iterator

import pytest

from compat_tests.process import ServerProcess
from compat_tests.wire import FAR_MS, call, eventually, read_answer, request_head, stored, talk

START_S = 1_356_998_400
START_MS = START_S * 1000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    one = ServerProcess(tmp_path_factory.mktemp("habits") / "data").start()
    try:
        one.wait_ready()
        yield one
    finally:
        one.stop()


def metric(name: str, value: object = 1, **more: object) -> dict[str, object]:
    return {"name": name, "tags": {"host": "a"}, "datapoints": [[START_MS, value]], **more}


def post_chunked(server: ServerProcess, body: bytes, *headers: str):
    """Send a body in two chunks, as the Java clients do."""
    half = len(body) // 2
    with socket.create_connection(server.kairosdb, timeout=5) as connection:
        lines = ["POST /api/v1/datapoints HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", *headers]
        request_head(connection, "\n".join(lines))
        for piece in (body[:half], body[half:], b""):
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        return read_answer(connection)


def test_gzip_in_chunks_is_unpacked(server: ServerProcess):
    """kairosdb-java-client 3."""
    body = gzip.compress(json.dumps([metric("k.gzip")]).encode())
    answer = post_chunked(server, body, "Content-Type: application/json", "Content-Encoding: gzip")
    assert answer.status == 204
    assert stored(server, "k.gzip") == [[START_MS, 1]]


def test_gzip_told_by_the_content_type_is_unpacked(server: ServerProcess):
    """kairosdb-java-client 2 says it twice."""
    body = gzip.compress(json.dumps([metric("k.gziptype")]).encode())
    answer = post_chunked(server, body, "Content-Type: application/gzip", "Content-Encoding: gzip")
    assert answer.status == 204
    assert call(server.kairosdb, "POST", "/api/v1/datapoints", body, {"Content-Type": "application/gzip"}).status == 204
    assert stored(server, "k.gziptype") == [[START_MS, 1]]


def test_json_needs_no_content_type_and_a_bearer_is_ignored(server: ServerProcess):
    """Metricz."""
    body = json.dumps([metric("k.bearer")]).encode()
    answer = call(server.kairosdb, "POST", "/api/v1/datapoints", body, {"Authorization": "Bearer nothing"})
    assert answer.status == 204


@pytest.mark.parametrize("path", ["/api/v1/health/check", "/api/v1/health/status", "/api/v1/version"])
def test_a_get_may_have_a_body(server: ServerProcess, path: str):
    """python-kairosdb sends {} with every GET."""
    assert call(server.kairosdb, "GET", path, {}).status // 100 == 2


def test_health_check_is_204(server: ServerProcess):
    """python-kairosdb."""
    assert call(server.kairosdb, "GET", "/api/v1/health/check").status == 204


def test_a_delete_may_have_a_body_and_is_204(server: ServerProcess):
    """python-kairosdb."""
    call(server.kairosdb, "POST", "/api/v1/datapoints", [metric("k.delete")])
    assert call(server.kairosdb, "DELETE", "/api/v1/metric/k.delete", {}).status == 204
    assert stored(server, "k.delete") == []


def test_tag_names_are_not_found_as_on_the_real_server(server: ServerProcess):
    assert call(server.kairosdb, "GET", "/api/v1/tagnames").status == 404


def test_the_aggregators_feature_is_a_list(server: ServerProcess):
    """kairosdb-python."""
    names = [one["name"] for one in call(server.kairosdb, "GET", "/api/v1/features/aggregators").json()]
    assert {"avg", "sum", "percentile"} <= set(names)


def test_a_time_to_live_of_zero_keeps_the_point(server: ServerProcess):
    """rust-kairosdb."""
    assert call(server.kairosdb, "POST", "/api/v1/datapoints", [metric("k.ttl", ttl=0)]).status == 204
    assert stored(server, "k.ttl") == [[START_MS, 1]]


def test_rollups_take_a_trailing_slash(server: ServerProcess):
    """kairosdb-java-client."""
    task = {
        "name": "hourly",
        "execution_interval": {"value": 1, "unit": "hours"},
        "rollups": [
            {
                "save_as": "k.hourly",
                "query": {
                    "start_relative": {"value": 1, "unit": "hours"},
                    "metrics": [
                        {
                            "name": "k.source",
                            "aggregators": [{"name": "sum", "sampling": {"value": 1, "unit": "hours"}}],
                        }
                    ],
                },
            }
        ],
    }
    answer = call(server.kairosdb, "POST", "/api/v1/rollups/", task)
    assert answer.status == 200
    assert call(server.kairosdb, "DELETE", f"/api/v1/rollups/{answer.json()['id']}").status == 204


def test_a_kept_connection_takes_writes_and_queries(server: ServerProcess):
    """node-kairosdb, micrometer."""
    with socket.create_connection(server.kairosdb, timeout=5) as connection:
        for step in range(20):
            body = json.dumps([{**metric("k.kept"), "datapoints": [[START_MS + step, step]]}])
            request_head(connection, f"POST /api/v1/datapoints HTTP/1.1\nHost: x\nContent-Length: {len(body)}")
            connection.sendall(body.encode())
            assert read_answer(connection).status == 204
    assert len(stored(server, "k.kept")) == 20


def test_connections_left_open_after_a_look_at_names_harm_nobody(server: ServerProcess):
    """kairosdb-java-client 2 leaks its connections."""
    leaked = [socket.create_connection(server.kairosdb, timeout=5) for _ in range(100)]
    try:
        for one in leaked:
            request_head(one, "GET /api/v1/metricnames HTTP/1.1\nHost: x")
        assert call(server.kairosdb, "GET", "/api/v1/metricnames").status == 200
        assert read_answer(leaked[-1]).status == 200
    finally:
        for one in leaked:
            one.close()


# telnet ---------------------------------------------------------------------------------------------------------------


def test_milliseconds_go_by_putm_on_a_kept_connection(server: ServerProcess):
    """metrics4j, kairosdb-java-client."""
    with socket.create_connection(server.kairosdb_telnet, timeout=5) as connection:
        for step in range(3):
            connection.sendall(b"putm k.putm %d %d host=a\n" % (START_MS + step, step))
    found = eventually(lambda: stored(server, "k.putm"), lambda seen: len(seen) == 3)
    assert found == [[START_MS + step, step] for step in range(3)]


def test_seconds_become_milliseconds(server: ServerProcess):
    """statsd-kairosdb-backend, jmxtrans."""
    talk(server.kairosdb_telnet, b"put k.seconds %d 7 host=a\n" % START_S)
    assert eventually(lambda: stored(server, "k.seconds"), bool) == [[START_MS, 7]]


def test_collectd_may_write_to_kairosdbs_port(server: ServerProcess):
    talk(server.kairosdb_telnet, b"put k.collectd %d 1.5  fqdn=web01 host=a\r\n" % START_S)
    assert eventually(lambda: stored(server, "k.collectd"), bool) == [[START_MS, 1.5]]


def test_bad_lines_leave_the_good_ones(server: ServerProcess):
    good = b"put k.good %d 5 host=a\n" % START_S
    talk(server.kairosdb_telnet, b"nonsense\n", good, b"put k.bad x y host=a\n", b"put k.bad\n")
    assert eventually(lambda: stored(server, "k.good"), bool) == [[START_MS, 5]]
    assert stored(server, "k.bad") == []


def test_version_is_answered_on_kairosdbs_telnet_port(server: ServerProcess):
    """tcollector-kairos."""
    with socket.create_connection(server.kairosdb_telnet, timeout=5) as connection:
        connection.sendall(b"version\n")
        assert connection.recv(4096)


# what Grafana's plugin sends ----------------------------------------------------------------------------------------------


def test_grafana_sends_numbers_as_strings_and_units_in_capitals(server: ServerProcess):
    points = [[START_MS + n * 1000, n] for n in range(120)]
    call(
        server.kairosdb, "POST", "/api/v1/datapoints", [{"name": "k.graf", "tags": {"host": "a"}, "datapoints": points}]
    )
    average = {"name": "avg", "align_sampling": True, "sampling": {"value": "1", "unit": "MINUTES"}}
    asked = {"name": "k.graf", "tags": {"host": ["a"]}, "limit": 0, "aggregators": [average]}
    query = {"start_absolute": START_MS, "end_absolute": START_MS + 120_000, "cache_time": 0, "metrics": [asked]}
    answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query", query)
    assert answer.json()["queries"][0]["results"][0]["values"] == [[START_MS, 29.5], [START_MS + 60_000, 89.5]]


def test_grafana_asks_for_the_tags_of_all_time(server: ServerProcess):
    call(server.kairosdb, "POST", "/api/v1/datapoints", [metric("k.graftags")])
    query = {"cache_time": 0, "metrics": [{"name": "k.graftags", "tags": {}}], "start_absolute": 0}
    answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query/tags", query)
    assert answer.json()["queries"][0]["results"][0]["tags"] == {"host": ["a"]}


def test_an_unknown_metric_gives_one_empty_result(server: ServerProcess):
    query = {"start_absolute": 0, "end_absolute": FAR_MS, "metrics": [{"name": "k.never", "tags": {}}]}
    answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query", query)
    assert answer.json()["queries"][0]["results"] == [{"name": "k.never", "tags": {}, "values": []}]


def test_a_packed_answer_is_given_to_who_asks_for_it(server: ServerProcess):
    """kairosdb-java-client."""
    call(server.kairosdb, "POST", "/api/v1/datapoints", [metric("k.packed")])
    query = json.dumps({"start_absolute": 0, "metrics": [{"name": "k.packed"}]})
    answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query", query, {"Accept-Encoding": "gzip"})
    body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
    assert json.loads(body)["queries"][0]["sample_size"] == 1
