"""Roll-up of blocks: answers stay what the points give, nothing is lost or counted twice, whatever happens in between."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.aggregate.across_series import OnlyKinds
from amondawa.aggregate.downsample import Average, Count, First, Last, Maximum, Minimum, RangeStage, Sum
from amondawa.aggregate.fill import DownsampleSeries, Downsampling, Fill
from amondawa.aggregate.grid import Grid
from amondawa.aggregate.group import GroupSeries
from amondawa.ingest import rollup_row, rollup_run
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Identity, Selection, Stage
from amondawa.model.rollup import RollupUse
from amondawa.model.timespan import Span, Unit
from tests.ingest.rolled_gateways import (
    BLOCK_MS,
    DROP,
    EVERY_10_S,
    EXACT,
    FIVE_MINUTES,
    HOUR_MS,
    KEEP,
    START_MS,
    Pair,
    Value,
    agree,
    grouped,
    shown,
)
from tests.store.engines import ENGINES

ROUGH = RollupUse((60_000,), exact=False)
RANGE_STAGES: tuple[type[RangeStage], ...] = (Sum, Average, Minimum, Maximum, Count, First, Last)
FUNCTIONS = ("sum", "zimsum", "avg", "min", "mimmax", "max", "count", "first", "last")
FILLS = tuple(fill for fill in Fill if fill is not Fill.SCALAR)
"""those with a value for an empty bucket"""


@pytest.fixture(autouse=True)
def even_small_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rows rolled up whose points take less room as they are, too."""
    monkeypatch.setattr(rollup_row, "MOST_SHARE", 1e9)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for gateways that there are not."""
    monkeypatch.setattr(rollup_run, "HEARD_S", 0.0)


@pytest.fixture(params=ENGINES)
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    one = await Pair.start(request.param, tmp_path)
    yield one
    await one.stop()


def downsampled(function: str, fill: Fill = Fill.NONE, step_ms: int = 300_000) -> list[Stage]:
    grid = Grid(step_ms // 60_000, Unit.MINUTES, step_ms)
    return [OnlyKinds(), DownsampleSeries(Downsampling(grid, function, fill), START_MS, START_MS + 3 * HOUR_MS)]


# answers ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [DROP, KEEP])
async def test_every_column_answers_as_the_points_do(pair: Pair, rules: str) -> None:
    for host in "ab":
        await pair.write(EVERY_10_S, host=host)
    report = await pair.roll(rules)
    assert (report.rolled, report.points_before) == (2, 720)
    for kind in RANGE_STAGES:
        await agree(pair, grouped(kind))
        await agree(pair, grouped(kind, align_start_time=True))
        await agree(pair, [GroupSeries("m"), kind(FIVE_MINUTES)])
    for function in FUNCTIONS:
        for fill in FILLS:
            rolled, raw = await pair.both(downsampled(function, fill), identity=Identity.TIME)
            assert repr(shown(rolled)) == repr(shown(raw))  # NaN is NaN
            assert rolled.rollup == EXACT


VALUES = st.one_of(st.integers(-1_000, 1_000), st.integers(-8_000, 8_000).map(lambda n: n / 8))
TIMES = st.integers(0, 2 * HOUR_MS)
STREAMS = st.dictionaries(TIMES, st.one_of(VALUES, st.sampled_from(["x", "y"])), min_size=1, max_size=80)


@settings(deadline=None, max_examples=25)
@given(
    st.dictionaries(st.sampled_from("abc"), STREAMS, min_size=1),
    STREAMS,
    st.sampled_from(RANGE_STAGES),
    st.sampled_from([1, 2, 7, 60]),
    st.booleans(),
    st.sampled_from([DROP, KEEP]),
)
def test_aligned_aggregations_are_exact_for_any_points_late_ones_included(
    hosts: dict[str, dict[int, Value]],
    late: dict[int, Value],
    kind: type[RangeStage],
    minutes: int,
    aligned: bool,
    rules: str,
) -> None:
    taken = {time for points in hosts.values() for time in points}
    late = {time: value for time, value in late.items() if time not in taken}

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            pair = await Pair.start("memory", Path(directory))
            stages = [GroupSeries("m", ("host",)), kind(Span(minutes, Unit.MINUTES), align_start_time=aligned)]
            for host, points in hosts.items():
                await pair.write(points, host=host)
            await pair.roll(rules)
            await check(pair, stages)
            if late:
                await pair.write(late)
                await check(pair, stages)
                await pair.rolled.flush()
                await check(pair, stages)
                await pair.roll(rules)
                await check(pair, stages)
            await pair.stop()

    async def check(pair: Pair, stages: Sequence[Stage]) -> None:
        rolled, raw = await pair.both(stages)
        assert shown(rolled) == shown(raw)
        assert rolled.sample_size == raw.sample_size
        assert rolled.rollup in (None, EXACT)

    asyncio.run(run())


@settings(deadline=None, max_examples=25)
@given(STREAMS, st.sampled_from(FUNCTIONS), st.sampled_from(FILLS), st.sampled_from([60_000, 180_000, 3_600_000]))
def test_downsampled_series_are_exact_for_any_points(
    points: dict[int, Value], function: str, fill: Fill, step_ms: int
) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            pair = await Pair.start("memory", Path(directory))
            await pair.write(points)
            await pair.roll()
            rolled, raw = await pair.both(downsampled(function, fill, step_ms), identity=Identity.TIME)
            assert repr(shown(rolled)) == repr(shown(raw))
            assert rolled.rollup in (None, EXACT)
            await pair.stop()

    asyncio.run(run())


async def test_what_needs_the_points_is_answered_by_the_means_and_says_so(pair: Pair) -> None:
    await pair.write(EVERY_10_S)
    await pair.roll()
    rolled, _ = await pair.both()
    assert rolled.rollup == ROUGH
    expected = []
    for start in range(0, HOUR_MS, 60_000):
        values = [EVERY_10_S[time] for time in range(start, start + 60_000, 10_000)]
        expected.append((start, 1, sum(values) / 6))  # type: ignore[arg-type]
    assert shown(rolled)[0][3] == expected
    rolled, _ = await pair.both(grouped(Sum)[:1] + [Sum(Span(90, Unit.SECONDS))])
    assert rolled.rollup == ROUGH


async def test_what_needs_the_points_gets_them_where_they_are_kept(pair: Pair) -> None:
    await pair.write(EVERY_10_S)
    await pair.roll(KEEP)
    await agree(pair, [], None)
    await agree(pair, [GroupSeries("m"), Sum(Span(90, Unit.SECONDS))], None)
    await agree(pair, grouped(Sum), None, start_ms=30_000)
    await agree(pair, [], None, limit=3, descending=True)


async def test_an_interval_belongs_to_the_range_that_holds_its_first_point(pair: Pair) -> None:
    await pair.write(EVERY_10_S)
    await pair.roll()
    total = 0
    for start, end in ((0, 89_999), (90_000, 150_000), (150_001, HOUR_MS)):
        rolled, _ = await pair.both([GroupSeries("m"), Sum(Span(1, Unit.HOURS))], start, end)
        assert rolled.rollup == ROUGH
        total += shown(rolled)[0][3][0][2]  # type: ignore[index]
    assert total == sum(EVERY_10_S.values())  # type: ignore[arg-type]


async def test_the_newest_point_alone_is_exact(pair: Pair) -> None:
    await pair.write(EVERY_10_S)
    await pair.roll()
    for descending in (False, True):
        rolled, raw = await pair.both(limit=1, descending=descending)
        assert shown(rolled) == shown(raw)


async def test_points_with_an_interval_of_their_own_are_left_as_they_are(pair: Pair) -> None:
    await pair.write(dict.fromkeys(range(0, HOUR_MS, 60000), 1))
    assert (await pair.roll()).rolled == 0
    await agree(pair, [], None)


async def test_texts_blobs_and_points_that_expire_stay(pair: Pair) -> None:
    await pair.write({**EVERY_10_S, 5_000: "text", 15_000: b"blob"})
    await pair.write({25_000: 7}, expires_ms=START_MS + 10 * BLOCK_MS)
    await pair.roll()
    rolled, _ = await pair.both()
    frames = shown(rolled)[0][3]
    assert (5_000, 2, "text") in frames  # type: ignore[operator]
    assert (15_000, 3, b"blob") in frames  # type: ignore[operator]
    assert (25_000, 0, 7) in frames  # type: ignore[operator]
    for kind in (Sum, Average, Count):
        await agree(pair, grouped(kind))
    pair.clock.now_ms = START_MS + 10 * BLOCK_MS
    await agree(pair, grouped(Sum))


async def test_metrics_without_a_rule_stay_and_the_first_rule_counts(pair: Pair) -> None:
    for metric in ("web.a", "web.b", "db"):
        await pair.write(EVERY_10_S, metric=metric)
    report = await pair.roll("web.b=1d:300s:drop-raw,web.*=1d:60s:drop-raw")
    assert report.rolled == 2
    uses = [(await pair.both(metric=metric))[0].rollup for metric in ("web.a", "web.b", "db")]
    assert uses == [ROUGH, RollupUse((300_000,), exact=False), None]


@pytest.mark.parametrize("rules", [DROP, KEEP])
async def test_a_row_that_would_not_take_less_room_is_left_as_it_is(
    pair: Pair, rules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup_row, "MOST_SHARE", 1.0)
    await pair.write(dict.fromkeys(EVERY_10_S, 5), host="constant")
    noise = random.Random(1)
    await pair.write({time: noise.randrange(10_000) for time in range(0, HOUR_MS, 500)}, host="noisy")
    report = await pair.roll(rules)
    assert (report.rows, report.rolled) == (2, 1)
    for kind in RANGE_STAGES:
        await agree(pair, grouped(kind))


# what comes late --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [DROP, KEEP])
async def test_late_points_count_at_once_and_are_rolled_up_by_the_next_run(pair: Pair, rules: str) -> None:
    await pair.write(EVERY_10_S)
    await pair.roll(rules)
    await pair.write(dict.fromkeys(range(3000, HOUR_MS, 10000), 5))
    for kind in (Sum, Count, Average, First, Last):
        await agree(pair, grouped(kind), EXACT if rules == DROP else None)
    await pair.rolled.flush()
    for kind in (Sum, Count, Average, First, Last):
        await agree(pair, grouped(kind), EXACT if rules == DROP else None)
    report = await pair.roll(rules)
    assert report.rolled == 1
    for kind in RANGE_STAGES:
        await agree(pair, grouped(kind))
    assert (await pair.roll(rules)).rows == 0


async def test_a_late_point_in_place_of_a_kept_one_wins(pair: Pair) -> None:
    await pair.write(EVERY_10_S)
    await pair.roll(KEEP)
    await pair.write({10_000: 1_000})
    await agree(pair, grouped(Sum), None)
    await pair.rolled.flush()
    await agree(pair, grouped(Sum), None)
    await pair.roll(KEEP)
    await agree(pair, grouped(Sum))


async def test_a_late_series_is_rolled_up_by_the_next_run(pair: Pair) -> None:
    await pair.write(EVERY_10_S)
    await pair.roll()
    await pair.write(EVERY_10_S, host="late")
    await pair.rolled.flush()
    assert (await pair.roll()).rolled == 1
    await agree(pair, grouped(Sum))


# deletes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [DROP, KEEP])
async def test_a_delete_of_whole_intervals_is_exact(pair: Pair, rules: str) -> None:
    await pair.write(EVERY_10_S)
    await pair.roll(rules)
    assert await pair.delete(600_000, 1_199_999) == (60, 60)
    for kind in RANGE_STAGES:
        await agree(pair, grouped(kind), EXACT if rules == DROP else None)
    await pair.roll(rules)
    await agree(pair, grouped(Sum))


async def test_what_a_query_of_a_range_shows_is_what_a_delete_of_it_removes(pair: Pair) -> None:
    await pair.write(EVERY_10_S)
    await pair.roll()
    assert (await pair.delete(30_000, 90_000))[0] == 6
    rolled, _ = await pair.both(start_ms=30_000, end_ms=90_000)
    assert shown(rolled) == []
    left, _ = await pair.both()
    assert [time for time, *_ in shown(left)[0][3]][:2] == [0, 120_000]  # type: ignore[attr-defined]


@pytest.mark.parametrize("rules", [DROP, KEEP])
async def test_a_metric_that_is_deleted_is_gone_with_its_names(pair: Pair, rules: str) -> None:
    await pair.write({**EVERY_10_S, 5: "text"})
    await pair.write(EVERY_10_S, metric="other", host="b")
    await pair.roll(rules)
    report = await pair.rolled.delete_metric("default", "m")
    assert (report.points, report.names) == (361, ["m"])
    assert await pair.rolled.metric_names("default") == ["other"]
    assert await pair.rolled.tag_values("default", "host") == ["b"]
    assert await pair.rolled.find_series(Selection("default", "m"), MIN_TIME_MS, MAX_TIME_MS) == []
    assert shown((await pair.both())[0]) == []
    await agree(pair, grouped(Sum), metric="other")


async def test_a_retention_takes_rolled_up_rows_too(tmp_path: Path) -> None:
    pair = await Pair.start("sqlite", tmp_path, retention="m=5184000")
    await pair.write(EVERY_10_S)
    await pair.roll()
    pair.clock.now_ms = START_MS + 2 * BLOCK_MS + 2 * HOUR_MS
    assert shown((await pair.both())[0]) == []
    assert await pair.rolled.sweep() == 360
    assert await pair.rolled.metric_names("default") == []
    await pair.stop()


# runs -------------------------------------------------------------------------------------------------------------------


async def test_a_second_run_and_a_run_after_a_restart_change_nothing(pair: Pair) -> None:
    await pair.write(EVERY_10_S)
    await pair.roll()
    assert (await pair.roll(again=True)).rolled == 0
    await pair.again()
    await agree(pair, grouped(Average))
    assert (await pair.roll(again=True)).rolled == 0
    assert (await pair.roll()).rows == 0


async def test_a_dry_run_counts_and_changes_nothing(pair: Pair) -> None:
    await pair.write(EVERY_10_S)
    await pair.rolled.flush()
    report = await pair.roll(dry_run=True)
    assert (report.rolled, report.points_before, report.points_after) == (1, 360, 60)
    assert report.bytes_before > 0 < report.bytes_after
    await agree(pair, [], None)
    assert (await pair.roll()).rolled == 1


async def test_blocks_that_are_not_old_enough_stay(pair: Pair) -> None:
    await pair.write(EVERY_10_S)
    assert (await pair.roll("*=10d:60s:drop-raw")).rows == 0
    await agree(pair, [], None)


async def test_kept_points_go_when_the_rule_says_so_later(pair: Pair) -> None:
    await pair.write(EVERY_10_S)
    await pair.roll(KEEP)
    await pair.roll(DROP)
    rolled, _ = await pair.both()
    assert rolled.rollup == ROUGH
    await agree(pair, grouped(Average))


async def test_a_longer_interval_takes_the_shorter_one_s_place(pair: Pair) -> None:
    await pair.write(EVERY_10_S)
    await pair.roll()
    await pair.write({2_000: 9})
    await pair.roll("*=1d:300s:drop-raw")
    await agree(pair, grouped(Average), RollupUse((300_000,), exact=True))
    await pair.roll("*=1d:420s:drop-raw")
    await agree(pair, grouped(Average), RollupUse((300_000,), exact=True))


async def test_the_gateway_rolls_up_by_itself(tmp_path: Path) -> None:
    pair = await Pair.start("sqlite", tmp_path, rollup=DROP)
    await pair.write(EVERY_10_S)
    pair.clock.now_ms = START_MS + BLOCK_MS + 2 * 24 * HOUR_MS
    await pair.rolled.maintain()
    await agree(pair, grouped(Average))
    assert pair.rolled.statistics()["rows_rolled_up"] == 1
    await pair.stop()
