import asyncio

import pytest

from amondawa.auth.caller import Caller
from amondawa.auth.permissions import Right
from amondawa.auth.replay import AppliedSignatures
from amondawa.errors import Forbidden

NOW = 1_800_000_000


def signed(number: int, at_s: int = NOW) -> Caller:
    return Caller("d", Right.BOTH, "K", signature=b"%032d" % number, signed_s=at_s)


async def apply(applied: AppliedSignatures, caller: Caller, failed: bool = False) -> bool:
    new = await applied.begin(caller)
    caller.failed = failed
    applied.end(caller, NOW)
    return new


async def test_a_signature_is_applied_once():
    applied = AppliedSignatures()
    assert await apply(applied, signed(1))
    assert not await apply(applied, signed(1))
    assert await apply(applied, signed(2))


async def test_all_changes_of_one_request_are_carried_out():
    applied = AppliedSignatures()
    caller = signed(1)
    assert [await applied.begin(caller) for _ in range(3)] == [True] * 3
    applied.end(caller, NOW)
    again = signed(1)
    assert [await applied.begin(again) for _ in range(3)] == [False] * 3


async def test_what_was_not_carried_out_may_come_again():
    applied = AppliedSignatures()
    assert await apply(applied, signed(1), failed=True)
    assert await apply(applied, signed(1))


async def test_the_second_of_two_at_once_waits_for_the_first():
    applied = AppliedSignatures()
    first = signed(1)
    assert await applied.begin(first)
    second = asyncio.create_task(apply(applied, signed(1)))
    third = asyncio.create_task(apply(applied, signed(1)))
    await asyncio.sleep(0)
    assert not second.done()
    applied.end(first, NOW)
    assert [await second, await third] == [False, False]


async def test_requests_without_signature_are_never_held_back():
    applied = AppliedSignatures()
    plain = Caller("d", Right.BOTH)
    assert await apply(applied, plain)
    assert await apply(applied, plain)
    assert len(applied) == 0


async def test_signatures_are_forgotten_when_they_can_come_no_more():
    applied = AppliedSignatures()
    await apply(applied, signed(1, NOW - 2_000))
    await apply(applied, signed(2))
    assert len(applied) == 1


async def test_past_the_bound_the_oldest_are_forgotten_and_their_time_is_refused():
    applied = AppliedSignatures(most=20_000)
    for number in range(30_000):
        await apply(applied, signed(number, NOW + number // 1_000))
    assert len(applied) <= 20_000
    with pytest.raises(Forbidden, match="sign it again"):
        await apply(applied, signed(1))
    assert not await apply(applied, signed(29_999, NOW + 29))


async def test_many_signatures_of_one_minute_are_all_known():
    applied = AppliedSignatures()
    for number in range(20_000):
        await apply(applied, signed(number))
    assert not any([await apply(applied, signed(number)) for number in range(0, 20_000, 101)])
    assert await apply(applied, signed(20_001))
