"""Retention: how long points are kept, by domain and metric. Pure; the clock is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import translate

FOR_EVER_MS = -(2**63)
"""the oldest time there is, in ms"""
_KNOWN = 65_536
_NONE: Mapping[str, int] = {}


class Retention:
    """The history, and shorter times for metrics whose names match a pattern and for domains; safe in any thread.

    Of several times the shortest counts.

    Args:
        history_s: how long all points are kept, 0 = for ever.
        rules: (pattern, seconds), see fnmatch; the first that matches a metric counts.
    """

    def __init__(self, history_s: int = 0, rules: Sequence[tuple[str, int]] = ()) -> None:
        self._history_ms = history_s * 1000
        self._rules = [(re.compile(translate(pattern)), seconds * 1000) for pattern, seconds in rules]
        self._known: dict[str, int] = {}
        self._shortest = min((kept for _, kept in self._rules), default=0)
        self._shortest_with: tuple[Mapping[str, int], int] = (_NONE, self._shortest)
        self.domains: Callable[[], Mapping[str, int]] = lambda: _NONE
        """returns the seconds that each domain keeps points which does not keep them as long as all others; the same mapping
        until anything changes"""

    @classmethod
    def parse(cls, history_s: int, text: str) -> Retention:
        """Return what a setting says: `PATTERN=SECONDS`, separated by commas."""
        entries = [entry.strip().rpartition("=") for entry in text.split(",") if entry.strip()]
        return cls(history_s, [(pattern, int(seconds)) for pattern, _, seconds in entries])

    @property
    def shortest_ms(self) -> int:
        """The shortest time of a rule or a domain, in ms; 0 = there is none."""
        domains = self.domains()
        seen, shortest = self._shortest_with
        if domains is not seen:
            times = [self._shortest, *(seconds * 1000 for seconds in domains.values())]
            shortest = min(filter(None, times), default=0)
            self._shortest_with = (domains, shortest)
        return shortest

    def by_rule_ms(self, domain: str, metric: str) -> int:
        """Return how long points of a metric are kept by a rule or by their domain, in ms; 0 = neither says."""
        own = self.domains().get(domain, 0) * 1000
        kept = self._of_metric_ms(metric) if self._rules else 0
        return min(own, kept) if own and kept else own or kept

    def _of_metric_ms(self, metric: str) -> int:
        kept = self._known.get(metric)
        if kept is None:
            kept = next((time_ms for pattern, time_ms in self._rules if pattern.match(metric)), 0)
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[metric] = kept
        return kept

    def oldest_ms(self, domain: str, metric: str, now_ms: int) -> int:
        """Return the time before which points of a metric are not kept, in ms since 1970."""
        times = [time_ms for time_ms in (self._history_ms, self.by_rule_ms(domain, metric)) if time_ms]
        return now_ms - min(times) if times else FOR_EVER_MS
