"""Results: frames of points with what describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from amondawa.model.points import Points
from amondawa.model.rollup import RollupUse
from amondawa.model.series import Series


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One result stream: the series it came from, its points, and its group descriptions.

    Attributes:
        metric: metric name.
        members: the series whose points are in it, in a stable order.
        parts: the points. One part = one time-ordered stream. Several parts = streams of the members that have not
            been merged yet (each ordered in time); order-blind reductions may use them as they are.
        groups: descriptions that group stages added, in order; a rendering knows their shape.
    """

    metric: str
    members: tuple[Series, ...]
    parts: tuple[Points, ...]
    groups: tuple[dict[str, Any], ...] = ()

    @property
    def points(self) -> Points:
        """The single stream of a merged frame.

        Raises:
            ValueError: the frame has several parts; merge it first (aggregate.merge).
        """
        if len(self.parts) == 1:
            return self.parts[0]
        if not self.parts:
            return Points.empty()
        raise ValueError("frame is not merged")

    def with_points(self, points: Points) -> Frame:
        """Return the frame with other points."""
        return replace(self, parts=(points,))


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What one query gave.

    Attributes:
        frames: after the last stage.
        sample_size: stored points read, in range, after `limit`, before any stage.
        series_count: series that had points in range.
        rows_read, bytes_read: what the store was asked for (cache hits excluded).
        elapsed_ms: wall time.
        rollup: how rolled-up data served it; None = there were none.
    """

    frames: list[Frame]
    sample_size: int
    series_count: int
    rows_read: int = 0
    bytes_read: int = 0
    elapsed_ms: float = 0.0
    rollup: RollupUse | None = None


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """What a delete removed."""

    points: int
    series: int
    names: Sequence[str] = field(default=())
    """metric names that vanished because their last point did"""
