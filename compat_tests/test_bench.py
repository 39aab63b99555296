"""Every measurement of `bench/` runs and finds its answers right, on little data; the figures are not looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from bench import disk, dynamodb, fairness, index_million, ingest, memory, query, recovery, several_gateways
from bench.figures import Figure

SHARE = 0.004
MEASUREMENTS: dict[str, Callable[[], Sequence[Figure]]] = {
    **{f"ingest-{measure.__name__}": lambda measure=measure: measure(SHARE) for measure in ingest.MEASUREMENTS},
    "disk": lambda: disk.measure(SHARE),
    "memory": lambda: memory.measure(SHARE, hosts=100),
    "query": lambda: query.measure(repeat=2, hours=1),
    "index": lambda: index_million.measure(5_000),
    "fairness": lambda: fairness.measure(seconds=0.3, rounds=1),
    "recovery": lambda: recovery.measure(2_000_000),
    "dynamodb-writes": lambda: dynamodb.measure_writes(SHARE),
    "dynamodb-queries": lambda: dynamodb.measure_queries(SHARE),
    "dynamodb-throughput": lambda: dynamodb.measure_throughput(SHARE),
    "several-gateways": lambda: several_gateways.measure(5),
}


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_runs_and_its_answers_are_right(name: str) -> None:
    figures = MEASUREMENTS[name]()
    assert figures
    # Not more: the clock of CPU time ticks every 10 ms, and so little data can take less than a tick.
    assert all(math.isfinite(figure.value) for figure in figures)
