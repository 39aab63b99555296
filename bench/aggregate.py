"""Measure the stages: one JSON line per aggregator (points/s of a long series, us of a short one) and per shape of merge.

    python bench/aggregate.py [points]

Every figure is the best of five runs, in one thread.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from amondawa.aggregate.aggregators import AGGREGATORS
from amondawa.aggregate.filter import Comparison
from amondawa.aggregate.group import BinGrouping, GroupPoints, GroupSeries, TimeGrouping, ValueGrouping
from amondawa.aggregate.merge import Merge
from amondawa.aggregate.transform import Ends, Threshold
from amondawa.model.points import Points
from amondawa.model.query import Stage
from amondawa.model.result import Frame
from amondawa.model.series import Series
from amondawa.model.timespan import Span, Unit, find_zone

START_MS = 1_356_998_400_000
MINUTE = Span(1, Unit.MINUTES)
OPTIONS: dict[str, dict[str, object]] = {
    "div": {"divisor": 3.0},
    "filter": {"filter_op": Comparison.LT, "threshold": 100.0},
    "scale": {"factor": 2.5},
    "score": {"thresholds": (Threshold(90.0), Threshold(100.0), Threshold(110.0))},
    "sma": {"size": 10},
    "trim": {"trim": Ends.BOTH},
}


@dataclass
class Clock:
    start_ms: int
    end_ms: int
    now_ms: int = 4_000_000_000_000

    def check(self) -> None:
        """Nothing ends a measurement."""


def series(count: int, step_ms: int, host: int = 0, jitter_ms: int = 0) -> Frame:
    """Return one series of doubles."""
    random = np.random.default_rng(host)
    times = START_MS + np.arange(count) * step_ms + (random.integers(0, jitter_ms, count) if jitter_ms else 0)
    values = 100.0 + np.cumsum(random.standard_normal(count)) * 0.1
    return Frame("m", (Series("d", "m", (("host", f"h{host}"),)),), (Points.doubles(times, values),))


def best_s(work: Callable[[], object], rounds: int = 5) -> float:
    """Return the shortest of some runs."""
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun)
    return min(took)


def stage_of(name: str) -> Stage:
    """Return an aggregator, over buckets of a minute where it has buckets."""
    made = AGGREGATORS.find(name)
    assert made is not None
    fields = made.__dataclass_fields__  # type: ignore[attr-defined]
    options = dict(OPTIONS.get(name, {}))
    if "sampling" in fields:
        options["sampling"] = MINUTE
    return made(**options)


def measure_aggregators(count: int) -> None:
    long, short = series(count, 1_000), series(360, 10_000)
    clock = Clock(START_MS, START_MS + count * 1_000)
    short_clock = Clock(START_MS, START_MS + 3_600_000)
    for name in AGGREGATORS.names():
        stage = stage_of(name)
        long_s = best_s(partial(stage.apply, [long], clock))
        short_s = best_s(partial(stage.apply, [short], short_clock), 200)
        print(
            json.dumps(
                {
                    "aggregator": name,
                    "points": count,
                    "mpoints_per_s": round(count / long_s / 1e6, 1),
                    "short_360_points_us": round(short_s * 1e6, 1),
                }
            )
        )


def measure(label: str, points: int, work: Callable[[], object]) -> None:
    took = best_s(work)
    print(json.dumps({"case": label, "ms": round(took * 1e3, 2), "mpoints_per_s": round(points / took / 1e6, 1)}))


def measure_shapes() -> None:
    """Many series: what a dashboard asks."""
    grid = [series(4_320, 10_000, host) for host in range(100)]
    ragged = [series(4_320, 10_000, host, 9_000) for host in range(100)]
    clock = Clock(START_MS, START_MS + 43_200_000)
    together, by_host = GroupSeries("m"), GroupSeries("m", ("host",))
    for shape, frames in (("grid", grid), ("ragged", ragged)):

        def run(group: Stage, stage: Stage, frames: list[Frame] = frames) -> None:
            stage.apply(group.apply(frames, clock), clock)

        for name in ("sum", "avg", "max", "count", "first", "dev", "percentile"):
            measure(f"100 x 4320 {shape}, merged {name}", 432_000, partial(run, together, stage_of(name)))
        measure(f"100 x 4320 {shape}, merge only", 432_000, partial(run, together, Merge()))
        measure(f"100 x 4320 {shape}, avg by host", 432_000, partial(run, by_host, stage_of("avg")))
    one = [series(432_000, 1_000)]
    for rule in (ValueGrouping(5), BinGrouping((90.0, 100.0)), TimeGrouping(Span(1, Unit.HOURS), 24)):
        measure(f"432000 points, {type(rule).__name__}", 432_000, partial(GroupPoints((rule,)).apply, one, clock))
    zoned = AGGREGATORS.find("avg")(sampling=Span(1, Unit.DAYS), zone=find_zone("Europe/Berlin"))  # type: ignore[misc, call-arg]
    year = [series(525_600, 60_000)]
    measure("a year of minutes by local days", 525_600, lambda: zoned.apply(year, clock))


if __name__ == "__main__":
    measure_aggregators(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
    measure_shapes()
