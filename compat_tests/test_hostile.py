"""Input that means harm, or might as well: the server refuses it, stays small and goes on answering."""

import contextlib
import gzip
import http.client
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.process import Address, ServerProcess
from compat_tests.wire import Answer, call, eventually, read_answer, request_head, stored, talk

BODY_LIMIT = 8 * 1024 * 1024
GROWTH_BYTES = 80_000_000
SETTINGS = {"AMDW_BODY_LIMIT_BYTES": str(BODY_LIMIT)}
START_S = 1_356_998_400
HTTP_PORTS = ("kairosdb", "opentsdb", "http")
LINE_PORTS = ("opentsdb", "kairosdb_telnet")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    one = ServerProcess(tmp_path_factory.mktemp("hostile") / "data", SETTINGS).start()
    try:
        one.wait_ready()
        for port in LINE_PORTS:
            talk(address(one, port), b"put warm.lines %d 1 host=a\n" % START_S * 2_000)
        warm_up(one)
        wait_settled(one)
        yield one
    finally:
        one.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server for one test: impatient with idle connections, and no harm to other tests when it hangs."""
    one = ServerProcess(tmp_path / "data", {"AMDW_TELNET_IDLE_S": "2"}).start()
    try:
        one.wait_ready()
        yield one
    finally:
        if one.alive:
            one.kill9()


@pytest.fixture(autouse=True)
def _still_well(server: ServerProcess) -> Iterator[None]:
    """After every test the server runs, answers at once, stores what it is given, and has not grown."""
    before = server.rss_bytes()
    yield
    assert server.alive, server.log_tail()
    began = time.monotonic()
    assert call(server.http, "GET", "/health/ready", timeout_s=5).status == 200
    warm_up(server)
    assert time.monotonic() - began < 5
    assert server.rss_bytes() - before < GROWTH_BYTES


def wait_settled(server: ServerProcess) -> None:
    """Wait until what is loaded in the background has been loaded, so that growth means growth."""
    before = -1.0
    while server.cpu_seconds() - before > 0.05:
        before = server.cpu_seconds()
        warm_up(server)
        time.sleep(1.5)


def warm_up(server: ServerProcess) -> None:
    """Write and read a point."""
    point = {"metric": "well", "timestamp": START_S, "value": 1, "tags": {"host": "a"}}
    assert call(server.opentsdb, "POST", "/api/put", point).status == 204
    assert stored(server, "well") == [[START_S * 1000, 1]]


def address(server: ServerProcess, port: str) -> Address:
    """Return one of the server's addresses by name."""
    found: Address = getattr(server, port)
    return found


def put_path(port: str) -> str:
    """Return where a dialect takes points."""
    return {"kairosdb": "/api/v1/datapoints", "opentsdb": "/api/put", "http": "/api/v1/default/datapoints"}[port]


# bodies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", HTTP_PORTS)
def test_a_zip_bomb_is_413_and_names_the_limit(server: ServerProcess, port: str):
    bomb = gzip.compress(b"[" + b" " * (40 * BODY_LIMIT) + b"]", 9)
    answer = call(address(server, port), "POST", put_path(port), bomb, {"Content-Encoding": "gzip"})
    assert answer.status == 413
    assert str(BODY_LIMIT).encode() in answer.body


@pytest.mark.parametrize("port", HTTP_PORTS)
def test_a_bomb_within_a_bomb_is_unpacked_once(server: ServerProcess, port: str):
    bomb = gzip.compress(gzip.compress(b" " * (40 * BODY_LIMIT), 9), 9)
    assert call(address(server, port), "POST", put_path(port), bomb, {"Content-Encoding": "gzip"}).status >= 400


@pytest.mark.parametrize("port", HTTP_PORTS)
def test_a_body_announced_larger_than_the_limit_is_413(server: ServerProcess, port: str):
    with socket.create_connection(address(server, port), timeout=10) as connection:
        request_head(connection, f"POST {put_path(port)} HTTP/1.1\nHost: x\nContent-Length: {1 << 40}")
        with contextlib.suppress(OSError):
            for _ in range(BODY_LIMIT // 65_536 + 64):
                connection.sendall(b" " * 65_536)
        assert answer_or_close(connection) in (413, None)


@pytest.mark.parametrize("port", HTTP_PORTS)
def test_an_endless_chunked_body_is_413(server: ServerProcess, port: str):
    with socket.create_connection(address(server, port), timeout=10) as connection:
        request_head(connection, f"POST {put_path(port)} HTTP/1.1\nHost: x\nTransfer-Encoding: chunked")
        with contextlib.suppress(OSError):
            for _ in range(2 * BODY_LIMIT // 65_536):
                connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        assert answer_or_close(connection) in (413, None)


@pytest.mark.parametrize("port", HTTP_PORTS)
@pytest.mark.parametrize("text", [b"[" * 1_000_000, b'{"a":' * 500_000, b'[{"name":' * 100_000, b'"' + b"\\" * 999_999])
def test_deeply_nested_json_is_refused(server: ServerProcess, port: str, text: bytes):
    answer = call(address(server, port), "POST", put_path(port), text)
    assert 400 <= answer.status < 600


@pytest.mark.parametrize("port", HTTP_PORTS)
def test_half_a_request_stores_nothing(server: ServerProcess, port: str):
    with socket.create_connection(address(server, port), timeout=10) as connection:
        request_head(connection, f"POST {put_path(port)} HTTP/1.1\nHost: x\nContent-Length: 1000")
        connection.sendall(b'[{"name":"half","metric":"half"')
    assert stored(server, "half") == []


# heads ----------------------------------------------------------------------------------------------


def answer_or_close(connection: socket.socket) -> int | None:
    """Return the status that was answered, None when the server just closed."""
    try:
        return read_answer(connection).status
    except (OSError, http.client.HTTPException):
        return None


@pytest.mark.parametrize("port", HTTP_PORTS)
@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\nHost: x\n" + "\n".join(f"X-{n}: {'a' * 1000}" for n in range(500)),
        "GET /" + "a" * 1_000_000 + " HTTP/1.1\nHost: x",
        "POST / HTTP/1.1\nHost: x\nContent-Length: -1",
        "POST / HTTP/1.1\nHost: x\nContent-Length: 5\nContent-Length: 6",
        "POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nContent-Length: 6",
        "GET / HTTP/9.9\nHost: x",
        "BREW /pot HTTP/1.1\nHost: x",
        "GET\t/\tHTTP/1.1",
        "AAAA",
    ],
    ids=["headers", "target", "negative", "two lengths", "smuggling", "version", "method", "tabs", "no request"],
)
def test_a_malformed_head_is_refused_or_closed(server: ServerProcess, port: str, head: str):
    with socket.create_connection(address(server, port), timeout=10) as connection:
        with contextlib.suppress(OSError):
            request_head(connection, head)
            connection.shutdown(socket.SHUT_WR)
        status = answer_or_close(connection)
    assert status is None or 400 <= status < 600


@pytest.mark.parametrize("port", HTTP_PORTS)
def test_a_malformed_chunk_size_is_refused(server: ServerProcess, port: str):
    with socket.create_connection(address(server, port), timeout=10) as connection:
        request_head(connection, f"POST {put_path(port)} HTTP/1.1\nHost: x\nTransfer-Encoding: chunked")
        connection.sendall(b"zzz\r\n[]\r\n0\r\n\r\n")
        status = answer_or_close(connection)
    assert status is None or status == 400


@pytest.mark.parametrize("port", HTTP_PORTS)
def test_slow_requests_do_not_stop_others(server: ServerProcess, port: str):
    """Slow-loris: three hundred requests that never get past their head."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(address(server, port), timeout=10)) for _ in range(300)]
        for _ in range(3):
            for connection in slow:
                with contextlib.suppress(OSError):
                    connection.sendall(b"GET / HTTP/1.1\r\nX-a: b\r\n")
            began = time.monotonic()
            warm_up(server)
            assert time.monotonic() - began < 5


@pytest.mark.parametrize("port", HTTP_PORTS)
def test_a_client_that_reads_nothing_does_not_fill_memory(server: ServerProcess, port: str):
    with socket.create_connection(address(server, port), timeout=2) as connection, contextlib.suppress(OSError):
        for _ in range(20_000):
            connection.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")


# lines ----------------------------------------------------------------------------------------------


def send_a_gigabyte(server: ServerProcess, connection: socket.socket) -> None:
    """Send a line without an end until the server closes, watching its memory."""
    before = server.rss_bytes()
    piece = b"a" * (1 << 20)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(b"put ")
        for sent_mb in range(1024):
            connection.sendall(piece)
            if sent_mb % 64 == 63:
                assert server.rss_bytes() - before < GROWTH_BYTES


@pytest.mark.parametrize("port", LINE_PORTS)
def test_a_line_of_a_gigabyte_ends_the_connection(server: ServerProcess, port: str):
    with socket.create_connection(getattr(server, port), timeout=30) as connection:
        send_a_gigabyte(server, connection)
        assert reads_to_the_end(connection), "a gigabyte without an end was swallowed"


def test_a_long_line_that_ends_is_skipped_by_kairosdb(server: ServerProcess):
    """As the real server does: what is too long is dropped to its end, the next line counts."""
    with socket.create_connection(server.kairosdb_telnet, timeout=30) as connection:
        connection.sendall(b"put " + b"a" * 1_000_000 + b"\nput after.a.long.line %d 1 host=a\n" % START_S)
    assert eventually(lambda: stored(server, "after.a.long.line"), bool) == [[START_S * 1000, 1]]


def reads_to_the_end(connection: socket.socket) -> bool:
    """Read until the server closes; say whether it did within the connection's timeout."""
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


@pytest.mark.parametrize("port", LINE_PORTS)
def test_a_line_too_long_is_answered_with_its_limit_before_the_close(server: ServerProcess, port: str):
    """Just past the limit, so that the answer is not lost in a reset."""
    with socket.create_connection(getattr(server, port), timeout=30) as connection:
        connection.sendall(b"put " + b"a" * (1024 * 1024 + 1))
        assert b"1048576" in connection.recv(4096)


@pytest.mark.parametrize("port", LINE_PORTS)
def test_garbage_lines_leave_the_good_ones(server: ServerProcess, port: str):
    random_bytes = random.Random(1).randbytes
    garbage = b"\n".join(b"\x00" + random_bytes(97).replace(b"\n", b"") for _ in range(2_000))
    metric = f"hostile.{port}"
    good = b"\nput %s %d 1 host=a\n" % (metric.encode(), START_S)
    with socket.create_connection(address(server, port), timeout=10) as connection:
        connection.sendall(b"x\n" + garbage + good)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while connection.recv(65_536):
                pass
    assert eventually(lambda: stored(server, metric), bool) == [[START_S * 1000, 1]]


@pytest.mark.parametrize("port", LINE_PORTS)
@pytest.mark.parametrize(
    "line",
    [
        b"put m 1e999 1 host=a",
        b"put m 99999999999999999999999999 1 host=a",
        b"put m 1356998400 1e999999999 host=a",
        b"put m 1356998400 " + b"9" * 100_000 + b" host=a",
        b"put m 1356998400 nan host=a",
        b"put m 1356998400 0x10 host=a",
        b"put m 1356998400 1_000 host=a",
        b"put m -1 1 host=\xff\xfe",
        b"put m 1356998400 1 " + b" ".join(b"k%d=v" % n for n in range(5_000)),
        b"put m 1356998400 1 =a",
        b"put  1356998400 1 host=a",
        b"put",
        b"\x00\x00",
        b"",
    ],
)
def test_a_strange_line_leaves_the_connection_of_use(server: ServerProcess, port: str, line: bytes):
    answer = talk(address(server, port), b"version\n" + line + b"\nversion\n")
    assert len(answer.split(b"\n")) >= 3


@pytest.mark.parametrize("port", LINE_PORTS)
def test_an_idle_telnet_connection_is_closed(own_server: ServerProcess, port: str):
    with socket.create_connection(address(own_server, port), timeout=15) as connection:
        connection.sendall(b"put half.a.line ")
        assert reads_to_the_end(connection)


@pytest.mark.parametrize("port", LINE_PORTS)
def test_errors_that_nobody_reads_do_not_fill_memory(server: ServerProcess, port: str):
    with socket.create_connection(address(server, port), timeout=3) as connection, contextlib.suppress(OSError):
        for _ in range(400):
            connection.sendall(b"nonsense\n" * 7_000)


@pytest.mark.parametrize("port", ["http", "kairosdb", "opentsdb", "kairosdb_telnet"])
def test_random_bytes_harm_nothing(server: ServerProcess, port: str):
    choose = random.Random(7)
    for size in (1, 10, 1_000, 200_000):
        with contextlib.suppress(OSError):
            talk(address(server, port), choose.randbytes(size), timeout_s=2)


def test_a_thousand_connections_at_once_are_served(server: ServerProcess):
    with contextlib.ExitStack() as stack:
        for _ in range(1_000):
            stack.enter_context(socket.create_connection(server.opentsdb, timeout=10))
        warm_up(server)


# queries ----------------------------------------------------------------------------------------------


def opentsdb_query(server: ServerProcess, question: str) -> Answer:
    """Ask OpenTSDB's way, over all time."""
    return call(server.opentsdb, "GET", f"/api/query?start=1&end={START_S * 2}&m={question}", timeout_s=60)


@pytest.mark.parametrize("question", ["sum:1s-avg-zero:well", "sum:1ms-avg-nan:well", "avg:1s-sum-null:well"])
def test_a_fill_over_decades_is_refused_or_bounded(server: ServerProcess, question: str):
    assert opentsdb_query(server, question).status in (400, 413, 503)


def test_gaps_over_decades_are_refused_or_bounded(server: ServerProcess):
    gaps = {"name": "gaps", "sampling": {"value": 1, "unit": "milliseconds"}}
    query = {
        "start_absolute": 0,
        "end_absolute": START_S * 1000,
        "metrics": [{"name": "well", "aggregators": [gaps]}],
    }
    assert call(server.kairosdb, "POST", "/api/v1/datapoints/query", query, timeout_s=60).status >= 400


@pytest.mark.parametrize("pattern", ["(a%2B)%2B%24", "(a%7Ca)*b", "(%5Cw*)*%21"])
def test_a_regular_expression_cannot_hang_the_server(own_server: ServerProcess, pattern: str):
    server = own_server
    point = {"metric": "regex", "timestamp": START_S, "value": 1, "tags": {"host": "a" * 40}}
    call(server.opentsdb, "POST", "/api/put", point)
    began = time.monotonic()
    with contextlib.suppress(TimeoutError):
        call(server.opentsdb, "GET", f"/api/query?start=1&m=sum:regex%7Bhost=regexp({pattern})%7D", timeout_s=5)
    warm_up(server)
    assert time.monotonic() - began < 30
