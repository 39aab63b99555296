"""A disk without room: writes are refused with 503, reads go on, and nothing acknowledged is lost once room is back."""

import os
import random
import resource
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compat_tests.process import ServerProcess
from compat_tests.wire import Answer, call, eventually, stored

METRIC = "full"
START_MS = 1_356_998_400_000
A_BATCH = 2_000
SMALL_HEAD = {"AMDW_HEAD_LIMIT_BYTES": "4000000", "AMDW_FLUSH_AGE_S": "1"}
DISK_MB = 24
FILE_LIMIT_BYTES = 1_500_000


def write(server: ServerProcess, batch: int) -> Answer:
    """Send one batch; its values are random, so that nothing shrinks."""
    first = batch * A_BATCH
    bits = random.Random(batch).getrandbits
    points = [[START_MS + n, bits(62)] for n in range(first, first + A_BATCH)]
    body = [{"name": METRIC, "tags": {"host": "a"}, "datapoints": points}]
    return call(server.kairosdb, "POST", "/api/v1/datapoints", body)


def held(server: ServerProcess) -> set[int]:
    """Return the numbers of the points that can be read."""
    return {time_ms - START_MS for time_ms, _ in stored(server, METRIC)}


def numbers(batches: list[int]) -> set[int]:
    """Return the numbers of the points of some batches."""
    return {n for batch in batches for n in range(batch * A_BATCH, (batch + 1) * A_BATCH)}


def fill(server: ServerProcess, first: int, most: int) -> list[int]:
    """Write batches until one is refused for longer than a flush takes; return those that were acknowledged."""
    for batch in range(first, first + most):
        answer = eventually(lambda batch=batch: write(server, batch), lambda seen: seen.status == 204, timeout_s=3)
        if answer.status != 204:
            assert answer.status == 503, answer
            assert "retry-after" in answer.headers
            return list(range(first, batch))
    raise AssertionError(f"{most} batches and still room")


def check_full_and_back(server: ServerProcess, make_room: Callable[[], None]) -> None:
    """Fill, look, make room, write again, crash, look again."""
    kept = fill(server, 0, 2_000)
    assert kept, "not even one batch found room"
    assert numbers(kept) <= held(server), "reads do not go on"
    assert write(server, 5_000).status == 503
    assert server.alive
    make_room()
    assert eventually(lambda: write(server, 6_000).status, lambda status: status == 204, timeout_s=20) == 204
    kept.append(6_000)
    assert numbers(kept) <= held(server)
    server.kill9()
    server.start().wait_ready()
    found = held(server)
    assert numbers(kept) <= found, "acknowledged points are gone"
    sent = numbers([*range(len(kept) + 1), 5_000, 6_000])
    assert found <= sent, "points that nobody sent"
    assert write(server, 7_000).status == 204


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root; the file size limit is tested all the same")
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(directory)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def test_a_full_disk_refuses_writes_and_recovers_without_loss(small_disk: Path):
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\xff" * (DISK_MB * 3 // 5 << 20))
    server = ServerProcess(small_disk / "data", SMALL_HEAD)
    server.log = small_disk.parent / "server.log"
    server.start().wait_ready()
    try:
        check_full_and_back(server, ballast.unlink)
    finally:
        server.stop()


def test_a_server_that_was_killed_on_a_full_disk_says_so_or_starts_and_loses_nothing(small_disk: Path):
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\xff" * (DISK_MB * 3 // 5 << 20))
    server = ServerProcess(small_disk / "data", SMALL_HEAD)
    server.log = small_disk.parent / "server.log"
    server.start().wait_ready()
    try:
        kept = fill(server, 0, 2_000)
        server.kill9()
        try:
            server.start().wait_ready()
        except RuntimeError as error:
            assert "no room" in str(error)
        else:
            assert numbers(kept) <= held(server)
            server.kill9()
        ballast.unlink()
        server.start().wait_ready()
        assert numbers(kept) <= held(server)
        assert write(server, 6_000).status == 204
        assert server.terminate() == 0
    finally:
        server.stop()


def test_a_file_that_may_not_grow_refuses_writes_and_recovers_without_loss(tmp_path: Path):
    server = ServerProcess(tmp_path / "data", SMALL_HEAD, file_size_limit_bytes=FILE_LIMIT_BYTES)
    server.start().wait_ready()

    def lift() -> None:
        server.file_size_limit_bytes = None
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    try:
        check_full_and_back(server, lift)
    finally:
        server.stop()


def test_telnet_writers_are_not_cut_off_by_a_full_disk_for_good(small_disk: Path):
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\xff" * (DISK_MB * 3 // 5 << 20))
    server = ServerProcess(small_disk / "data", SMALL_HEAD)
    server.log = small_disk.parent / "server.log"
    server.start().wait_ready()
    try:
        fill(server, 0, 2_000)
        ballast.unlink()
        assert eventually(lambda: write(server, 6_000).status, lambda status: status == 204, timeout_s=20) == 204
        with socket.create_connection(server.opentsdb, timeout=10) as connection:
            connection.sendall(b"put full.line 1356998400 1 host=a\n")
        assert eventually(lambda: stored(server, "full.line"), bool) == [[START_MS, 1]]
    finally:
        server.stop()
