"""Replays everything that the real servers were heard to say on a gateway whose store is DynamoDB Local."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.dynamodb_local import CREDENTIALS, dynamodb_local, missing_tool
from compat_tests.process import ServerProcess
from compat_tests.test_replay import SETTINGS, SUITES, departures, load, replay

pytestmark = pytest.mark.dynamodb


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    reason = missing_tool()
    if reason is not None:
        pytest.skip(reason)
    with dynamodb_local() as url:
        own = {"AMDW_STORE": "dynamodb", "AMDW_DYNAMODB_ENDPOINT": url}
        one = ServerProcess(tmp_path_factory.mktemp("replay") / "data", {**SETTINGS, **CREDENTIALS, **own}).start()
        try:
            one.wait_ready()
            yield one
        finally:
            one.stop()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", SUITES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_suite_is_answered_as_recorded(server: ServerProcess, path: Path) -> None:
    suite = load(path)
    meant = {case for name, case in departures() if name == suite["suite"]}
    wrong = {case: text for case, text in replay(server, suite).items() if case not in meant}
    assert not wrong, "\n".join(line for text in wrong.values() for line in text[:5])
