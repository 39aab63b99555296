"""Checks of a server's answers against the data set: nothing is measured that was not right."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from bench.devops import Devops
from bench.wire import Address, JsonClient

KAIROSDB_QUERY = "/api/v1/datapoints/query"
YEARS = {"value": 10, "unit": "years"}


class WrongAnswer(RuntimeError):
    """The server's answer is not what the data set says."""


def kairosdb_query(data: Devops, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a KairosDB query over the whole data set."""
    return {"start_absolute": data.start_ms, "end_absolute": data.end_ms, "metrics": metrics}


def counts(client: JsonClient, data: Devops) -> list[int]:
    """Return how many points of each metric can be read now."""
    count = [{"name": "count", "sampling": YEARS}]
    answer = client.ask(
        "POST", KAIROSDB_QUERY, kairosdb_query(data, [{"name": m, "aggregators": count} for m in data.metrics])
    )
    return [sum(int(v) for r in one["results"] for _, v in r["values"]) for one in answer["queries"]]


def wait_readable(address: Address, data: Devops, began_s: float, timeout_s: float = 120.0) -> float:
    """Return the seconds from `began_s` (time.perf_counter) until the first complete count was asked for.

    Raises:
        WrongAnswer: the count is too large, or not complete in time.
    """
    expected = [data.hosts * data.steps] * len(data.metrics)
    with JsonClient(address) as client:
        while True:
            asked_s = time.perf_counter()
            found = counts(client, data)
            if found == expected:
                return asked_s - began_s
            too_many = any(f > e for f, e in zip(found, expected, strict=True))
            if too_many or asked_s - began_s > timeout_s:
                raise WrongAnswer(f"{sum(found)} points readable, {sum(expected)} were sent: {found}")
            time.sleep(0.02)


def check_sums(address: Address, data: Devops) -> None:
    """Compare the sum of all values of each metric. Raises WrongAnswer."""
    total = [{"name": "sum", "sampling": YEARS}]
    with JsonClient(address) as client:
        answer = client.ask(
            "POST", KAIROSDB_QUERY, kairosdb_query(data, [{"name": m, "aggregators": total} for m in data.metrics])
        )
    for number, one in enumerate(answer["queries"]):
        found = math.fsum(float(v) for r in one["results"] for _, v in r["values"])
        expected = float(data.metric_values(number).sum())
        if not math.isclose(found, expected, rel_tol=1e-9):
            raise WrongAnswer(f"sum of {data.metrics[number]} is {found}, expected {expected}")


def check_series(address: Address, data: Devops, samples: int = 5) -> None:
    """Compare some whole series, point by point. Raises WrongAnswer."""
    random = np.random.default_rng(data.seed + 1)
    with JsonClient(address) as client:
        for _ in range(samples):
            host, metric = int(random.integers(data.hosts)), int(random.integers(len(data.metrics)))
            wanted = {"name": data.metrics[metric], "tags": {"hostname": [data.host(host)]}}
            answer = client.ask("POST", KAIROSDB_QUERY, kairosdb_query(data, [wanted]))
            check_values(answer["queries"][0]["results"][0]["values"], times_ms(data), data.values(host, metric))


def times_ms(data: Devops) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the times of every series, int64[steps]."""
    return (np.arange(data.steps, dtype=np.int64) * data.step_s + data.start_s) * 1000


def check_values(
    found: list[list[float]], times: np.ndarray[Any, np.dtype[np.int64]], values: np.ndarray[Any, np.dtype[np.float64]]
) -> None:
    """Compare [[time, value], ...] with two columns. Raises WrongAnswer."""
    if len(found) != len(times):
        raise WrongAnswer(f"{len(found)} points, expected {len(times)}")
    columns = np.array(found, np.float64).reshape(len(found), 2)
    if not np.array_equal(columns[:, 0].astype(np.int64), times):
        raise WrongAnswer("the times differ")
    if not np.allclose(columns[:, 1], values, rtol=1e-9, atol=1e-9):
        worst = int(np.abs(columns[:, 1] - values).argmax())
        raise WrongAnswer(f"value at {times[worst]} is {columns[worst, 1]}, expected {values[worst]}")


def check_all(address: Address, data: Devops) -> None:
    """Compare sums and some series of the whole data set. Raises WrongAnswer."""
    check_sums(address, data)
    check_series(address, data)
