"""Queries: what to read and the stages to pass it through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from amondawa.model.result import Frame

MIN_TIME_MS = -(2**63)
MAX_TIME_MS = 2**63 - 1


class Identity(Enum):
    """When two stored points are the same point."""

    KIND = "kind"
    """series, time and kind (KairosDB: a long and a double at one time are two points)"""
    TIME = "time"
    """series and time: the one written last (OpenTSDB, native)"""


@dataclass(frozen=True, slots=True)
class TagFilter:
    """A condition on one tag; a series that lacks the tag never matches (unless `absent` asks for just that).

    Attributes:
        name: tag name.
        values: any of these values matches; None = decided by `test` alone.
        test: predicate on the value, called once per distinct value.
        negate: turn the outcome of values/test round (the tag must still exist).
        absent: match only series without the tag; values, test and negate are not looked at.
    """

    name: str
    values: frozenset[str] | None = None
    test: Callable[[str], bool] | None = None
    negate: bool = False
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series of one metric: all filters must match.

    Attributes:
        domain, metric: where to look.
        filters: conditions on tags.
        only_tags: when given, a series must have exactly these tag names (OpenTSDB explicitTags).
    """

    domain: str
    metric: str
    filters: tuple[TagFilter, ...] = ()
    only_tags: frozenset[str] | None = None


class Clock(Protocol):
    """What a stage may know of its query."""

    @property
    def start_ms(self) -> int:
        """The query's start, inclusive."""

    @property
    def end_ms(self) -> int:
        """The query's end, inclusive."""

    @property
    def now_ms(self) -> int:
        """The time at which the query began."""

    def check(self) -> None:
        """Raise Cancelled or LimitExceeded when the query must end; cheap, call it now and then."""


class Stage(Protocol):
    """One step between read series and answer: a pure function of frames with typed parameters."""

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return new frames; the given ones are not changed."""


@dataclass(frozen=True, slots=True)
class Query:
    """One selection, its time range and the stages that follow.

    Attributes:
        selection: which series.
        start_ms, end_ms: inclusive range to read.
        stages: applied in order; the first sees one frame per matching series that has points in range.
        limit: keep the first `limit` points of every series, in the asked order; 0 = all.
        descending: newest first.
        identity: when two points are one.
        clock_start_ms, clock_end_ms: the range that the stages see, when it differs from the range read.
    """

    selection: Selection
    start_ms: int
    end_ms: int
    stages: Sequence[Stage] = ()
    limit: int = 0
    descending: bool = False
    identity: Identity = Identity.TIME
    clock_start_ms: int | None = None
    clock_end_ms: int | None = None
