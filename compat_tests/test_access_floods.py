"""Floods against a gateway with keys, as a process of its own: it goes on answering those who have one."""

from __future__ import annotations

import contextlib
import resource
import socket
import statistics
import time
from collections.abc import Iterator

import pytest

from compat_tests.access import AccessKey, add_key, wait_for
from compat_tests.process import ServerProcess
from compat_tests.wire import call

ATTEMPTS = 100_000
AT_ONCE = 500
DESCRIPTORS = 1_024


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, AccessKey]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    one = ServerProcess(tmp_path_factory.mktemp("floods") / "data")
    key = add_key(one, "shop:rw")
    try:
        one.start()
        resource.prlimit(one.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        one.wait_ready()
        wait_for(one, key, 200)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
        yield one, key
    finally:
        one.stop()


def settled_bytes(server: ServerProcess) -> int:
    """Return the memory of a server that has loaded what it loads behind its first answers."""
    before, now = 0, server.rss_bytes()
    while now - before > 1_000_000:
        time.sleep(2)
        before, now = now, server.rss_bytes()
    return now


def test_a_hundred_thousand_connections_are_survived_within_a_thousand_descriptors(
    guarded: tuple[ServerProcess, AccessKey],
):
    server, key = guarded
    before = settled_bytes(server)
    for wave in range(ATTEMPTS // AT_ONCE):
        with contextlib.ExitStack() as stack:
            for _ in range(AT_ONCE):
                connection = socket.socket()
                stack.callback(connection.close)
                connection.setblocking(False)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.connect_ex((server.http, server.opentsdb, server.kairosdb_telnet)[wave % 3])
    for _ in range(50):
        with contextlib.suppress(OSError):
            if call(server.kairosdb, "GET", "/api/v1/metricnames", headers=key.basic).status == 200:
                break
        time.sleep(0.2)
    assert call(server.http, "GET", "/api/v1/shop/metricnames", headers=key.basic).status == 200
    assert server.rss_bytes() - before < 100_000_000


def test_a_known_key_is_not_told_from_an_unknown_one_by_its_time(guarded: tuple[ServerProcess, AccessKey]):
    """Medians of many, interleaved; the bound is far above what a comparison costs and far below what a look-up would."""
    server, key = guarded
    wrong, unknown = AccessKey(key.key, "x" * 40), AccessKey("A" * 20, "x" * 40)
    spent: dict[AccessKey, list[float]] = {wrong: [], unknown: []}
    for _ in range(200):
        for one, times in spent.items():
            began = time.perf_counter()
            assert call(server.kairosdb, "GET", "/api/v1/metricnames", headers=one.basic).status == 401
            times.append(time.perf_counter() - began)
    known_s, unknown_s = (statistics.median(times) for times in spent.values())
    assert abs(known_s - unknown_s) < 0.002
