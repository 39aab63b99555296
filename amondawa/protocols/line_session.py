"""One telnet connection: bytes in any cut become lines, lines become points, answers go back."""

from __future__ import annotations

from amondawa.errors import AmondawaError
from amondawa.protocols.lines import LineReader
from amondawa.protocols.write_queue import Budget, LineDoor, WriteQueue

LATE_BYTES = 64 * 1024
"""answers to points refused after their line was read; more are dropped"""


def endless_line(longest_bytes: int) -> bytes:
    """Word the end of a connection whose line seems to have no end."""
    return f"error: line is longer than {longest_bytes} bytes\n".encode()


class Session:
    """A LineSession of either dialect.

    What the gateway refuses after `receive` returned is answered by the next `receive`, which may be given no bytes.
    An unfinished last line is dropped when the peer closes, as the real servers do: its end may be missing.

    Args:
        reader: reads the lines, for all connections of the dialect.
        gateway: where points go.
        budget: memory shared with the other connections.
    """

    def __init__(self, reader: LineReader, gateway: LineDoor, budget: Budget) -> None:
        self._reader = reader
        self._rest = bytearray()
        self._skipping = False
        self._skipped_bytes = 0
        self._closing = False
        self._late = bytearray()
        self._queue = WriteQueue(gateway, budget, reader.dialect.settle, self._refuse)
        reader.counters.connections += 1

    @property
    def closing(self) -> bool:
        """Whether the connection must end."""
        return self._closing

    async def receive(self, data: bytes) -> bytes:
        """Take bytes; see LineSession."""
        answers = self._take_late()
        if self._closing:
            return answers
        await self._reader.dialect.open()
        block = self._whole_lines(data)
        if block:
            read = self._reader.read(block)
            answers += read.answers
            self._closing = read.exit
            if read.batch is not None:
                await self._queue.put(read.batch)
        if not self._closing:
            answers += self._bound_rest()
        if self._closing:
            self._rest.clear()
            await self._queue.drain()
        return answers + self._take_late()

    async def end(self) -> None:
        """Wait until all points are durable; see LineSession."""
        self._rest.clear()
        await self._queue.drain()

    def _whole_lines(self, data: bytes) -> bytes:
        """Return the whole lines that the bytes complete; keep the rest."""
        if self._skipping:
            newline = data.find(b"\n")
            if newline < 0:
                self._skipped_bytes += len(data)
                return b""
            data = data[newline + 1 :]
            self._skipping = False
        cut = data.rfind(b"\n") + 1
        if not cut:
            self._rest += data
            return b""
        block = b"".join((self._rest, memoryview(data)[:cut])) if self._rest else data[:cut]
        self._rest = bytearray(data[cut:])
        return block

    def _bound_rest(self) -> bytes:
        """Judge an unfinished line that is too long already, whatever its end will be."""
        if self._skipping:
            return self._bound_skipped()
        longest = self._reader.dialect.rules.longest + 1
        if len(self._rest) <= longest:
            return b""
        self._skipped_bytes = len(self._rest)
        self._rest = bytearray()
        self._reader.counters.too_long += 1
        end = self._reader.dialect.too_long()
        if end is None:
            self._skipping = True
            return self._bound_skipped()
        self._closing = True
        return end.answer

    def _bound_skipped(self) -> bytes:
        """End the connection when the line that is being dropped seems to have no end."""
        if self._skipped_bytes <= self._reader.dialect.endless_bytes:
            return b""
        self._closing = True
        return endless_line(self._reader.dialect.endless_bytes)

    def _refuse(self, error: AmondawaError) -> None:
        self._reader.counters.refused_writes += 1
        if len(self._late) < LATE_BYTES:
            self._late += self._reader.dialect.refusal(error)

    def _take_late(self) -> bytes:
        late = bytes(self._late)
        self._late.clear()
        return late
