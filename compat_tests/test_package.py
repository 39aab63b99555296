"""The bundle for Elastic Beanstalk, unpacked and started by its own Procfile: a real process on the strict fake."""

from __future__ import annotations

import base64
import os
import re
import secrets
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.process import ROOT, Ports, ServerProcess
from compat_tests.strict_fake_process import StrictFakeProcess, strict_fake_process
from compat_tests.test_original_commands import written_and_read
from compat_tests.wire import call

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def fake() -> Iterator[StrictFakeProcess]:
    with strict_fake_process() as one:
        yield one


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return the directory that the bundle is unpacked in."""
    target = tmp_path / "amondawa.zip"
    own = {name: value for name, value in os.environ.items() if not name.startswith("AMDW_")}
    chosen = {"AMDW_TABLE_SPACE": "beanstalk", "AMDW_REGION": "eu-central-1"}
    command = [sys.executable, "-m", "amondawa", "package", "--output", str(target)]
    subprocess.run(command, cwd=ROOT, env={**own, **chosen}, check=True, capture_output=True, timeout=60)
    with zipfile.ZipFile(target) as packed:
        packed.extractall(tmp_path / "current")
    return tmp_path / "current"


class Deployed(ServerProcess):
    """The process that the Procfile of a bundle names, on the one port that the platform gives."""

    def __init__(self, bundle: Path, env: dict[str, str], port: int) -> None:
        super().__init__(bundle / "data", {**env, "PORT": str(port), "PATH": search_path()}, Ports(port, port, port, 0))
        self._bundle = bundle

    def _command(self) -> list[str]:
        (line,) = (self._bundle / "Procfile").read_text().splitlines()
        name, _, command = line.partition(": ")
        assert name == "web"
        return ["/bin/sh", "-c", f"exec {command}"]


def search_path() -> str:
    """Return a PATH on which `python` is the one with what requirements.txt names."""
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def properties(bundle: Path) -> dict[str, str]:
    """Return the environment that the bundle has the platform set."""
    text = (bundle / ".ebextensions" / "environment.config").read_text()
    return dict(re.findall(r"^ +(AMDW_\w+): (\S+)$", text, re.MULTILINE))


def test_the_unpacked_bundle_serves_on_the_platforms_port_once_there_is_a_key(
    bundle: Path, fake: StrictFakeProcess
) -> None:
    master = base64.b64encode(secrets.token_bytes(32)).decode()
    own = {**properties(bundle), **fake.settings, "AMDW_MASTER_KEY": master, "AMDW_DATA": str(bundle / "data")}
    assert (own["AMDW_TABLE_SPACE"], own["AMDW_REGION"]) == ("beanstalk", "eu-central-1")
    server = Deployed(bundle, own, Ports.free().http)
    assert server.start().wait_end() == 2
    assert "there are no access keys" in server.log_tail(1)
    command = [sys.executable, "-m", "amondawa", "ac", "--permission", "default:rw", "add"]
    told = subprocess.run(
        command, cwd=bundle, env={**os.environ, **own}, check=True, capture_output=True, text=True, timeout=60
    )
    key = ":".join(re.findall(r"key:? ([A-Za-z0-9]+)$", told.stdout, re.MULTILINE))
    try:
        server.start().wait_ready()
        assert call(server.http, "GET", "/health/ready").status == 200
        assert call(server.http, "GET", "/api/v1/metricnames").status == 401
        written_and_read(server, 1.5, key)
    finally:
        assert server.terminate() == 0
    written = fake.figures()["write_units"]
    assert all(table.startswith("beanstalk_") for table in written)
    assert written["beanstalk_journal"] > 0
