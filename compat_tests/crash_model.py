"""What a server that may crash at any moment is allowed to hold, point by point.

A point has one settled outcome (a value, or None for no point) and the outcomes that were asked for since without an
acknowledgement. After a crash the server may show the settled outcome or any of the later ones, and nothing else. What
it shows then is settled: it survived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Point = tuple[str, int]
"""(series, time in ms) within one metric."""
Outcome = int | None
"""The value, or None: no point."""
Change = tuple[Point, Outcome]


@dataclass(slots=True)
class _State:
    settled: Outcome = None
    pending: list[Outcome] = field(default_factory=list)


class CrashModel:
    """The points of one metric that has one writer, whose requests follow one another."""

    def __init__(self) -> None:
        self._states: dict[Point, _State] = {}

    def __len__(self) -> int:
        return len(self._states)

    def known(self) -> list[Point]:
        """Return every point that was ever asked for."""
        return list(self._states)

    def certain(self) -> int:
        """Return how many points must be there now, with one certain value."""
        return sum(state.settled is not None and not state.pending for state in self._states.values())

    def within(self, series: str, start_ms: int, end_ms: int) -> list[Point]:
        """Return the points of a series ever asked for in an inclusive range."""
        return [point for point in self._states if point[0] == series and start_ms <= point[1] <= end_ms]

    def intend(self, changes: Iterable[Change]) -> None:
        """Note changes before they are sent."""
        for point, outcome in changes:
            self._states.setdefault(point, _State()).pending.append(outcome)

    def acknowledge(self, changes: Iterable[Change]) -> None:
        """Note that the changes (of the latest request) were acknowledged; of one point twice the last counts."""
        for point, outcome in changes:
            self._states[point] = _State(outcome)

    def settle(self) -> None:
        """Note that everything asked for is done: an orderly end."""
        for state in self._states.values():
            if state.pending:
                state.settled = state.pending[-1]
                state.pending.clear()

    def observe(self, found: Mapping[Point, int], crashed: bool) -> list[str]:
        """Compare with what a query found; return the violations.

        Args:
            found: all points of the metric.
            crashed: the server was started anew since the last change, so that nothing is under way any more.
        """
        violations = [f"{point} = {found[point]} was never sent" for point in found.keys() - self._states.keys()]
        for point, state in self._states.items():
            outcome = found.get(point)
            if outcome != state.settled:
                if outcome not in state.pending:
                    violations.append(f"{point} is {outcome}, allowed: {state.settled} or {state.pending}")
                    continue
                state.settled = outcome
                del state.pending[: state.pending.index(outcome) + 1]
            if crashed:
                state.pending.clear()
        return violations
