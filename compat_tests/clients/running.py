"""Runs client programs against a server: the server of a module, the build that may be left out, the program's answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from compat_tests.clients.builds import Unavailable
from compat_tests.process import ServerProcess
from compat_tests.wire import FAR_MS, call, eventually

T = TypeVar("T")
START_S = 1_700_000_000
START_MS = START_S * 1000


@contextmanager
def serving(directory: Path, env: Mapping[str, str] | None = None) -> Iterator[ServerProcess]:
    """Run a server on an empty data directory."""
    one = ServerProcess(directory / "data", env).start()
    try:
        one.wait_ready()
        yield one
    finally:
        one.stop()


def built_or_skip(build: Callable[[], T]) -> T:
    """Return what a build makes; skip the test, with the reason, when this machine cannot have it."""
    try:
        return build()
    except Unavailable as error:
        pytest.skip(str(error))


def tell(command: Sequence[str | Path], env: Mapping[str, str] | None = None, timeout_s: float = 60.0) -> Any:
    """Run a program to its end; return the last line that it printed, as JSON (None when it printed nothing).

    Raises:
        AssertionError: it ended with another status than 0; the text is what it printed.
    """
    environment = {**os.environ, "NO_PROXY": "*", **(env or {})}
    done = subprocess.run(
        list(map(str, command)),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else None


@contextmanager
def running(command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run a daemon in the foreground while the block runs, then end it by its id; its output goes to a log."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process.pid
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it may have left of its own session


def series(server: ServerProcess, metric: str) -> dict[tuple[tuple[str, str], ...], list[list[Any]]]:
    """Return the points of every series of a metric, [[time_ms, value], ...] by its sorted tags."""
    names = tag_names(server, metric)
    if not names:
        return {}  # every point has a tag
    group = {"name": "tag", "tags": names}
    body = {"start_absolute": 0, "end_absolute": FAR_MS, "metrics": [{"name": metric, "group_by": [group]}]}
    answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query", body)
    assert answer.status == 200, answer
    results = answer.json()["queries"][0]["results"]
    return {_tags(one): one["values"] for one in results if one["values"]}


def _tags(result: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the tags of a result that is one series alone."""
    assert all(len(values) == 1 for values in result["tags"].values()), result["tags"]
    return tuple(sorted((name, values[0]) for name, values in result["tags"].items()))


def tag_names(server: ServerProcess, metric: str) -> list[str]:
    """Return the names of the tags of a metric."""
    body = {"start_absolute": 0, "end_absolute": FAR_MS, "metrics": [{"name": metric}]}
    answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query/tags", body)
    assert answer.status == 200, answer
    return sorted(answer.json()["queries"][0]["results"][0]["tags"])


def metrics(server: ServerProcess, prefix: str = "") -> list[str]:
    """Return the names of the metrics that a client wrote."""
    found: list[str] = call(server.kairosdb, "GET", f"/api/v1/metricnames?prefix={prefix}").json()["results"]
    return [name for name in found if not name.startswith("kairosdb.")]


def arrived(server: ServerProcess, metric: str, points: int = 1, timeout_s: float = 10.0) -> dict[Any, list[list[Any]]]:
    """Return the series of a metric once it has as many points, or what it has after the time is over."""
    return eventually(lambda: series(server, metric), lambda seen: sum(map(len, seen.values())) >= points, timeout_s)


def is_now(time_ms: float) -> bool:
    """Return whether a point's time is of this minute or the one before: a client took it from its clock."""
    return abs(time.time() * 1000 - time_ms) < 120_000
