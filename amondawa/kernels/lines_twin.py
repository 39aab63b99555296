"""The fast reader of put lines without a compiler: a strict split loop over a dict, about a fifth of the kernel's speed."""

from __future__ import annotations

import math
import struct

import numpy as np

from amondawa.kernels.line_columns import UNKNOWN, ScannedLines, ScanRules
from amondawa.model.points import Kind

ENTRIES = 300_000
"""series known at most; then the table starts anew"""

_LONG_DIGITS = 18
_TIME_DIGITS = 13
_NUMBER_BYTES = b"0123456789.eE+-"
_LONG = int(Kind.LONG)
_DOUBLE = int(Kind.DOUBLE)
_pack = struct.Struct("<d").pack
_unpack = struct.Struct("<q").unpack

Row = tuple[int, int, int, int]
"""ref, time in ms, kind, bits"""
_LEFT: Row = (UNKNOWN, 0, 0, 0)


class TwinTable:
    """Reads lines with bytes methods only.

    Args:
        rules: the dialect's rules.
        entries: series known at most.
    """

    def __init__(self, rules: ScanRules, entries: int = ENTRIES) -> None:
        self._rules = rules
        self._entries = entries
        self._refs: dict[tuple[bytes, bytes], int] = {}

    def __len__(self) -> int:
        return len(self._refs)

    def items(self) -> list[tuple[bytes, bytes, int]]:
        """Return what is known: metric, tags, ref."""
        return [(metric, tags, ref) for (metric, tags), ref in self._refs.items()]

    def add(self, metric: bytes, tags: bytes, ref: int) -> None:
        """Learn a series; see LineTable."""
        if len(self._refs) >= self._entries:
            self._refs.clear()
        self._refs[(metric, tags)] = ref

    def clear(self) -> None:
        """Forget all series."""
        self._refs.clear()

    def scan(self, data: bytes) -> ScannedLines:
        """Read whole lines; see LineTable."""
        lines = data.split(b"\n")
        lines.pop()
        rows: list[Row] = []
        starts = []
        ends = []
        start = 0
        for line in lines:
            starts.append(start)
            start += len(line) + 1
            ends.append(start - 1)
            if line[-1:] == b"\r":
                line = line[:-1]
                ends[-1] -= 1
            rows.append(self._row(line))
        return _columns(rows, starts, ends)

    def _row(self, line: bytes) -> Row:
        words = line.split(b" ", 4)
        if len(words) != 5 or len(line) > self._rules.longest:
            return _LEFT
        command, metric, time, value, tags = words
        ref = self._refs.get((metric, tags))
        if ref is None or command != b"put" or not time.isdigit() or len(time) > _TIME_DIGITS:
            return _LEFT
        at = int(time)
        if at == 0:
            return _LEFT
        if at < self._rules.seconds_below:
            at *= 1000
        if value.isdigit() and len(value) <= _LONG_DIGITS:
            return ref, at, _LONG, int(value)
        number = self._number(value)
        return _LEFT if number is None else (ref, at, *number)

    def _number(self, value: bytes) -> tuple[int, int] | None:
        """Read what is not a plain run of digits: kind and bits, or None when the dialect must judge."""
        if value.strip(_NUMBER_BYTES) or value[:1] == b"+":
            return None
        pointed = b"." in value
        if not pointed and not (b"e" in value or b"E" in value):
            digits = value[1:]
            short = value[:1] == b"-" and digits.isdigit() and len(digits) <= _LONG_DIGITS
            return (_LONG, -int(digits)) if short else None
        if not pointed and self._rules.exponent_needs_point:
            return None
        try:
            number = float(value)
        except ValueError:
            return None
        return (_DOUBLE, _unpack(_pack(number))[0]) if math.isfinite(number) else None


def _columns(rows: list[Row], starts: list[int], ends: list[int]) -> ScannedLines:
    refs, times, kinds, bits = zip(*rows, strict=True) if rows else ((), (), (), ())
    return ScannedLines(
        np.array(refs, np.int32),
        np.array(times, np.int64),
        np.array(kinds, np.uint8),
        np.array(bits, np.int64),
        np.array(starts, np.int64),
        np.array(ends, np.int64),
    )
