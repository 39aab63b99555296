"""`package`: the bundle that Elastic Beanstalk's Python platform takes, and its entry point."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import pytest

import application
from amondawa.cli import command_line
from amondawa.cli_package import ENVIRONMENT, ROOT, pinned_requirements
from amondawa.settings import Settings, read_settings, variable_of

PROCESS = re.compile(r"^[A-Za-z0-9_-]+:\s*[^\s].*$")
"""a line of a Procfile, as Elastic Beanstalk documents it"""


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.__dataclass_fields__:
        monkeypatch.delenv(variable_of(name), raising=False)


def packed(path: Path) -> zipfile.ZipFile:
    assert command_line(["package", "--output", str(path)]) == 0
    return zipfile.ZipFile(path)


def test_the_bundle_holds_what_the_platform_asks_for_at_its_top(tmp_path: Path) -> None:
    with packed(tmp_path / "a.zip") as bundle:
        names = bundle.namelist()
        assert bundle.testzip() is None
        assert len(names) == len(set(names))
        assert {"Procfile", "requirements.txt", "application.py", ".ebextensions/environment.config"} <= set(names)
        assert {"amondawa/cli.py", "amondawa/__main__.py", "config/configuration.py", "bin/configure"} <= set(names)
        assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", "tests", "data"))]
        lines = bundle.read("Procfile").decode().splitlines()
        assert [line.partition(":")[0] for line in lines if PROCESS.match(line)] == ["web"]
        assert bundle.getinfo("bin/configure").external_attr >> 16 & 0o111
        assert not bundle.getinfo("application.py").external_attr >> 16 & 0o111


def test_one_content_makes_one_bundle(tmp_path: Path) -> None:
    packed(tmp_path / "a.zip").close()
    packed(tmp_path / "b.zip").close()
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_every_requirement_is_pinned_to_what_runs_here(tmp_path: Path) -> None:
    with packed(tmp_path / "a.zip") as bundle:
        pins = bundle.read("requirements.txt").decode().splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==[^=\s]+", pin) for pin in pins)
    assert pins == sorted(pins) == pinned_requirements("amondawa")
    named = {re.split(r"[<>=!~;\[ ]", one)[0].lower() for one in requires("amondawa") or () if "extra ==" not in one}
    by_name = dict(pin.split("==") for pin in pins)
    assert named <= set(by_name)
    assert "botocore" in by_name  # what boto3 needs is pinned too
    assert not {"pytest", "amondawa"} & set(by_name)
    assert all(version(name) == by_name[name] for name in named)


def test_the_environment_names_table_space_region_and_health_check(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AMDW_TABLE_SPACE", "metrics")
    monkeypatch.setenv("AMDW_REGION", "eu-central-1")
    with packed(tmp_path / "a.zip") as bundle:
        text = bundle.read(".ebextensions/environment.config").decode()
    assert "    AMDW_TABLE_SPACE: metrics\n    AMDW_REGION: eu-central-1\n" in text
    assert "    HealthCheckPath: /health/ready\n" in text
    assert "AMDW_TABLE_SPACE: amdw\n" in (ROOT / ".ebextensions" / "environment.config").read_text()


def test_what_is_spooled_is_kept_outside_of_what_a_deployment_replaces() -> None:
    text = (ROOT / ENVIRONMENT).read_text()
    directory = re.findall(r"^ +AMDW_DATA: (/\S+)$", text, re.MULTILINE)[0]
    assert not directory.startswith("/var/app")
    assert re.search(rf"^ +command: install -d -o webapp .* {directory}$", text, re.MULTILINE)


def test_the_platforms_proxy_lets_through_what_the_gateway_takes_and_waits_for_its_longest_query(
    tmp_path: Path,
) -> None:
    with packed(tmp_path / "a.zip") as bundle:
        text = bundle.read(".platform/nginx/conf.d/amondawa.conf").decode()
    limits = dict(re.findall(r"^(\w+) (\d+)[ms];$", text, re.MULTILINE))
    assert int(limits["client_max_body_size"]) * 2**20 == Settings().body_limit_bytes
    assert int(limits["proxy_read_timeout"]) > Settings().query_seconds


def test_a_bundle_that_cannot_be_written_is_one_line_and_status_2(tmp_path: Path, capsys) -> None:
    assert command_line(["package", "--output", str(tmp_path / "none" / "a.zip")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_the_unpacked_bundle_runs_by_itself(tmp_path: Path) -> None:
    with packed(tmp_path / "a.zip") as bundle:
        bundle.extractall(tmp_path / "app")
    code = "import application, amondawa; print(amondawa.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "app", capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == str(tmp_path / "app" / "amondawa" / "__init__.py")


def test_the_entry_point_listens_where_the_platforms_proxy_asks_and_keeps_data_in_dynamodb() -> None:
    settings = read_settings({}, application.environment_of({"PORT": "8123"}))
    assert (settings.http_port, settings.bind, settings.store) == (8123, "0.0.0.0", "dynamodb")
    assert (settings.kairosdb_port, settings.opentsdb_port, settings.kairosdb_telnet_port) == (0, 0, 0)
    assert read_settings({}, application.environment_of({})).http_port == 8_000


def test_what_the_environment_says_wins_over_the_entry_points_own() -> None:
    settings = read_settings({}, application.environment_of({"AMDW_HTTP": "81", "AMDW_STORE": "sqlite", "PORT": "1"}))
    assert (settings.http_port, settings.store) == (81, "sqlite")
