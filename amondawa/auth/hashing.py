"""Tag values as keyed hashes: HMAC-SHA256 under the domain's own key. Equal values stay equal and say nothing else."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable
from functools import lru_cache

from amondawa.auth.domains import ALL_TAGS
from amondawa.errors import BadRequest
from amondawa.model.query import Selection, TagFilter
from amondawa.model.series import Tags

PREFIX = "h_"
_DIGEST_BYTES = 24
_HASHED = re.compile(r"h_[A-Za-z0-9_-]{32}")


class TagHasher:
    """Hashes what one domain wants hashed.

    Args:
        names: names of the tags; `*` = all.
        key: of the domain, 32 bytes.
    """

    def __init__(self, names: frozenset[str], key: bytes) -> None:
        self._names = names
        self._all = ALL_TAGS in names
        self._digest = lru_cache(maxsize=65_536)(lambda name, value: _digest(key, name, value))

    def covers(self, name: str) -> bool:
        """Say whether a tag is kept as a hash."""
        return self._all or name in self._names

    def hashed(self, name: str, value: str) -> str:
        """Return the hash of a value; what is a hash already stays as it is, so that answers can be asked about."""
        return value if is_hash(value) else self._digest(name, value)

    def clear_values(self, tags: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Return the clear values among some tags that are kept as hashes, by their hashes."""
        named = [(name, value) for name, value in tags if self.covers(name) and not is_hash(value)]
        return {self.hashed(name, value): value for name, value in named}

    def tags(self, tags: Tags) -> Tags:
        """Return tags as they are stored."""
        return tuple((name, self.hashed(name, value) if self.covers(name) else value) for name, value in tags)

    def selection(self, selection: Selection) -> Selection:
        """Return a selection that finds what is stored.

        Raises:
            BadRequest: a pattern on a hashed tag: only whole values can be compared.
        """
        filters = tuple(self._filter(one) for one in selection.filters)
        return Selection(selection.domain, selection.metric, filters, selection.only_tags)

    def _filter(self, one: TagFilter) -> TagFilter:
        if one.absent or not self.covers(one.name):
            return one
        if one.test is not None:
            raise BadRequest(
                f"tag {one.name} is kept as a hash in this domain: it can be compared with whole values and lists of them, "
                "not with wildcards, regular expressions or without regard to case",
                field="tags",
                value=one.name,
            )
        if one.values is None:
            return one
        return TagFilter(one.name, frozenset(self.hashed(one.name, value) for value in one.values), None, one.negate)


def is_hash(value: str) -> bool:
    """Say whether a tag value looks like a hash."""
    return _HASHED.fullmatch(value) is not None


def _digest(key: bytes, name: str, value: str) -> str:
    raw = hmac.digest(key, name.encode() + b"\0" + value.encode("utf-8", "surrogateescape"), "sha256")
    return PREFIX + base64.urlsafe_b64encode(raw[:_DIGEST_BYTES]).decode()
