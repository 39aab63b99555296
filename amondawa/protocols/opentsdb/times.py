"""Times, durations and zones as OpenTSDB writes them.

Source: suites query_basic (time_*), query_errors, query_calendar.
"""

from __future__ import annotations

import re

import numpy as np

from amondawa.errors import BadRequest
from amondawa.model import timespan
from amondawa.model.timespan import DAY_MS, UTC_ZONE, Zone
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.values import parse_long

SECOND_DIGITS = 10
"""a number of more characters is in milliseconds"""
MAX_LONG = 2**63 - 1
LONG_DIGITS = 19
LAST_YEAR = 200_000

UNITS_MS = {
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 7 * 86_400_000,
    "n": 30 * 86_400_000,
    "y": 365 * 86_400_000,
}
"""length of a duration's unit; "ms" apart"""

_JAVA_ZONES = {
    "ACT": "Australia/Darwin",
    "AET": "Australia/Sydney",
    "AGT": "America/Argentina/Buenos_Aires",
    "ART": "Africa/Cairo",
    "AST": "America/Anchorage",
    "BET": "America/Sao_Paulo",
    "BST": "Asia/Dhaka",
    "CAT": "Africa/Harare",
    "CNT": "America/St_Johns",
    "CST": "America/Chicago",
    "CTT": "Asia/Shanghai",
    "EAT": "Africa/Addis_Ababa",
    "ECT": "Europe/Paris",
    "IET": "America/Indiana/Indianapolis",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "MIT": "Pacific/Apia",
    "NET": "Asia/Yerevan",
    "NST": "Pacific/Auckland",
    "PLT": "Asia/Karachi",
    "PNT": "America/Phoenix",
    "PRT": "America/Puerto_Rico",
    "PST": "America/Los_Angeles",
    "SST": "Pacific/Guadalcanal",
    "VST": "Asia/Ho_Chi_Minh",
}
"""three-letter names that Java knows and the zone database does not"""

_DATE = re.compile(r"\s*(\d{1,7})/\s*(\d{1,7})/\s*(\d{1,7})")
_CLOCK = {
    16: re.compile(r"\s*(\d{1,7}):\s*(\d{1,7})"),
    19: re.compile(r"\s*(\d{1,7}):\s*(\d{1,7}):\s*(\d{1,7})"),
}
_DATE_LENGTH = 10
_DOTTED = re.compile(r"[0-9]{10}\.[0-9]{1,3}")
_MILLIS = re.compile(r"[0-9]+ms")


def find_zone(name: str) -> Zone | None:
    """Return a zone by the names Java knows, or None."""
    if name.startswith(("+", "-")):
        return None
    try:
        return timespan.find_zone(_JAVA_ZONES.get(name, name))
    except BadRequest:
        return None


def split_duration(text: str) -> tuple[int, str]:
    """Split a duration into its number and its unit (ms, s, m, h, d, w, n or y; lower case).

    Raises:
        TsdbError: 400.
    """
    if not text:
        raise TsdbError("String index out of range: 0")
    digits = len(text) - len(text.lstrip("0123456789"))
    if digits == len(text):
        raise TsdbError(f"Invalid duration, must have an integer and unit: {text}")
    if not 0 < digits <= LONG_DIGITS or int(text[:digits]) > MAX_LONG:
        raise TsdbError(f"Invalid duration (number): {text}")
    amount = int(text[:digits])
    if amount == 0:
        raise TsdbError(f"Zero or negative duration: {text}")
    unit = text[-1].lower()
    if unit == "s" and text[-2:-1] == "m":
        return amount, "ms"
    if unit not in UNITS_MS:
        raise TsdbError(f"Invalid duration (suffix): {text}")
    return amount, unit


def parse_duration(text: str) -> int:
    """Return a duration such as `30s` or `1n` in ms.

    Raises:
        TsdbError: 400.
    """
    amount, unit = split_duration(text)
    length_ms = amount * UNITS_MS.get(unit, 1)
    if length_ms > MAX_LONG:
        raise TsdbError(f"Duration must be < Long.MAX_VALUE ms: {text}")
    return length_ms


def parse_time(text: str, zone_name: str | None, now_ms: int) -> int:
    """Return a time in ms since 1970 UTC: seconds, ms, dotted seconds, `now`, `2h-ago` or a date.

    Args:
        text: not empty.
        zone_name: zone of dates; None or empty = UTC.
        now_ms: the present.

    Raises:
        TsdbError: 400.
    """
    if _MILLIS.fullmatch(text):
        return _number(text[:-2], text)
    lower = text.lower()
    if lower == "now":
        return now_ms
    if lower.endswith("-ago"):
        return now_ms - parse_duration(text[:-4])
    if "/" in text or ":" in text:
        return _parse_date(text, zone_name)
    if "." in text:
        if not _DOTTED.fullmatch(text):
            raise TsdbError(
                f"Invalid time: {text}. Millisecond timestamps must be in the format "
                "<seconds>.<ms> where the milliseconds are limited to 3 digits"
            )
        return _number(text.replace(".", ""), text)
    value = _number(text, text)
    if value < 0:
        raise TsdbError(f"Invalid time: {text}. Negative timestamps are not supported.")
    return value * 1000 if len(text) <= SECOND_DIGITS else value


def _number(digits: str, text: str) -> int:
    try:
        return parse_long(digits)
    except BadRequest as error:
        raise TsdbError(f"Invalid time: {text}. {error}") from error


def _parse_date(text: str, zone_name: str | None) -> int:
    """Return a date's time in ms; fields past their end carry over, as in 2013/13/01."""
    clock = _CLOCK.get(len(text))
    if clock is None and len(text) != _DATE_LENGTH:
        raise TsdbError(f"Invalid absolute date: {text}")
    zone = UTC_ZONE if not zone_name else find_zone(zone_name)
    if zone is None:
        raise TsdbError(f"Invalid timezone name: {zone_name}")
    fields = _date_fields(text, clock)
    if fields is None:
        raise TsdbError(f'Invalid date: {text}. Unparseable date: "{text}"')
    year, month, day, hour, minute, second = fields
    if year > LAST_YEAR:
        raise TsdbError(f"Invalid date: {text}. Its year is past {LAST_YEAR}")
    first = np.datetime64(year - 1970, "Y").astype("M8[M]") + (month - 1)
    days = int(first.astype("M8[D]").astype(np.int64)) + day - 1
    return zone.moment(days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000)


def _date_fields(text: str, clock: re.Pattern[str] | None) -> tuple[int, int, int, int, int, int] | None:
    """Return year, month, day, hour, minute and second; None when the text is no date."""
    date = _DATE.match(text)
    if date is None:
        return None
    year, month, day = (int(field) for field in date.groups())
    if clock is None:
        return year, month, day, 0, 0, 0
    rest = text[date.end() :]
    found = clock.match(rest[1:]) if rest[:1] == ("-" if "-" in text else " ") else None
    if found is None:
        return None
    hour, minute, second = ([int(field) for field in found.groups()] + [0])[:3]
    return year, month, day, hour, minute, second
