"""Figures: a value with the target it is held against, and how they are printed and kept."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from compat_tests.process import ServerProcess


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        name: what was measured.
        value, unit: the value.
        target: what it should reach, None = shown only.
        at_most: whether smaller is better.
        details: what else was seen on the way.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = True
    details: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a Markdown table."""
    rows = ["| figure | value | target | met |", "|---|---|---|---|"]
    for one in figures:
        sign = "≤" if one.at_most else "≥"
        target = "" if one.target is None else f"{sign} {one.target:,g} {one.unit}"
        met = {True: "yes", False: "**no**", None: ""}[one.met]
        rows.append(f"| {one.name} | {spelled(one.value)} {one.unit} | {target} | {met} |")
    return "\n".join(rows)


def spelled(value: float) -> str:
    """Return a number with as many decimals as make sense to a reader."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def as_json(figures: Iterable[Figure]) -> str:
    """Return the figures, with the machine they were taken on, as JSON."""
    machine = {
        "cpus": os.cpu_count(),
        "load": list(os.getloadavg()),
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return json.dumps({"machine": machine, "figures": [{**asdict(f), "met": f.met} for f in figures]}, indent=1)


def report(figures: list[Figure]) -> None:
    """Print the figures as JSON and as a table."""
    print(as_json(figures))
    print(table(figures))


@contextmanager
def fresh_server(env: Mapping[str, str] | None = None) -> Iterator[ServerProcess]:
    """Run a server on an empty data directory, which is removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="amondawa-bench-", dir=os.environ.get("BENCH_DIRECTORY")))
    server = ServerProcess(directory / "data", env)
    try:
        server.start().wait_ready()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


def wait_idle(server: ServerProcess, timeout_s: float = 30.0) -> float:
    """Return the server's CPU seconds once it has stopped working (background flushes included)."""
    deadline = time.monotonic() + timeout_s
    before = server.cpu_seconds()
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = server.cpu_seconds()
        if now - before < 0.03:
            return now
        before = now
    return before
