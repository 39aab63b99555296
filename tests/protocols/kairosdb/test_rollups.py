from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from amondawa.errors import Overloaded
from amondawa.model.points import Points, WriteBatch
from amondawa.model.query import Query, Selection
from amondawa.model.series import sorted_tags
from amondawa.model.timespan import Span, Unit, find_zone
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.problems import RequestRefused
from amondawa.protocols.kairosdb.rollup_periods import PeriodGrid, Stretch
from amondawa.protocols.kairosdb.rollup_service import RollupService
from amondawa.protocols.kairosdb.rollups import RollupTask, read_task
from tests.naive import NaiveGateway

HOUR = 3_600_000
NOW = 1_356_998_400_000 + 10 * HOUR + 600_000
SUM = {"name": "sum", "sampling": {"value": 1, "unit": "hours"}}


def task_json(**fields: Any) -> dict[str, Any]:
    query = {"start_relative": {"value": 3, "unit": "hours"}, "metrics": [{"name": "src", "aggregators": [SUM]}]}
    task = {
        "name": "t",
        "execution_interval": {"value": 1, "unit": "hours"},
        "rollups": [{"save_as": "out", "query": query}],
    }
    return {**task, **fields}


def task(**fields: Any) -> RollupTask:
    return read_task(json.dumps(task_json(**fields)).encode(), NOW)


def rollup(*metrics: Any, **fields: Any) -> dict[str, Any]:
    return {"save_as": "s", "query": {"start_absolute": 1, "metrics": list(metrics)}, **fields}


GOOD = {"name": "m", "aggregators": [SUM]}

REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": None, "execution_interval": None}, ["executionInterval may not be null", "name may not be null"]),
    ({"name": ""}, ["name may not be empty"]),
    ({"rollups": [{"query": {}}]}, ["rollup[0].saveAs may not be null"]),
    ({"rollups": [{"save_as": "s", "query": {}}]}, ["rollup[0]query.metric[] must have a size of at least 1"]),
    (
        {"rollups": [{"save_as": "s", "query": {"metrics": [GOOD]}}]},
        ["rollup[0].query.metric[0].start_time relative or absolute time must be set"],
    ),
    (
        {"rollups": [rollup({"name": "m"})]},
        ["rollup[0].query[0].aggregator At least one aggregator must be a range aggregator"],
    ),
    (
        {"rollups": [rollup(GOOD), rollup({"name": "m"})]},
        ["rollup[0].query[0]rollup[1].query[0].aggregator At least one aggregator must be a range aggregator"],
    ),
]


@pytest.mark.parametrize(("fields", "texts"), REFUSED)
def test_faults_of_tasks_are_worded(fields: dict[str, Any], texts: list[str]) -> None:
    document = {key: value for key, value in task_json(**fields).items() if value is not None}
    with pytest.raises(RequestRefused) as caught:
        read_task(json.dumps(document).encode(), NOW)
    assert caught.value.texts == texts


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"name":"x","execution_interval":{"value":1,"unit":"foo"}}',
        json.dumps(task_json(rollups=[{"save_as": "s"}])).encode(),
    ],
)
def test_broken_tasks_are_internal_failures(body: bytes) -> None:
    with pytest.raises(InternalFailure):
        read_task(body, NOW)


@pytest.mark.parametrize("unit", ["foo", "two words", ""])
def test_a_unit_that_there_is_not_is_told_without_its_word(unit: str) -> None:
    with pytest.raises(InternalFailure) as broken:
        task(execution_interval={"value": 1, "unit": unit})
    assert broken.value.text is not None
    assert broken.value.text.startswith("is not a valid time unit, must be one of MILLISECONDS,")


def test_a_task_is_kept_as_sent() -> None:
    kept = task(id="i", extra=[1.5, 1e3])
    assert kept.json.endswith(b',"id":"i","extra":[1.5,1000.0]}')
    assert json.loads(kept.json) == task_json(id="i", extra=[1.5, 1e3])


def test_a_task_without_an_id_is_kept_with_a_new_one_in_front() -> None:
    kept = task()
    assert kept.json.startswith(f'{{"id":"{kept.id}","name":"t"'.encode())


def test_a_task_that_is_replaced_keeps_its_id_whatever_it_says() -> None:
    kept = read_task(json.dumps(task_json(id="other")).encode(), NOW, "i")
    assert (kept.id, json.loads(kept.json)["id"]) == ("i", "i")


@pytest.mark.parametrize(
    "fields",
    [
        {"execution_interval": "x"},
        {"execution_interval": {"value": "x", "unit": "days"}},
        {"name": []},
        {"rollups": None},
        {"rollups": [{"save_as": "s", "query": {}, "time_zone": "Nowhere"}]},
        {"rollups": [rollup({"name": "m", "tags": 5})]},
        {"rollups": [rollup({"name": "m", "aggregators": [{"name": "sum", "bogus": 1}]})]},
    ],
)
def test_what_a_query_refuses_in_other_words_than_its_own_breaks_a_task_off(fields: dict[str, Any]) -> None:
    with pytest.raises(InternalFailure):
        task(**fields)


def test_a_roll_up_may_name_the_time_zone_of_its_periods() -> None:
    (query,) = task(rollups=[rollup(GOOD, time_zone="Asia/Kolkata")]).queries
    assert query.zone == find_zone("Asia/Kolkata")


def test_an_id_is_made_when_none_is_said() -> None:
    assert task().id != task().id


GRIDS = [
    (Span(1, Unit.HOURS), "UTC", 0),
    (Span(6, Unit.HOURS), "Europe/Berlin", -HOUR),
    (Span(7, Unit.MINUTES), "UTC", 978_307_200_000),
    (Span(1, Unit.WEEKS), "UTC", 4 * 86_400_000),
    (Span(1, Unit.MONTHS), "UTC", 0),
    (Span(1, Unit.YEARS), "Europe/Berlin", -HOUR),
]


@pytest.mark.parametrize(("span", "zone", "edge"), GRIDS)
def test_periods_begin_at_the_same_moments_from_wherever_one_looks(span: Span, zone: str, edge: int) -> None:
    grid = PeriodGrid(span, find_zone(zone))
    assert grid.floor(edge) == edge
    assert grid.ceiling(edge) == edge
    end = grid.after(edge)
    assert grid.floor(end) == end
    assert grid.floor(end - 1) == edge
    assert grid.ceiling(edge + 1) == end


def test_periods_within_a_day_begin_anew_at_local_midnight_over_a_clock_change() -> None:
    grid = PeriodGrid(Span(6, Unit.HOURS), find_zone("Europe/Berlin"))
    spring = 1_364_684_400_000  # 2013-03-31 00:00 in Berlin, a day of 23 hours
    assert list(grid.stretches(spring, spring + 29 * HOUR)) == [
        Stretch(spring, spring + 23 * HOUR),
        Stretch(spring + 23 * HOUR, spring + 29 * HOUR),
    ]
    assert grid.floor(spring + 22 * HOUR) == spring + 18 * HOUR
    assert grid.after(spring + 22 * HOUR) == spring + 23 * HOUR


class Clockwork:
    """A gateway with a clock that is moved by hand, and a scheduler on it."""

    def __init__(self) -> None:
        self.now_ms = NOW
        self.gateway = NaiveGateway(lambda: self.now_ms)
        self.service = RollupService(self.gateway, "default")

    async def write(self, *points: tuple[int, float], host: str = "a", name: str = "src", domain: str = "d") -> None:
        ref = self.gateway.resolve(domain, name, sorted_tags({"host": host}))
        columns = Points.doubles(np.array([p[0] for p in points], np.int64), np.array([p[1] for p in points]))
        refs = np.full(len(points), ref, np.int32)
        await self.gateway.write(WriteBatch(refs, columns.times_ms, columns.kinds, columns.bits))

    async def run(self, hours: float = 0) -> None:
        self.now_ms += int(hours * HOUR)
        await self.service.run_due()

    def out(self, name: str = "out") -> list[tuple[int, float]]:
        result = self.gateway.run(Query(Selection("d", name), 0, 2**62))
        return [
            (int(time), float(value))
            for frame in result.frames
            for time, value in zip(frame.points.times_ms, frame.points.numbers(), strict=True)
        ]


@pytest.fixture
async def clockwork() -> AsyncIterator[Clockwork]:
    made = Clockwork()
    end = made.gateway.watch_writes(made.service.note)
    yield made
    end()


BASE = 1_356_998_400_000


async def test_a_first_run_reaches_back_as_far_as_the_query_and_stops_before_the_running_period(
    clockwork: Clockwork,
) -> None:
    await clockwork.write((BASE + 2 * HOUR, 1), (BASE + 8 * HOUR, 2), (BASE + 10 * HOUR, 4), (BASE + 11 * HOUR, 8))
    await clockwork.service.put("d", task(id="i"))
    await clockwork.run()
    assert clockwork.out() == []
    await clockwork.run(hours=1)
    assert clockwork.out() == [(BASE + 8 * HOUR, 2), (BASE + 10 * HOUR, 4)]


async def test_later_runs_go_on_from_the_watermark_also_after_a_restart(clockwork: Clockwork) -> None:
    await clockwork.service.put("d", task(id="i"))
    await clockwork.run(hours=1)
    await clockwork.write(*((BASE + hour * HOUR, hour) for hour in range(11, 31)))
    clockwork.service = RollupService(clockwork.gateway, "default")
    await clockwork.run(hours=20)
    assert clockwork.out() == [(BASE + hour * HOUR, hour) for hour in range(11, 31)]


async def test_late_points_have_their_period_computed_again(clockwork: Clockwork) -> None:
    await clockwork.write((BASE + 9 * HOUR + 5, 1))
    await clockwork.service.put("d", task(id="i"))
    await clockwork.run(hours=1)
    await clockwork.write((BASE + 9 * HOUR + 1, 10), (BASE + 2 * HOUR, 100), host="b")
    assert clockwork.out() == [(BASE + 9 * HOUR + 5, 1)]
    await clockwork.run(hours=1)
    assert clockwork.out() == [(BASE + 2 * HOUR, 100), (BASE + 9 * HOUR + 1, 11)]


async def test_marks_outlive_a_restart_and_are_worked_off_once(clockwork: Clockwork) -> None:
    await clockwork.service.put("d", task(id="i"))
    await clockwork.run(hours=1)
    await clockwork.write((BASE + 9 * HOUR, 3))
    status = await clockwork.service.status("d", "i")
    assert status is not None
    assert status["late_ranges"] == 1
    clockwork.service = RollupService(clockwork.gateway, "default")
    await clockwork.run(hours=1)
    assert clockwork.out() == [(BASE + 9 * HOUR, 3)]
    status = await clockwork.service.status("d", "i")
    assert status is not None
    assert (status["late_ranges"], status["statuses"][0]["save_as"]) == (0, "out")


async def test_many_late_periods_are_one_range(clockwork: Clockwork) -> None:
    await clockwork.service.put("d", task(id="i"))
    await clockwork.run(hours=1)
    await clockwork.write(*((BASE - hour * HOUR, 1) for hour in range(100)))
    status = await clockwork.service.status("d", "i")
    assert status is not None
    assert status["late_ranges"] == 1
    await clockwork.run(hours=1)
    assert len(clockwork.out()) == 100


async def test_points_of_other_metrics_and_domains_mark_nothing(clockwork: Clockwork) -> None:
    await clockwork.service.put("d", task(id="i"))
    await clockwork.run(hours=1)
    await clockwork.write((BASE, 1), name="other")
    await clockwork.write((BASE, 1), domain="e")
    status = await clockwork.service.status("d", "i")
    assert status is not None
    assert status["late_ranges"] == 0


async def test_roll_ups_of_roll_ups_follow_late_data(clockwork: Clockwork) -> None:
    daily = {"name": "sum", "sampling": {"value": 1, "unit": "days"}}
    second = {
        "save_as": "daily",
        "query": {"start_relative": {"value": 2, "unit": "days"}, "metrics": [{"name": "out", "aggregators": [daily]}]},
    }
    await clockwork.write((BASE - 5 * HOUR, 1))
    await clockwork.service.put("d", task(id="i", rollups=[*task_json()["rollups"], second]))
    await clockwork.run(hours=1)
    await clockwork.write((BASE - 6 * HOUR, 2), (BASE - 5 * HOUR, 3))
    await clockwork.run(hours=1)
    await clockwork.run(hours=1)
    assert clockwork.out("daily") == [(BASE - 6 * HOUR, 5)]


async def test_a_failed_run_is_told_and_made_up_for(clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch) -> None:
    await clockwork.write((BASE + 9 * HOUR, 1))
    await clockwork.service.put("d", task(id="i"))
    good = clockwork.gateway.write

    async def refuse(batch: WriteBatch) -> None:
        raise Overloaded("no memory left")

    monkeypatch.setattr(clockwork.gateway, "write", refuse)
    await clockwork.run(hours=1)
    status = await clockwork.service.status("d", "i")
    assert status is not None
    assert status["statuses"][0]["error_message"] == "no memory left"
    monkeypatch.setattr(clockwork.gateway, "write", good)
    await clockwork.run(hours=1)
    assert clockwork.out() == [(BASE + 9 * HOUR, 1)]


async def test_a_renamed_task_goes_on_and_a_changed_one_begins_anew(clockwork: Clockwork) -> None:
    await clockwork.service.put("d", task(id="i"))
    await clockwork.run(hours=1)
    await clockwork.service.put("d", task(id="i", name="other"))
    state = await clockwork.service._store.state("d", "i")
    assert state is not None
    assert list(state.watermarks_ms) == ["0.0"]
    changed = [{**task_json()["rollups"][0], "save_as": "elsewhere"}]
    await clockwork.service.put("d", task(id="i", rollups=changed))
    state = await clockwork.service._store.state("d", "i")
    assert state is not None
    assert state.watermarks_ms == {}


async def test_a_deleted_task_leaves_nothing_behind(clockwork: Clockwork) -> None:
    await clockwork.service.put("d", task(id="a/b"))
    await clockwork.run(hours=1)
    await clockwork.write((BASE, 1))
    assert await clockwork.service.delete("d", "a/b")
    assert not await clockwork.service.delete("d", "a/b")
    assert await clockwork.service.status("d", "a/b") is None
    assert await clockwork.service.list("d") == []
    await clockwork.run(hours=5)
    assert clockwork.out() == []


async def test_backfill_computes_every_period_that_meets_the_range(clockwork: Clockwork) -> None:
    await clockwork.write(*((BASE + hour * HOUR + 7, hour) for hour in range(5)))
    written = await clockwork.service.backfill("d", task(), BASE + HOUR + 1, BASE + 3 * HOUR)
    assert (written, clockwork.out()) == (2, [(BASE + HOUR + 7, 1), (BASE + 2 * HOUR + 7, 2)])


async def test_the_scheduler_runs_while_an_application_is_inside() -> None:
    made = Clockwork()
    await made.write((BASE + 9 * HOUR, 1))
    await made.service.put("d", task(id="i"))
    made.now_ms += HOUR
    async with made.service.serving():
        async with made.service.serving():
            pass
        for _ in range(200):
            if made.out():
                break
            await _breathe()
    assert made.out() == [(BASE + 9 * HOUR, 1)]
    assert made.gateway._watchers == []


async def _breathe() -> None:

    await asyncio.sleep(0.01)


async def test_a_task_that_cannot_be_computed_says_so_and_harms_no_other(clockwork: Clockwork) -> None:
    await clockwork.write((BASE + 9 * HOUR, 1))
    metric = {"name": "src", "tags": {"host": "regex:("}, "aggregators": [SUM]}
    query = {"start_relative": {"value": 3, "unit": "hours"}, "metrics": [metric]}
    await clockwork.service.put("d", task(id="a", rollups=[{"save_as": "bad", "query": query}]))
    await clockwork.service.put("d", task(id="b"))
    await clockwork.run(hours=1)
    status = await clockwork.service.status("d", "a")
    assert status is not None
    assert "host" in status["statuses"][0]["error_message"]
    assert clockwork.out() == [(BASE + 9 * HOUR, 1)]
