"""What the documentation shows exists and runs."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from amondawa.cli import amondawa
from amondawa.cli_serve import serve
from amondawa.protocols.base import Scope
from amondawa.protocols.native.routes import application
from amondawa.settings import CLIENT_VARIABLES, SECRET_VARIABLES, Settings, variable_of
from compat_tests.process import HOST, ServerProcess
from tests.naive import NaiveGateway

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text()
SETTINGS_PAGE = (ROOT / "docs" / "settings.md").read_text()
STANDARD_PORTS = {5000: "http", 8080: "kairosdb", 4242: "opentsdb", 4243: "kairosdb_telnet"}


def shown(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else ""


def table_rows(page: str) -> dict[str, list[str]]:
    """Return the rows of a page's tables by the code in their first cell."""
    rows = [line.strip().strip("|").split("|") for line in page.splitlines() if line.startswith("| `")]
    return {row[0].strip().strip("`"): [cell.strip() for cell in row] for row in rows}


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_is_documented_with_its_default(field):
    row = table_rows(SETTINGS_PAGE)[variable_of(field.name)]
    assert row[2] == shown(field.default)
    assert row[3]


def test_no_setting_is_documented_that_does_not_exist():
    known = {variable_of(field.name) for field in fields(Settings)}
    assert set(table_rows(SETTINGS_PAGE)) == known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_that_a_page_names_exists(page: Path):
    known = {*(variable_of(field.name) for field in fields(Settings)), *SECRET_VARIABLES, *CLIENT_VARIABLES}
    assert set(re.findall(r"AMDW_[A-Z_]*[A-Z]", page.read_text())) <= known


def test_every_option_of_the_command_is_in_the_readme_with_its_variable_and_default():
    rows = {key.split()[0]: row for key, row in table_rows(README).items() if key.startswith("--")}
    options = {option: parameter.name for parameter in serve.params for option in parameter.opts}
    assert set(rows) == set(options)
    for option, name in options.items():
        assert rows[option][1] == f"`{variable_of(name)}`"
        assert rows[option][2] == shown(getattr(Settings(), name))
        assert f"`{option}`" in table_rows(SETTINGS_PAGE)[variable_of(name)][1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_file_that_a_page_names_exists(page: Path):
    text = page.read_text()
    for name in re.findall(r"(?<!venv/)\bbin/([a-z_]+)", text):
        assert os.access(ROOT / "bin" / name, os.X_OK), name
    for command in re.findall(r"bin/amondawa ([a-z][a-z_-]*)", text):
        assert command in amondawa.commands
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target


def test_the_readme_begins_with_exactly_two_commands():
    first_block = re.search(r"(?:^    .*\n)+", README, re.MULTILINE)
    assert first_block is not None
    assert [line.split()[0] for line in first_block[0].splitlines()] == ["bin/serve", "bin/test"]


def test_every_route_of_the_native_api_is_documented():
    page = (ROOT / "docs" / "native.md").read_text()
    app = application(Scope(NaiveGateway(), Settings()))
    routes = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    assert len(routes) >= 11
    for method, path in routes:
        assert f"`{method} {path.removesuffix('{slash}')}" in page


# the readme's own session, against a real process ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    one = ServerProcess(tmp_path_factory.mktemp("readme") / "data").start()
    try:
        one.wait_ready()
        yield one
    finally:
        one.stop()


def readme_commands(server: ServerProcess) -> list[str]:
    """Return the readme's shell commands, their ports replaced by the process's."""
    blocks = re.findall(r"(?:^    .*\n)+", README, re.MULTILINE)
    script = "".join(block for block in blocks if "curl" in block or "/dev/tcp" in block)
    here = {str(standard): str(getattr(server.ports, name)) for standard, name in STANDARD_PORTS.items()}
    script = re.sub(rf"{HOST}([:/])(\d+)", lambda found: f"{HOST}{found[1]}{here[found[2]]}", script)
    lines = [line.removeprefix("    ") for line in script.splitlines()]
    return re.split(r"\n(?=curl|printf)", "\n".join(lines))


@pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("bash") is None, reason="the readme shows curl and bash"
)
def test_the_readmes_first_writes_and_queries_work_as_written(server: ServerProcess):
    answers = []
    for command in readme_commands(server):
        checked = command.replace("curl ", "curl -sS --fail-with-body ", 1)
        done = subprocess.run(["bash", "-c", checked], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        answers.append(done.stdout)
    assert len(answers) == 8
    kairosdb, opentsdb, native = (answer for answer in answers if answer)
    assert "[[1700000000000,20.5],[1700000060000,21]]" in kairosdb
    assert '"1700000120":21.5' in opentsdb
    assert '"values":[[1700000000000' in native or '"values":[[1699999980000' in native
