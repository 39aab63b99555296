"""Tag values as keyed hashes."""

from __future__ import annotations

import pytest

from amondawa.auth.hashing import TagHasher
from amondawa.errors import BadRequest
from amondawa.model.query import Selection, TagFilter


def test_hashes_are_equal_for_equal_values_of_one_tag_and_key_only():
    one, other = TagHasher(frozenset({"user"}), b"1" * 32), TagHasher(frozenset({"user"}), b"2" * 32)
    assert one.hashed("user", "a") == one.hashed("user", "a")
    assert (
        len({one.hashed("user", "a"), one.hashed("mail", "a"), one.hashed("user", "b"), other.hashed("user", "a")}) == 4
    )
    assert one.hashed("user", one.hashed("user", "a")) == one.hashed("user", "a")


def test_only_chosen_tags_are_hashed_or_all():
    tags = (("host", "a"), ("user", "b"))
    chosen = dict(TagHasher(frozenset({"user"}), b"k").tags(tags))
    assert chosen["host"] == "a"
    assert chosen["user"] != "b"
    assert not {"a", "b"} & set(dict(TagHasher(frozenset({"*"}), b"k").tags(tags)).values())


def test_patterns_on_a_hashed_tag_are_refused_and_lists_are_not():
    hasher = TagHasher(frozenset({"user"}), b"k")
    with pytest.raises(BadRequest, match="hash"):
        hasher.selection(Selection("d", "m", (TagFilter("user", test=lambda _: True),)))
    kept = hasher.selection(Selection("d", "m", (TagFilter("user", frozenset("ab"), negate=True), TagFilter("user"))))
    assert kept.filters[0].values == {hasher.hashed("user", "a"), hasher.hashed("user", "b")}
    assert kept.filters[0].negate
    assert kept.filters[1] == TagFilter("user")
