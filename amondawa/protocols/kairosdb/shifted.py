"""Stages of another range of time than their query: an aggregator's start_time and end_time, a grouping's start_date."""

from __future__ import annotations

from dataclasses import dataclass

from amondawa.aggregate.group import PointGrouping
from amondawa.model.points import Int64s, Points
from amondawa.model.query import Clock, Stage
from amondawa.model.result import Frame


@dataclass(frozen=True, slots=True)
class ShiftedClock:
    """A clock of another range.

    Attributes:
        clock: the query's.
        start_ms, end_ms: the range, inclusive.
    """

    clock: Clock
    start_ms: int
    end_ms: int

    @classmethod
    def of(cls, clock: Clock, start_ms: int | None, end_ms: int | None) -> ShiftedClock:
        """Return a query's clock with another start or end, where they are said."""
        start_ms = clock.start_ms if start_ms is None else start_ms
        return cls(clock, start_ms, clock.end_ms if end_ms is None else end_ms)

    @property
    def now_ms(self) -> int:
        """The time at which the query began."""
        return self.clock.now_ms

    def check(self) -> None:
        """Raise Cancelled or LimitExceeded when the query must end."""
        self.clock.check()


@dataclass(frozen=True, slots=True)
class ShiftedStage:
    """An aggregator whose buckets count from its own start.

    Attributes:
        stage: the aggregator.
        start_ms, end_ms: its range; None = the query's.
    """

    stage: Stage
    start_ms: int | None
    end_ms: int | None

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return what the aggregator makes of the frames."""
        return self.stage.apply(frames, ShiftedClock.of(clock, self.start_ms, self.end_ms))


@dataclass(frozen=True, slots=True)
class ShiftedGrouping:
    """A grouping by ranges of time that count from its own start.

    Attributes:
        grouping: the grouping.
        start_ms: where it counts from.
    """

    grouping: PointGrouping
    start_ms: int

    def numbers(self, points: Points, clock: Clock) -> Int64s:
        """Return each point's group number, int64[n]."""
        return self.grouping.numbers(points, ShiftedClock.of(clock, self.start_ms, None))

    def describe(self, number: int) -> dict[str, object]:
        """Return the description of one group."""
        return self.grouping.describe(number)
