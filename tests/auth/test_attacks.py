"""The table of attacks in docs/security.md is what the command prints."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.auth import attacks


def without_routes(table: str) -> str:
    """Leave out how many routes there are: every change of a dialect changes that, and the walks follow by themselves."""
    return re.sub(r"all \d+ routes", "all routes", table)


def test_the_page_has_the_counts_that_are_collected():
    made = without_routes(attacks.table(attacks.collected()))
    assert without_routes(attacks.written()) == made, "run `python -m tests.auth.attacks --write`"


def test_an_attack_that_no_test_tries_is_told():
    with pytest.raises(LookupError, match="no test begins with"):
        attacks.table(Counter())
