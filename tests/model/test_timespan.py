"""Units, zones and calendar steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.errors import BadRequest
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS
from amondawa.model.timespan import (
    DAY_MS,
    HOUR_MS,
    UTC_ZONE,
    Span,
    Unit,
    Zone,
    add_units,
    before,
    find_zone,
    floor_local,
    shift,
    zone_ids,
)
from tests.aggregate import naive

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = (
    "America/New_York",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kolkata",
)
times = st.integers(-2_500_000_000_000, 4_000_000_000_000)


def at(text: str, zone: str = "UTC", fold: int = 0) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return (moment - EPOCH) // timedelta(milliseconds=1)


@pytest.mark.parametrize("name", ["", None, "UTC"])
def test_no_zone_is_utc(name: str | None) -> None:
    assert find_zone(name) is UTC_ZONE


@pytest.mark.parametrize(
    ("name", "minutes"),
    [("+05:30", 330), ("-08:00", -480), ("-08", -480), ("+0530", 330), ("+00:00", 0), ("+01:02:30", 62.5)],
)
def test_offsets_are_zones(name: str, minutes: float) -> None:
    assert find_zone(name).fixed_offset_ms == minutes * 60_000


@pytest.mark.parametrize("name", ["Mars/Olympus", "5:30", "+5", "+24:00", "+05:60", "../UTC", "Factory", "utc "])
def test_unknown_zones_are_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        find_zone(name)


@pytest.mark.parametrize("name", ["EST5EDT", "CST6CDT", "GB", "America/New_York", "Etc/GMT+5", "EST"])
def test_old_ids_are_zones(name: str) -> None:
    assert name in zone_ids()
    assert find_zone(name).name == name


def test_zone_ids_are_sorted_and_hold_no_files_of_the_system() -> None:
    ids = zone_ids()
    assert ids == sorted(ids)
    assert not {"localtime", "posixrules", "Factory"} & set(ids)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(moment=times)
def test_offset_is_what_the_zone_database_says(name: str, moment: int) -> None:
    zone = find_zone(name)
    wanted = naive.offset(moment, name) // timedelta(milliseconds=1)
    assert zone.offset_at(moment) == wanted
    assert zone.offsets(np.array([moment]))[0] == wanted


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(moment=times)
def test_local_time_leads_back_to_its_moment(name: str, moment: int) -> None:
    zone = find_zone(name)
    local = zone.to_local(np.array([moment]))
    like = zone.offset_at(moment)
    assert zone.to_utc(local, like)[0] == moment == zone.moment(int(local[0]), like)


def test_a_skipped_local_time_is_moved_on_by_the_gap() -> None:
    zone = find_zone("America/New_York")
    skipped = at("2013-03-10T02:30")
    assert zone.moment(skipped) == at("2013-03-10T03:30", "America/New_York")
    assert zone.to_utc(np.array([skipped]))[0] == zone.moment(skipped)
    assert not zone.exists(skipped)
    assert zone.exists(at("2013-03-10T03:30"))


@pytest.mark.parametrize(("like_hours", "fold"), [(None, 0), (-4, 0), (-5, 1), (-6, 0)])
def test_of_a_doubled_local_time_the_offset_decides(like_hours: int | None, fold: int) -> None:
    zone = find_zone("America/New_York")
    doubled = at("2013-11-03T01:30")
    like = None if like_hours is None else like_hours * HOUR_MS
    wanted = at("2013-11-03T01:30", "America/New_York", fold)
    assert zone.moment(doubled, like) == wanted
    assert zone.to_utc(np.array([doubled]), like)[0] == wanted


@pytest.mark.parametrize(
    ("origin", "unit", "wanted"),
    [
        ("2013-01-31T10:00", Unit.MONTHS, ["2013-01-31T10:00", "2013-02-28T10:00", "2013-03-31T10:00"]),
        ("2012-02-29T00:00", Unit.YEARS, ["2012-02-29T00:00", "2013-02-28T00:00", "2014-02-28T00:00"]),
        ("2013-12-30T05:00", Unit.WEEKS, ["2013-12-30T05:00", "2014-01-06T05:00", "2014-01-13T05:00"]),
    ],
)
def test_calendar_steps_clamp_without_drift(origin: str, unit: Unit, wanted: list[str]) -> None:
    assert add_units(at(origin), np.arange(3), unit).tolist() == [at(text) for text in wanted]


def test_february_29_comes_back_after_four_years() -> None:
    assert add_units(at("2012-02-29T00:00"), np.array([4]), Unit.YEARS).tolist() == [at("2016-02-29T00:00")]


def test_days_over_a_clock_change_keep_their_local_hour() -> None:
    zone = find_zone("Europe/Berlin")
    days = add_units(at("2016-03-26T12:00", "Europe/Berlin"), np.arange(3), Unit.DAYS, zone)
    assert np.diff(days).tolist() == [23 * HOUR_MS, DAY_MS]
    hours = add_units(at("2016-03-27T01:00", "Europe/Berlin"), np.arange(3), Unit.HOURS, zone)
    assert np.diff(hours).tolist() == [HOUR_MS, HOUR_MS]


@settings(max_examples=80, deadline=None)
@given(times, st.integers(-40, 40), st.sampled_from(list(Unit)), st.sampled_from(NAMES[:2] + NAMES[5:]))
def test_steps_equal_those_of_datetime(origin: int, count: int, unit: Unit, name: str) -> None:
    got = add_units(origin, np.array([count]), unit, find_zone(name))[0]
    assert got == naive.edge(origin, count, unit.name, name)


@pytest.mark.parametrize("unit", list(Unit))
def test_steps_past_the_end_of_time_do_not_wrap_around(unit: Unit) -> None:
    far = add_units(0, np.array([-(2**62), 0, 2**62]), unit, find_zone("Europe/Berlin"))
    assert far[0] < far[1] < far[2]


def test_shift_moves_each_moment_by_its_own_calendar() -> None:
    moments = np.array([at("2013-01-31T00:00"), at("2013-03-31T00:00")])
    assert shift(moments, 1, Unit.MONTHS).tolist() == [at("2013-02-28T00:00"), at("2013-04-30T00:00")]
    assert shift(moments, -1, Unit.DAYS).tolist() == [at("2013-01-30T00:00"), at("2013-03-30T00:00")]
    assert shift(moments, 2, Unit.SECONDS).tolist() == (moments + 2_000).tolist()


@pytest.mark.parametrize(
    ("value", "unit", "wanted"),
    [
        (5, Unit.MILLISECONDS, "2016-03-30T23:59:59.995"),
        (1, Unit.HOURS, "2016-03-30T23:00"),
        (1, Unit.MONTHS, "2016-02-29T00:00"),
        (1, Unit.YEARS, "2015-03-31T00:00"),
        (2, Unit.WEEKS, "2016-03-17T00:00"),
        (0, Unit.DAYS, "2016-03-31T00:00"),
        (100, Unit.YEARS, "1916-03-31T00:00"),
    ],
)
def test_relative_times_go_back_by_the_calendar(value: int, unit: Unit, wanted: str) -> None:
    assert before(at("2016-03-31T00:00"), Span(value, unit)) == at(wanted)


@pytest.mark.parametrize("unit", list(Unit))
def test_relative_times_of_any_size_stay_in_range(unit: Unit) -> None:
    assert MIN_TIME_MS <= before(0, Span(2**62, unit)) < 0 < MAX_TIME_MS


@pytest.mark.parametrize(
    ("unit", "wanted"),
    [
        (Unit.YEARS, "2013-01-01T00:00"),
        (Unit.MONTHS, "2013-03-01T00:00"),
        (Unit.WEEKS, "2013-03-04T00:00"),
        (Unit.DAYS, "2013-03-10T00:00"),
        (Unit.HOURS, "2013-03-10T17:00"),
        (Unit.SECONDS, "2013-03-10T17:45:30"),
    ],
)
def test_floor_finds_the_start_of_the_unit(unit: Unit, wanted: str) -> None:
    assert floor_local(at("2013-03-10T17:45:30.250"), unit) == at(wanted)


def test_weeks_can_begin_on_sunday() -> None:
    sunday = at("1969-12-28T00:00")
    assert floor_local(at("2013-03-10T17:45"), Unit.WEEKS, sunday) == at("2013-03-10T00:00")
    assert floor_local(at("1969-12-27T17:45"), Unit.WEEKS, sunday) == at("1969-12-21T00:00")


def test_floor_works_before_1970() -> None:
    assert floor_local(-1, Unit.DAYS) == -DAY_MS
    assert floor_local(-1, Unit.MONTHS) == at("1969-12-01T00:00")
    assert floor_local(-1, Unit.YEARS) == at("1969-01-01T00:00")


def test_units_are_read_in_any_case() -> None:
    assert Unit.parse("Minutes") is Unit.MINUTES
    with pytest.raises(BadRequest, match="eons"):
        Unit.parse("eons")


def test_zones_are_equal_by_name() -> None:
    assert find_zone("Europe/Berlin") == find_zone("Europe/Berlin")
    assert find_zone("Europe/Berlin") != find_zone("Europe/Paris")
    assert len({UTC_ZONE, find_zone("UTC")}) == 1
    assert repr(find_zone("+01:00")) == "Zone('+01:00')"
    assert isinstance(find_zone("-01"), Zone)
