"""`rollup-blocks`: what it does, asks, shows and refuses."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import numpy as np
import pytest

from amondawa.cli import command_line
from amondawa.gateway import Gateway
from amondawa.model.points import Kind, WriteBatch
from amondawa.model.query import Query, Selection
from amondawa.model.rollup import RollupUse
from amondawa.settings import Settings, variable_of
from amondawa.store.sqlite import SqliteStore

OLD_MS = 1_500_000_000_000
RULE = "m*=30d:1m"


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give the commands a directory with an hour of old points, one a second."""
    for name in Settings.__dataclass_fields__:
        monkeypatch.delenv(variable_of(name), raising=False)
    monkeypatch.setenv("AMDW_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("amondawa.telemetry.configure_logs", lambda _form: None)  # it would outlive the test
    asyncio.run(_write(tmp_path / "data"))
    return tmp_path / "data"


async def _write(directory: Path) -> None:
    store = SqliteStore(directory)
    store.open()
    gateway = await Gateway.start(Settings(), store)
    ref = gateway.resolve("default", "m", (("host", "a"),))
    times = OLD_MS + np.arange(0, 3_600_000, 1_000)
    values = np.random.default_rng(1).integers(0, 10_000, len(times))
    await gateway.write(
        WriteBatch(np.full(len(times), ref, np.int32), times, np.full(len(times), Kind.LONG, np.uint8), values)
    )
    await gateway.stop()


def use_of(directory: Path) -> RollupUse | None:
    """Return what a query of all points stands on."""

    async def ask() -> RollupUse | None:
        store = SqliteStore(directory)
        store.open()
        gateway = await Gateway.start(Settings(), store)
        query = Query(Selection("default", "m"), OLD_MS, OLD_MS + 3_600_000)
        use = await gateway.query([query], lambda results: results[0].rollup)
        await gateway.stop()
        return use

    return asyncio.run(ask())


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_points_are_kept_unless_a_rule_says_otherwise(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["rollup-blocks", "--rule", RULE]) == 0
    out = capsys.readouterr().out
    assert "1 rolled up" in out
    assert "points 3600 -> 3660" in out
    assert use_of(data) is None


def test_the_rules_of_the_environment_are_used(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMDW_ROLLUP", f"{RULE}:drop-raw")
    assert command_line(["rollup-blocks", "--yes"]) == 0
    assert use_of(data) == RollupUse((60_000,), exact=False)


@pytest.mark.parametrize(("text", "status"), [("Y\n", 0), ("y\n", 1), ("", 1)])
def test_points_go_only_with_consent(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, status: int
) -> None:
    answer(monkeypatch, text)
    assert command_line(["rollup-blocks", "--rule", RULE, "--drop-raw"]) == status
    out = capsys.readouterr().out
    assert "m*=2592000s:60s:drop-raw" in out
    assert ("points 3600 -> 60" in out) == (status == 0)
    assert (use_of(data) is None) == (status == 1)


def test_a_dry_run_asks_nothing_and_changes_nothing(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["rollup-blocks", "--rule", RULE, "--drop-raw", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "1 would be rolled up" in out
    assert "points 3600 -> 60" in out
    assert use_of(data) is None


def test_a_second_run_finds_nothing_to_do(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for expected in ("1 rows, 1 rolled up", "0 rows, 0 rolled up"):
        assert command_line(["rollup-blocks", "--rule", RULE, "--drop-raw", "--yes"]) == 0
        assert expected in capsys.readouterr().out
    assert command_line(["rollup-blocks", "--rule", RULE, "--drop-raw", "--yes", "--again"]) == 0
    assert "0 rolled up" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "there is no rule"),
        (["--rule", "m=30d"], "'m=30d'"),
        (["--rule", "m=30d:0s"], "'m=30d:0s'"),
        (["--rule", "m=30d:1m:drop"], "'m=30d:1m:drop'"),
        (["--rule", "=30d:1m"], "'=30d:1m'"),
        (["--rule", "m=30d:7m"], "must divide the row width"),
        (["--rule", RULE, "--store", "memory"], "no blocks to roll up"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line(["rollup-blocks", *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_directory_that_a_gateway_has_open_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = SqliteStore(data)
    store.open()
    assert command_line(["rollup-blocks", "--rule", RULE]) == 2
    assert "in use" in capsys.readouterr().err
    store.close()
