"""A million series of one metric: how long a warm server takes to answer for one of them, for many, and for all.

python bench/index_million.py [--series 1000000]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.devops import START_S
from bench.figures import Figure, fresh_server, report
from bench.verify import KAIROSDB_QUERY, WrongAnswer
from bench.wire import JsonClient, send_streams
from compat_tests.process import ServerProcess

METRIC = "sensor.temperature"
PER_BUFFER = 10_000
TARGET_MS = 50.0


def lines(first: int, last: int) -> Iterator[bytes]:
    """Yield one put line for each series; the value of a series is its number."""
    for at in range(first, last, PER_BUFFER):
        numbers = range(at, min(at + PER_BUFFER, last))
        yield "".join(
            f"put {METRIC} {START_S} {n} device=d{n} site=s{n % 1000} kind=k{n % 7}\n" for n in numbers
        ).encode()


def medians_ms(server: ServerProcess, wanted: list[int]) -> dict[str, list[float]]:
    """Ask for each series in both dialects; return the ms that each answer took. Raises WrongAnswer."""
    taken: dict[str, list[float]] = {"KairosDB": [], "OpenTSDB": []}
    with JsonClient(server.kairosdb) as kairosdb, JsonClient(server.opentsdb) as opentsdb:
        for number in wanted:
            body = {
                "start_absolute": START_S * 1000,
                "end_absolute": (START_S + 60) * 1000,
                "metrics": [{"name": METRIC, "tags": {"device": [f"d{number}"]}}],
            }
            began_s = time.perf_counter()
            answer = kairosdb.raw("POST", KAIROSDB_QUERY, body)
            taken["KairosDB"].append((time.perf_counter() - began_s) * 1000)
            expect(json.loads(answer)["queries"][0]["results"][0]["values"], [[START_S * 1000, number]])
            asked = quote(f"sum:{METRIC}{{device=d{number}}}", safe=":")
            began_s = time.perf_counter()
            answer = opentsdb.raw("GET", f"/api/query?start={START_S}&end={START_S + 60}&m={asked}")
            taken["OpenTSDB"].append((time.perf_counter() - began_s) * 1000)
            expect(json.loads(answer)[0]["dps"], {str(START_S): number})
    return taken


def expect(found: object, wanted: object) -> None:
    """Raise WrongAnswer unless both are equal."""
    if found != wanted:
        raise WrongAnswer(f"{found!r}, expected {wanted!r}")


def figures(server: ServerProcess, series: int, when: str) -> list[Figure]:
    """Ask for 40 series that were not asked for before, after a few that warm the server up."""
    random = np.random.default_rng(len(when))
    numbers = [int(n) for n in random.choice(series, size=45, replace=False)]
    medians_ms(server, numbers[:5])
    name = f"1 of {series:,} series, {when}"
    return [
        Figure(f"{dialect}: {name}: median", float(np.median(ms)), "ms", TARGET_MS, True, {"max_ms": max(ms)})
        for dialect, ms in medians_ms(server, numbers[5:]).items()
    ]


def wide_figures(server: ServerProcess, series: int, when: str) -> list[Figure]:
    """Ask for what many series give together: those of one site, all by kind, all as one, and the values of a tag."""
    body = {"start_absolute": START_S * 1000, "end_absolute": (START_S + 60) * 1000}
    total = {"name": "sum", "sampling": {"value": 1, "unit": "minutes"}}
    site = list(range(7, series, 1000))
    asked = {
        f"{len(site):,} of {series:,} series": ({"tags": {"site": ["s7"]}, "aggregators": [total]}, [sum(site)]),
        f"all {series:,} series as one": ({"aggregators": [total]}, [series * (series - 1) // 2]),
        f"all {series:,} series by a tag": (
            {"aggregators": [total], "group_by": [{"name": "tag", "tags": ["kind"]}]},
            [sum(range(kind, series, 7)) for kind in range(7)],
        ),
    }
    found = []
    with JsonClient(server.kairosdb) as client:
        for name, (metric, wanted) in asked.items():
            query = body | {"metrics": [{"name": METRIC, **metric}]}
            times_ms = []
            for _ in range(3):
                began_s = time.perf_counter()
                answer = json.loads(client.raw("POST", KAIROSDB_QUERY, query))
                times_ms.append((time.perf_counter() - began_s) * 1000)
                sums = [result["values"][0][1] for result in answer["queries"][0]["results"]]
                expect(sums, wanted)
            details = {"first_ms": times_ms[0]}
            found.append(Figure(f"KairosDB: {name}, {when}: best of 3", min(times_ms), "ms", details=details))
    return found


def measure(series: int = 1_000_000) -> list[Figure]:
    """Write the series, ask, and ask again after an orderly restart."""
    with fresh_server() as server:
        began_s = time.perf_counter()
        bounds = [0, series // 2, series]
        send_streams(server.opentsdb, [lines(a, b) for a, b in zip(bounds, bounds[1:], strict=False)])
        written_s = time.perf_counter() - began_s
        found = [*figures(server, series, "as written"), *wide_figures(server, series, "as written")]
        rss = server.rss_bytes()
        server.terminate(300.0)
        ready_s = server.start().wait_ready(300.0)
        found += [*figures(server, series, "after a restart"), *wide_figures(server, series, "after a restart")]
    return [
        Figure(f"{series:,} new series of one metric, 1 point each", written_s, "s"),
        *found,
        Figure(f"start with {series:,} series", ready_s, "s"),
        Figure(f"memory with {series:,} series", rss / 1e6, "MB"),
    ]


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--series", type=int, default=1_000_000, help="series of the metric")
    report(measure(parser.parse_args().series))


if __name__ == "__main__":
    main()
