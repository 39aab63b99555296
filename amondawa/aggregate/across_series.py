"""Stages of the style "each series on its own, then groups of them combined": clean, rate, group, keep the range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amondawa.aggregate.combine import COMBINATIONS, combine
from amondawa.aggregate.counter import CounterRules, rates
from amondawa.errors import BadRequest
from amondawa.model.points import Kind, Points
from amondawa.model.query import Clock
from amondawa.model.result import Frame
from amondawa.model.series import Series

SortKey = Callable[[Series], Any]
"""a series' place in an order; keys of one stage compare with one another"""


def kept(points: Points, *kinds: Kind) -> Points:
    """Keep the points of some kinds."""
    if len(points) == 0 or (points.kinds.strides == (0,) and int(points.kinds[0]) in kinds):
        return points
    mask = points.kinds == kinds[0]
    for kind in kinds[1:]:
        mask |= points.kinds == kind
    return points if mask.all() else points.take(mask)


@dataclass(frozen=True, slots=True)
class OnlyKinds:
    """Drop points of other kinds, and frames that have none of these.

    Attributes:
        kinds: the kinds to keep.
    """

    kinds: tuple[Kind, ...] = (Kind.LONG, Kind.DOUBLE)

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return frames of these kinds only."""
        out = []
        for frame in frames:
            points = kept(frame.points, *self.kinds)
            if len(points):
                out.append(frame if points is frame.points else frame.with_points(points))
        return out


@dataclass(frozen=True, slots=True)
class BegunBy:
    """Drop frames that have no point up to a moment.

    Attributes:
        last_ms: the moment, inclusive.
    """

    last_ms: int

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames that begin by then."""
        return [frame for frame in frames if len(frame.points) and int(frame.points.times_ms[0]) <= self.last_ms]


@dataclass(frozen=True, slots=True)
class KeepUntil:
    """Keep the points up to a moment; frames stay, even empty.

    Attributes:
        last_ms: the moment, inclusive.
    """

    last_ms: int

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames cut there."""
        return [frame.with_points(frame.points.between(0, self.last_ms)) for frame in frames]


@dataclass(frozen=True, slots=True)
class RateSeries:
    """Replace the stream of every frame by its rates, the first one against 0 at time 0 (see `counter.rates`).

    Attributes:
        rules: how a falling value is understood.
    """

    rules: CounterRules

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return frames of doubles."""
        clock.check()
        return [frame.with_points(rates(frame.points, self.rules)) for frame in frames]


@dataclass(frozen=True, slots=True)
class CombineGroups:
    """Group frames and combine each group into one stream.

    Attributes:
        aggregator: name of the combination, see `combine.COMBINATIONS`.
        order: order of the members inside a group; also of the groups when `group` is None.
        group: what series of one group share and groups are ordered by; None = every series is a group.
        held: the streams are rates (see `combine.combine`).
    """

    aggregator: str
    order: SortKey
    group: SortKey | None = None
    held: bool = False

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return one frame a group.

        Raises:
            BadRequest: no such aggregator.
        """
        how = COMBINATIONS.find(self.aggregator)
        if how is None:
            raise BadRequest(f"no such aggregator: {self.aggregator}", value=self.aggregator)
        out = []
        for group in self._groups(sorted(frames, key=lambda frame: self.order(frame.members[0]))):
            clock.check()
            points = combine([frame.points for frame in group], how, self.held)
            out.append(Frame(group[0].metric, tuple(series for frame in group for series in frame.members), (points,)))
        return out

    def _groups(self, frames: list[Frame]) -> list[list[Frame]]:
        if self.group is None:
            return [[frame] for frame in frames]
        groups: dict[Any, list[Frame]] = {}
        for frame in frames:
            groups.setdefault(self.group(frame.members[0]), []).append(frame)
        return [groups[key] for key in sorted(groups)]


@dataclass(frozen=True, slots=True)
class KeepRange:
    """Keep the points of the query's own range; frames stay, even empty."""

    def apply(self, frames: list[Frame], clock: Clock) -> list[Frame]:
        """Return the frames cut to the clock's range."""
        return [frame.with_points(frame.points.between(clock.start_ms, clock.end_ms)) for frame in frames]
