"""Writers that keep a crash model of all they sent: one over HTTP in three dialects, one over telnet lines."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from contextlib import ExitStack, closing
from typing import Any

from compat_tests.crash_model import Change, CrashModel, Point
from compat_tests.process import Address, ServerProcess

FAR_MS = 4_102_444_800_000
SLOTS = 800
"""Different times in each window, so that most writes of a long run are overwrites."""
REFUSED = frozenset({503})
Lost = (OSError, http.client.HTTPException)


def read_points(server: ServerProcess, metric: str) -> dict[Point, int]:
    """Return every point of a metric. Raises RuntimeError when the query fails, OSError when nobody answers."""
    group = [{"name": "tag", "tags": ["s"]}]
    body = {"start_absolute": 0, "end_absolute": FAR_MS, "metrics": [{"name": metric, "group_by": group}]}
    connection = http.client.HTTPConnection(*server.kairosdb, timeout=60)
    try:
        connection.request("POST", "/api/v1/datapoints/query", json.dumps(body))
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"query of {metric} answered {response.status}: {answer[:300]!r}")
    results = json.loads(answer)["queries"][0]["results"]
    return {(one["tags"]["s"][0], time_ms): value for one in results for time_ms, value in one["values"]}


class Writer(threading.Thread):
    """One metric's only writer; runs from `start` until `finish` is set or the server is gone.

    Args:
        server: where to write.
        metric: its metric.
        model: what was sent so far; kept between rounds.
        seed: of its choices.
        fresh_series: a series that no earlier round wrote.
    """

    def __init__(self, server: ServerProcess, metric: str, model: CrashModel, seed: int, fresh_series: str):
        super().__init__(name=metric, daemon=True)
        self.server, self.metric, self.model = server, metric, model
        self.finish = threading.Event()
        self.problems: list[str] = []
        self.acknowledged = 0
        self._random = random.Random(seed)
        self._series = ["s0", "s1", "s2", fresh_series]
        self._value = seed * 1_000_000
        now_ms = int(time.time()) // 3_600 * 3_600_000
        self._windows_ms = [now_ms, now_ms - 10 * 3_600_000, now_ms - 45 * 86_400_000]

    def writes(self, most: int) -> list[Change]:
        """Return up to `most` new writes of points chosen at random, each with a value never used before."""
        changes: list[Change] = []
        for _ in range(self._random.randint(1, most)):
            at_ms = self._random.choice(self._windows_ms) + self._random.randrange(SLOTS) * 1_000
            self._value += 1
            changes.append(((self._random.choice(self._series), at_ms), self._value))
        return changes

    def run(self) -> None:
        """Write until told to stop; a broken connection ends it, being the crash that it waits for."""
        try:
            self.write_on()
        except Lost as error:
            if self.finish.is_set():
                return
            self.finish.wait(5.0)
            if self.server.alive:
                self.problems.append(f"{self.metric}: connection lost beside a living server: {error!r}")

    def write_on(self) -> None:
        """Write until `finish` is set."""
        raise NotImplementedError


class HttpWriter(Writer):
    """Writes and deletes over HTTP, each request in a dialect chosen at random; an answer of 2xx acknowledges."""

    def write_on(self) -> None:
        """Send one request after the other."""
        with ExitStack() as stack:
            connections = {
                dialect: stack.enter_context(closing(http.client.HTTPConnection(*address, timeout=30)))
                for dialect, address in self._addresses().items()
            }
            while not self.finish.is_set() and not self.problems:
                self._write_once(connections)

    def _addresses(self) -> dict[str, Address]:
        return {"kairosdb": self.server.kairosdb, "opentsdb": self.server.opentsdb, "native": self.server.http}

    def _write_once(self, connections: dict[str, http.client.HTTPConnection]) -> None:
        dialect, path, body, changes = self._request()
        self.model.intend(changes)
        connections[dialect].request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connections[dialect].getresponse()
        answer = response.read()
        if response.status // 100 == 2:
            self.model.acknowledge(changes)
            self.acknowledged += len(changes)
        elif response.status in REFUSED:
            self.finish.wait(0.02)
        else:
            self.problems.append(f"{path} answered {response.status}: {answer[:300]!r}")

    def _request(self) -> tuple[str, str, Any, list[Change]]:
        if self._random.random() < 0.08 and len(self.model):
            return self._delete()
        changes = self.writes(150)
        dialect = self._random.choice(("kairosdb", "opentsdb", "native"))
        if dialect == "opentsdb":
            return dialect, "/api/put", [self._opentsdb(change) for change in changes], changes
        path = "/api/v1/datapoints" if dialect == "kairosdb" else "/api/v1/default/datapoints"
        by_series: dict[str, list[list[int | None]]] = {}
        for (series, at_ms), value in changes:
            by_series.setdefault(series, []).append([at_ms, value])
        body = [{"name": self.metric, "tags": {"s": s}, "datapoints": pairs} for s, pairs in by_series.items()]
        return dialect, path, body, changes

    def _opentsdb(self, change: Change) -> dict[str, Any]:
        (series, at_ms), value = change
        return {"metric": self.metric, "timestamp": at_ms, "value": value, "tags": {"s": series}}

    def _delete(self) -> tuple[str, str, Any, list[Change]]:
        series = self._random.choice(self._series)
        start_ms = self._random.choice(self._windows_ms) + self._random.randrange(SLOTS) * 1_000
        end_ms = start_ms + self._random.choice((0, 20_000, 300_000))
        metrics = [{"name": self.metric, "tags": {"s": [series]}}]
        body = {"start_absolute": start_ms, "end_absolute": end_ms, "metrics": metrics}
        changes: list[Change] = [(point, None) for point in self.model.within(series, start_ms, end_ms)]
        return "kairosdb", "/api/v1/datapoints/delete", body, changes


class TelnetWriter(Writer):
    """Writes put lines, which are acknowledged by nothing but being seen by a query, or by an orderly end."""

    kairosdb = False
    """whether the lines go to KairosDB's port (`putm`) instead of OpenTSDB's (`put`)"""

    def write_on(self) -> None:
        """Send lines, look at times what has arrived, and close in order."""
        address = self.server.kairosdb_telnet if self.kairosdb else self.server.opentsdb
        command = "putm" if self.kairosdb else "put"
        with socket.create_connection(address, timeout=30) as connection:
            batches = 0
            while not self.finish.is_set():
                changes = self.writes(150)
                self.model.intend(changes)
                lines = (f"{command} {self.metric} {at_ms} {value} s={s}\n" for (s, at_ms), value in changes)
                connection.sendall("".join(lines).encode())
                batches += 1
                if batches % 40 == 0:
                    self._look()
                self.finish.wait(0.002)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
            if answer:
                self.problems.append(f"{self.metric}: telnet answered {answer[:300]!r}")

    def _look(self) -> None:
        try:
            found = read_points(self.server, self.metric)
        except RuntimeError as error:
            self.problems.append(str(error))
            return
        self.problems += self.model.observe(found, crashed=False)
        self.acknowledged += len(found)


class KairosdbTelnetWriter(TelnetWriter):
    """The same over KairosDB's telnet port."""

    kairosdb = True
