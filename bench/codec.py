"""Size and speed of chunks by kind of series: `python bench/codec.py [points ...]`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from amondawa.model.points import Points  # noqa: E402
from amondawa.store.codec import decode, encode  # noqa: E402

STEP_MS = 10_000
FIRST_MS = 1_700_000_000_000


def best_s(work: Callable[[], object], repeat: int) -> float:
    """Return the shortest of five averages over `repeat` calls."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeat):
            work()
        best = min(best, (time.perf_counter() - start) / repeat)
    return best


def series(count: int) -> dict[str, Points]:
    rng = np.random.default_rng(1)
    times = FIRST_MS + STEP_MS * np.arange(count, dtype=np.int64)
    jittered = times + rng.integers(-50, 50, count)
    walk = np.cumsum(rng.normal(0, 0.3, count)) + 50
    gauge = np.round(walk, 2)
    whole = gauge == np.rint(gauge)
    mixed = np.where(whole, np.rint(gauge).astype(np.int64), gauge.view(np.int64))
    states = [b"ok" if ok else b"failed" for ok in rng.random(count) < 0.9]
    return {
        "2-decimal gauge": Points.doubles(times, gauge),
        "gauge, jittered times": Points.doubles(jittered, gauge),
        "walk, full precision": Points.doubles(times, walk),
        "random doubles": Points.doubles(times, rng.normal(0, 1, count)),
        "counter": Points.longs(times, np.cumsum(rng.poisson(40, count))),
        "constant": Points.longs(times, np.full(count, 7)),
        "longs and doubles": Points(times, (~whole).astype(np.uint8), mixed),
        "state texts": Points.of_texts(times, states),
    }


def main() -> None:
    counts = [int(count) for count in sys.argv[1:]] or [60, 360, 8_640]
    print(f"{'series':24}{'points':>8}{'B/point':>9}{'encode us':>11}{'decode us':>11}{'decode M/s':>12}")
    for count in counts:
        repeat = max(5, 20_000 // count)
        for name, points in series(count).items():
            data = encode(points)
            encode_s = best_s(lambda points=points: encode(points), repeat)  # type: ignore[misc]
            decode_s = best_s(lambda data=data: decode(data), repeat)  # type: ignore[misc]
            print(
                f"{name:24}{count:8}{len(data) / count:9.2f}{encode_s * 1e6:11.1f}{decode_s * 1e6:11.1f}"
                f"{count / decode_s / 1e6:12.1f}"
            )


if __name__ == "__main__":
    main()
