"""What a domain at full load does to another: p99 of the quiet one's writes and queries, alone and beside it.

One process, two domains with a key each. The loud domain does all that it can from a process of its own: put lines over
telnet, JSON bodies over HTTP, queries, or all three, each connection with the next request as soon as the last was
answered. The quiet one sends a small acknowledged write every 25 ms and a query of one series every 100 ms. Rounds alone
and beside the load alternate, so that a slow minute of the machine meets both.

Source of the rule: one domain at full load at most doubles another's p99.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.devops import Devops
from bench.figures import Figure, fresh_server, report
from bench.ingest import KAIROSDB_PATH
from bench.wire import PIECE_BYTES, Address, UnexpectedAnswer, answer_end, check_accepted, connect
from compat_tests.access import AccessKey, add_key, wait_for
from compat_tests.process import ServerProcess

LOUD = Devops(100, 720)
QUIET = Devops(1, 360, prefix="quiet")
"""what is asked about; it is there before the clock starts"""
LOUD_WRITES = Devops(100, 720, prefix="loudwrites", metrics=tuple(f"loud.{number}" for number in range(10)))
QUIET_WRITES = Devops(1, 2_000, prefix="quietwrites", metrics=tuple(f"quiet.{number}" for number in range(10)))
"""what is written meanwhile, elsewhere, so that queries read the same amount throughout"""
CONNECTIONS = {"telnet": 2, "http": 4, "queries": 4}
WRITE_EVERY_S = 0.025
QUERY_EVERY_S = 0.1
LOADS = ("telnet", "http", "queries", "all")
FACTOR = 2.0
"""the rule's bound on p99 beside a loud domain, in times of p99 alone"""


def request(path: str, body: bytes, key: AccessKey) -> bytes:
    """Return a request with a key."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Authorization: {key.basic['Authorization']}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def query_of(data: Devops, metric: str, hosts: int) -> bytes:
    """Return a KairosDB query of some hosts' whole time, averaged by minute."""
    tags = {"hostname": [f"{data.prefix}_{number}" for number in range(hosts)]}
    average = {"name": "avg", "sampling": {"value": 1, "unit": "minutes"}}
    end_ms = (data.start_s + data.steps * data.step_s) * 1000
    metrics = [{"name": metric, "tags": tags, "group_by": [{"name": "tag", "tags": ["hostname"]}]}]
    metrics[0]["aggregators"] = [average]
    return json.dumps({"start_absolute": data.start_s * 1000, "end_absolute": end_ms, "metrics": metrics}).encode()


def exchange(connection: socket.socket, sent: bytes) -> None:
    """Send a request and read its answer, which must be 2xx (or 503: come back later)."""
    connection.sendall(sent)
    answer = bytearray()
    while answer_end(answer) < 0 and not answer.startswith(b"HTTP/1.1 204"):
        received = connection.recv(PIECE_BYTES)
        if not received:
            raise UnexpectedAnswer(f"connection closed after {bytes(answer[:300])!r}")
        answer += received
    if answer.startswith(b"HTTP/1.1 503"):
        time.sleep(0.05)
        return
    check_accepted(answer)


# the loud domain ------------------------------------------------------------------------------------------------------


def flood_lines(address: Address, key: AccessKey, share: tuple[int, int], stop: Event) -> None:
    """Send put lines of some hosts, over and over."""
    buffers = list(LOUD_WRITES.telnet(*share))
    with connect(address) as connection:
        connection.sendall(f"auth {key.key} {key.secret}\n".encode())
        connection.recv(100)
        for buffer in itertools.cycle(buffers):
            if stop.is_set():
                return
            connection.sendall(buffer)


def flood_requests(address: Address, requests: list[bytes], stop: Event) -> None:
    """Send requests over and over, each when the last was answered."""
    with connect(address) as connection:
        for one in itertools.cycle(requests):
            if stop.is_set():
                return
            exchange(connection, one)


def be_loud(what: str, kairosdb: Address, opentsdb: Address, key: AccessKey, ready: Event, stop: Event) -> None:
    """Do all that a domain can, in a process of its own, until told to stop."""
    os.nice(10)  # its clients would be other machines: they must not take the server's processors from it
    work: list[Callable[[], None]] = []
    if what in ("telnet", "all"):
        count = CONNECTIONS["telnet"]
        bounds = [LOUD.hosts * n // count for n in range(count + 1)]
        work += [partial(flood_lines, opentsdb, key, share, stop) for share in itertools.pairwise(bounds)]
    if what in ("http", "all"):
        bodies = [request(KAIROSDB_PATH, body, key) for body in itertools.islice(LOUD_WRITES.kairosdb_batches(), 400)]
        count = CONNECTIONS["http"]
        work += [partial(flood_requests, kairosdb, bodies[number::count], stop) for number in range(count)]
    if what in ("queries", "all"):
        asked = [request(KAIROSDB_PATH + "/query", query_of(LOUD, metric, 50), key) for metric in LOUD.metrics]
        work += [partial(flood_requests, kairosdb, asked, stop)] * CONNECTIONS["queries"]
    threads = [threading.Thread(target=one, daemon=True) for one in work]
    for thread in threads:
        thread.start()
    ready.set()
    for thread in threads:
        thread.join(120)


@contextlib.contextmanager
def loud(what: str, server: ServerProcess, key: AccessKey) -> Iterator[None]:
    """Have the loud domain at work while inside."""
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    given = (what, server.kairosdb, server.opentsdb, key, ready, stop)
    process = context.Process(target=be_loud, args=given, daemon=True)
    process.start()
    try:
        if not ready.wait(60):
            raise UnexpectedAnswer("the loud domain did not begin")
        time.sleep(1.0)
        yield
    finally:
        stop.set()
        process.join(20)
        process.kill()


# the quiet domain -----------------------------------------------------------------------------------------------------


def quiet_seconds(address: Address, key: AccessKey, seconds: float) -> dict[str, list[float]]:
    """Write and ask at a steady pace; return the seconds that each took."""
    bodies = QUIET_WRITES.kairosdb_batches(batch=10, points_a_series=1)
    writes = itertools.cycle([request(KAIROSDB_PATH, body, key) for body in bodies])
    asked = request(KAIROSDB_PATH + "/query", query_of(QUIET, QUIET.metrics[0], 1), key)
    spent: dict[str, list[float]] = {"write": [], "query": []}
    until = time.perf_counter() + seconds
    asking = threading.Thread(
        target=_paced, args=(address, itertools.repeat(asked), QUERY_EVERY_S, until, spent["query"])
    )
    asking.start()
    _paced(address, writes, WRITE_EVERY_S, until, spent["write"])
    asking.join()
    return spent


def _paced(address: Address, requests: Iterator[bytes], every_s: float, until: float, spent: list[float]) -> None:
    """Send a request at every beat, or as soon as the one before was answered; note what each took."""
    due = time.perf_counter()
    with connect(address) as connection:
        while (now := time.perf_counter()) < until or not spent:  # one at least, however long the connection took
            if now < due:
                time.sleep(due - now)
                continue
            exchange(connection, next(requests))
            spent.append(time.perf_counter() - now)
            due = max(due + every_s, now)


def p99_ms(seconds: list[float]) -> float:
    """Return the 99th percentile in ms."""
    return float(np.percentile(seconds, 99) * 1000)


def measure(seconds: float = 6.0, rounds: int = 5, loads: tuple[str, ...] = LOADS) -> list[Figure]:
    """Measure every sort of load."""
    with fresh_server() as server:
        key, other = add_key(server, "quiet:rw"), add_key(server, "loud:rw")
        wait_for(server, key, 200)
        wait_for(server, other, 200)
        with connect(server.kairosdb) as connection:
            for data, owner in ((QUIET, key), (LOUD, other)):
                for body in data.kairosdb_batches():
                    exchange(connection, request(KAIROSDB_PATH, body, owner))
        quiet_seconds(server.kairosdb, key, 2.0)
        return [one for what in loads for one in _beside(server, what, (key, other), seconds, rounds)]


def _beside(
    server: ServerProcess, what: str, keys: tuple[AccessKey, AccessKey], seconds: float, rounds: int
) -> Iterator[Figure]:
    """Yield the figures beside one sort of load."""
    alone: dict[str, list[float]] = {"write": [], "query": []}
    beside: dict[str, list[float]] = {"write": [], "query": []}
    for _ in range(rounds):
        for kind, spent in quiet_seconds(server.kairosdb, keys[0], seconds).items():
            alone[kind] += spent
        with loud(what, server, keys[1]):
            for kind, spent in quiet_seconds(server.kairosdb, keys[0], seconds).items():
                beside[kind] += spent
        time.sleep(2.0)
    for kind in alone:
        details = {
            "alone p50 ms": float(np.median(alone[kind]) * 1000),
            "alone p99 ms": p99_ms(alone[kind]),
            "beside p50 ms": float(np.median(beside[kind]) * 1000),
            "beside p99 ms": p99_ms(beside[kind]),
            "requests": len(beside[kind]),
        }
        times = details["beside p99 ms"] / details["alone p99 ms"]
        yield Figure(f"p99 of a quiet domain's {kind} beside {what}", times, "times", FACTOR, True, details)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loads", default=",".join(LOADS), help="separated by commas")
    arguments = parser.parse_args()
    report(measure(arguments.seconds, arguments.rounds, tuple(arguments.loads.split(","))))


if __name__ == "__main__":
    main()
