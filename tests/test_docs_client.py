"""Every command and every program of docs/client.md runs as written, with access keys and without."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.process import HOST, ROOT, ServerProcess

PAGE = (ROOT / "docs" / "client.md").read_text()
COMMANDS = [line.strip() for line in re.findall(r"^    (?:bin/|printf ).*\n", PAGE, re.MULTILINE)]
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module", params=["open", "keys"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the environment of a user of a running server: without keys, or with one for all that the page does."""
    folder = tmp_path_factory.mktemp("client")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AMDW_")}
    environment["PYTHONPATH"] = str(ROOT)
    rules = {"AMDW_ALLOW_ANONYMOUS": "*:rw"}
    if request.param == "keys":
        rules = {}
        made = subprocess.run(
            [sys.executable, "-m", "amondawa", "ac", "add", "--permission", "default:rw", "--permission", "copy:rw"],
            env={**environment, "AMDW_DATA": str(folder / "data")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert made.returncode == 0, made
        key = re.search(r"Added access key (\w{20})\nSecret access key: (\S+)", made.stdout)
        assert key is not None
        environment |= {"AMDW_KEY": key[1], "AMDW_SECRET": key[2]}
    server = ServerProcess(folder / "data", rules).start()
    try:
        server.wait_ready()
        yield {**environment, "AMDW_URL": f"http://{HOST}:{server.ports.http}", "HOME": str(folder)}
    finally:
        server.stop()


def test_the_page_shows_every_command_of_the_client() -> None:
    shown = {match for line in COMMANDS for match in re.findall(r"bin/amondawa (\w+)", line)}
    assert shown == {"write", "query", "names", "load", "export", "import"}


def test_the_commands_work_as_written_one_after_the_other(session: dict[str, str], tmp_path: Path) -> None:
    assert len(COMMANDS) == 18
    outputs = {}
    for command in COMMANDS:
        here = command.replace("bin/amondawa", f"{sys.executable} -m amondawa")
        done = subprocess.run(
            ["bash", "-c", here], env=session, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        outputs[command.removeprefix("bin/amondawa ")] = done.stdout
    assert outputs["names"].split()[-2:] == ["room.state", "room.temperature"]
    assert outputs["names values --tag room"] == "hall\n"
    table = outputs["query room.temperature --start 2023-11-14T22:00 --end 2023-11-14T23:00"]
    assert len(table.splitlines()) == 3
    assert {path.name for path in tmp_path.iterdir()} == {
        *("room.png", "points.json.gz", "rooms.csv", "kairosdb.json", "tsdb.txt", "rooms.parquet")
    }
    names = subprocess.run(
        [sys.executable, "-m", "amondawa", "names", "--domain", "copy", "--prefix", "room."],
        env=session,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert names.stdout.split() == ["room.state", "room.temperature"]


@pytest.mark.parametrize("number", range(3))
def test_the_programs_run_as_written(session: dict[str, str], number: int) -> None:
    assert len(PROGRAMS) == 3
    here = f'"{session["AMDW_URL"]}"'
    if "AMDW_KEY" in session:
        here += f', key="{session["AMDW_KEY"]}", secret="{session["AMDW_SECRET"]}"'
    program = PROGRAMS[number]
    if "Account" not in program:
        program = program.replace('"http://127.0.0.1:5000"', here)
    done = subprocess.run([sys.executable, "-c", program], env=session, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout
