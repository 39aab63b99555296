"""The documented policy allows what the engine calls and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
ENGINE = ROOT / "amondawa" / "store" / "dynamodb"
SPECIAL = {"execute_statement": "PartiQLSelect"}


def test_the_policy_allows_exactly_the_calls_that_are_made() -> None:
    page = (ROOT / "docs" / "dynamodb.md").read_text()
    policy = json.loads(page.partition("```json\n")[2].partition("```")[0])
    allowed: set[str] = set()
    for statement in policy["Statement"]:
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)
    source = "".join(path.read_text() for path in ENGINE.glob("*.py"))
    called = set(re.findall(r"_client\.([a-z_]+)", source)) - {"close"}
    named = {SPECIAL.get(call, "".join(map(str.title, call.split("_")))) for call in called}
    assert allowed == {f"dynamodb:{name}" for name in named}
