"""Three gateways on one table space behind a load balancer's worth of writers, while one after the other is killed.

Each writer owns a metric and sends one request after the other, each to a gateway drawn anew: writes, overwrites and deletes.
Between them it asks a gateway drawn anew for everything that the metric holds, and compares it with what may be there.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from compat_tests.crash_campaign import SMALL_HEAD
from compat_tests.crash_model import CrashModel, Point
from compat_tests.process import ServerProcess
from compat_tests.wire import FAR_MS, call

START_MS = 1_700_000_000_000
SERIES = 4
TIMES = 200
PATIENCE_S = 30.0
"""A gateway answers with all data within a second; a machine under load, or a gateway that just starts, may take longer."""


@dataclass(slots=True)
class Tally:
    """What a campaign did.

    Attributes:
        lags_s: seconds from each look that followed an acknowledgement until the gateway asked agreed.
    """

    acknowledged: int = 0
    refused: int = 0
    looks: int = 0
    kills: int = 0
    problems: list[str] = field(default_factory=list)
    lags_s: list[float] = field(default_factory=list)


class Balancer:
    """Hands out gateways that run, as a load balancer with health checks does."""

    def __init__(self, servers: list[ServerProcess], seed: int) -> None:
        self._servers = servers
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._ready = set(range(len(servers)))

    def draw(self) -> ServerProcess:
        """Return a gateway that is taken for ready."""
        with self._lock:
            return self._servers[self._random.choice(sorted(self._ready))]

    def set_ready(self, number: int, ready: bool) -> None:
        """Note that a gateway is ready, or not any more."""
        with self._lock:
            (self._ready.add if ready else self._ready.discard)(number)


class ClusterWriter:
    """One writer with a metric of its own."""

    def __init__(self, metric: str, balancer: Balancer, tally: Tally, seed: int) -> None:
        self.metric = metric
        self._balancer = balancer
        self._tally = tally
        self._random = random.Random(seed)
        self._model = CrashModel()
        self._value = 0

    def run(self, until: threading.Event) -> None:
        """Write and look until told to end."""
        while not until.is_set():
            for _ in range(self._random.randint(1, 6)):
                self._change()
            self.look()

    def _change(self) -> None:
        if self._random.random() < 0.08:
            self._delete()
        else:
            self._write()

    def _write(self) -> None:
        series = f"s{self._random.randrange(SERIES)}"
        changes = []
        for _ in range(self._random.randint(1, 20)):
            self._value += 1
            changes.append(((series, START_MS + self._random.randrange(TIMES) * 1000), self._value))
        body = {
            "name": self.metric,
            "tags": {"series": series},
            "datapoints": [[time_ms, value] for (_, time_ms), value in changes],
        }
        self._model.intend(changes)
        if self._send("/api/v1/datapoints", body):
            self._model.acknowledge(changes)

    def _delete(self) -> None:
        series = f"s{self._random.randrange(SERIES)}"
        start = START_MS + self._random.randrange(TIMES) * 1000
        end = start + self._random.randrange(20) * 1000
        gone: list[tuple[Point, None]] = [(point, None) for point in self._model.within(series, start, end)]
        body = {
            "start_absolute": start,
            "end_absolute": end,
            "metrics": [{"name": self.metric, "tags": {"series": [series]}}],
        }
        self._model.intend(gone)
        if self._send("/api/v1/datapoints/delete", body):
            self._model.acknowledge(gone)

    def _send(self, path: str, body: object) -> bool:
        """Send to a gateway; say whether it acknowledged."""
        try:
            status = call(self._balancer.draw().kairosdb, "POST", path, body).status
        except (OSError, http.client.HTTPException):
            self._tally.refused += 1
            return False
        if status not in (204, 503):
            self._tally.problems.append(f"{path} answered {status}")
        self._tally.acknowledged += status == 204
        self._tally.refused += status != 204
        return status == 204

    def look(self, server: ServerProcess | None = None) -> None:
        """Ask a gateway until it holds what may be there; note what is still wrong after long patience."""
        began = time.monotonic()
        while True:
            try:
                problems = self._compare(server or self._balancer.draw())
            except (OSError, http.client.HTTPException) as error:
                problems = [f"no answer: {error!r}"]
            passed = time.monotonic() - began
            if not problems:
                self._tally.looks += 1
                self._tally.lags_s.append(passed)
                return
            if passed > PATIENCE_S:
                self._tally.problems += [f"{self.metric}: {one}" for one in problems[:3]]
                return
            time.sleep(0.05)

    def _compare(self, server: ServerProcess) -> list[str]:
        wanted = {"name": self.metric, "group_by": [{"name": "tag", "tags": ["series"]}]}
        body = {"start_absolute": 0, "end_absolute": FAR_MS, "metrics": [wanted]}
        answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query", body)
        if answer.status != 200:
            return [f"the query was answered {answer.status} {answer.body[:200]!r}"]
        found: dict[Point, int] = {}
        for result in answer.json()["queries"][0]["results"]:
            for time_ms, value in result["values"]:
                found[(result["tags"]["series"][0], time_ms)] = value
        return self._model.observe(found, crashed=False)


class ClusterCampaign:
    """The gateways, their writers, and who kills.

    Args:
        settings: of the store, for every gateway.
    """

    def __init__(self, directory: Path, settings: dict[str, str], gateways: int = 3, writers: int = 3, seed: int = 1):
        self.tally = Tally()
        self._random = random.Random(seed)
        self._servers = [
            ServerProcess(directory / f"gateway{n}", {**SMALL_HEAD, **settings, "AMDW_GATEWAY_ID": f"gateway{n}"})
            for n in range(gateways)
        ]
        self._balancer = Balancer(self._servers, seed)
        self._writers = [
            ClusterWriter(f"metric{n}", self._balancer, self.tally, seed * 100 + n) for n in range(writers)
        ]

    def run(self, kills: int) -> None:
        """Start everything, kill a gateway so many times, and look at every gateway at the end."""
        end = threading.Event()
        threads = [threading.Thread(target=one.run, args=(end,)) for one in self._writers]
        try:
            for server in self._servers:
                server.start()
            for server in self._servers:
                server.wait_ready()
            for thread in threads:
                thread.start()
            for _ in range(kills):
                self._kill_one()
        finally:
            end.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        for server in self._servers:
            for writer in self._writers:
                writer.look(server)

    def _kill_one(self) -> None:
        """Let the writers write, kill a gateway, and start it again soon or after another has taken over for it."""
        time.sleep(self._random.uniform(0.5, 3.0))
        number = self._random.randrange(len(self._servers))
        self._servers[number].kill9()
        self.tally.kills += 1
        self._balancer.set_ready(number, False)
        time.sleep(self._random.choice([0.0, 5.0]))
        self._servers[number].start().wait_ready()
        self._balancer.set_ready(number, True)

    def stop(self) -> None:
        """End all gateways."""
        for server in self._servers:
            server.stop()
