"""Wire habits of OpenTSDB's clients, byte for byte where it matters; each test names the client that has the habit."""

import gzip
import json
import socket
from collections.abc import Iterator

import pytest

from compat_tests.process import ServerProcess
from compat_tests.wire import call, eventually, read_answer, request_head, stored, talk

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


def point(metric: str, value: object = 1, at_s: int = START_S) -> dict[str, object]:
    return {"metric": metric, "timestamp": at_s, "value": value, "tags": {"host": "a"}}


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def has(server: ServerProcess, metric: str, count: int = 1) -> bool:
    return len(eventually(lambda: stored(server, metric), lambda seen: len(seen) == count)) == count


# telnet ---------------------------------------------------------------------------------------------------------------


def test_a_bare_connect_and_close_harms_nothing(server: ServerProcess):
    """Potsdb and telegraf probe so."""
    for address in (server.opentsdb, server.kairosdb_telnet, server.kairosdb, server.http):
        for _ in range(20):
            socket.create_connection(address, timeout=5).close()
    assert call(server.opentsdb, "GET", "/api/version").status == 200


def test_lines_followed_by_an_immediate_close_are_kept(server: ServerProcess):
    """Potsdb and go-metrics-opentsdb close right after the last line and read nothing."""
    with socket.create_connection(server.opentsdb, timeout=5) as connection:
        connection.sendall(b"".join(b"put h.close %d %d host=a\n" % (START_S + n, n) for n in range(500)))
    assert has(server, "h.close", 500)


def test_lines_followed_by_a_half_close_are_kept_and_silent(server: ServerProcess):
    assert talk(server.opentsdb, b"put h.half %d 1 host=a\n" % START_S) == b""
    assert has(server, "h.half")


def test_two_bad_lines_before_the_close_leave_the_good_ones(server: ServerProcess):
    """statsd-opentsdb-backend ends each flush with two lines without tags."""
    good = b"put h.statsd %d 5 host=a\n" % START_S
    answer = talk(server.opentsdb, good, b"put statsd.numStats %d 1\nput statsd.x %d 2\n" % (START_S, START_S))
    assert answer.count(b"not enough arguments") == 2
    assert has(server, "h.statsd")


def test_carriage_returns_and_double_spaces_before_tags_are_taken(server: ServerProcess):
    """collectd; tcollector has the double spaces too."""
    assert talk(server.opentsdb, b"put h.collectd %d 1.5  fqdn=web01  host=a \r\n" % START_S) == b""
    assert has(server, "h.collectd")


def test_version_is_answered_before_any_put_on_the_same_connection(server: ServerProcess):
    """Tcollector asks so every minute and leaves a host that is silent for 15 s."""
    with socket.create_connection(server.opentsdb, timeout=5) as connection:
        for _ in range(2):
            connection.sendall(b"version\n")
            assert connection.recv(4096)
            connection.sendall(b"put h.tcollector %d 1 host=a\n" % START_S)
    assert has(server, "h.tcollector")


def test_a_line_cut_anywhere_is_one_line(server: ServerProcess):
    line = b"put h.cut %d 1 host=a\n" % START_S
    with socket.create_connection(server.opentsdb, timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(line)):
            connection.sendall(line[at : at + 1])
    assert has(server, "h.cut")


def test_names_with_slashes_and_padded_values_are_taken(server: ServerProcess):
    """icinga2 has slashes in names, netdata pads values, telegraf sends 0.000000."""
    lines = [
        b"put h.icinga/load1 %d 0.5 host=a\n",
        b"put h.netdata %d 21.2500000 host=a\n",
        b"put h.tele %d 0.000000 host=a\n",
    ]
    assert talk(server.opentsdb, *(line % START_S for line in lines)) == b""
    assert has(server, "h.icinga/load1")
    assert has(server, "h.netdata")
    assert stored(server, "h.netdata")[0] == [START_MS, 21.25]


def test_milliseconds_are_taken_on_telnet(server: ServerProcess):
    """juttle-opentsdb-adapter."""
    assert talk(server.opentsdb, b"put h.ms %d 1 host=a\n" % (START_MS + 7)) == b""
    assert has(server, "h.ms")
    assert stored(server, "h.ms") == [[START_MS + 7, 1]]


# HTTP writes ----------------------------------------------------------------------------------------------


def test_a_write_without_flags_is_answered_with_exactly_204(server: ServerProcess):
    """prometheus-opentsdb-adapter takes anything else for a failure."""
    answer = call(server.opentsdb, "POST", "/api/put", [point("h.exact")])
    assert (answer.status, answer.body) == (204, b"")


def test_gzip_without_a_content_type_is_unpacked(server: ServerProcess):
    """opentsdb-py, micrometer, telegraf."""
    body = gzip.compress(json.dumps([point("h.gzip")]).encode())
    answer = call(server.opentsdb, "POST", "/api/put?details=true", body, {"Content-Encoding": "gzip"})
    assert answer.status == 200
    assert answer.json() == {"success": 1, "failed": 0, "errors": []}


def test_gzip_may_be_announced_on_a_get_without_body(server: ServerProcess):
    """opentsdb-py on /api/version."""
    assert call(server.opentsdb, "GET", "/api/version", None, {"Content-Encoding": "gzip"}).status == 200


@pytest.mark.parametrize("path", ["/api/put/", "/api/put"])
def test_a_trailing_slash_and_no_content_type_are_taken(server: ServerProcess, path: str):
    """Pyopentsdb."""
    assert call(server.opentsdb, "POST", path, json.dumps(point("h.slash")).encode()).status == 204


@pytest.mark.parametrize("path", ["/api/version/", "/api/aggregators/", "/api/suggest/?type=metrics&q=h"])
def test_a_trailing_slash_is_taken_on_reads(server: ServerProcess, path: str):
    assert call(server.opentsdb, "GET", path).status == 200


def test_a_query_with_a_trailing_slash_is_taken(server: ServerProcess):
    call(server.opentsdb, "POST", "/api/put", point("h.slashquery"))
    query = {"start": START_S, "end": START_S + 9, "queries": [{"aggregator": "sum", "metric": "h.slashquery"}]}
    answer = call(server.opentsdb, "POST", "/api/query/", json.dumps(query).encode())
    assert answer.json()[0]["dps"] == {str(START_S): 1}


def test_a_chunked_body_with_empty_flags_is_taken(server: ServerProcess):
    """storm-opentsdb."""
    body = json.dumps([point("h.chunked"), point("h.chunked", 2, START_S + 1)]).encode()
    with socket.create_connection(server.opentsdb, timeout=5) as connection:
        request_head(
            connection,
            """POST /api/put?sync=&sync_timeout=30000&details= HTTP/1.1
            Host: x
            Content-Type: application/json
            Transfer-Encoding: chunked""".replace("            ", ""),
        )
        connection.sendall(chunked(body[:10], body[10:]))
        answer = read_answer(connection)
    assert answer.status == 200
    assert answer.json()["success"] == 2


def test_a_kept_connection_takes_many_writes(server: ServerProcess):
    """netdata, hitsdb, eulery: minimal headers, one connection."""
    with socket.create_connection(server.opentsdb, timeout=5) as connection:
        for step in range(30):
            body = json.dumps(point("h.kept", step, START_S + step))
            head = f"POST /api/put HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: {len(body)}"
            request_head(connection, head)
            connection.sendall(body.encode())
            assert read_answer(connection).status == 204
    assert has(server, "h.kept", 30)


def test_http_and_telnet_share_the_port_on_connections_side_by_side(server: ServerProcess):
    with socket.create_connection(server.opentsdb, timeout=5) as lines:
        lines.sendall(b"put h.both %d 1 host=a\n" % START_S)
        assert call(server.opentsdb, "POST", "/api/put", point("h.both", 2, START_S + 1)).status == 204
        lines.sendall(b"put h.both %d 3 host=a\n" % (START_S + 2))
    assert has(server, "h.both", 3)


# HTTP reads ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dc(server: ServerProcess) -> str:
    points = [
        {"metric": "h.read", "timestamp": START_S + 10 * n, "value": n, "tags": {"host": host, "dc": "eu"}}
        for n in range(3)
        for host in ("a", "b")
    ]
    assert call(server.opentsdb, "POST", "/api/put", points).status == 204
    return "eu"


def raw_get(server: ServerProcess, target: str, *headers: str):
    with socket.create_connection(server.opentsdb, timeout=5) as connection:
        request_head(connection, "\n".join([f"GET {target} HTTP/1.1", "Host: x", *headers]))
        return read_answer(connection)


def test_braces_need_not_be_escaped_in_the_url(server: ServerProcess, dc: str):
    """vmctl, node-opentsdb."""
    answer = raw_get(server, f"/api/query?start={START_S}&end={START_S + 60}&m=sum:h.read{{host=*,dc={dc}}}")
    assert answer.status == 200
    assert [one["tags"]["host"] for one in answer.json()] == ["a", "b"]


def test_pipes_need_not_be_escaped_in_the_url(server: ServerProcess, dc: str):
    answer = raw_get(server, f"/api/query?start={START_S}&end={START_S + 60}&m=sum:h.read{{host=a|b,dc={dc}}}")
    assert len(answer.json()) == 2


def test_escaped_braces_are_the_same(server: ServerProcess, dc: str):
    """Grafana."""
    target = f"/api/query?start={START_S}&end={START_S + 60}&m=sum:h.read%7Bhost%3D*%2Cdc%3D{dc}%7D"
    assert len(raw_get(server, target, "Content-Type: application/json").json()) == 2


def test_empty_braces_and_fractions_of_seconds_are_taken(server: ServerProcess, dc: str):
    """Pytsdb."""
    answer = raw_get(server, f"/api/query?ms=True&start={START_S}.000&end={START_S + 60}.000&m=sum:5m-avg:h.read{{}}")
    assert answer.status == 200
    assert answer.json()[0]["dps"] == {str(START_MS): 2.0}


def test_rate_with_empty_options_and_unknown_parameters_are_taken(server: ServerProcess, dc: str):
    """node-opentsdb."""
    target = (
        f"/api/query?start={START_S}&end={START_S + 60}&arrays=true&tsuids=&m=sum:rate{{false,,0}}:h.read{{host=a}}"
    )
    answer = raw_get(server, target)
    assert answer.status == 200
    assert answer.json()[0]["dps"] == [[START_S + 10, 0.1], [START_S + 20, 0.1]]


def test_nulls_stand_for_fields_not_given(server: ServerProcess, dc: str):
    """rust-opentsdb, which sends neither Content-Type nor User-Agent."""
    sub = {"aggregator": "sum", "metric": "h.read", "rate": None, "rateOptions": None, "downsample": None}
    body = json.dumps({"start": START_S, "end": None, "queries": [{**sub, "tags": {"host": "a"}}]})
    with socket.create_connection(server.opentsdb, timeout=5) as connection:
        request_head(connection, f"POST /api/query HTTP/1.1\nHost: x\nContent-Length: {len(body)}")
        connection.sendall(body.encode())
        answer = read_answer(connection)
    assert answer.status == 200
    assert len(answer.json()[0]["dps"]) == 3


def test_dates_with_slashes_are_taken(server: ServerProcess, dc: str):
    """juttle-opentsdb-adapter."""
    target = "/api/query?start=2013/01/01-00:00:00&end=2013/01/01-00:01:00&m=sum:h.read{host=a}"
    assert len(raw_get(server, target).json()[0]["dps"]) == 3


def test_a_huge_max_is_taken_by_suggest(server: ServerProcess, dc: str):
    """node-opentsdb."""
    assert raw_get(server, "/api/suggest?type=metrics&q=h.read&max=1000000000").json() == ["h.read"]


@pytest.mark.parametrize("path", ["/api/version", "/api/suggest"])
def test_reads_may_be_posted(server: ServerProcess, dc: str, path: str):
    """hitsdb-client, bluebreezecf."""
    assert call(server.opentsdb, "POST", path, {"type": "metrics", "q": "h.read"}).status == 200


def test_an_endpoint_of_another_make_is_not_found(server: ServerProcess):
    """hitsdb-client asks for it and takes a 404."""
    assert call(server.opentsdb, "POST", "/api/vip_health", {}).status == 404


def test_an_unknown_tag_value_is_400_with_a_code(server: ServerProcess, dc: str):
    """Grafana."""
    answer = raw_get(server, f"/api/query?start={START_S}&m=sum:h.read{{host=never-written}}")
    assert answer.status == 400
    assert answer.json()["error"]["code"] == 400


def test_a_downsampler_with_a_fill_is_taken_in_the_url(server: ServerProcess, dc: str):
    """Vmctl sends sum:1m-avg-none."""
    answer = raw_get(server, f"/api/query?start={START_S}&end={START_S + 59}&m=sum:1m-avg-none:h.read{{host=a}}")
    assert answer.json()[0]["dps"] == {str(START_S): 1.0}


def test_an_answer_is_packed_only_when_asked(server: ServerProcess, dc: str):
    target = f"/api/query?start={START_S}&end={START_S + 60}&m=sum:h.read"
    assert "content-encoding" not in raw_get(server, target).headers
    packed = raw_get(server, target, "Accept-Encoding: gzip")
    body = gzip.decompress(packed.body) if packed.headers.get("content-encoding") == "gzip" else packed.body
    assert json.loads(body)[0]["metric"] == "h.read"
