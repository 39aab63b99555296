"""Pacing: a moment of one's own, a rate that rises, and no storm on the tables at the end of a row."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from amondawa.gateway import Gateway
from amondawa.ingest.pacing import (
    CLOSED_GRACE_MS,
    JITTER_MS,
    LEAST_UNITS_S,
    PACED_ROWS,
    RAMP_FROM,
    RAMP_S,
    SPREAD_S,
    Pacing,
)
from amondawa.model.points import Kind, WriteBatch, same_kind
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Query, Selection
from amondawa.settings import read_settings
from amondawa.store.base import Item
from amondawa.store.dynamodb.store import DynamoStore
from tests.store.strict_fake import StrictFake

WIDTH_MS = 28_800_000
END_MS = 60_000 * WIDTH_MS
UNIT = Item(b"h", b"r", b"v" * 1_000)
FIFTY = Item(b"h", b"r", b"v" * 50_000)


class Clock:
    """Seconds that pass only when somebody waits."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


def paced(clock: Clock, jitter: float = 0.0) -> Pacing:
    pacing = Pacing(billed=True, clock=clock, draw=lambda: jitter)
    pacing.pause = clock.wait
    return pacing


# when -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("jitter", "after_ms"), [(0.0, 0), (0.5, JITTER_MS // 2), (0.999, int(0.999 * JITTER_MS))])
def test_each_gateway_begins_at_a_moment_of_its_own_after_the_end_of_a_row(jitter: float, after_ms: int) -> None:
    pacing = paced(Clock(), jitter)
    due_ms = END_MS + CLOSED_GRACE_MS + after_ms
    assert not pacing.row_is_over(END_MS - 1, due_ms - 1, WIDTH_MS)
    assert pacing.row_is_over(END_MS - 1, due_ms, WIDTH_MS)
    assert not pacing.row_is_over(END_MS, due_ms, WIDTH_MS)


def test_of_short_rows_the_moment_is_early_enough_for_the_next_one() -> None:
    assert paced(Clock(), 0.999).row_is_over(0, 3_600_000 + CLOSED_GRACE_MS + 225_000, 3_600_000)


def test_a_store_that_bills_nothing_is_neither_jittered_nor_paced() -> None:
    pacing = Pacing(draw=lambda: 0.999)
    assert pacing.row_is_over(END_MS - 1, END_MS + CLOSED_GRACE_MS, WIDTH_MS)
    pacing.begin()
    assert not pacing.is_pacing
    assert pacing.rows_at_once(2_048) == 2_048


# how fast -------------------------------------------------------------------------------------------------------------


def write_units(pacing: Pacing, clock: Clock, units: int) -> dict[int, int]:
    """Write some units as fast as the pacing allows; return how many went in each second."""
    seconds: dict[int, int] = defaultdict(int)
    for _ in range(units // 50):
        pacing.wait()
        seconds[int(clock.now_s)] += 50
        pacing.spent([FIFTY])
    return seconds


def test_the_rate_rises_to_the_full_one_and_is_never_above_it() -> None:
    clock = Clock()
    pacing = paced(clock)
    pacing.begin()
    pacing.expect(1_000, 10)
    seconds = write_units(pacing, clock, 200_000)
    assert max(seconds.values()) <= LEAST_UNITS_S + 50
    first = sum(units for second, units in seconds.items() if second < 60)
    later = sum(units for second, units in seconds.items() if RAMP_S <= second < RAMP_S + 60)
    assert first <= 60 * LEAST_UNITS_S * (RAMP_FROM + 0.2)
    assert later == pytest.approx(60 * LEAST_UNITS_S, rel=0.05)


def test_a_large_flush_goes_as_fast_as_it_must_to_end_in_time() -> None:
    clock = Clock()
    pacing = paced(clock)
    pacing.begin()
    pacing.expect(0, 1_000_000)  # three units a series
    write_units(pacing, clock, 3_000_000)
    assert SPREAD_S < clock.now_s < SPREAD_S + RAMP_S


def test_a_flush_that_is_hurried_waits_no_more_and_the_next_one_is_paced_again() -> None:
    clock = Clock()
    pacing = paced(clock)
    pacing.begin()
    pacing.spent([UNIT] * 100_000)
    pacing.hurry()
    pacing.wait()
    assert (clock.now_s, pacing.is_pacing, pacing.rows_at_once(2_048)) == (0.0, False, 2_048)
    pacing.end()
    pacing.begin()
    assert (pacing.is_pacing, pacing.rows_at_once(2_048)) == (True, PACED_ROWS)
    pacing.end()
    assert not pacing.is_pacing


def test_who_waits_is_woken_when_the_flush_must_hurry() -> None:
    pacing = Pacing(billed=True)
    pacing.begin()
    pacing.spent([UNIT] * 100_000)
    pacing.hurry()
    assert pacing.pause(60.0)  # returns at once


# in which order -------------------------------------------------------------------------------------------------------


def test_each_series_has_a_turn_of_its_own_in_each_flush_and_gateway() -> None:
    turns = []
    for jitter in (0.25, 0.75):
        pacing = paced(Clock(), jitter)
        for _ in range(2):
            pacing.begin()
            turns.append(tuple(pacing.turns(1_000).tolist()))
            pacing.end()
    assert len(set(turns)) == 4
    assert all(sorted(one) == list(range(1_000)) for one in turns)
    places = np.argsort(np.array(turns), axis=1)
    assert abs(np.corrcoef(places)[np.triu_indices(4, 1)]).max() < 0.15, "no series is early or late again"


def test_series_that_nothing_paces_are_written_as_they_come() -> None:
    pacing = Pacing(draw=lambda: 0.25)
    pacing.begin()
    assert pacing.in_turn(["a", "b", "c", "d", "e", "f"]) == ["a", "b", "c", "d", "e", "f"]


# on the tables --------------------------------------------------------------------------------------------------------

SERIES = 1_200


class Simulated:
    """A gateway on the strict fake whose clock passes only when somebody waits."""

    def __init__(self) -> None:
        self.clock = Clock(END_MS / 1_000 - 600)
        self.fake = StrictFake(clock_s=self.clock)
        self.gateway: Gateway

    async def start(self, data: Path) -> None:
        store = DynamoStore(self.fake.client, "amdw", "one")
        store.open()
        settings = read_settings({"store": "dynamodb", "ack": "stored", "data": str(data)}, {})
        self.gateway = await Gateway.start(settings, store, lambda: int(self.clock.now_s * 1_000))
        writer = self.gateway._writer
        await writer._flushes.stop()  # the tests flush themselves
        writer._pacing.clock, writer._pacing.pause = self.clock, self.clock.wait
        refs = [self.gateway.resolve("default", "m", (("host", f"{n:05}"),)) for n in range(SERIES)]
        for step in range(10):
            times_ms = np.full(SERIES, END_MS - 600_000 + step * 10_000, np.int64)
            bits = np.arange(SERIES, dtype=np.int64)
            await self.gateway.write(
                WriteBatch(np.array(refs, np.int32), times_ms, same_kind(Kind.LONG, SERIES), bits, [], None)
            )
        self.clock.now_s = END_MS / 1_000 + JITTER_MS / 1_000 + CLOSED_GRACE_MS / 1_000
        self.fake.written_at.clear()

    def peaks(self) -> tuple[float, float]:
        """Return the most write units that a partition, and that a table, took in a second."""
        tables: dict[tuple[str, int], float] = defaultdict(float)
        for (table, _, second), units in self.fake.written_at.items():
            tables[table, second] += units
        return max(self.fake.written_at.values()), max(tables.values())

    async def points(self) -> int:
        query = Query(Selection("default", "m"), MIN_TIME_MS, MAX_TIME_MS)
        return await self.gateway.query([query], lambda results: results[0].sample_size)


async def test_the_flush_of_closed_rows_is_spread_over_seconds_and_partitions(tmp_path: Path) -> None:
    storm, spread = Simulated(), Simulated()
    for one in (storm, spread):
        await one.start(tmp_path)
        assert one.gateway._writer._flush_is_due()
    await storm.gateway.flush()
    await spread.gateway._writer._flush_paced()
    units = [sum(one.fake.written_at.values()) for one in (storm, spread)]
    assert units[0] == pytest.approx(units[1], abs=2), "spreading costs nothing"
    assert storm.peaks()[1] >= SERIES, "all in one second"
    of_partition, of_table = spread.peaks()
    assert of_table <= LEAST_UNITS_S + 2 * PACED_ROWS
    assert of_partition < of_table
    assert spread.clock.now_s - storm.clock.now_s > SERIES / LEAST_UNITS_S
    for one in (storm, spread):
        assert await one.points() == SERIES * 10
        await one.gateway.stop()


async def test_the_series_of_a_metric_are_written_in_no_order_and_the_series_of_two_gateways_in_different_ones(
    tmp_path: Path,
) -> None:
    written: list[list[int]] = []
    for _ in range(2):
        one = Simulated()
        await one.start(tmp_path)
        refs: list[int] = []
        flusher = one.gateway._writer._flusher
        flusher._changed = lambda rows, refs=refs: refs.extend(ref for ref, _ in rows)
        await one.gateway._writer._flush_paced()
        written.append(refs)
        await one.gateway.stop()
    assert sorted(written[0]) == sorted(written[1])
    assert len(written[0]) == SERIES
    sets = [[frozenset(refs[n : n + PACED_ROWS]) for n in range(0, SERIES, PACED_ROWS)] for refs in written]
    assert not set(sets[0]) & set(sets[1])
    first = sorted(written[0][:PACED_ROWS])
    assert first[-1] - first[0] > SERIES / 2


async def test_a_sweep_is_left_for_later_and_a_delete_has_the_flush_hurry(tmp_path: Path) -> None:
    one = Simulated()
    await one.start(tmp_path)
    writer = one.gateway._writer
    writer._pacing.begin()
    assert await one.gateway.sweep() == 0
    assert writer._pacing.is_pacing
    report = await one.gateway.delete(Selection("default", "m"), MIN_TIME_MS, MAX_TIME_MS)
    assert report.points == SERIES * 10
    assert not writer._pacing.is_pacing
    await one.gateway.stop()
