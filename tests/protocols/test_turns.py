"""Turns of the event loop among domains."""

from __future__ import annotations

import asyncio
import sys

from amondawa.model.company import SHARED_S
from amondawa.protocols.turns import (
    MOST_BYTES,
    QUIET_TURN_S,
    SHORT_S,
    TURN_BYTES,
    TURN_S,
    Turns,
    request_bytes,
)


async def test_a_domain_alone_is_never_held_up():
    turns = Turns()
    for _ in range(1_000):
        waiting = turns.take("one", MOST_BYTES)
        try:
            waiting.send(None)
        except StopIteration:
            continue
        raise AssertionError("it had to wait")


async def test_in_company_each_domain_has_one_turn_while_the_other_has_one():
    turns, order = Turns(), []

    async def work(domain: str) -> None:
        await turns.take(domain, TURN_BYTES)
        order.append(domain)

    await turns.take("quiet", 1)
    tasks = [asyncio.create_task(work("loud")) for _ in range(50)]
    tasks += [asyncio.create_task(work("quiet")) for _ in range(5)]
    await asyncio.gather(*tasks)
    assert max(at for at, domain in enumerate(order) if domain == "quiet") < 15
    assert len(order) == 55


async def test_turns_are_long_beside_quiet_domains_and_short_among_loud_ones():
    turns = Turns()
    await turns.take("quiet", 1)
    await turns.take("loud", MOST_BYTES)
    tasks = [asyncio.create_task(turns.take("loud", 1))]
    await asyncio.sleep(0)
    assert turns.turn_s == QUIET_TURN_S
    tasks += [asyncio.create_task(turns.take("quiet", MOST_BYTES)) for _ in range(2)]
    await asyncio.sleep(0)
    assert turns.turn_s == TURN_S
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_larger_than_a_turn_is_paid_off_while_others_go_on():
    turns, order = Turns(), []

    async def work(domain: str, size_bytes: int) -> None:
        await turns.take(domain, size_bytes)
        order.append(domain)

    await turns.take("quiet", 1)
    await turns.take("loud", 8 * TURN_BYTES)
    rest = [asyncio.create_task(work("loud", 1))]
    rest += [asyncio.create_task(work("quiet", TURN_BYTES)) for _ in range(4)]
    await asyncio.gather(*rest)
    assert order[-1] == "loud"


async def test_a_client_that_goes_away_while_it_waits_costs_nobody_a_turn():
    turns = Turns()
    await turns.take("quiet", 1)
    await turns.take("loud", MOST_BYTES)
    gone = asyncio.create_task(turns.take("loud", MOST_BYTES))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait((gone,))
    await asyncio.wait_for(turns.take("loud", 1), 10)


def test_a_body_is_counted_as_the_lines_that_take_as_long():
    assert request_bytes(0) < TURN_BYTES < request_bytes(TURN_BYTES // 4)


async def test_accounts_are_closed_once_they_are_even():
    now = [100.0]
    turns = Turns(lambda: now[0])
    await turns.take("quiet", 1)
    await turns.take("loud", MOST_BYTES)
    for _ in range(200):
        if not turns._accounts:
            break
        await asyncio.sleep(0.01)
    assert not turns._accounts
    now[0] += SHARED_S + 1
    await turns.take("loud", MOST_BYTES)
    assert not turns._accounts


async def test_threads_change_places_more_often_in_company_only(monkeypatch):
    monkeypatch.setattr("amondawa.protocols.turns.LOOK_S", 0.001)
    now, before = [100.0], sys.getswitchinterval()
    turns = Turns(lambda: now[0])
    async with turns.kept_short():
        await turns.take("loud", 1)
        await asyncio.sleep(0.02)
        assert sys.getswitchinterval() == before
        await turns.take("quiet", 1)
        await asyncio.sleep(0.02)
        assert abs(sys.getswitchinterval() - SHORT_S) < 1e-6
        now[0] += SHARED_S + 1
        await asyncio.sleep(0.02)
        assert sys.getswitchinterval() == before
        await turns.take("loud", 1)
        await asyncio.sleep(0.02)
    assert sys.getswitchinterval() == before
