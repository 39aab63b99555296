import pytest

from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.times import find_zone, parse_duration, parse_time, split_duration

NOW_MS = 1_700_000_000_123
T = 1_356_998_400_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "Invalid time: abc. Invalid character 'a' in abc"),
        ("1h", "Invalid time: 1h. Invalid character 'h' in 1h"),
        ("-5", "Invalid time: -5. Negative timestamps are not supported."),
        ("1x-ago", "Invalid duration (suffix): 1x"),
        ("h-ago", "Invalid duration (number): h"),
        ("-ago", "String index out of range: 0"),
        ("5x-ago", "Invalid duration (suffix): 5x"),
        ("5-ago", "Invalid duration, must have an integer and unit: 5"),
        ("0h-ago", "Zero or negative duration: 0h"),
        ("9" * 5000 + "h-ago", "Invalid duration (number): " + "9" * 5000 + "h"),
        ("2013/13/45x", "Invalid absolute date: 2013/13/45x"),
        ("2013/aa/01", 'Invalid date: 2013/aa/01. Unparseable date: "2013/aa/01"'),
        ("2013/01/01_00:00", 'Invalid date: 2013/01/01_00:00. Unparseable date: "2013/01/01_00:00"'),
        (
            "13569984000.1",
            "Invalid time: 13569984000.1. Millisecond timestamps must be in the format <seconds>.<ms> "
            "where the milliseconds are limited to 3 digits",
        ),
        ("99999999999999999999", "Invalid time: 99999999999999999999. Value too long: 99999999999999999999"),
    ],
)
def test_what_is_no_time_is_refused_with_its_reason(text: str, message: str):
    with pytest.raises(TsdbError) as refused:
        parse_time(text, None, NOW_MS)
    assert (refused.value.status, refused.value.message) == (400, message)


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("1356998400", T),
        ("1356998400000", T),
        ("1356998400.000", T),
        ("1356998400.500", T + 500),
        ("1356998400000ms", T),
        ("2013/01/01", T),
        ("2013/01/01-00:01", T + 60_000),
        ("2013/01/01 00:01", T + 60_000),
        ("2013/01/01-00:01:02", T + 62_000),
        ("2012/13/01", T),
        ("2012/12/32", T),
        ("now", NOW_MS),
        ("NOW", NOW_MS),
        ("10s-ago", NOW_MS - 10_000),
        ("10ms-ago", NOW_MS - 10),
        ("1N-AGO", NOW_MS - 30 * 86_400_000),
        ("1y-ago", NOW_MS - 365 * 86_400_000),
        ("12345678901", 12_345_678_901),
    ],
)
def test_times_are_read_in_every_spelling(text: str, expected_ms: int):
    assert parse_time(text, None, NOW_MS) == expected_ms


def test_dates_are_read_in_their_zone():
    assert parse_time("2013/01/01-02:00:00", "Africa/Cairo", NOW_MS) == T
    assert parse_time("2013/01/01", "PST", NOW_MS) == T + 8 * 3_600_000
    with pytest.raises(TsdbError, match="Invalid timezone name: Mars/Olympus"):
        parse_time("2013/01/01", "Mars/Olympus", NOW_MS)


def test_a_zone_does_not_touch_times_that_are_no_dates():
    assert parse_time("1356998400", "Mars/Olympus", NOW_MS) == T


def test_zones_are_known_by_javas_names_and_not_by_offsets():
    assert find_zone("IST") == find_zone("Asia/Kolkata")
    assert find_zone("UTC") is not None
    assert find_zone("+05:30") is None
    assert find_zone("nowhere") is None


def test_durations_have_a_number_and_a_unit():
    assert split_duration("100ms") == (100, "ms")
    assert split_duration("2H") == (2, "h")
    assert parse_duration("2w") == 14 * 86_400_000
    with pytest.raises(TsdbError, match="Duration must be < Long.MAX_VALUE ms"):
        parse_duration("999999999999999999y")
