from __future__ import annotations

import pytest

from amondawa.protocols.kairosdb.java_hash import hash_code, hash_order


@pytest.mark.parametrize(
    ("text", "code"), [("", 0), ("a", 97), ("hello", 99162322), ("polygenelubricants", 0x80000000), ("😀", 1772899)]
)
def test_codes_are_those_of_java_strings(text: str, code: int) -> None:
    assert hash_code(text) == code


def test_small_sets_stand_in_the_order_of_four_slots() -> None:
    assert hash_order(["a", "b", "d"], 4) == ["d", "a", "b"]


def test_a_set_past_three_quarters_has_twice_the_slots() -> None:
    assert hash_order(["a", "b", "c", "d"], 4) == ["a", "b", "c", "d"]


def test_texts_of_one_slot_keep_their_order() -> None:
    assert hash_order(["e", "a"], 4) == ["e", "a"]
