"""Which periods of roll-ups late points are found to fall into."""

from __future__ import annotations

import numpy as np
import pytest

from amondawa.model.points import Kind, WriteBatch, same_kind
from amondawa.model.series import Series
from amondawa.model.timespan import HOUR_MS, UTC_ZONE, Span, Unit
from amondawa.protocols.kairosdb.rollup_late import LateWatch, Source
from amondawa.protocols.kairosdb.rollup_periods import EARLIEST_MS, PeriodGrid

NOW_MS = 1_700_000_000_000
HOUR = NOW_MS // HOUR_MS * HOUR_MS


def source(metric: str = "m", unit: Unit = Unit.HOURS) -> Source:
    return Source("d", metric, "task", "0.0", PeriodGrid(Span(1, unit), UTC_ZONE))


def batch(*times_ms: int) -> WriteBatch:
    count = len(times_ms)
    return WriteBatch(
        np.zeros(count, np.int32), np.array(times_ms, np.int64), same_kind(Kind.LONG, count), np.ones(count, np.int64)
    )


def watch(*sources: Source) -> LateWatch:
    made = LateWatch(lambda ref: Series("d", "m", ()))
    made.set(sources)
    return made


def ranges(*times_ms: int, unit: Unit = Unit.HOURS) -> list[tuple[int, int]]:
    return [(start, end) for _, start, end in watch(source(unit=unit)).touched(batch(*times_ms), NOW_MS)]


def test_points_of_the_running_period_are_not_late() -> None:
    assert ranges(HOUR + 5, HOUR - 1) == [(HOUR - HOUR_MS, HOUR)]


def test_sources_that_change_while_ranges_are_marked_do_not_matter() -> None:
    late, two_series = watch(source()), batch(HOUR - 1, HOUR - 1)
    two_series.refs[1] = 1
    found = []
    for one, start_ms, _ in late.touched(two_series, NOW_MS):
        found.append((one.metric, start_ms))
        late.set([source()])
    assert found == [("m", HOUR - HOUR_MS)] * 2


@pytest.mark.parametrize("unit", [Unit.MINUTES, Unit.HOURS, Unit.DAYS, Unit.MONTHS, Unit.YEARS])
@pytest.mark.parametrize("ancient_ms", [-(2**63), -(2**62), EARLIEST_MS - 1])
def test_points_from_before_all_calendars_are_in_no_period_and_keep_no_others_from_theirs(
    ancient_ms: int, unit: Unit
) -> None:
    found = ranges(ancient_ms, 5, unit=unit)
    assert found == ranges(5, unit=unit)
    assert found[0][0] == 0


@pytest.mark.parametrize("unit", [Unit.MINUTES, Unit.HOURS, Unit.DAYS, Unit.MONTHS, Unit.YEARS])
def test_the_earliest_point_is_in_a_period(unit: Unit) -> None:
    ((start_ms, end_ms),) = ranges(EARLIEST_MS, unit=unit)
    assert -(2**63) < start_ms <= EARLIEST_MS < end_ms


def test_many_neighbouring_periods_are_one_range() -> None:
    hours = [HOUR - at * HOUR_MS for at in range(1, 100)]
    assert ranges(*hours) == [(HOUR - 99 * HOUR_MS, HOUR)]


def test_many_periods_are_parted_where_they_lie_far_from_one_another() -> None:
    near = [HOUR - at * HOUR_MS for at in range(1, 40)]
    found = ranges(*near, 5, EARLIEST_MS)
    assert len(found) == 3
    assert found[1:] == [(0, HOUR_MS), (HOUR - 39 * HOUR_MS, HOUR)]
