"""Queries over HTTP on a warm server: medians of usual questions, in both dialects, every answer checked.

    python bench/query.py [--repeat 50] [--hours 12]

Stored: 100 hosts x 10 metrics over 12 h and one host over 24 h, a point every ten seconds. After an orderly end and a
new start everything is read from chunks; `--head` asks the server that took the points, where the newest are still in
memory.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import verify
from bench.devops import METRICS, Devops
from bench.figures import Figure, fresh_server, report
from bench.verify import KAIROSDB_QUERY, WrongAnswer
from bench.wire import Address, JsonClient, send_streams

Floats = npt.NDArray[np.float64]
Check = Callable[[Any], None]
HOST = 7
"""The host that the questions about one host ask for."""
EIGHT = tuple(range(8))
FIVE = METRICS[:5]


@dataclass(frozen=True)
class Question:
    """One request, how to check its answer, and how long it may take."""

    name: str
    target_ms: float
    opentsdb: bool
    method: str
    path: str
    body: object
    check: Check


def buckets(values: Floats, steps: int, reduce: Callable[..., Any]) -> Floats:
    """Reduce axis 0 in runs of `steps` (and every later axis but the last, when there is one, stays)."""
    return np.asarray(reduce(values.reshape(len(values) // steps, steps, *values.shape[1:]), axis=1), np.float64)


def expect(found: dict[int, float], times_ms: npt.NDArray[np.int64], values: Floats) -> None:
    """Compare time -> value with two columns. Raises WrongAnswer."""
    verify.check_values([[t, v] for t, v in sorted(found.items())], times_ms, values)


def kairosdb_points(result: dict[str, Any]) -> dict[int, float]:
    """Return a KairosDB result's values by time in ms."""
    return {int(t): float(v) for t, v in result["values"]}


def opentsdb_points(result: dict[str, Any]) -> dict[int, float]:
    """Return an OpenTSDB result's values by time in ms."""
    return {int(t) * 1000: float(v) for t, v in result["dps"].items()}


class Questions:
    """The questions about one data set and one long series."""

    def __init__(self, data: Devops, long: Devops):
        self.data = data
        self.long = long
        self.hour_steps = 3600 // data.step_s
        self.minute_steps = 60 // data.step_s
        self.users = data.metric_values(0)

    def all(self) -> list[Question]:
        """Return every question in both dialects."""
        return [*self.raw(), *self.one_host(), *self.max_of_hosts(), *self.avg_by_host(), *self.sum_of_hosts()]

    def raw(self) -> list[Question]:
        """Every point of one series over 24 h."""
        metric, host = METRICS[0], self.long.host(0)
        times, values = verify.times_ms(self.long), self.long.values(0, 0)
        name = f"raw, 1 series x {self.long.steps:,} points"
        return [
            self._kairosdb(
                name, 5, self.long, [{"name": metric, "tags": {"hostname": [host]}}],
                lambda answer: expect(kairosdb_points(answer["queries"][0]["results"][0]), times, values),
            ),
            self._opentsdb(
                name, 5, self.long, [f"none:{metric}{{hostname={host}}}"],
                lambda answer: expect(opentsdb_points(answer[0]), times, values),
            ),
        ]  # fmt: skip

    def one_host(self) -> list[Question]:
        """One host over 1 h in buckets of 1 min."""
        hour = Devops(self.data.hosts, self.hour_steps)
        host = self.data.host(HOST)
        values = buckets(self.users[: self.hour_steps, HOST], self.minute_steps, np.mean)
        times = self._times(60_000, len(values))
        metric = {"name": METRICS[0], "tags": {"hostname": [host]}, "aggregators": [range_of("avg", 1, "minutes")]}
        return [
            self._kairosdb(
                "1 host x 1 h in 1 min", 1, hour, [metric],
                lambda answer: expect(kairosdb_points(answer["queries"][0]["results"][0]), times, values),
            ),
            self._opentsdb(
                "1 host x 1 h in 1 min", 1, hour, [f"avg:1m-avg:{METRICS[0]}{{hostname={host}}}"],
                lambda answer: expect(opentsdb_points(answer[0]), times, values),
            ),
        ]  # fmt: skip

    def max_of_hosts(self) -> list[Question]:
        """The maximum of 8 hosts in buckets of 1 h, 5 metrics."""
        hosts = [self.data.host(h) for h in EIGHT]
        wanted = [
            buckets(self.data.metric_values(m)[:, EIGHT].max(axis=1), self.hour_steps, np.max) for m in range(len(FIVE))
        ]
        times = self._times(3_600_000, len(wanted[0]))
        tags = {"hostname": hosts}
        metrics = [{"name": m, "tags": tags, "aggregators": [range_of("max", 1, "hours")]} for m in FIVE]

        def check_kairosdb(answer: Any) -> None:
            for one, values in zip(answer["queries"], wanted, strict=True):
                expect(kairosdb_points(one["results"][0]), times, values)

        def check_opentsdb(answer: Any) -> None:
            for one, values in zip(answer, wanted, strict=True):
                expect(opentsdb_points(one), times, values)

        name = f"max of 8 hosts x {self._hours} h in 1 h, 5 metrics"
        filters = "{}{hostname=literal_or(" + "|".join(hosts) + ")}"
        return [
            self._kairosdb(name, 10, self.data, metrics, check_kairosdb),
            self._opentsdb(name, 10, self.data, [f"max:1h-max:{m}{filters}" for m in FIVE], check_opentsdb),
        ]

    def avg_by_host(self) -> list[Question]:
        """The average of every host in buckets of 1 h."""
        wanted = buckets(self.users, self.hour_steps, np.mean)
        times = self._times(3_600_000, len(wanted))
        by_host = {
            "name": METRICS[0],
            "group_by": [{"name": "tag", "tags": ["hostname"]}],
            "tags": {"hostname": [self.data.host(h) for h in range(self.data.hosts)]},
            "aggregators": [range_of("avg", 1, "hours")],
        }

        def check_kairosdb(answer: Any) -> None:
            results = answer["queries"][0]["results"]
            self._check_hosts({r["tags"]["hostname"][0]: kairosdb_points(r) for r in results}, times, wanted)

        def check_opentsdb(answer: Any) -> None:
            self._check_hosts({r["tags"]["hostname"]: opentsdb_points(r) for r in answer}, times, wanted)

        name = f"avg by host, {self.data.hosts} hosts x {self._hours} h in 1 h"
        question = [f"avg:1h-avg:{METRICS[0]}{{hostname=wildcard({self.data.prefix}_*)}}"]
        return [
            self._kairosdb(name, 25, self.data, [by_host], check_kairosdb),
            self._opentsdb(name, 25, self.data, question, check_opentsdb),
        ]

    def sum_of_hosts(self) -> list[Question]:
        """The sum over all hosts in buckets of 1 min."""
        summed = buckets(self.users.sum(axis=1), self.minute_steps, np.sum)
        averaged = buckets(self.users, self.minute_steps, np.mean).sum(axis=1)
        times = self._times(60_000, len(summed))
        metric = {
            "name": METRICS[0],
            "tags": {"hostname": [self.data.host(h) for h in range(self.data.hosts)]},
            "aggregators": [range_of("sum", 1, "minutes")],
        }
        name = f"sum of {self.data.hosts} hosts x {self._hours} h in 1 min"
        filters = "{}{hostname=wildcard(" + self.data.prefix + "_*)}"
        return [
            self._kairosdb(
                name, 30, self.data, [metric],
                lambda answer: expect(kairosdb_points(answer["queries"][0]["results"][0]), times, summed),
            ),
            self._opentsdb(
                name, 30, self.data, [f"sum:1m-avg:{METRICS[0]}{filters}"],
                lambda answer: expect(opentsdb_points(answer[0]), times, averaged),
            ),
        ]  # fmt: skip

    @property
    def _hours(self) -> int:
        return self.data.steps // self.hour_steps

    def _times(self, bucket_ms: int, count: int) -> npt.NDArray[np.int64]:
        return np.arange(count, dtype=np.int64) * bucket_ms + self.data.start_ms

    def _check_hosts(self, found: dict[str, dict[int, float]], times: npt.NDArray[np.int64], wanted: Floats) -> None:
        if len(found) != self.data.hosts:
            raise WrongAnswer(f"{len(found)} hosts, expected {self.data.hosts}")
        for host in range(self.data.hosts):
            expect(found[self.data.host(host)], times, wanted[:, host])

    @staticmethod
    def _kairosdb(name: str, target: float, span: Devops, metrics: list[dict[str, Any]], check: Check) -> Question:
        body = verify.kairosdb_query(span, metrics)
        return Question(f"KairosDB: {name}", target, False, "POST", KAIROSDB_QUERY, body, check)

    @staticmethod
    def _opentsdb(name: str, target: float, span: Devops, questions: Sequence[str], check: Check) -> Question:
        last_s = span.end_ms // 1000 + span.step_s - 1
        asked = "&".join("m=" + quote(question, safe=":") for question in questions)
        path = f"/api/query?start={span.start_s}&end={last_s}&{asked}"
        return Question(f"OpenTSDB: {name}", target, True, "GET", path, None, check)


def range_of(name: str, value: int, unit: str) -> dict[str, Any]:
    """Return a KairosDB range aggregator with buckets stamped at their start."""
    return {"name": name, "sampling": {"value": value, "unit": unit}, "align_start_time": True}


def ask(question: Question, kairosdb: Address, opentsdb: Address, repeat: int) -> Figure:
    """Ask a question until it is warm, check the answer, and time it."""
    with JsonClient(opentsdb if question.opentsdb else kairosdb) as client:
        for _ in range(3):
            answer = client.raw(question.method, question.path, question.body)
        question.check(json.loads(answer))
        seconds = []
        for _ in range(repeat):
            began_s = time.perf_counter()
            client.raw(question.method, question.path, question.body)
            seconds.append(time.perf_counter() - began_s)
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    details = {"p99_ms": float(p99), "answer_bytes": float(len(answer))}
    return Figure(f"query, {question.name}: median", float(p50), "ms", question.target_ms, True, details)


def measure(repeat: int = 50, hours: int = 12, from_head: bool = False) -> list[Figure]:
    """Store the data, then ask every question."""
    data = Devops(100, hours * 360)
    long = Devops(1, 8640, seed=2, prefix="long", metrics=METRICS[:1])
    with fresh_server() as server:
        send_streams(server.opentsdb, [data.telnet(0, 50), data.telnet(50, 100), long.telnet()])
        if not from_head:
            server.terminate(120.0)
            server.start().wait_ready()
        return [ask(question, server.kairosdb, server.opentsdb, repeat) for question in Questions(data, long).all()]


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=50, help="times that a question is asked")
    parser.add_argument("--hours", type=int, default=12, help="hours of data to store")
    parser.add_argument("--head", action="store_true", help="ask the server that took the points, without a restart")
    arguments = parser.parse_args()
    report(measure(arguments.repeat, arguments.hours, arguments.head))


if __name__ == "__main__":
    main()
