"""Run every measurement, print the table, and keep the figures as JSON.

    python bench/run.py [--quick] [--out bench-figures.json] [--only ingest,disk,memory,query,index,recovery]

Needs about 4 GB of memory and of disk at full size; `--quick` takes a tenth of the data and shows no more than that all
works.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import disk, fairness, index_million, ingest, memory, query, recovery
from bench.figures import Figure, as_json, fresh_server, table


def plan(quick: bool) -> dict[str, Callable[[], list[Figure]]]:
    """Return the measurements by name, in order."""
    scale = 0.1 if quick else 1.0
    return {
        "ingest": lambda: [figure for measure in ingest.MEASUREMENTS for figure in measure(scale)],
        "disk": lambda: disk.measure(scale),
        "memory": lambda: memory.measure(scale),
        "query": lambda: query.measure(repeat=20 if quick else 50, hours=2 if quick else 12),
        "index": lambda: index_million.measure(100_000 if quick else 1_000_000),
        "fairness": lambda: fairness.measure(seconds=2.0 if quick else 6.0, rounds=1 if quick else 3),
        "recovery": lambda: recovery.measure(50_000_000 if quick else 1_000_000_000),
    }


def prime() -> None:
    """Start a server once, so that compiled code is in its cache before anything is measured."""
    with fresh_server():
        pass


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the data")
    parser.add_argument("--out", type=Path, default=Path("bench-figures.json"), help="where to keep the figures")
    parser.add_argument("--only", default="", help="names of measurements, separated by commas")
    arguments = parser.parse_args()
    measurements = plan(arguments.quick)
    wanted = arguments.only.split(",") if arguments.only else list(measurements)
    if unknown := [name for name in wanted if name not in measurements]:
        parser.error(f"no measurement is called {', '.join(unknown)}: there are {', '.join(measurements)}")
    prime()
    figures: list[Figure] = []
    for name in wanted:
        figures += measurements[name]()
        arguments.out.write_text(as_json(figures))
        print(f"{name} done", flush=True)
    print(table(figures))


if __name__ == "__main__":
    main()
