from __future__ import annotations

import pytest

from amondawa.errors import BadRequest, LimitExceeded
from amondawa.protocols.patterns import Pattern


def test_a_pattern_is_found_anywhere_or_matches_the_whole() -> None:
    assert Pattern("b+").found_in("abbc")
    assert not Pattern("b+").matches("abbc")
    assert Pattern("a.*c").matches("abbc")


def test_what_is_no_pattern_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        Pattern("(a")


@pytest.mark.parametrize("text", ["(a|a)*b", "(a+)+$", "(.*a){20}"])
def test_a_pattern_that_runs_away_is_stopped(text: str) -> None:
    pattern = Pattern(text)
    try:
        assert not pattern.matches("a" * 40 + "!")  # an engine that is clever about this one may answer at once
    except LimitExceeded as error:
        assert text in str(error)
