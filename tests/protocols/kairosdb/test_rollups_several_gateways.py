"""Roll-ups when several gateways share a store: one runs them, all see the tasks and note late data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from amondawa.gateway import Gateway
from amondawa.model.points import Points, WriteBatch
from amondawa.model.query import Query, Selection
from amondawa.model.result import Result
from amondawa.protocols.kairosdb import rollup_service
from amondawa.protocols.kairosdb.rollup_service import NOTICE_MS, RollupService
from amondawa.settings import Settings
from amondawa.store.memory import MemoryStore
from tests.protocols.kairosdb.test_rollups import BASE, HOUR, NOW, task

Pairs = list[tuple[int, float]]


class Site:
    """Two gateways on one memory store, each with its scheduler, and their common clock."""

    def __init__(self) -> None:
        self.now_ms = NOW
        self.gateways: list[Gateway] = []
        self.services: list[RollupService] = []

    async def start(self) -> None:
        store = MemoryStore()
        store.open()
        for name in ("one", "two"):
            gateway = await Gateway.start(Settings(gateway_id=name), store, lambda: self.now_ms)
            self.gateways.append(gateway)
            self.services.append(RollupService(gateway, "default"))
            gateway.watch_writes(self.services[-1].note)

    async def write(self, *points: tuple[int, float], by: int = 0) -> None:
        """Write points through one gateway. Both have the points of the first in sight; the reader computes there."""
        gateway = self.gateways[by]
        ref = gateway.resolve("d", "src", (("host", "a"),))
        columns = Points.doubles(np.array([p[0] for p in points], np.int64), np.array([p[1] for p in points]))
        await gateway.write(
            WriteBatch(np.full(len(points), ref, np.int32), columns.times_ms, columns.kinds, columns.bits)
        )

    async def turn(self, by: int, hours: float = 0) -> bool:
        self.now_ms += int(hours * HOUR)
        return await self.services[by].take_turn()

    async def out(self, by: int = 0) -> Pairs:
        return await self.gateways[by].query([Query(Selection("d", "out"), 0, 2**62)], _pairs)

    async def late(self) -> int:
        status = await self.services[0].status("d", "i")
        assert status is not None
        return int(status["late_ranges"])


def _pairs(results: list[Result]) -> Pairs:
    return [
        (int(time), float(value))
        for frame in results[0].frames
        for time, value in zip(frame.points.times_ms, frame.points.numbers(), strict=True)
    ]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    await made.start()
    yield made
    for gateway in made.gateways:
        await gateway.stop()


async def test_what_one_gateway_ran_the_other_does_not_run_again(site: Site) -> None:
    await site.write((BASE + 9 * HOUR, 1))
    await site.services[1].put("d", task(id="i"))
    assert await site.turn(0, hours=1)
    assert await site.out() == [(BASE + 9 * HOUR, 1)]
    state = await site.services[0]._store.state("d", "i")
    assert state is not None
    assert state.generation == 1
    assert await site.turn(1)
    again = await site.services[0]._store.state("d", "i")
    assert again is not None
    assert again.generation == 1


async def test_while_one_gateway_runs_the_other_leaves_what_is_due(site: Site) -> None:
    await site.services[0].put("d", task(id="i"))
    site.now_ms += HOUR
    assert await site.gateways[0].take_lease(rollup_service.LEASE, rollup_service.LEASE_MS)
    assert not await site.turn(1)
    await site.gateways[0].release_lease(rollup_service.LEASE)
    assert await site.turn(1)
    state = await site.services[0]._store.state("d", "i")
    assert state is not None
    assert state.generation == 1


async def test_a_gateway_that_vanished_holds_nobody_up_for_long(site: Site) -> None:
    await site.services[0].put("d", task(id="i"))
    site.now_ms += HOUR
    assert await site.gateways[0].take_lease(rollup_service.LEASE, rollup_service.LEASE_MS)
    assert not await site.turn(1)
    site.now_ms += rollup_service.LEASE_MS
    assert await site.turn(1)


async def test_tasks_of_one_gateway_are_seen_by_the_other_at_its_next_look(site: Site) -> None:
    first, second = site.services
    await first.put("d", task(id="i"))
    assert await second.get("d", "i") == (await first.list("d"))[0]
    await second.refresh()
    assert list(second._entries) == [("d", "i")]
    await first.delete("d", "i")
    await second.refresh()
    assert second._entries == {}
    assert rollup_service.REFRESH_S <= 5


async def test_late_points_that_another_gateway_takes_are_noted_there(site: Site) -> None:
    await site.services[0].put("d", task(id="i"))
    await site.services[1].refresh()
    await site.turn(0, hours=1)
    await site.write((BASE + 9 * HOUR, 1), by=1)
    assert await site.late() == 1


async def test_a_point_of_a_period_that_is_about_to_end_counts_as_late(site: Site) -> None:
    await site.services[0].put("d", task(id="i"))
    await site.services[1].refresh()
    await site.turn(0, hours=1)
    site.now_ms = BASE + 12 * HOUR - 10_000
    await site.write((site.now_ms, 1), by=1)
    assert await site.late() == 0
    site.now_ms = BASE + 12 * HOUR - 1_000
    await site.write((site.now_ms, 1), by=1)
    assert await site.late() == 1


async def test_a_mark_is_worked_off_only_once_its_point_is_seen_by_all(site: Site) -> None:
    await site.services[0].put("d", task(id="i"))
    await site.turn(0, hours=1)
    await site.write((BASE + 9 * HOUR, 1))
    entry = site.services[0]._entries["d", "i"]
    entry.state.next_run_ms = site.now_ms
    await site.services[0].run_task(entry)
    assert await site.late() == 1
    site.now_ms += 5_000
    await site.services[0].run_task(entry)
    assert await site.late() == 0
    assert await site.out() == [(BASE + 9 * HOUR, 1)]


async def test_a_second_late_point_is_marked_again_after_the_first_mark_was_worked_off_elsewhere(site: Site) -> None:
    await site.services[0].put("d", task(id="i"))
    await site.services[1].refresh()
    await site.turn(0, hours=1)
    await site.write((BASE + 9 * HOUR, 1), by=1)
    await site.turn(0, hours=1)
    assert await site.late() == 0
    await site.write((BASE + 9 * HOUR + 1, 1), by=1)
    assert await site.late() == 1


async def test_what_a_young_task_computed_is_computed_again_when_all_know_it(site: Site) -> None:
    await site.services[0].put("d", task(id="i", execution_interval={"value": 1, "unit": "seconds"}))
    await site.turn(0, hours=1 / 3600)
    await site.write((BASE + 9 * HOUR, 1), by=1)  # this gateway does not know the task yet, and marks nothing
    assert await site.late() == 0
    site.now_ms += NOTICE_MS
    assert await site.late() == 1


async def test_a_task_that_another_gateway_changes_meanwhile_stops_and_begins_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = site.services
    await first.put("d", task(id="i"))
    computed = rollup_service.compute
    other = [{**task_rollup(), "save_as": "elsewhere"}]

    async def interrupted(*given: Any) -> int:
        await second.put("d", task(id="i", rollups=other))
        return await computed(*given)

    monkeypatch.setattr(rollup_service, "compute", interrupted)
    await site.turn(0, hours=1)
    monkeypatch.setattr(rollup_service, "compute", computed)
    await first.refresh()
    state = first._entries["d", "i"].state
    assert state.watermarks_ms == {}
    assert first._entries["d", "i"].task.queries[0].save_as == "elsewhere"


def task_rollup() -> dict[str, Any]:
    """Return the roll-up of the usual task."""
    from tests.protocols.kairosdb.test_rollups import task_json

    return dict(task_json()["rollups"][0])


async def test_a_run_ends_when_its_lease_is_lost(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = site.services[0]
    await first.put("d", task(id="i"))
    monkeypatch.setattr(rollup_service, "LEASE_MS", 3)
    computed = rollup_service.compute

    async def slowly(*given: Any) -> int:
        site.now_ms += 10
        assert await site.gateways[1].take_lease(rollup_service.LEASE, 60_000)
        for _ in range(500):
            if not first._ours:
                break
            await asyncio.sleep(0.01)
        return await computed(*given)

    monkeypatch.setattr(rollup_service, "compute", slowly)
    await site.turn(0, hours=1)
    state = await first._store.state("d", "i")
    assert state is not None
    assert (state.watermarks_ms, state.last_run_ms) == ({}, None)


async def test_the_host_that_ran_a_task_is_told_by_every_gateway(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "runner")
    await site.services[0].put("d", task(id="i"))
    await site.turn(0, hours=1)
    monkeypatch.setattr("socket.gethostname", lambda: "asked")
    status = await site.services[1].status("d", "i")
    assert status is not None
    assert status["executing_host"] == "runner"
