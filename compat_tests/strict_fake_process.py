"""The strict fake as a real process: start it, set its faults, read its meter, end it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from compat_tests.dynamodb_local import CREDENTIALS
from compat_tests.process import HOST, ROOT
from compat_tests.wire import call
from tests.ports import free_port


class StrictFakeProcess:
    """One running fake."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def settings(self) -> dict[str, str]:
        """Environment of a gateway that stands on it."""
        return {**CREDENTIALS, "AMDW_STORE": "dynamodb", "AMDW_DYNAMODB_ENDPOINT": f"http://{HOST}:{self.port}"}

    def figures(self) -> dict[str, dict[str, float]]:
        """Return read_units and write_units by table, requests by operation."""
        figures: dict[str, dict[str, float]] = call((HOST, self.port), "GET", "/figures").json()
        return figures

    def set_faults(self, **faults: Any) -> None:
        """Change the faults that it has."""
        assert call((HOST, self.port), "POST", "/faults", faults).status == 200


@contextmanager
def strict_fake_process() -> Iterator[StrictFakeProcess]:
    """Run a strict fake on a free port."""
    port = free_port()
    command = [sys.executable, "-m", "tests.store.strict_fake_server", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        one = StrictFakeProcess(port)
        _wait(one)
        yield one
    finally:
        process.terminate()
        process.wait()


def _wait(one: StrictFakeProcess, timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while True:
        try:
            one.figures()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
