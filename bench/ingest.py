"""Ingest: CPU seconds of the server per million points, and points a second that were accepted and could be read.

    python bench/ingest.py [--only TEXT] [--scale 0.1]

The bytes are made before the clock starts. The clock stops when a count of all points, asked for after the last byte
was taken, is complete. CPU is what the server process used until it was idle again: background flushes are included,
the counting is not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import verify
from bench.devops import Devops
from bench.figures import Figure, fresh_server, report, wait_idle
from bench.wire import Address, post_batches, post_singles, request_bytes, send_streams
from compat_tests.process import ServerProcess

CONNECTIONS = 4
Send = Callable[[], object]
Target = float | None
OPENTSDB_PATH = "/api/put"
KAIROSDB_PATH = "/api/v1/datapoints"


def telnet_streams(data: Devops, connections: int = CONNECTIONS) -> list[list[bytes]]:
    """Return the put lines of a data set, a list of steps per connection; a connection carries its own hosts."""
    bounds = [data.hosts * n // connections for n in range(connections + 1)]
    return [list(data.telnet(a, b)) for a, b in zip(bounds, bounds[1:], strict=False)]


WARM = Devops(10, 100, prefix="warm", metrics=tuple(f"warm.{number}" for number in range(10)))
"""Other series, sent before the clock starts, so that nothing is loaded or compiled within a measurement."""


class Measured:
    """CPU and wall time of one way to send one data set to one server."""

    def __init__(self, server: ServerProcess, data: Devops, send: Send, points: int):
        cpu_s = wait_idle(server)
        began_s = time.perf_counter()
        send()
        taken_s = time.perf_counter() - began_s
        cpu_taken_s = server.cpu_seconds() - cpu_s
        self.readable_s = verify.wait_readable(server.kairosdb, data, began_s)
        cpu_counted_s = server.cpu_seconds()
        self.cpu_s = cpu_taken_s + wait_idle(server) - cpu_counted_s
        verify.check_all(server.kairosdb, data)
        self.points = points
        self.details = {
            "points": float(points),
            "seconds_taken": round(taken_s, 3),
            "seconds_readable": round(self.readable_s, 3),
            "cpu_seconds_until_taken": round(cpu_taken_s, 3),
            "peak_rss_mb": round(server.peak_rss_bytes() / 1e6, 1),
        }

    def cpu_figure(self, name: str, target: float | None) -> Figure:
        """Return the CPU seconds per million points."""
        return Figure(f"{name}: CPU", self.cpu_s / self.points * 1e6, "CPU s/M points", target, True, self.details)

    def rate_figure(self, name: str, target: float | None, unit: str = "points/s") -> Figure:
        """Return the points a second, accepted and readable."""
        return Figure(f"{name}: rate", self.points / self.readable_s, unit, target, False, self.details)


def telnet(
    name: str, data: Devops, warm_steps: int, cpu_target: float | None, rate_target: float | None
) -> list[Figure]:
    """Measure put lines over a few connections, after `warm_steps` steps that make the series known."""
    streams = telnet_streams(data)
    with fresh_server() as server:
        if warm_steps:
            send_streams(server.opentsdb, [list(islice(stream, warm_steps)) for stream in streams])
        rest = [stream[warm_steps:] for stream in streams]
        points = data.series * (data.steps - warm_steps)
        measured = Measured(server, data, lambda: send_streams(server.opentsdb, rest), points)
    return [measured.cpu_figure(name, cpu_target), measured.rate_figure(name, rate_target)]


def telnet_known(scale: float) -> list[Figure]:
    """Put lines of 1,000 series."""
    data = Devops(100, max(20, round(5000 * scale)))
    return telnet("telnet, 1,000 series", data, 10, 0.7, 1_000_000)


def telnet_many(scale: float) -> list[Figure]:
    """Put lines of 100,000 series that are known."""
    data = Devops(max(100, round(10_000 * min(1.0, scale * 4))), 32)
    return telnet(f"telnet, {data.series:,} known series", data, 2, 1.5, 600_000)


def telnet_new(scale: float) -> list[Figure]:
    """Put lines of 100,000 series never seen before, 10 points each."""
    data = Devops(max(100, round(10_000 * min(1.0, scale * 4))), 10)
    streams = telnet_streams(data)
    with fresh_server() as server:
        send_streams(server.opentsdb, [WARM.telnet()])
        measured = Measured(server, data, lambda: send_streams(server.opentsdb, streams), data.points)
    name = f"telnet, {data.series:,} new series x 10"
    target_s = 8.0 * data.series / 100_000
    return [
        Figure(f"{name}: time", measured.readable_s, "s", target_s, True, measured.details),
        measured.cpu_figure(name, None),
    ]


def http_batches(
    name: str, bodies: Callable[[Devops], Iterable[bytes]], data: Devops, path: str, targets: tuple[Target, Target]
) -> list[Figure]:
    """Measure JSON bodies over a few kept connections."""
    requests = [request_bytes(path, body) for body in bodies(data)]
    with fresh_server() as server:
        address = address_of(server, path)
        post_batches(address, [request_bytes(path, body) for body in bodies(WARM)], CONNECTIONS)
        measured = Measured(server, data, lambda: post_batches(address, requests, CONNECTIONS), data.points)
    return [measured.cpu_figure(name, targets[0]), measured.rate_figure(name, targets[1])]


def address_of(server: ServerProcess, path: str) -> Address:
    """Return the port of the dialect that a path belongs to."""
    return server.opentsdb if path == OPENTSDB_PATH else server.kairosdb


def opentsdb_json(scale: float) -> list[Figure]:
    """OpenTSDB's JSON, 1,000 points a body, each of another series."""
    data = Devops(100, max(20, round(2000 * scale)))
    name = "OpenTSDB JSON, 1,000 points a body"
    return http_batches(name, Devops.opentsdb_batches, data, OPENTSDB_PATH, (1.5, None))


def kairosdb_json(scale: float) -> list[Figure]:
    """KairosDB's JSON, 1,000 points a body: 10 series x 100 points, and 1,000 series x 1 point."""
    figures: list[Figure] = []
    for run, steps, target in ((100, 5000, 800_000.0), (1, 1000, None)):
        data = Devops(100, max(100, round(steps * scale)))
        name = f"KairosDB JSON, 1,000 points a body ({1000 // run} series x {run})"
        bodies = partial(Devops.kairosdb_batches, points_a_series=run)
        figures += http_batches(name, bodies, data, KAIROSDB_PATH, (None, target))
    return figures


def singles(scale: float) -> list[Figure]:
    """One point a request, acknowledged after an fsync, over 64 kept connections."""
    data = Devops(100, max(10, round(40 * scale)))
    return [
        *single_figures("KairosDB", partial(Devops.kairosdb_batches, batch=1, points_a_series=1), data, KAIROSDB_PATH),
        *single_figures("OpenTSDB", partial(Devops.opentsdb_batches, batch=1), data, OPENTSDB_PATH),
    ]


def single_figures(dialect: str, bodies: Callable[[Devops], Iterable[bytes]], data: Devops, path: str) -> list[Figure]:
    """Measure one-point requests of one dialect."""
    requests = [request_bytes(path, body) for body in bodies(data)]
    latencies: list[float] = []
    with fresh_server() as server:
        address = address_of(server, path)
        post_singles(address, [request_bytes(path, body) for body in bodies(WARM)])
        measured = Measured(server, data, lambda: latencies.extend(post_singles(address, requests)), data.points)
    name = f"{dialect}, one point a request, fsynced"
    p50, p99 = np.percentile(np.array(latencies) * 1000, [50, 99])
    return [
        measured.rate_figure(name, 6000, "requests/s"),
        measured.cpu_figure(name, None),
        Figure(f"{name}: p99", float(p99), "ms", None, True, {"p50_ms": float(p50)}),
    ]


MEASUREMENTS = (telnet_known, telnet_many, telnet_new, opentsdb_json, kairosdb_json, singles)


def main() -> None:
    """Run the measurements that were asked for and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="run measurements whose name contains this text")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the points to send")
    arguments = parser.parse_args()
    figures: list[Figure] = []
    for measure in MEASUREMENTS:
        if arguments.only in measure.__name__:
            figures += measure(arguments.scale)
    report(figures)


if __name__ == "__main__":
    main()
