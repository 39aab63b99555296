import pytest

from amondawa.protocols.opentsdb.filters import (
    PATTERN_CHARS,
    BadFilter,
    TagVFilter,
    add_tags,
    make_filter,
    parse_tag_value,
)
from amondawa.protocols.opentsdb.uid import Uids
from tests.naive import NaiveGateway

HOSTS = ["web01", "web02", "Web03", "db01", "db02"]


def uids() -> Uids:
    return Uids(NaiveGateway(), "default")


def matching(kind: str, text: str) -> list[str]:
    """Return the hosts that a filter lets through."""
    lowered = make_filter(kind, "host", text).lower(uids())
    hits = []
    for host in HOSTS:
        hit = (lowered.values is None or host in lowered.values) and (lowered.test is None or lowered.test(host))
        if hit != lowered.negate:
            hits.append(host)
    return hits


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("", "a", "The filter type cannot be null or empty"),
        ("nosuch", "a", "Could not find a tag value filter of the type: nosuch"),
        ("not_key", "", "Could not find a tag value filter of the type: not_key"),
        ("wildcard", "", "Filter cannot be null or empty"),
        ("wildcard", "abc", "Filter must contain an asterisk"),
        ("literal_or", "|", "Filter must contain more than just a pipe"),
        ("regexp", "web0[12", "Unclosed character class near index 6\nweb0[12"),
        ("regexp", "a" * (PATTERN_CHARS + 1), "A regular expression may have 1000 characters"),
    ],
)
def test_filters_that_are_not_right_are_refused(kind: str, text: str, message: str):
    with pytest.raises(BadFilter) as refused:
        make_filter(kind, "host", text)
    assert message in str(refused.value)


def test_a_filter_needs_a_tag():
    with pytest.raises(BadFilter, match="tagk"):
        make_filter("wildcard", "", "*")


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("literal_or", "web01|db02", ["web01", "db02"]),
        ("literal_or", "WEB01|db02|", ["db02"]),
        ("iliteral_or", "WEB01|web03|DB01", ["web01", "Web03", "db01"]),
        ("not_literal_or", "web01|db02", ["web02", "Web03", "db01"]),
        ("not_iliteral_or", "WEB01|web03", ["web02", "db01", "db02"]),
        ("wildcard", "*", HOSTS),
        ("wildcard", "**", HOSTS),
        ("wildcard", "web*", ["web01", "web02"]),
        ("wildcard", "*2", ["web02", "db02"]),
        ("wildcard", "*0*", HOSTS),
        ("wildcard", "w*1", ["web01"]),
        ("iwildcard", "WEB*", ["web01", "web02", "Web03"]),
        ("regexp", "0[12]", ["web01", "web02", "db01", "db02"]),
        ("regexp", "^db.*$", ["db01", "db02"]),
        ("regexp", ".*", HOSTS),
    ],
)
def test_each_filter_lets_through(kind: str, text: str, expected: list[str]):
    assert matching(kind, text) == expected


@pytest.mark.parametrize(
    ("text", "kind", "argument"),
    [
        ("web01", "literal_or", "web01"),
        ("a|b", "literal_or", "a|b"),
        ("*", "wildcard", "*"),
        ("wildcard(*1)", "wildcard", "*1"),
        ("REGEXP(a(b))", "regexp", "a(b)"),
    ],
)
def test_a_tags_text_stands_for_a_filter(text: str, kind: str, argument: str):
    assert parse_tag_value("host", text) == TagVFilter(kind, "host", argument)


def test_a_bare_star_looks_away_from_case_and_is_shown_as_a_wildcard():
    bare = parse_tag_value("host", "web*")
    assert (bare.kind, bare.shown_kind) == ("iwildcard", "wildcard")
    assert parse_tag_value("host", "iwildcard(web*)").shown_kind == "iwildcard"


def test_a_function_must_end_with_its_parenthesis():
    with pytest.raises(BadFilter, match="must end with a"):
        parse_tag_value("host", "wildcard(*1")


def test_an_equal_grouping_filter_makes_the_first_one_group():
    filters: list[TagVFilter] = []
    add_tags(filters, [("host", "a|b")], group_by=False)
    add_tags(filters, [("host", "b|a"), ("dc", "*")], group_by=True)
    assert [(one.tag_name, one.group_by) for one in filters] == [("host", True), ("dc", True)]


def test_only_exact_literals_must_be_known():
    assert make_filter("literal_or", "host", "a|b").required_values() == ["a", "b"]
    assert make_filter("iliteral_or", "host", "a|b").required_values() == []
    many = "|".join(str(number) for number in range(5_000))
    assert make_filter("literal_or", "host", many).required_values() == []


async def test_filters_look_at_wire_names_and_read_stored_ones():
    known = uids()
    known.id_of("tagv", "old", create=True)
    known.id_of("tagk", "host", create=True)
    assert await known.rename("tagv", "old", "new")
    assert await known.rename("tagk", "host", "machine")
    lowered = make_filter("literal_or", "machine", "new").lower(known)
    assert (lowered.name, lowered.values) == ("host", frozenset({"old"}))
    lowered = make_filter("wildcard", "machine", "ne*").lower(known)
    assert lowered.test is not None and lowered.test("old")
