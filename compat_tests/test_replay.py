"""Replays everything that the real servers were heard to say: one test a suite, on one running server.

What differs on purpose is listed, with its reason, in departures.toml, under the name of its dialect:

    [[kairosdb]]
    suite = "kairosdb/http"
    case = "name of the case"
    reason = "why it is better so"
"""

import importlib.util
import json
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from compat_tests.process import HOST, ServerProcess

HERE = Path(__file__).resolve().parent
CONFORMANCE = HERE / "conformance"
DEPARTURES = HERE / "departures.toml"
MOST_DEPARTURES = {"kairosdb": 20, "opentsdb": 25}
SUITES = sorted(path for path in CONFORMANCE.glob("*/*.json"))
SETTINGS = {
    "AMDW_OPENTSDB_ALLOW_DELETE": "true",
    "AMDW_OPENTSDB_CORS_DOMAINS": "http://app.example.com,http://other.example.com",
    "AMDW_OPENTSDB_HISTOGRAMS": "42:SimpleHistogramDecoder",
}
JOBS = 8


def load_replay() -> ModuleType:
    """Load the replay program that stands beside the recordings."""
    spec = importlib.util.spec_from_file_location("conformance_replay", CONFORMANCE / "replay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def departures() -> dict[tuple[str, str], str]:
    """Return the reason of each departure by (suite, case)."""
    if not DEPARTURES.exists():
        return {}
    listed = tomllib.loads(DEPARTURES.read_text())
    assert listed.keys() <= MOST_DEPARTURES.keys()
    entries = [(dialect, entry) for dialect, group in listed.items() for entry in group]
    assert all(entry["suite"].startswith(dialect + "/") for dialect, entry in entries)
    return {(entry["suite"], entry["case"]): entry["reason"] for _, entry in entries}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    one = ServerProcess(tmp_path_factory.mktemp("replay") / "data", SETTINGS).start()
    try:
        one.wait_ready()
        yield one
    finally:
        one.stop()


def replay(server: ServerProcess, suite: dict[str, Any]) -> dict[str, list[str]]:
    """Replay a suite; return the differences of the cases that failed."""
    module = load_replay()
    dialect = suite["suite"].split("/")[0]
    http = server.kairosdb if dialect == "kairosdb" else server.opentsdb
    telnet = server.kairosdb_telnet if dialect == "kairosdb" else server.opentsdb
    target = module.Server(f"http://{HOST}:{http[1]}", telnet, "", {})
    with ThreadPoolExecutor(JOBS) as pool:
        outcomes = pool.map(lambda case: module.run_case(target, suite["suite"], case), suite["cases"])
        pairs = zip(suite["cases"], outcomes, strict=True)
        return {case["name"]: [outcome[0], *outcome[1]] for case, outcome in pairs if outcome}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", SUITES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_suite_is_answered_as_recorded(server: ServerProcess, path: Path, capsys: pytest.CaptureFixture[str]):
    suite = json.loads(path.read_text())
    failed = replay(server, suite)
    meant = {case for name, case in departures() if name == suite["suite"]}
    with capsys.disabled():
        print(f"\n{suite['suite']}: {len(suite['cases']) - len(failed)} of {len(suite['cases'])}", end="")
        for case in sorted(meant - failed.keys()):
            print(f"\n  {case} is listed as a departure and passes", end="")
    wrong = {case: text for case, text in failed.items() if case not in meant}
    assert not wrong, "\n".join(line for text in wrong.values() for line in text[:5])


def test_departures_name_recorded_cases_and_give_reasons():
    cases = {(suite["suite"], case["name"]) for suite in map(load, SUITES) for case in suite["cases"]}
    listed = departures()
    assert listed.keys() <= cases
    assert all(len(reason) > 20 for reason in listed.values())


@pytest.mark.parametrize("dialect", MOST_DEPARTURES)
def test_departures_are_few(dialect: str):
    assert sum(suite.startswith(dialect + "/") for suite, _ in departures()) <= MOST_DEPARTURES[dialect]


def load(path: Path) -> dict[str, Any]:
    """Return a suite."""
    suite: dict[str, Any] = json.loads(path.read_text())
    return suite
