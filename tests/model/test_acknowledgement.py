"""What an answer says of its acknowledgement."""

from __future__ import annotations

import asyncio

import pytest

from amondawa.model.acknowledgement import Ack, note_acknowledgement, noting_acknowledgements


@pytest.mark.parametrize(
    ("acks", "weakest"),
    [
        ([], None),
        ([Ack.STORED], Ack.STORED),
        ([Ack.STORED, Ack.SPOOLED], Ack.SPOOLED),
        ([Ack.SPOOLED, Ack.STORED], Ack.SPOOLED),
    ],
)
def test_the_weakest_acknowledgement_counts(acks: list[Ack], weakest: Ack | None) -> None:
    with noting_acknowledgements() as noted:
        for ack in acks:
            note_acknowledgement(ack)
    assert noted.weakest is weakest


async def test_requests_beside_one_another_note_their_own_and_what_their_tasks_do() -> None:
    async def request(ack: Ack) -> Ack | None:
        with noting_acknowledgements() as noted:
            await asyncio.sleep(0)
            await asyncio.create_task(_write(ack))
        return noted.weakest

    both = await asyncio.gather(request(Ack.STORED), request(Ack.SPOOLED))
    assert list(both) == [Ack.STORED, Ack.SPOOLED]


async def _write(ack: Ack) -> None:
    await asyncio.sleep(0)
    note_acknowledgement(ack)


def test_work_that_nobody_asked_for_notes_nothing() -> None:
    note_acknowledgement(Ack.SPOOLED)
    with noting_acknowledgements() as noted:
        pass
    assert noted.weakest is None
