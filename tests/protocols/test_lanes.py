"""Worker threads among domains."""

from __future__ import annotations

import asyncio

from amondawa.model.company import SHARED_S
from amondawa.protocols.lanes import Lanes


class Runs:
    """Queries that hold a lane until told to end."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.started: list[str] = []
        self.go_on: dict[str, asyncio.Event] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, domain: str, *names: str) -> None:
        for name in names:
            self.go_on[name] = asyncio.Event()
            self.tasks.append(asyncio.create_task(self._run(domain, name)))
        await settle()

    async def _run(self, domain: str, name: str) -> None:
        async with self.lanes.lane(domain):
            self.started.append(name)
            await self.go_on[name].wait()

    async def end(self, *names: str) -> None:
        for name in names:
            self.go_on[name].set()
        await settle()

    async def end_all(self) -> None:
        for event in self.go_on.values():
            event.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_domain_leaves_half_of_the_threads_free():
    runs = Runs(Lanes(4))
    await runs.ask("loud", "l1", "l2", "l3")
    assert runs.started == ["l1", "l2"]
    await runs.ask("quiet", "q1")
    assert runs.started[-1] == "q1"
    await runs.end_all()


async def test_in_company_a_quarter_is_the_most():
    now = [100.0]
    lanes = Lanes(8, lambda: now[0])
    runs = Runs(lanes)
    await runs.ask("quiet", "q1")
    await runs.ask("loud", "l1", "l2", "l3")
    assert runs.started == ["q1", "l1", "l2"]
    now[0] += SHARED_S + 1
    assert lanes.most == 4
    await runs.end_all()


async def test_a_free_thread_goes_to_the_waiting_domain_that_has_the_fewest():
    now = [100.0]
    runs = Runs(Lanes(4, lambda: now[0]))
    await runs.ask("a", "a1", "a2", "a3")
    now[0] += SHARED_S + 1
    await runs.ask("a", "a4")
    await runs.ask("b", "b1")
    await runs.ask("c", "c1")
    await runs.ask("d", "d1")
    await runs.ask("b", "b2")
    assert runs.started == ["a1", "a2", "b1", "c1"]
    await runs.end("a1")
    assert runs.started[-1] == "d1"
    await runs.end("b1")
    assert runs.started[-1] == "b2"
    await runs.end_all()
    assert sorted(runs.started) == ["a1", "a2", "a3", "a4", "b1", "b2", "c1", "d1"]


async def test_domains_that_wait_take_turns():
    runs = Runs(Lanes(1))
    await runs.ask("a", "a1", "a2", "a3")
    await runs.ask("b", "b1", "b2")
    for _ in range(5):
        await runs.end(runs.started[-1])
    assert runs.started == ["a1", "a2", "b1", "a3", "b2"]


async def test_one_thread_serves_one_at_a_time():
    runs = Runs(Lanes(1))
    await runs.ask("a", "a1", "a2")
    assert runs.started == ["a1"]
    await runs.end("a1")
    assert runs.started == ["a1", "a2"]
    await runs.end_all()


async def test_who_stops_waiting_or_is_stopped_gives_its_thread_back():
    runs = Runs(Lanes(1))
    await runs.ask("a", "a1", "a2")
    await runs.ask("b", "b1")
    runs.tasks[1].cancel()
    await settle()
    runs.tasks[0].cancel()
    await settle()
    assert runs.started == ["a1", "b1"]
    await runs.end("b1")
    await runs.ask("c", "c1")
    assert runs.started[-1] == "c1"
    await runs.end_all()


async def test_a_thread_handed_to_somebody_who_is_stopped_at_that_moment_is_not_lost():
    lanes = Lanes(1)
    runs = Runs(lanes)
    await runs.ask("a", "a1", "a2")
    runs.go_on["a1"].set()
    for _ in range(2):
        await asyncio.sleep(0)
    runs.tasks[1].cancel()
    await settle()
    await runs.ask("b", "b1")
    assert runs.started[-1] == "b1"
    await runs.end_all()
