"""Series: what a run of data points belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Tags = tuple[tuple[str, str], ...]
"""Tag pairs sorted by name; names are unique."""

DEFAULT_DOMAIN = "default"


def sorted_tags(tags: Mapping[str, str] | Iterable[tuple[str, str]]) -> Tags:
    """Bring tags into their canonical order, by name."""
    return tuple(sorted(tags.items() if isinstance(tags, Mapping) else tags))


@dataclass(frozen=True, slots=True)
class Series:
    """One series: domain, metric and tags (sorted by name)."""

    domain: str
    metric: str
    tags: Tags

    @classmethod
    def of(cls, domain: str, metric: str, tags: Mapping[str, str]) -> Series:
        """Build a series from a mapping of tags in any order."""
        return cls(domain, metric, sorted_tags(tags))

    def tag(self, name: str) -> str | None:
        """Return the value of a tag, or None when the series lacks it."""
        for key, value in self.tags:
            if key == name:
                return value
        return None
