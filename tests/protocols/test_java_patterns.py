"""Patterns mean what they mean in Java, and are refused in Java's words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.errors import BadRequest
from amondawa.protocols.java_patterns import BadPattern, translate
from amondawa.protocols.patterns import Pattern


@pytest.mark.parametrize(
    ("pattern", "found", "missed"),
    [
        ("web0[12]", "web01", "web03"),
        ("^(?:web|db)\\d{2,}$", "web12", "web1"),
        ("^a|b$", "b", "c"),
        ("^[a-z0-9_.:/-]+$", "a:b", "A"),
        (r"\p{Alpha}", "a", "é"),
        (r"^\P{Alpha}$", "1", "a"),
        (r"\p{Lu}", "É", "é"),
        (r"\pL", "é", "1"),
        (r"\p{IsGreek}", "α", "a"),
        (r"^\w+$", "ab_9", "é"),
        (r"[\d\-x]", "-", "y"),
        (r"[^\d]", "a", "1"),
        (r"^\S$", "é", " "),
        (r"^\h$", "\t", "x"),
        ("a(?i)b", "aB", "AB"),
        ("(?i:A)b", "ab", "aB"),
        ("(?d)a", "a", "b"),
        ("^a++b", "aab", "b"),
        ("^a{2}?$", "aa", "a"),
        (r"(?<n>a)\k<n>", "aa", "ab"),
        (r"(a|b)\1", "bb", "ab"),
        ("[a-z&&[^b]]", "c", "b"),
        ("[a[bc]]", "b", "d"),
        ("[[:x]]", ":", "y"),
        ("^[]a]$", "]", "b"),
        ("[a--b]", "-", "z"),
        ("[a|b~~]", "~", "c"),
        ("^[&]$", "&", "a"),
        (r"^\Qa.b\E$", "a.b", "axb"),
        (r"[\Q^-]\E]", "]", "_"),
        (r"^\x{41}\u0042\0103\x44$", "ABCD", "A"),
        (r"^\cA\e\t$", "\x01\x1b\t", "A"),
        (r"a\z", "ba", "ab"),
        (r"\bfoo\b", "x foo", "xfoo"),
    ],
)
def test_a_pattern_means_what_it_means_in_java(pattern: str, found: str, missed: str):
    assert Pattern(pattern).found_in(found)
    assert not Pattern(pattern).found_in(missed)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("[", "Unclosed character class near index 0\n[\n^"),
        ("[abc", "Unclosed character class near index 3\n[abc\n   ^"),
        ("*a", "Dangling meta character '*' near index 0\n*a\n^"),
        ("a|+", "Dangling meta character '+' near index 2\na|+\n  ^"),
        ("a**", "Dangling meta character '*' near index 2\na**\n  ^"),
        ("(abc", "Unclosed group near index 4\n(abc\n    ^"),
        (")", "Unmatched closing ')'\n)"),
        ("{a}", "Illegal repetition\n{a}"),
        ("x{,3}", "Illegal repetition near index 0\nx{,3}\n^"),
        ("a{2", "Unclosed counted closure near index 3\na{2\n   ^"),
        ("a{2,1}", "Illegal repetition range near index 5\na{2,1}\n     ^"),
        ("\\", "Unexpected internal error near index 1\n\\\n ^"),
        (r"\y", "Illegal/unsupported escape sequence near index 1\n\\y\n ^"),
        (r"\p{Foo}", "Unknown character property name {Foo} near index 6\n\\p{Foo}\n      ^"),
        (r"\p", "Unclosed character family near index 1\n\\p\n ^"),
        (r"\x4", "Illegal hexadecimal escape sequence near index 2\n\\x4\n  ^"),
        (r"\k", "\\k is not followed by '<' for named capturing group near index 1\n\\k\n ^"),
        ("(?z)", "Unknown inline modifier near index 2\n(?z)\n  ^"),
        ("(?<1>a)", "Unknown look-behind group near index 3\n(?<1>a)\n   ^"),
    ],
)
def test_a_bad_pattern_is_refused_in_the_words_of_java(pattern: str, text: str):
    with pytest.raises(BadPattern) as caught:
        translate(pattern)
    assert caught.value.message == text


@pytest.mark.parametrize("pattern", ["(?:foo){e<=1}", "(?R)", "(?P<a>b)", r"\L<names>", r"\m", "(?|a|b)", "(*FAIL)"])
def test_what_only_the_module_understands_is_refused(pattern: str):
    with pytest.raises(BadPattern):
        Pattern(pattern)


@settings(deadline=None)
@given(st.text("abz09 .^$|?*+()[]{}\\-&,:=!<>iQEdpPLxuk1", max_size=12))
def test_any_text_is_a_pattern_or_refused(text: str):
    try:
        Pattern(text).found_in("ab0 9")
    except BadRequest as error:
        assert error.message
