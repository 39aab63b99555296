"""What /api/query is asked, whether in a query string or in a body: sub queries as written, and the checks both share.

A `DataQuery` is what the client wrote. `check` turns it into a `CheckedQuery` with times, zones and downsamplers understood.
Source: suites query_basic, query_errors, query_downsample, query_calendar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from amondawa.aggregate.combine import COMBINATIONS
from amondawa.aggregate.counter import CounterRules
from amondawa.aggregate.fill import Downsampling, Fill
from amondawa.aggregate.grid import Grid
from amondawa.model.timespan import UTC_ZONE, Unit, Zone
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.filters import TagVFilter
from amondawa.protocols.opentsdb.times import find_zone, parse_duration, parse_time, split_duration

NO_AGGREGATOR = "none"
ROW_MS = 3_600_000
LAST_ROW_MS = 2**62 // ROW_MS * ROW_MS
"""rows end here, so that no bucket's edge leaves 64 bits"""
LAST_MOMENT_MS = 9_999_999_999_999
UNITS = {
    "ms": Unit.MILLISECONDS,
    "s": Unit.SECONDS,
    "m": Unit.MINUTES,
    "h": Unit.HOURS,
    "d": Unit.DAYS,
    "w": Unit.WEEKS,
    "n": Unit.MONTHS,
    "y": Unit.YEARS,
}
HISTOGRAM_AGGREGATORS = ("none", "sum")


@dataclass(frozen=True, slots=True)
class SubQuery:
    """One sub query as written.

    Attributes:
        aggregator: name of the group function; None or empty when missing.
        metric: wire name.
        tsuids: series by id, instead of a metric and filters.
        downsample: `<interval>-<function>[-<fill>]`.
        rate, rate_rules: whether and how rates are taken; rules None when not written.
        filters: conditions on tags, in the order written.
        explicit_tags: take only series with exactly the tags that the filters name.
        percentiles: of histograms, 0..100, as 32-bit floats.
        show_buckets: histograms as bucket counts.
        pre_aggregate: read the pre-aggregates in place of the series.
        rollup_usage: `ROLLUP_RAW` = read no rollups; anything else = where they serve.
    """

    aggregator: str | None = None
    metric: str | None = None
    tsuids: tuple[str, ...] = ()
    downsample: str | None = None
    rate: bool = False
    rate_rules: CounterRules | None = None
    filters: tuple[TagVFilter, ...] = ()
    explicit_tags: bool = False
    percentiles: tuple[float, ...] = ()
    show_buckets: bool = False
    pre_aggregate: bool = False
    rollup_usage: str | None = None

    @property
    def histogram(self) -> bool:
        """Whether it asks for histograms instead of numbers."""
        return bool(self.percentiles) or self.show_buckets


@dataclass(frozen=True, slots=True)
class DataQuery:
    """A whole request as written.

    Attributes:
        start, end: times in any spelling; None or empty = missing.
        sub_queries: in the order asked.
        zone_name: zone of dates and calendar buckets; None or empty = UTC.
        use_calendar: every downsampler follows the calendar.
        delete: delete the rows that are read.
        ms: times in milliseconds in the answer.
        arrays: points as [time, value] pairs.
        show_query, show_tsuids, show_stats, show_summary, annotations, global_annotations: what else the answer holds.
        whole_rows: give all points of the rows that are read, those outside the range too.
    """

    start: str | None = None
    end: str | None = None
    sub_queries: tuple[SubQuery, ...] = ()
    zone_name: str | None = None
    use_calendar: bool = False
    delete: bool = False
    ms: bool = False
    arrays: bool = False
    show_query: bool = False
    show_tsuids: bool = False
    show_stats: bool = False
    show_summary: bool = False
    annotations: bool = True
    global_annotations: bool = False
    whole_rows: bool = False


@dataclass(frozen=True, slots=True)
class CheckedSubQuery:
    """A sub query that can be carried out.

    Attributes:
        asked: as written.
        index: its place among the sub queries.
        aggregator: name of the group function.
        downsample: None = none asked for.
    """

    asked: SubQuery
    index: int
    aggregator: str
    downsample: Downsampling | None = None


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """A request that can be carried out.

    Attributes:
        asked: as written.
        start_ms, end_ms: inclusive range of the answer.
        sub_queries: equal ones are asked once.
    """

    asked: DataQuery
    start_ms: int
    end_ms: int
    sub_queries: tuple[CheckedSubQuery, ...] = field(default=())


def row_range(query: CheckedQuery, sub: CheckedSubQuery) -> tuple[int, int]:
    """Return the rows that a sub query reads: whole hours around the range and around the buckets at its ends.

    Returns:
        First moment in ms, and end (exclusive).
    """
    grid = None if sub.downsample is None else sub.downsample.grid
    step_ms = 0 if grid is None or grid.whole is not None else grid.step_ms
    start_s, end_s = query.start_ms // 1000, query.end_ms // 1000 + 1
    if step_ms:
        start_s -= start_s * 1000 % step_ms // 1000
        end_s += (step_ms - end_s * 1000 % step_ms) // 1000
    start_ms = min(max(start_s * 1000 // ROW_MS * ROW_MS, 0), LAST_ROW_MS)
    end_ms = end_s * 1000
    if not step_ms or end_ms % ROW_MS:
        end_ms = end_ms // ROW_MS * ROW_MS + ROW_MS
    return start_ms, min(end_ms, LAST_ROW_MS + ROW_MS)


def read_range(query: CheckedQuery, sub: CheckedSubQuery) -> tuple[int, int]:
    """Return what a sub query reads in the end: its rows, and where filters name the exact tags the hour behind them too.

    The original scans such queries up to and including the row that begins where the others stop.

    Returns:
        First moment in ms, and end (exclusive).
    """
    start_ms, end_ms = row_range(query, sub)
    exact = sub.asked.explicit_tags and bool(sub.asked.filters) and not sub.asked.histogram
    return start_ms, end_ms + (ROW_MS if exact else 0)


def check(query: DataQuery, now_ms: int) -> CheckedQuery:
    """Understand a request, or say what is wrong with it.

    Raises:
        TsdbError: 400, with OpenTSDB's text; 500, a time has more than 13 digits.
    """
    start_ms, end_ms = check_range(query.start, query.end, query.zone_name, now_ms)
    if not query.sub_queries:
        raise TsdbError("Missing queries")
    unique = dict.fromkeys(query.sub_queries)
    checked = tuple(
        _check_sub_query(sub, index, query, start_ms, end_ms) for index, sub in enumerate(unique)
    )  # fmt: skip
    for moment_ms in (start_ms, end_ms):
        if moment_ms < 0 or moment_ms > LAST_MOMENT_MS:
            raise TsdbError(f"Invalid timestamp: {moment_ms}", 500)
    return CheckedQuery(replace(query, sub_queries=tuple(unique)), start_ms, end_ms, checked)


def check_range(start: str | None, end: str | None, zone_name: str | None, now_ms: int) -> tuple[int, int]:
    """Return the inclusive range of a request in ms.

    Raises:
        TsdbError: 400, a time is missing, not understood, or they are the wrong way round.
    """
    if not start:
        raise TsdbError("Missing start time")
    start_ms = parse_time(start, zone_name, now_ms)
    end_ms = parse_time(end, zone_name, now_ms) if end else now_ms
    if end_ms <= start_ms:
        raise TsdbError(f"End time [{end_ms}] must be greater than the start time [{start_ms}]")
    return start_ms, end_ms


def check_aggregator(name: str | None) -> str:
    """Return the name of a group function.

    Raises:
        TsdbError: 400, missing or unknown.
    """
    if not name:
        raise TsdbError("Missing the aggregation function")
    if COMBINATIONS.find(name) is None:
        raise TsdbError(f"No such aggregation function: {name}")
    return name


def _check_sub_query(sub: SubQuery, index: int, query: DataQuery, start_ms: int, end_ms: int) -> CheckedSubQuery:
    aggregator = check_aggregator(sub.aggregator)
    if not sub.metric and not sub.tsuids:
        raise TsdbError("Missing the metric or tsuids, provide at least one")
    downsample = None
    if sub.downsample:
        downsample = parse_downsample(sub.downsample, start_ms, end_ms)
        zone = _bucket_zone(query.zone_name)
        calendar = downsample.grid.calendar or query.use_calendar
        downsample = replace(downsample, grid=replace(downsample.grid, zone=zone, calendar=calendar))
    if sub.histogram:
        _check_histogram(sub, downsample)
    return CheckedSubQuery(sub, index, aggregator, downsample)


def _bucket_zone(name: str | None) -> Zone:
    zone = find_zone(name) if name else UTC_ZONE
    if zone is None:
        raise TsdbError("The timezone specification could not be found")
    return zone


def _check_histogram(sub: SubQuery, downsample: Downsampling | None) -> None:
    if sub.aggregator not in HISTOGRAM_AGGREGATORS:
        raise TsdbError("Only NONE or SUM aggregation function supported for histogram query")
    if downsample is not None and downsample.function != "sum":
        raise TsdbError("Only SUM downsampling aggregation supported for histogram query")
    for percentile in sub.percentiles:
        if not 0 <= percentile <= 100:
            raise TsdbError(f"Invalid percentile parameters: {np.float32(percentile)!s}")


def parse_downsample(text: str, start_ms: int, end_ms: int) -> Downsampling:
    """Read a downsampler, in UTC.

    Args:
        text: `<interval>-<function>[-<fill>]`; an interval ending in `c` follows the calendar, one with `all` is everything.
        start_ms: first moment of the query.
        end_ms: last moment of the query.

    Raises:
        TsdbError: 400.
    """
    parts = text.rstrip("-").split("-")
    if len(parts) < 2:
        raise TsdbError(f"Invalid downsampling specifier '{text}': must provide at least interval and function")
    if len(parts) > 3:
        raise TsdbError(
            f"Invalid downsampling specifier '{text}': must consist of interval, function, and optional fill policy"
        )
    grid = _parse_grid(parts[0], start_ms, end_ms)
    if COMBINATIONS.find(parts[1]) is None:
        raise TsdbError(f"No such downsampling function: {parts[1]}")
    if parts[1] == NO_AGGREGATOR:
        raise TsdbError("cannot use the NONE aggregator for downsampling")
    return Downsampling(grid, parts[1], _parse_fill(parts[2]) if len(parts) == 3 else Fill.NONE)


def _parse_grid(text: str, start_ms: int, end_ms: int) -> Grid:
    if "all" in text:
        return Grid(1, Unit.MILLISECONDS, 1, whole=(start_ms, end_ms))
    if not text:
        raise TsdbError("String index out of range: -1")
    calendar = text[-1] == "c"
    duration = text[:-1] if calendar else text
    if not duration:
        raise TsdbError(f"Invalid duration (number): {duration}")
    count, unit = split_duration(duration)
    return Grid(count, UNITS[unit], parse_duration(duration), calendar)


def _parse_fill(text: str) -> Fill:
    for fill in Fill:
        if fill.value == text.lower():
            return fill
    raise TsdbError(f"Unrecognized fill policy: {text}")


def float32s(numbers: Sequence[float]) -> tuple[float, ...]:
    """Round numbers as 32-bit floats do."""
    with np.errstate(over="ignore"):
        return tuple(float(np.float32(number)) for number in numbers)
