"""Any order of writes, flushes, roll-ups, deletes and restarts: aligned answers stay what the points give."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from amondawa.aggregate.across_series import OnlyKinds
from amondawa.aggregate.downsample import Average, Count, First, Last, Maximum, Minimum, Sum
from amondawa.aggregate.fill import DownsampleSeries, Downsampling, Fill
from amondawa.aggregate.grid import Grid
from amondawa.aggregate.group import GroupSeries
from amondawa.ingest import rollup_row
from amondawa.model.points import Kind
from amondawa.model.query import Identity, Stage
from amondawa.model.result import Result
from amondawa.model.rollup import RollupUse
from amondawa.model.timespan import Span, Unit
from tests.ingest.rolled_gateways import DROP, HOUR_MS, KEEP, START_MS, Pair, Value, shown

TEN_MINUTES = Span(10, Unit.MINUTES)
NUMBERS = st.one_of(st.integers(-1_000, 1_000), st.integers(-8_000, 8_000).map(lambda n: n / 8))
VALUES = st.one_of(NUMBERS, NUMBERS, st.sampled_from(["x", "y"]))
MINUTE = st.integers(0, 119)
STEPS = st.one_of(
    st.tuples(
        st.just("write"),
        st.sampled_from("ab"),
        st.integers(0, 20),
        st.lists(st.tuples(MINUTE, st.integers(0, 59_999), VALUES), min_size=1, max_size=30),
    ),
    st.tuples(st.just("flush")),
    st.tuples(st.just("roll"), st.sampled_from([DROP, KEEP, "*=1d:120s:drop-raw", "*=1d:120s"]), st.booleans()),
    st.tuples(st.just("delete"), MINUTE, MINUTE),
    st.tuples(st.just("restart")),
)


@pytest.fixture(autouse=True, scope="module")
def even_small_rows() -> object:
    """Have rows rolled up whose points take less room as they are, too."""
    before, rollup_row.MOST_SHARE = rollup_row.MOST_SHARE, 1e9
    yield
    rollup_row.MOST_SHARE = before


class History:
    """Carries steps out on both gateways; no time is written twice: that is told apart only where points are."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.taken: set[int] = set()

    async def take(self, step: tuple[object, ...]) -> None:
        what = step[0]
        if what == "write":
            await self._write(*step[1:])  # type: ignore[arg-type]
        elif what == "flush":
            await self.pair.rolled.flush()
        elif what == "roll":
            await self.pair.roll(str(step[1]), again=bool(step[2]))
        elif what == "delete":
            start, end = sorted(int(str(minute)) // 2 * 2 for minute in step[1:])
            counts = await self.pair.delete(start * 60_000, (end + 2) * 60_000 - 1)
            assert counts[0] == counts[1]
        else:
            await self.pair.again()

    async def _write(self, host: str, dense: int, drawn: list[tuple[int, int, Value]]) -> None:
        points: dict[int, Value] = {minute * 60_000 + offset: value for minute, offset, value in drawn}
        first = drawn[0][0] * 60_000
        points.update({first + 1_000 * one + 1: one for one in range(dense)})
        points = {time: value for time, value in points.items() if time not in self.taken}
        self.taken |= set(points)
        if points:
            await self.pair.write(points, host=host)

    async def check(self) -> None:
        groups: tuple[list[Stage], ...] = ([GroupSeries("m", ("host",))], [GroupSeries("m")])
        for group in groups:
            for kind in (Sum, Average, Minimum, Maximum, Count, First, Last):
                await self._same([*group, kind(TEN_MINUTES)], Identity.KIND)
        grid = Grid(10, Unit.MINUTES, 600_000)
        for function in ("sum", "avg", "count"):
            how = Downsampling(grid, function, Fill.ZERO)
            await self._same([OnlyKinds(), DownsampleSeries(how, START_MS, START_MS + 2 * HOUR_MS)], Identity.TIME)

    async def _same(self, stages: list[Stage], identity: Identity) -> None:
        rolled, raw = await self.pair.both(stages, identity=identity)
        assert _unordered(rolled) == _unordered(raw)
        assert rolled.sample_size == raw.sample_size
        assert isinstance(rolled.rollup, RollupUse | None)
        assert rolled.rollup is None or rolled.rollup.exact


def _unordered(result: Result) -> list[str]:
    """Return what a result holds, whichever series this process met first: texts stand one series after the other."""
    return sorted(
        repr(
            (
                sorted(map(str, members)),
                *rest,
                sorted(points) if any(kind == Kind.TEXT for _, kind, _ in points) else points,
            )
        )
        for _, members, *rest, points in shown(result)  # type: ignore[arg-type]
    )
