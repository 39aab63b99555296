"""Bodies whose signature can only be checked with the whole of them."""

from __future__ import annotations

import pytest

from amondawa.auth.unproven import MOST_AT_ONCE, SMALL_BYTES, UnprovenBodies
from amondawa.errors import Overloaded

LARGEST = 1_000_000


@pytest.mark.parametrize("announced", [LARGEST, None, LARGEST * 50, SMALL_BYTES + 1])
def test_past_the_most_a_large_body_is_sent_away_and_a_small_one_is_not(announced: int | None):
    bodies = UnprovenBodies(LARGEST)
    held = [bodies.counted(LARGEST) for _ in range(MOST_AT_ONCE)]
    for one in held:
        one.__enter__()
    with pytest.raises(Overloaded, match="X-Amz-Content-SHA256"), bodies.counted(announced):
        pass
    with bodies.counted(SMALL_BYTES), bodies.counted(0):
        pass
    held[0].__exit__(None, None, None)
    with bodies.counted(announced):
        pass


def test_a_body_counts_no_more_when_it_was_refused():
    bodies = UnprovenBodies(LARGEST)
    for _ in range(MOST_AT_ONCE + 1):
        with pytest.raises(ValueError, match="wrong"), bodies.counted(LARGEST):
            raise ValueError("wrong")
    with bodies.counted(LARGEST):
        pass
