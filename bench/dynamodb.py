"""DynamoDB: units per million points written, per query, per idle day; points a second through one gateway.

    python bench/dynamodb.py [--only writes,queries,idle,throughput] [--scale 0.1]

Units are those that the strict fake bills, which are DynamoDB's own rules; the store's count from ReturnConsumedCapacity must
agree. Writes and queries run in this process with a clock that is set, so that a day passes in seconds; idle time and
throughput are those of a real gateway process that talks to the fake, another process, over sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from amondawa.gateway import Gateway
from amondawa.model.points import Kind, WriteBatch, same_kind
from amondawa.model.query import Query, Selection
from amondawa.settings import Settings, read_settings
from amondawa.store.dynamodb.store import DynamoStore
from bench import verify
from bench.devops import Devops
from bench.figures import Figure, fresh_server, report
from bench.ingest import telnet_streams
from bench.wire import answer_end, check_accepted, connect, request_bytes, send_streams
from compat_tests.strict_fake_process import strict_fake_process
from tests.store.strict_fake import StrictFake

DAY_STEPS = 8_640
WRITE_TARGET, WRITE_AIM = 20_000.0, 12_500.0
IDLE_SECONDS = 60.0
WARM_REQUESTS = 100
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass
class Simulated:
    """A gateway on the strict fake in this process, with a clock that is set."""

    fake: StrictFake = field(default_factory=StrictFake)
    now_ms: int = 0
    gateway: Gateway = field(init=False)
    store: DynamoStore = field(init=False)

    @asynccontextmanager
    async def running(self, settings: Settings) -> AsyncIterator[Simulated]:
        """Start the gateway, and stop it at the end."""
        self.store = DynamoStore(self.fake.client, "amdw", "bench")
        self.store.open()
        self.gateway = await Gateway.start(settings, self.store, lambda: self.now_ms)
        await self.gateway._writer._flushes.stop()  # it would pace its flushes by the real clock
        try:
            yield self
        finally:
            await self.gateway.stop(60.0)

    async def write(self, data: Devops, points_an_entry: int) -> None:
        """Write a data set as it would arrive, each entry acknowledged before the next; flush when the gateway would."""
        refs = np.array(
            [
                self.gateway.resolve("default", metric, tuple(sorted(data.tags(host).items())))
                for host in range(data.hosts)
                for metric in data.metrics
            ],
            np.int32,
        )
        kinds = same_kind(Kind.DOUBLE, points_an_entry)
        for step in range(data.steps):
            self.now_ms = data.start_ms + step * data.step_s * 1000
            bits = (data.hundredths[step].astype(np.float64) / 100.0).view(np.int64)
            times_ms = np.full(points_an_entry, self.now_ms, np.int64)
            for at in range(0, data.series, points_an_entry):
                part = slice(at, at + points_an_entry)
                await self.gateway.write(WriteBatch(refs[part], times_ms, kinds, bits[part], [], None))
            if self.gateway._writer._flush_is_due():
                await self.gateway.flush()


def dynamodb_settings(**changes: int) -> Settings:
    """Return the defaults of the DynamoDB store with some changes.

    No entry waits to be shared: the measurements say how many points an entry has, and their clock does not pass meanwhile.
    """
    nowhere = Path(tempfile.gettempdir()) / f"amondawa-bench-{os.getpid()}"  # nothing is spooled
    options = {"store": "dynamodb", "ack": "stored", "data": str(nowhere), "commit_wait_ms": 0, **changes}
    return read_settings(options, {})


async def write_cost(data: Devops, points_an_entry: int, settings: Settings, target: float) -> Figure:
    """Return the write units per million points, with their share by kind of table."""
    simulated = Simulated()
    simulated.now_ms = data.start_ms
    async with simulated.running(settings):
        await simulated.write(data, points_an_entry)
        await simulated.gateway.flush()
        used = simulated.store.consumed()
        tables = simulated.store.consumed_by_table()
        billed = simulated.fake.units()[1]
    if abs(billed - used.write_units) > 0.01 * billed:
        raise RuntimeError(f"the store counted {used.write_units} write units, the fake billed {billed}")
    details: dict[str, float | str] = {"points": float(data.points)}
    for name, use in tables.items():
        kind = name.partition("_")[0]
        details[kind] = round(float(details.get(kind, 0.0)) + use.write_units / data.points * 1e6, 1)
    name = f"write units per million points, {points_an_entry} points an entry, {_shape(settings)}"
    return Figure(name, billed / data.points * 1e6, "units", target, True, details)


def _shape(settings: Settings) -> str:
    return f"rows of {settings.store_column_height_s // 3600} h, flush after {settings.flush_age_s // 3600} h"


def measure_writes(scale: float) -> list[Figure]:
    """Measure the cost of writing a day of 1,000 series."""
    data = Devops(100, max(360, round(DAY_STEPS * scale)))
    plans = (
        (1_000, dynamodb_settings(), WRITE_AIM),
        (1_000, dynamodb_settings(flush_age_s=3_600), WRITE_AIM),
        (1_000, dynamodb_settings(store_column_height_s=86_400, flush_age_s=172_800), WRITE_AIM),
        (100, dynamodb_settings(), WRITE_TARGET),
    )
    return [asyncio.run(write_cost(data, *plan)) for plan in plans]


def measure_queries(scale: float) -> list[Figure]:
    """Measure 24 h of 100 series by a gateway that has just started, rows closed, for several shapes of rows."""
    data = Devops(100, 2 * max(360, round(DAY_STEPS * scale)), metrics=("usage_user",))
    shapes = (
        dynamodb_settings(),
        dynamodb_settings(flush_age_s=3_600),
        dynamodb_settings(store_column_height_s=21_600),
        dynamodb_settings(store_column_height_s=86_400, flush_age_s=172_800),
    )
    return [figure for settings in shapes for figure in asyncio.run(_query_costs(data, settings))]


async def _query_costs(data: Devops, settings: Settings) -> list[Figure]:
    simulated = Simulated()
    simulated.now_ms = data.start_ms
    async with simulated.running(settings):
        await simulated.write(data, data.series)
    simulated.now_ms = data.end_ms + DAY_MS
    spans = {"a calendar day": data.start_ms, "from 11:00 to 11:00": data.start_ms + 11 * HOUR_MS}
    figures = []
    for name, start_ms in spans.items():
        label = f"24 h of 100 series, {name}, {_shape(settings)}"
        figures += await _query_cost(simulated, settings, data, start_ms, label)
    return figures


async def _query_cost(
    simulated: Simulated, settings: Settings, data: Devops, start_ms: int, label: str
) -> list[Figure]:
    query = Query(Selection("default", data.metrics[0]), start_ms, start_ms + DAY_MS - 1)
    async with simulated.running(settings):
        requests, before = sum(simulated.fake.requests.values()), simulated.fake.units()[0]
        found = await simulated.gateway.query([query], lambda results: results[0].sample_size)
        units = simulated.fake.units()[0] - before
        made = sum(simulated.fake.requests.values()) - requests
    expected = sum(start_ms <= data.start_ms + s * data.step_s * 1000 < start_ms + DAY_MS for s in range(data.steps))
    if found != expected * data.series:
        raise RuntimeError(f"{label}: {found} points and not {expected * data.series}")
    return [
        Figure(f"{label}: read units", units, "units", 500.0, True, {"points": float(found)}),
        Figure(f"{label}: requests", float(made), "requests", 60.0),
    ]


def measure_idle(scale: float) -> list[Figure]:
    """Measure what a gateway without clients uses, as units a day."""
    with strict_fake_process() as fake, fresh_server(fake.settings):
        time.sleep(2.0)
        before, began_s = fake.figures(), time.monotonic()
        time.sleep(max(20.0, IDLE_SECONDS * scale))
        after, taken_s = fake.figures(), time.monotonic() - began_s
    figures = []
    for kind in ("read_units", "write_units"):
        used = sum(after[kind].values()) - sum(before[kind].values())
        name = f"an idle gateway's {kind.replace('_', ' ')} a day"
        figures.append(Figure(name, used / taken_s * 86_400, "units", 100_000.0, True, {"seconds": taken_s}))
    return figures


def measure_throughput(scale: float) -> list[Figure]:
    """Measure one gateway process over sockets: telnet at full speed, and HTTP at 50,000 points/s."""
    return [*_full_speed(scale), *_paced(scale)]


def _full_speed(scale: float) -> list[Figure]:
    data = Devops(100, max(100, round(2_000 * scale)))
    streams = telnet_streams(data)
    with strict_fake_process() as fake, fresh_server(fake.settings) as server:
        began_s = time.perf_counter()
        send_streams(server.opentsdb, streams)
        taken_s = verify.wait_readable(server.kairosdb, data, began_s)
        verify.check_all(server.kairosdb, data)
        units = sum(fake.figures()["write_units"].values())
    details = {"points": float(data.points), "write_units_per_million": round(units / data.points * 1e6)}
    return [Figure("telnet into the fake over sockets", data.points / taken_s, "points/s", 100_000.0, False, details)]


def _paced(scale: float) -> list[Figure]:
    data = Devops(100, max(2 * WARM_REQUESTS, round(1_000 * scale)))
    requests = [request_bytes("/api/v1/datapoints", body) for body in data.kairosdb_batches(1000, 1)]
    with strict_fake_process() as fake, fresh_server(fake.settings) as server:
        _post_paced(server.kairosdb, requests[:WARM_REQUESTS], 20.0, 8)
        latencies = _post_paced(server.kairosdb, requests[WARM_REQUESTS:], 50.0, 8)
        verify.check_all(server.kairosdb, data)
    p50, p99 = np.percentile(np.array(latencies) * 1000, [50, 99])
    details = {"p50_ms": float(p50), "requests": float(len(requests))}
    return [Figure("p99 acknowledgement at 50,000 points/s", float(p99), "ms", 100.0, True, details)]


def exchange(connection: socket.socket, request: bytes) -> None:
    """Send one request and read its answer, which must be 2xx."""
    connection.sendall(request)
    answer = bytearray()
    while answer_end(answer) < 0 and not answer.startswith(b"HTTP/1.1 204"):
        received = connection.recv(65_536)
        if not received:
            raise ConnectionError("the gateway closed the connection")
        answer += received
    check_accepted(answer)


def _post_paced(address: tuple[str, int], requests: Sequence[bytes], rate: float, connections: int) -> list[float]:
    """Send requests at a rate over some connections; return the seconds from when each was due to its answer."""
    latencies: list[float] = []
    began_s = time.perf_counter() + 0.1

    def run(first: int) -> None:
        connection = connect(address)
        for number in range(first, len(requests), connections):
            due_s = began_s + number / rate
            time.sleep(max(0.0, due_s - time.perf_counter()))
            exchange(connection, requests[number])
            latencies.append(time.perf_counter() - due_s)
        connection.close()

    threads = [threading.Thread(target=run, args=(first,)) for first in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies


MEASUREMENTS = {
    "writes": measure_writes,
    "queries": measure_queries,
    "idle": measure_idle,
    "throughput": measure_throughput,
}


def main() -> None:
    """Run the measurements that were asked for and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="names of measurements, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the points")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else list(MEASUREMENTS)
    report([figure for name in wanted for figure in MEASUREMENTS[name](arguments.scale)])


if __name__ == "__main__":
    main()
