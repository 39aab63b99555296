"""Filters on tag values: their names, their texts, and what of the model they become.

Source: suite query_filters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from amondawa.errors import BadRequest
from amondawa.model.query import TagFilter
from amondawa.protocols.opentsdb.uid import Uids
from amondawa.protocols.patterns import Pattern

PATTERN_CHARS = 1_000
"""longest regular expression taken"""
LITERALS_RESOLVED = 4_096
"""a literal_or of more values does not insist that each is known"""

Test = Callable[[str], bool]


class BadFilter(ValueError):
    """A filter that is not right; the endpoint decides on the status."""


@dataclass(frozen=True, slots=True)
class TagVFilter:
    """One filter as asked for.

    Attributes:
        kind: its type name on the wire.
        tag_name: the tag it looks at (wire name).
        text: its argument.
        group_by: whether series are grouped by this tag.
        bare: it was written as a text with a star, without a type.
    """

    kind: str
    tag_name: str
    text: str
    group_by: bool = False
    bare: bool = False

    @property
    def shown_kind(self) -> str:
        """The type name that an echo of the query gives."""
        return "wildcard" if self.bare else self.kind

    @property
    def same_as(self) -> tuple[object, ...]:
        """What makes two filters equal: everything but the grouping, literals in any order."""
        literals: object = frozenset(literals_of(self.text)) if self.kind.endswith("literal_or") else self.text
        return (self.kind, self.tag_name, literals)

    def required_values(self) -> list[str]:
        """Return the tag values that must be known for the filter to be carried out."""
        if self.kind != "literal_or":
            return []
        literals = literals_of(self.text)
        return literals if len(literals) <= LITERALS_RESOLVED else []

    def hashed(self, uids: Uids) -> TagVFilter:
        """Return the filter with its literals as the domain keeps them."""
        if not self.kind.removeprefix("not_").startswith("literal_or"):
            return self
        values = [uids.hashed_value(self.tag_name, value) for value in literals_of(self.text)]
        return replace(self, text="|".join(values)) if values != literals_of(self.text) else self

    def lower(self, uids: Uids) -> TagFilter:
        """Return the condition on stored names."""
        name = uids.stored_name("tagk", self.tag_name)
        if self.kind == "literal_or":
            return TagFilter(name, frozenset(uids.stored_name("tagv", value) for value in literals_of(self.text)))
        negate = self.kind.startswith("not_")
        if self.kind == "not_literal_or":
            values = frozenset(uids.stored_name("tagv", value) for value in literals_of(self.text))
            return TagFilter(name, values, negate=True)
        test = _TESTS[self.kind](self.text)
        if test is not None and uids.renamed:
            test = _on_wire_names(test, uids)
        return TagFilter(name, test=test, negate=negate)


def literals_of(text: str) -> list[str]:
    """Split an alternative of literals, without empty ones at the end (as Java's split)."""
    return list(dict.fromkeys(text.rstrip("|").split("|")))


def _on_wire_names(test: Test, uids: Uids) -> Test:
    return lambda value: test(uids.wire_name("tagv", value))


def _literal_test(text: str) -> Test:
    wanted = frozenset(value.lower() for value in literals_of(text))
    return lambda value: value.lower() in wanted


def _wildcard_test(text: str) -> Test | None:
    """Match parts in order; only a lone star at one end ties the other end down, as in OpenTSDB."""
    parts = text.strip("*").split("*")
    if parts == [""]:
        return None
    open_start, open_end = text.startswith("*"), text.endswith("*")

    def matches(value: str) -> bool:
        if open_start and not open_end and not value.endswith(parts[-1]):
            return False
        if open_end and not open_start and not value.startswith(parts[0]):
            return False
        at = 0
        for part in parts:
            if value.find(part, at) < 0:
                return False
            at += len(part)
        return True

    return matches


def _iwildcard_test(text: str) -> Test | None:
    test = _wildcard_test(text.lower())
    return None if test is None else lambda value: test(value.lower())


def _regexp_test(text: str) -> Test | None:
    pattern = text.strip()
    if pattern in ("", ".*", "^.*", ".*$", "^.*$"):
        return None
    return Pattern(pattern).found_in


_TESTS: Mapping[str, Callable[[str], Test | None]] = {
    "iliteral_or": _literal_test,
    "not_iliteral_or": _literal_test,
    "wildcard": _wildcard_test,
    "iwildcard": _iwildcard_test,
    "regexp": _regexp_test,
}

KINDS = ("regexp", "iwildcard", "iliteral_or", "not_iliteral_or", "not_literal_or", "literal_or", "wildcard")
"""the filters in effect, as /api/config/filters lists them"""


def make_filter(kind: str | None, tag_name: str | None, text: str | None, group_by: bool = False) -> TagVFilter:
    """Check a filter and build it.

    Raises:
        BadFilter: unknown type, or a text that the type cannot use.
    """
    if not kind:
        raise BadFilter("The filter type cannot be null or empty")
    if not tag_name:
        raise BadFilter("The tagk cannot be null or empty")
    if kind not in KINDS:
        raise BadFilter(f"Could not find a tag value filter of the type: {kind}")
    if not text:
        raise BadFilter("Filter cannot be null or empty")
    _check_text(kind, text)
    return TagVFilter(kind, tag_name, text, group_by)


def _check_text(kind: str, text: str) -> None:
    if kind.endswith("literal_or") and not text.strip("|"):
        raise BadFilter("Filter must contain more than just a pipe")
    if kind.endswith("wildcard") and "*" not in text:
        raise BadFilter("Filter must contain an asterisk")
    if kind == "regexp":
        if len(text) > PATTERN_CHARS:
            raise BadFilter(f"A regular expression may have {PATTERN_CHARS} characters, this has {len(text)}")
        try:
            Pattern(text.strip())
        except BadRequest as error:
            raise BadFilter(str(error)) from error


def parse_tag_value(tag_name: str, text: str) -> TagVFilter:
    """Build the filter that a tag's text stands for: a function, a text with a star, or alternatives of literals.

    Raises:
        BadFilter: the text is not right.
    """
    if not tag_name:
        raise BadFilter("Tagk cannot be null or empty")
    if not text:
        raise BadFilter("Filter cannot be null or empty")
    if text == "*":
        return make_filter("wildcard", tag_name, text)
    kind, paren, rest = text.partition("(")
    if paren:
        if not rest.endswith(")"):
            raise BadFilter(f"Filter must end with a ')': {text}")
        return make_filter(kind.lower(), tag_name, rest[:-1])
    if "*" in text:
        # A bare text with a star looks away from case, a `wildcard(...)` does not.
        return replace(make_filter("iwildcard", tag_name, text), bare=True)
    return make_filter("literal_or", tag_name, text)


def add_tags(filters: list[TagVFilter], tags: Iterable[tuple[str, str]], group_by: bool) -> None:
    """Add the filters of name-text pairs; a grouping one equal to an existing one makes that one group.

    Raises:
        BadFilter: a text is not right.
    """
    for tag_name, text in tags:
        made = replace(parse_tag_value(tag_name, text), group_by=group_by)
        twin = next((i for i, one in enumerate(filters) if group_by and one.same_as == made.same_as), None)
        if twin is None:
            filters.append(made)
        else:
            filters[twin] = replace(filters[twin], group_by=True)
