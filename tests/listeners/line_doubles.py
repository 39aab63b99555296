"""Sessions and clients for the tests of the listeners."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A session that keeps what it gets, answers lines that begin with '?', and ends at a line 'exit'."""

    def __init__(self, log: list[Echo]) -> None:
        log.append(self)
        self.received: list[bytes] = []
        self.ended = False
        self.closing = False
        self.late = b""
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def data(self) -> bytes:
        return b"".join(self.received)

    async def receive(self, data: bytes) -> bytes:
        if not data:
            late, self.late = self.late, b""
            return late
        await self.gate.wait()
        self.received.append(data)
        lines = data.split(b"\n")
        self.closing = b"exit" in lines
        return b"".join(line[1:] + b"!\n" for line in lines if line.startswith(b"?"))

    async def end(self) -> None:
        await self.gate.wait()
        self.ended = True


class Failing(Echo):
    async def receive(self, data: bytes) -> bytes:
        raise ZeroDivisionError


async def until(fact: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110 - facts come without events
            await asyncio.sleep(0.002)


class Dialler:
    """Opens client connections and closes them all."""

    def __init__(self) -> None:
        self._streams: list[Stream] = []

    async def __call__(self, address: tuple[str, int]) -> Stream:
        stream = await asyncio.open_connection(*address)
        self._streams.append(stream)
        return stream

    async def hang_up(self) -> None:
        for _, writer in self._streams:
            writer.transport.abort()
        for _, writer in self._streams:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
