"""Upkeep in the background: passes at intervals, failures counted and tried again, an end in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from amondawa.errors import Cancelled, Unavailable
from amondawa.ingest import upkeep as module
from amondawa.ingest.maintenance import Report
from amondawa.ingest.upkeep import BILLED_SWEEP_INTERVAL_MS, SWEEP_INTERVAL_MS, Upkeep


class Maintainer:
    """Counts passes; fails in those that it is told to."""

    def __init__(self) -> None:
        self.passes = 0
        self.ended: list[int] = []
        self.held = True
        self.failing: set[int] = set()

    def run(self, now_ms: int) -> Report:
        self.passes += 1
        if self.passes in self.failing:
            raise Unavailable("no answer")
        return Report(held=self.held)

    def end(self, now_ms: int) -> None:
        self.ended.append(now_ms)


class Bench:
    """An upkeep over a maintainer that only counts."""

    def __init__(self, *, billed: bool = False) -> None:
        self.now_ms = 0
        self.sweeps = 0
        self.sweep_error: Exception | None = None
        self.maintainer = Maintainer()
        self.upkeep = Upkeep(self.maintainer, self._sweep, lambda: self.now_ms, billed=billed)  # type: ignore[arg-type]

    async def _sweep(self) -> int:
        self.sweeps += 1
        if self.sweep_error is not None:
            raise self.sweep_error
        return 0


async def until(done: Callable[[], bool]) -> None:
    while not done():  # noqa: ASYNC110 - it changes in another thread
        await asyncio.sleep(0.001)


async def test_the_first_pass_is_over_when_the_gateway_goes_on_starting() -> None:
    bench = Bench()
    await bench.upkeep.start()
    assert (bench.maintainer.passes, bench.sweeps) == (1, 0)
    await bench.upkeep.stop()


async def test_passes_are_repeated_and_one_that_fails_is_counted_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0.001)
    bench = Bench()
    bench.maintainer.failing = {1, 3}
    await bench.upkeep.start()
    await until(lambda: bench.maintainer.passes > 4)
    assert bench.upkeep.failures == 2
    await bench.upkeep.stop()


@pytest.mark.parametrize(("billed", "interval_ms"), [(False, SWEEP_INTERVAL_MS), (True, BILLED_SWEEP_INTERVAL_MS)])
async def test_a_sweep_is_made_when_it_is_time_and_less_often_where_looking_costs_money(
    billed: bool, interval_ms: int
) -> None:
    bench = Bench(billed=billed)
    await bench.upkeep.start()
    for now_ms, sweeps in ((interval_ms - 1, 0), (interval_ms, 1), (interval_ms + 1, 1), (2 * interval_ms, 2)):
        bench.now_ms = now_ms
        await bench.upkeep.run()
        assert bench.sweeps == sweeps
    await bench.upkeep.stop()


async def test_a_gateway_that_does_not_hold_the_lease_sweeps_nothing() -> None:
    bench = Bench()
    bench.maintainer.held = False
    await bench.upkeep.start()
    bench.now_ms = 10 * SWEEP_INTERVAL_MS
    await bench.upkeep.run()
    assert bench.sweeps == 0
    await bench.upkeep.stop()


async def test_a_sweep_that_failed_is_made_by_the_next_pass() -> None:
    bench = Bench()
    await bench.upkeep.start()
    bench.now_ms = SWEEP_INTERVAL_MS
    bench.sweep_error = Unavailable("no answer")
    with pytest.raises(Unavailable):
        await bench.upkeep.run()
    bench.sweep_error = None
    await bench.upkeep.run()
    assert bench.sweeps == 2
    await bench.upkeep.stop()


async def test_a_sweep_that_the_stop_of_the_gateway_ended_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0.001)
    bench = Bench()
    bench.sweep_error = Cancelled("stopping")
    await bench.upkeep.start()
    bench.now_ms = SWEEP_INTERVAL_MS
    await until(lambda: bench.sweeps > 0)
    await bench.upkeep.stop()
    assert bench.upkeep.failures == 0


async def test_the_stop_lets_another_gateway_take_over() -> None:
    bench = Bench()
    await bench.upkeep.start()
    bench.now_ms = 77
    await bench.upkeep.stop()
    assert bench.maintainer.ended == [77]
