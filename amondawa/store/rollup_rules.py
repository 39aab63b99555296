"""Rules of roll-up: which metrics' old points are put together, when, and by what interval. Pure; the clock is given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate

from amondawa.errors import ConfigError
from amondawa.store.blocks import Block

DROP_RAW = "drop-raw"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_TIME = re.compile(r"(\d{1,10})([smhdw]?)", re.ASCII)
_KNOWN = 65_536


@dataclass(frozen=True, slots=True)
class RollupRule:
    """One rule.

    Attributes:
        pattern: names of metrics, see fnmatch.
        older_s: how long a block must have ended.
        step_s: length of an interval.
        drop_raw: the points that are put together are removed.
    """

    pattern: str
    older_s: int
    step_s: int
    drop_raw: bool = False

    def __str__(self) -> str:
        return f"{self.pattern}={self.older_s}s:{self.step_s}s" + (f":{DROP_RAW}" if self.drop_raw else "")

    def is_due(self, block: Block, now_s: int) -> bool:
        """Say whether a block is old enough."""
        return block.end_s + self.older_s <= now_s


class RollupRules:
    """Rules in their order: of several that match a metric the first counts; safe in any thread."""

    def __init__(self, rules: Sequence[RollupRule] = ()) -> None:
        self.rules = tuple(rules)
        self._compiled = [(re.compile(translate(rule.pattern)), rule) for rule in self.rules]
        self._known: dict[str, RollupRule | None] = {}

    def __bool__(self) -> bool:
        return bool(self.rules)

    def __str__(self) -> str:
        return ",".join(map(str, self.rules))

    @classmethod
    def parse(cls, text: str, row_s: int = 0) -> RollupRules:
        """Return what a setting says: `PATTERN=AGE:INTERVAL`, separated by commas, with `:drop-raw` or without.

        Args:
            text: times are numbers with s, m, h, d or w behind them (none = seconds).
            row_s: width of a row, which intervals must divide; 0 = not known here.

        Raises:
            ConfigError: naming the rule that is not right.
        """
        return cls([_parse_rule(entry.strip(), row_s) for entry in text.split(",") if entry.strip()])

    def of(self, metric: str) -> RollupRule | None:
        """Return the rule of a metric; None = it is left as it is."""
        if metric not in self._known:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[metric] = next((rule for regex, rule in self._compiled if regex.match(metric)), None)
        return self._known[metric]

    def due(self, block: Block, now_s: int) -> list[RollupRule]:
        """Return the rules that a block is old enough for."""
        return [rule for rule in self.rules if rule.is_due(block, now_s)]

    def new(self, block: Block, now_s: int) -> list[RollupRule]:
        """Return the rules that a block is old enough for and was not yet rolled up by."""
        due = self.due(block, now_s)
        if block.rollup != str(self) or not block.rolled_s:
            return due
        return [rule for rule in due if not rule.is_due(block, block.rolled_s)]

    @property
    def keep_raw(self) -> bool:
        """Whether some rule keeps the points beside what they were put together to."""
        return any(not rule.drop_raw for rule in self.rules)


def _parse_rule(entry: str, row_s: int) -> RollupRule:
    pattern, _, rest = entry.rpartition("=")
    age, _, more = rest.partition(":")
    interval, colon, keep = more.partition(":")
    older_s, step_s = _seconds(age), _seconds(interval)
    if not pattern or older_s is None or not step_s or (colon and keep != DROP_RAW):
        raise ConfigError(
            f"a rule of roll-up must be PATTERN=AGE:INTERVAL or PATTERN=AGE:INTERVAL:{DROP_RAW}, not {entry!r}"
        )
    if row_s and row_s % step_s:
        raise ConfigError(f"the interval of the rule of roll-up {entry!r} must divide the row width, {row_s} seconds")
    return RollupRule(pattern, older_s, step_s, bool(colon))


def _seconds(text: str) -> int | None:
    found = _TIME.fullmatch(text.strip())
    return int(found[1]) * _UNITS[found[2]] if found else None
