"""Gateways that misbehave, and conversations with a session, for the tests of both telnet dialects."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from amondawa.errors import AmondawaError
from amondawa.model.points import WriteBatch
from amondawa.protocols.base import LineSession
from tests.naive import NaiveGateway

CONFORMANCE = Path(__file__).parents[2] / "compat_tests" / "conformance"
NOW_MS = 1_700_000_000_000
Stored = tuple[str, dict[str, str], int, object]
"""metric, tags, time in ms, value"""


class RecordingGateway(NaiveGateway):
    """Keeps every batch in order of its write; writes can be held up or made to fail."""

    def __init__(self) -> None:
        super().__init__(lambda: NOW_MS)
        self.batches: list[WriteBatch] = []
        self.failures: list[AmondawaError] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.clear = asyncio.Event()
        self.clear.set()

    async def write(self, batch: WriteBatch) -> None:
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.batches.append(batch)
        await super().write(batch)

    @property
    def congested(self) -> bool:
        return not self.clear.is_set()

    async def wait_until_clear(self) -> None:
        await self.clear.wait()

    def written(self) -> list[Stored]:
        """Every point, in the order in which it was written."""
        out: list[Stored] = []
        for batch in self.batches:
            points = batch.points()
            for i in range(len(batch)):
                series = self.series_of(int(batch.refs[i]))
                out.append((series.metric, dict(series.tags), int(batch.times_ms[i]), points.value_at(i)))
        return out


async def talk(session: LineSession, *pieces: bytes) -> bytes:
    """Send pieces, then close; return all that was answered."""
    answer = b""
    for piece in pieces:
        answer += await session.receive(piece)
    await session.end()
    return answer + await session.receive(b"")


def recorded_telnet_steps(suite: str) -> list[Any]:
    """Return (case name, step) of every telnet step of a recorded suite."""
    cases = json.loads((CONFORMANCE / suite).read_text())["cases"]
    return [(case["name"], step) for case in cases for step in case["steps"] if "telnet" in step]


def pieces_of(step: Any) -> list[bytes]:
    sent = step["telnet"]["send"]
    return [piece.encode() for piece in (sent if isinstance(sent, list) else [sent])]


def check_answer(step: Any, answer: bytes) -> None:
    text = answer.decode()
    if step.get("compare", {}).get("mode") == "contains":
        assert step["expect"]["text"] in text
    else:
        assert text == step["expect"]["text"]
