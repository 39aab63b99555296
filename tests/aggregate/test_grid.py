import numpy as np
import pytest

from amondawa.aggregate.grid import Grid
from amondawa.model.timespan import DAY_MS, HOUR_MS, MINUTE_MS, Unit, find_zone

T = 1356998400000
"""2013-01-01 00:00 UTC, a Tuesday"""
NEW_YORK = find_zone("America/New_York")


def test_plain_buckets_begin_at_multiples_since_1970():
    grid = Grid(7, Unit.SECONDS, 7_000)
    assert grid.floor(T) == T - T % 7_000
    assert grid.ceiling(T) == T - T % 7_000 + 7_000
    assert Grid(1, Unit.MINUTES, MINUTE_MS).ceiling(T) == T


def test_weeks_begin_on_sunday_in_the_zone():
    grid = Grid(1, Unit.WEEKS, 7 * DAY_MS, calendar=True, zone=NEW_YORK)
    sunday = 1362891600000  # 2013-03-10 00:00 EST, the day clocks change
    assert grid.floor(sunday) == sunday
    assert grid.floor(sunday - 1) == sunday - 7 * DAY_MS
    assert grid.ceiling(sunday + 1) == sunday + 7 * DAY_MS - HOUR_MS


def test_days_follow_the_zones_clock():
    grid = Grid(1, Unit.DAYS, DAY_MS, calendar=True, zone=NEW_YORK)
    buckets = grid.buckets_at(1362805200000)
    edges = buckets.edges(np.arange(4)) - 1362805200000
    assert edges.tolist() == [0, DAY_MS, 2 * DAY_MS - HOUR_MS, 3 * DAY_MS - HOUR_MS]


def test_months_and_years_count_from_january():
    month = Grid(5, Unit.MONTHS, 150 * DAY_MS, calendar=True)
    assert month.floor(T + 200 * DAY_MS) == T + 151 * DAY_MS  # June
    year = Grid(2, Unit.YEARS, 730 * DAY_MS, calendar=True)
    assert year.floor(T + 200 * DAY_MS) == T


@pytest.mark.parametrize(
    ("count", "unit", "step_ms", "offset_ms", "expected_ms"),
    [
        (15, Unit.MINUTES, 15 * MINUTE_MS, HOUR_MS + 40 * MINUTE_MS, HOUR_MS + 30 * MINUTE_MS),
        (7, Unit.MINUTES, 7 * MINUTE_MS, HOUR_MS + 40 * MINUTE_MS, 98 * MINUTE_MS),
        (6, Unit.HOURS, 6 * HOUR_MS, 13 * HOUR_MS, 12 * HOUR_MS),
        (5, Unit.HOURS, 5 * HOUR_MS, DAY_MS, 20 * HOUR_MS),
        (3, Unit.DAYS, 3 * DAY_MS, 40 * DAY_MS, 39 * DAY_MS),
        (250, Unit.MILLISECONDS, 250, 1_700, 1_500),
        (300, Unit.MILLISECONDS, 300, 1_700, 1_500),
        (7, Unit.SECONDS, 7_000, 100_000, 98_000),
    ],
)
def test_calendar_buckets_count_from_the_next_unit_they_fill(
    count: int, unit: Unit, step_ms: int, offset_ms: int, expected_ms: int
):
    assert Grid(count, unit, step_ms, calendar=True).floor(T + offset_ms) - T == expected_ms


def test_starts_end_where_the_calendar_counts_from_at_the_end():
    grid = Grid(36, Unit.HOURS, 36 * HOUR_MS, calendar=True)
    first_ms, end_ms = T + 29 * DAY_MS, T + 33 * DAY_MS  # counted from January, then from February
    assert ((grid.starts(first_ms, end_ms) - T) / HOUR_MS).tolist() == [19 * 36.0, 20 * 36.0, 21 * 36.0]


def test_starts_inside_one_calendar_bucket_are_its_own_and_otherwise_none():
    week = Grid(7, Unit.DAYS, 7 * DAY_MS, calendar=True)
    assert week.starts(T, T + 5 * DAY_MS).tolist() == [T]
    assert Grid(7, Unit.DAYS, 7 * DAY_MS).starts(T, T + DAY_MS).tolist() == []
