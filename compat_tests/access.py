"""A gateway process with access keys, made by `bin/ac`'s command beside it."""

from __future__ import annotations

import base64
import subprocess
import sys
from typing import NamedTuple

from compat_tests.process import ROOT, ServerProcess
from compat_tests.wire import call, eventually


class AccessKey(NamedTuple):
    """An access key and its secret."""

    key: str
    secret: str

    @property
    def basic(self) -> dict[str, str]:
        """The header that carries it."""
        return {"Authorization": "Basic " + base64.b64encode(f"{self.key}:{self.secret}".encode()).decode()}


def ac(server: ServerProcess, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command on a server's store, whether the server runs or not."""
    command = [sys.executable, "-m", "amondawa", "ac", *arguments, "--data", str(server.data)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"} | server.env
    return subprocess.run(command, env=environment, input=answer, capture_output=True, text=True, timeout=60)


def add_key(server: ServerProcess, *permissions: str) -> AccessKey:
    """Make a key."""
    options = [part for permission in permissions for part in ("--permission", permission)]
    made = ac(server, "add", *options, answer="Y\n")
    assert made.returncode == 0, made
    lines = made.stdout.splitlines()[-2:]
    return AccessKey(lines[0].removeprefix("Added access key "), lines[1].removeprefix("Secret access key: "))


def wait_for(server: ServerProcess, key: AccessKey, status: int) -> None:
    """Wait until a running gateway answers a key's requests with a status."""

    def look() -> int:
        return call(server.kairosdb, "GET", "/api/v1/metricnames", headers=key.basic).status

    assert eventually(look, lambda seen: seen == status, 30.0) == status
