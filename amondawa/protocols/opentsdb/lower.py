"""From a checked query to reads and stages: which rows are scanned, which series match, how they are grouped.

OpenTSDB reads whole rows of an hour. What it finds there decides which series appear in the answer, feeds interpolation and
rates, and is cut to the asked range only in the end. Source: suites query_basic (range_*), query_aggregators
(interp_beyond_range), query_rate (rate_point_before_start), query_delete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from amondawa.aggregate.across_series import (
    BegunBy,
    CombineGroups,
    KeepRange,
    KeepUntil,
    OnlyKinds,
    RateSeries,
    SortKey,
)
from amondawa.aggregate.counter import PLAIN
from amondawa.aggregate.fill import DownsampleSeries, Fill
from amondawa.model.query import Identity, Query, Selection, Stage, TagFilter
from amondawa.model.result import Frame, Result
from amondawa.model.series import Series
from amondawa.protocols.opentsdb.data_query import NO_AGGREGATOR, CheckedQuery, CheckedSubQuery, read_range, row_range
from amondawa.protocols.opentsdb.errors import NoSuchId, NoSuchName, TsdbError
from amondawa.protocols.opentsdb.filters import TagVFilter
from amondawa.protocols.opentsdb.histogram_query import histogram_stages
from amondawa.protocols.opentsdb.javamap import java_order
from amondawa.protocols.opentsdb.rollup_kind import NOT_CONFIGURED
from amondawa.protocols.opentsdb.rollup_names import GROUPED_TAG, grouped_values
from amondawa.protocols.opentsdb.uid import UID_HEX, Uids
from amondawa.protocols.opentsdb.uid_text import hex_problem

RAW_ONLY = "ROLLUP_RAW"
"""the usage of rollups that wants none"""


@dataclass(frozen=True, slots=True)
class Lowered:
    """One sub query as reads and stages.

    Attributes:
        sub: what was asked.
        queries: the reads, each with its series' stages; more than one where series are named by id.
        group: stages for all of their frames together.
    """

    sub: CheckedSubQuery
    queries: tuple[Query, ...]
    group: tuple[Stage, ...]

    def finish(self, results: Sequence[Result], clock: RangeClock) -> list[Frame]:
        """Return the frames of the answer from the results of `queries`."""
        frames = [frame for result in results for frame in result.frames]
        for stage in self.group:
            frames = stage.apply(frames, clock)
        return frames


@dataclass(frozen=True, slots=True)
class RangeClock:
    """The clock of stages that run after the reads."""

    start_ms: int
    end_ms: int
    now_ms: int

    def check(self) -> None:
        """Do nothing: the reads are done, what is left is short."""


async def lower(sub: CheckedSubQuery, query: CheckedQuery, uids: Uids) -> Lowered:
    """Lower one sub query.

    Raises:
        NoSuchName: metric, tag or literal value was never written.
        TsdbError: 400 or 500, a text is no TSUID, or several are of different metrics.
    """
    first_ms, end_ms = row_range(query, sub)
    _, read_end_ms = read_range(query, sub)
    beyond = read_end_ms > end_ms
    selections = await _rolled_up(sub, await _selections(sub, uids), uids, (first_ms, end_ms - 1))
    filled = sub.downsample is not None and sub.downsample.fill is not Fill.NONE
    series_stages = _series_stages(sub, first_ms, end_ms if filled else read_end_ms)
    group_stages = _group_stages(sub, uids, first_ms, query.asked.whole_rows)
    if beyond:
        # Of what lies behind the rows only the first moment counts; the rest of it feeds interpolation.
        series_stages = (series_stages[0], BegunBy(end_ms), *series_stages[1:])
        group_stages = (*group_stages, KeepUntil(end_ms))
    one = len(selections) == 1
    template = Query(
        Selection(uids.domain, ""),
        first_ms,
        read_end_ms - 1,
        (*series_stages, *group_stages) if one else series_stages,
        identity=Identity.TIME,
        clock_start_ms=query.start_ms,
        clock_end_ms=query.end_ms,
    )
    queries = tuple(replace(template, selection=selection) for selection in selections)
    return Lowered(sub, queries, () if one else group_stages)


async def _rolled_up(
    sub: CheckedSubQuery, selections: list[Selection], uids: Uids, range_ms: tuple[int, int]
) -> list[Selection]:
    """Read rollups in place of the points where they serve the buckets that are asked for."""
    asked = sub.asked
    if sub.downsample is None or asked.histogram or not uids.rollups.intervals_ms or asked.rollup_usage == RAW_ONLY:
        return selections
    grid = sub.downsample.grid
    step_ms = 0 if grid.calendar or grid.whole else grid.step_ms
    return [await uids.rolled_up(one, sub.downsample.function, step_ms, range_ms) for one in selections]


async def _selections(sub: CheckedSubQuery, uids: Uids) -> list[Selection]:
    """Return what to read, rollups aside.

    Raises:
        TsdbError: 400, it asks for pre-aggregates and there are none without rollups.
    """
    selections = await _raw_selections(sub, uids)
    if not sub.asked.pre_aggregate:
        return selections
    if not uids.rollups.intervals_ms:
        raise TsdbError(NOT_CONFIGURED, 400, NOT_CONFIGURED)
    return [_pre_aggregated(one, sub.aggregator, uids) for one in selections]


def _pre_aggregated(selection: Selection, function: str, uids: Uids) -> Selection:
    """Return the selection of a metric's pre-aggregates by a function, unless the client says by which."""
    name = uids.stored_name("tagk", GROUPED_TAG)
    filters = selection.filters
    if function != NO_AGGREGATOR and all(one.name != name for one in filters):
        values = frozenset(uids.stored_name("tagv", value) for value in grouped_values(function))
        filters = (*filters, TagFilter(name, values))
    only = None if selection.only_tags is None else selection.only_tags | {name}
    return replace(selection, metric=uids.rollups.grouped_name(selection.metric), filters=filters, only_tags=only)


async def _raw_selections(sub: CheckedSubQuery, uids: Uids) -> list[Selection]:
    asked = sub.asked
    if asked.tsuids:
        _check_one_metric(asked.tsuids)
        series = dict.fromkeys(_series_of(uids, tsuid) for tsuid in asked.tsuids)
        return [selection_of(one) for one in series if one is not None]
    metric = asked.metric or ""
    return [await select(uids, metric, asked.filters, asked.explicit_tags)]


def _series_of(uids: Uids, tsuid: str) -> Series | None:
    """Return the series of a TSUID; None when its ids name nothing.

    Raises:
        TsdbError: 400, the text is no TSUID.
    """
    try:
        return uids.series_of_tsuid(tsuid)
    except NoSuchId as error:
        for part in (tsuid[:UID_HEX], tsuid[UID_HEX:]):
            problem = hex_problem(part)
            if problem:
                raise TsdbError(problem, 400, problem) from error
        return None


def _check_one_metric(tsuids: Sequence[str]) -> None:
    """Refuse TSUIDs of several metrics in one sub query.

    Raises:
        TsdbError: 500, as the original answers; also when a text is too short to hold a metric.
    """
    first = tsuids[0][:UID_HEX]
    for tsuid in tsuids:
        if len(tsuid) < UID_HEX:
            raise TsdbError(f"begin 0, end {UID_HEX}, length {len(tsuid)}", 500)
        if tsuid[:UID_HEX] != first:
            text = f"One or more TSUIDs did not share the same metric [{first}] [{tsuid[:UID_HEX]}]"
            raise TsdbError(text, 500)


async def select(uids: Uids, metric: str, filters: Sequence[TagVFilter], explicit_tags: bool = False) -> Selection:
    """Return the selection of a metric's series.

    Raises:
        NoSuchName: metric, tag or literal value was never written (values are looked up before tag names).
    """
    if await uids.find("metric", metric) is None:
        raise NoSuchName("metrics", metric)
    filters = [one.hashed(uids) for one in filters]
    for one in filters:
        for value in java_order(one.required_values()):
            if not value:
                raise TsdbError("Missing UID name", 400, "Missing UID name")
            if await uids.find("tagv", value) is None:
                raise NoSuchName("tagv", value)
        if await uids.find("tagk", one.tag_name) is None:
            raise NoSuchName("tagk", one.tag_name)
    lowered = tuple(one.lower(uids) for one in filters)
    only = frozenset(one.name for one in lowered) if explicit_tags and lowered else None
    lowered = tuple(one.lower(uids) for one in _as_scanned(filters, uids))
    return Selection(uids.domain, uids.stored_name("metric", metric), lowered, only)


def _as_scanned(filters: Sequence[TagVFilter], uids: Uids) -> list[TagVFilter]:
    """Return the filters that have an effect when a tag has several of them.

    The original looks for literals while it scans, with one list of them a tag. Of the tag with the smallest id that list
    holds the literals of all `literal_or` filters. Of any other tag the last filter decides: its literals are the list, and
    when it has none there is none. Filters of the other types are tried on what was scanned, all of them.
    """
    ranked = sorted(filters, key=lambda one: uids.id_of("tagk", one.tag_name) or 0)
    kept = []
    for name, group in groupby(ranked, key=lambda one: one.tag_name):
        own = list(group)
        literal = [one for one in own if one.required_values()]
        kept += [one for one in own if one not in literal]
        if name == ranked[0].tag_name and literal:
            kept.append(replace(literal[0], text="|".join(one.text for one in literal)))
        elif own[-1] in literal:
            kept.append(own[-1])
    return kept


def selection_of(series: Series) -> Selection:
    """Return the selection of exactly one series."""
    filters = tuple(TagFilter(name, frozenset((value,))) for name, value in series.tags)
    return Selection(series.domain, series.metric, filters, frozenset(name for name, _ in series.tags))


def _series_stages(sub: CheckedSubQuery, first_ms: int, end_ms: int) -> tuple[Stage, ...]:
    """Return what is done to each series on its own."""
    if sub.asked.histogram:
        return ()
    stages: list[Stage] = [OnlyKinds()]
    if sub.downsample is not None:
        stages.append(DownsampleSeries(sub.downsample, first_ms, end_ms))
    if sub.asked.rate:
        stages.append(RateSeries(sub.asked.rate_rules or PLAIN))
    return tuple(stages)


def _group_stages(sub: CheckedSubQuery, uids: Uids, first_ms: int, whole_rows: bool) -> tuple[Stage, ...]:
    """Return what is done to groups of series."""
    group = _group_key(sub, uids)
    order = _row_key(uids)
    if sub.asked.histogram:
        return histogram_stages(sub, first_ms, order, group)
    combined = CombineGroups(sub.aggregator, order, group, held=sub.asked.rate)
    return (combined,) if whole_rows else (combined, KeepRange())


def _row_key(uids: Uids) -> SortKey:
    """Return the order of rows: by the ids of the metric and of the tags, as OpenTSDB's row keys sort."""

    def key(series: Series) -> tuple[object, ...]:
        metric, pairs = uids.series_ids(series)
        return (metric, *pairs)

    return key


def _group_key(sub: CheckedSubQuery, uids: Uids) -> SortKey | None:
    """Return what series of one group share: the ids of the values of the grouping tags, by id of the tag."""
    if sub.aggregator == NO_AGGREGATOR:
        return None
    names = {one.tag_name for one in sub.asked.filters if one.group_by and not sub.asked.tsuids}
    if not names:
        return lambda series: ()
    wanted = {uids.id_of("tagk", name) for name in names}

    def key(series: Series) -> tuple[int, ...]:
        return tuple(value for name, value in uids.series_ids(series)[1] if name in wanted)

    return key
