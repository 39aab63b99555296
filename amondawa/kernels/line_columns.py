"""What the fast readers of put lines take and give: shared by the compiled one and its twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from amondawa.model.points import Int32s, Int64s, UInt8s

UNKNOWN = -1
"""the ref of a line that a fast reader leaves to the dialect"""


@dataclass(frozen=True, slots=True)
class ScanRules:
    """Where two dialects differ on a line in its common spelling, `put METRIC TIME VALUE TAGS`.

    Attributes:
        seconds_below: a time below this counts seconds, from it on milliseconds.
        exponent_needs_point: whether a value with an exponent but no decimal point is left to the dialect.
        longest: a line of more bytes (its end not counted) is left to the dialect.
    """

    seconds_below: int
    exponent_needs_point: bool
    longest: int


@dataclass(frozen=True, slots=True, eq=False)
class ScannedLines:
    """Columns of n lines, in order.

    Attributes:
        refs: int32[n]; UNKNOWN where the dialect must read the line itself (the next three are then meaningless).
        times_ms, kinds, bits: int64[n], uint8[n], int64[n], as in a WriteBatch.
        starts, ends: int64[n], offsets of each line in the buffer, without the newline and one carriage return before it.
    """

    refs: Int32s
    times_ms: Int64s
    kinds: UInt8s
    bits: Int64s
    starts: Int64s
    ends: Int64s

    def __len__(self) -> int:
        return len(self.refs)

    @classmethod
    def room_for(cls, lines: int) -> ScannedLines:
        """Return columns of undefined content."""
        return cls(
            np.empty(lines, np.int32),
            np.empty(lines, np.int64),
            np.empty(lines, np.uint8),
            np.empty(lines, np.int64),
            np.empty(lines, np.int64),
            np.empty(lines, np.int64),
        )


class LineTable(Protocol):
    """A fast reader with the series that it knows by the raw bytes of their metric and tags.

    It accepts a line only when that line is certainly good: common spelling, known series, exact number. So what it accepts
    is what the dialect alone would have read, and everything else is left to the dialect.
    """

    def scan(self, data: bytes) -> ScannedLines:
        """Read whole lines; `data` ends with a newline or is empty."""

    def add(self, metric: bytes, tags: bytes, ref: int) -> None:
        """Learn a series by its raw bytes as they stood in a good line of the common spelling."""

    def clear(self) -> None:
        """Forget all series."""

    def __len__(self) -> int:
        """Return how many series are known."""
