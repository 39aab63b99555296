"""The policy in docs/iam.md allows the calls that the engine makes, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "iam.md").read_text()
PERMISSION = {"execute_statement": "PartiQLSelect"}
"""Calls whose permission has another name."""


def calls() -> set[str]:
    """Return the calls of boto3's client that the engine's sources name."""
    source = "".join(path.read_text() for path in (ROOT / "amondawa" / "store" / "dynamodb").glob("*.py"))
    return set(re.findall(r"client\.([a-z_]+)", source)) - {"close"}


def policy() -> list[dict[str, object]]:
    found = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    statements: list[dict[str, object]] = json.loads(found[1])["Statement"]
    return statements


def test_the_policy_allows_exactly_what_the_engine_calls() -> None:
    allowed: set[str] = set()
    for statement in policy():
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)  # type: ignore[call-overload]
    named = {PERMISSION.get(call) or "".join(word.title() for word in call.split("_")) for call in calls()}
    assert allowed == {f"dynamodb:{name}" for name in named}


def test_nothing_but_listing_reaches_beyond_the_table_space() -> None:
    for statement in policy():
        assert statement["Effect"] == "Allow"
        assert (statement["Resource"] == "*") == (statement["Action"] == "dynamodb:ListTables")
        assert statement["Resource"] == "*" or str(statement["Resource"]).endswith("table/amdw_*")
