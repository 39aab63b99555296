"""What both telnet dialects share: cutting bytes into lines, reading them fast, and taking their points to the gateway.

A block of whole lines goes through the fast reader first (`kernels.lines`); every line that it does not know for certain to
be good goes, in its place in the order, to the dialect, which alone decides what such a line means. Telnet acknowledges
nothing, so a session does not wait for its points to be durable: `write_queue` keeps them in order until they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from amondawa.errors import AmondawaError
from amondawa.kernels.line_columns import ScannedLines, ScanRules
from amondawa.kernels.lines import Table
from amondawa.model.points import Int64s, Kind, WriteBatch

ANSWER_BYTES = 8 * 1024 * 1024
"""a client that makes one block of lines answer more than this is cut off: it would fill the memory"""


class LinePoint(NamedTuple):
    """A good point as a dialect read it.

    Attributes:
        ref, time_ms, kind, bits: as in a WriteBatch; bits of a TEXT or BLOB are not looked at.
        text: the bytes of a TEXT or BLOB.
        expires_ms: 0 = never.
        key: raw metric and tags when every line with them in the common spelling is of the same series.
    """

    ref: int
    time_ms: int
    kind: Kind
    bits: int
    text: bytes = b""
    expires_ms: int = 0
    key: tuple[bytes, bytes] | None = None


class Exit:
    """The line ends the connection.

    Args:
        answer: what to say before.
    """

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer


Taken = LinePoint | bytes | Exit
"""What became of a line: a point, an answer (possibly empty), or the end."""


@dataclass(slots=True)
class LineCounters:
    """What one dialect has seen since the start."""

    lines: int = 0
    points: int = 0
    answers: int = 0
    known: int = 0
    """points of a series that the fast reader knew"""
    too_long: int = 0
    refused_writes: int = 0
    connections: int = 0


class LineDialect(Protocol):
    """What a telnet dialect decides."""

    rules: ScanRules
    """how the fast reader sees its lines; `rules.longest` is the longest line it takes"""
    counters: LineCounters
    endless_bytes: int
    """a line that is this long and has no end yet ends the connection, also where too long lines are dropped"""

    async def open(self) -> None:
        """Make ready before the first line; called again for every block, so it must be cheap."""

    @property
    def names_version(self) -> int:
        """Changes when the series of a known spelling may have become another one."""

    def take(self, line: bytes) -> Taken:
        """Decide about one line (without its end), alone."""

    def too_long(self) -> Exit | None:
        """Decide about a line longer than allowed: the end, or None to drop it and go on."""

    async def settle(self) -> None:
        """Make durable what the series read so far need, before their points are written."""

    def refusal(self, error: AmondawaError) -> bytes:
        """Return the answer for points that the gateway refused."""


@dataclass(frozen=True, slots=True)
class Block:
    """What a block of lines came to: points in order, answers in order, and whether it ended the connection."""

    batch: WriteBatch | None
    answers: bytes
    exit: bool


class LineReader:
    """Reads blocks of whole lines for all connections of a dialect.

    Args:
        dialect: decides about the lines that are not certain.
        table: the fast reader; None = a new one.
    """

    def __init__(self, dialect: LineDialect, table: Table | None = None) -> None:
        self.dialect = dialect
        self.counters = dialect.counters
        self._table = Table(dialect.rules) if table is None else table
        self._names_version = dialect.names_version

    def read(self, data: bytes) -> Block:
        """Read whole lines; `data` ends with a newline."""
        table = self._table.current
        if self._names_version != self.dialect.names_version:
            self._names_version = self.dialect.names_version
            table.clear()
        scanned = table.scan(data)
        unsure = np.flatnonzero(scanned.refs < 0)
        self.counters.lines += len(scanned)
        self.counters.known += len(scanned) - len(unsure)
        block = self._judge(data, scanned, unsure) if len(unsure) else Block(_batch(scanned), b"", False)
        self.counters.points += 0 if block.batch is None else len(block.batch)
        return block

    def _judge(self, data: bytes, scanned: ScannedLines, unsure: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Block:
        """Let the dialect decide about single lines and file their points among the others."""
        table = self._table.current
        filed = _Filing(scanned)
        answers = bytearray()
        bounds = zip(unsure.tolist(), scanned.starts[unsure].tolist(), scanned.ends[unsure].tolist(), strict=True)
        for row, start, end in bounds:
            taken = self._take(data[start:end])
            if isinstance(taken, LinePoint):
                filed.put(row, taken)
                if taken.key is not None:
                    table.add(*taken.key, taken.ref)
                continue
            answer = taken.answer if isinstance(taken, Exit) else taken
            answers += answer
            self.counters.answers += bool(answer)
            if isinstance(taken, Exit) or len(answers) > ANSWER_BYTES:
                return Block(filed.batch(row), bytes(answers[:ANSWER_BYTES]), True)
        return Block(filed.batch(len(scanned)), bytes(answers), False)

    def _take(self, line: bytes) -> Taken:
        if len(line) <= self.dialect.rules.longest:
            return self.dialect.take(line)
        self.counters.too_long += 1
        return self.dialect.too_long() or b""


class _Filing:
    """Points that the dialect read, put into the columns of the scanned ones."""

    def __init__(self, scanned: ScannedLines) -> None:
        self._scanned = scanned
        self._texts: list[bytes] = []
        self._expires: dict[int, int] = {}

    def put(self, row: int, point: LinePoint) -> None:
        """File a point as a row."""
        columns = self._scanned
        columns.refs[row] = point.ref
        columns.times_ms[row] = point.time_ms
        columns.kinds[row] = point.kind
        columns.bits[row] = point.bits
        if point.kind in (Kind.TEXT, Kind.BLOB):
            columns.bits[row] = len(self._texts)
            self._texts.append(point.text)
        if point.expires_ms:
            self._expires[row] = point.expires_ms

    def batch(self, rows: int) -> WriteBatch | None:
        """Return the points of the first `rows` rows, None when there are none."""
        columns = self._scanned
        kept = np.flatnonzero(columns.refs[:rows] >= 0)
        if not len(kept):
            return None
        expires: Int64s | None = None
        if self._expires:
            whole = np.zeros(len(columns), np.int64)
            whole[list(self._expires)] = list(self._expires.values())
            expires = whole[kept]
        taken = (columns.refs[kept], columns.times_ms[kept], columns.kinds[kept], columns.bits[kept])
        return WriteBatch(*taken, texts=self._texts, expires_ms=expires)


def _batch(scanned: ScannedLines) -> WriteBatch | None:
    if not len(scanned):
        return None
    return WriteBatch(scanned.refs, scanned.times_ms, scanned.kinds, scanned.bits)


def common_key(line: bytes) -> tuple[bytes, bytes] | None:
    """Return the raw metric and tags of a good line when it has the common spelling, `put METRIC TIME VALUE TAGS`.

    Only then do the two name the series for every such line: its words must end at single blanks, so that nothing of the
    metric, time or value can belong to the tags.
    """
    words = line.split(b" ", 4)
    if len(words) != 5:
        return None
    command, metric, time, value, tags = words
    plain = metric and value and min(metric) > 32 and min(value) > 32 and b'"' not in line
    return (metric, tags) if command == b"put" and plain and time.isdigit() else None
