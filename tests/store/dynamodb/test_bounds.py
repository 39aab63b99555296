from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amondawa.store.base import Item
from amondawa.store.dynamodb.reader import Bounds

KEYS = st.one_of(
    st.binary(min_size=1, max_size=4), st.integers(1_020, 1_024).map(lambda n: b"k" * n), st.just(b"k" * 1_023 + b"\0")
)
BOUNDS = st.one_of(st.none(), st.binary(max_size=4), st.integers(1_020, 1_030).map(lambda n: b"k" * n))


@given(KEYS, BOUNDS, BOUNDS)
def test_what_dynamodb_lets_through_is_no_less_and_holds_keeps_the_rest(
    key: bytes, start: bytes | None, end: bytes | None
) -> None:
    bounds = Bounds(start, end)
    inside = (start is None or key >= start) and (end is None or key < end)
    if bounds.empty:
        assert not inside
        return
    let_through = (bounds.low is None or key >= bounds.low) and (bounds.high is None or key <= bounds.high)
    assert (let_through and bounds.holds(Item(b"h", key, b""))) is inside
    assert all(0 < len(bound) <= 1_024 for bound in bounds.values())
    assert len(bounds.values()) < 2 or bounds.values()[0] <= bounds.values()[1]
    assert bounds.condition("?", "?").count("?") == len(bounds.values())
