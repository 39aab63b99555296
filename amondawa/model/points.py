"""Data points as columns: no Python object per point anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
UInt8s = npt.NDArray[np.uint8]
Float64s = npt.NDArray[np.float64]


class Kind(IntEnum):
    """What a value is; the column of kinds holds these as uint8."""

    LONG = 0
    """bits is the signed 64-bit value"""
    DOUBLE = 1
    """bits is the IEEE 754 bit pattern of the value"""
    TEXT = 2
    """bits is an index into texts; texts hold UTF-8"""
    BLOB = 3
    """bits is an index into texts; texts hold opaque bytes (histograms)"""
    NULL = 4
    """an empty bucket in a result; never stored"""


_KIND_BYTES = tuple(bytes((kind,)) for kind in Kind)


def same_kind(kind: Kind, count: int) -> UInt8s:
    """Return a read-only column of one kind that takes no memory (uint8[count])."""
    return np.ndarray((count,), np.uint8, _KIND_BYTES[kind], 0, (0,))


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points of one stream.

    Attributes:
        times_ms: int64[n], ms since 1970 UTC; ascending unless said otherwise (equal times allowed).
        kinds: uint8[n], see Kind; may be a zero-stride broadcast.
        bits: int64[n], see Kind.
        texts: the byte strings that TEXT and BLOB bits index; may hold more than are used.
        expires_ms: int64[n], 0 = never; None when no point expires.
        stamps: int64[n], when each point was committed (us, see `ingest.stamps`), only where several gateways may write to
            one series and the order of arrival does not tell which write was the last; None = as they stand.

    Arrays are never written to after construction.
    """

    times_ms: Int64s
    kinds: UInt8s
    bits: Int64s
    texts: Sequence[bytes] = ()
    expires_ms: Int64s | None = None
    stamps: Int64s | None = None

    def __len__(self) -> int:
        return len(self.times_ms)

    @classmethod
    def empty(cls) -> Points:
        """Return no points."""
        return _EMPTY

    @classmethod
    def doubles(cls, times_ms: Int64s, values: Float64s) -> Points:
        """Wrap float64[n] values."""
        bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
        return cls(times_ms, same_kind(Kind.DOUBLE, len(bits)), bits)

    @classmethod
    def longs(cls, times_ms: Int64s, values: Int64s) -> Points:
        """Wrap int64[n] values."""
        return cls(times_ms, same_kind(Kind.LONG, len(values)), np.asarray(values, dtype=np.int64))

    @classmethod
    def of_texts(cls, times_ms: Int64s, texts: Sequence[bytes]) -> Points:
        """Wrap one UTF-8 text a point."""
        return cls(times_ms, same_kind(Kind.TEXT, len(texts)), np.arange(len(texts), dtype=np.int64), texts)

    def take(self, which: slice | npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Points:
        """Select points by slice, index array or mask; texts are shared, not copied."""
        expires = None if self.expires_ms is None else self.expires_ms[which]
        stamps = None if self.stamps is None else self.stamps[which]
        return Points(self.times_ms[which], self.kinds[which], self.bits[which], self.texts, expires, stamps)

    def with_used_texts(self) -> Points:
        """Return the points with a table of no texts but those that they use."""
        if not self.texts:
            return self
        indexed = (self.kinds == Kind.TEXT) | (self.kinds == Kind.BLOB)
        used, places = np.unique(self.bits[indexed], return_inverse=True)
        bits = self.bits.copy()
        bits[indexed] = places
        texts = [self.texts[index] for index in used.tolist()]
        return Points(self.times_ms, self.kinds, bits, texts, self.expires_ms, self.stamps)

    def between(self, start_ms: int, end_ms: int) -> Points:
        """Select the points of the inclusive range; times must ascend."""
        if len(self) == 0 or (start_ms <= int(self.times_ms[0]) and int(self.times_ms[-1]) <= end_ms):
            return self
        first = int(np.searchsorted(self.times_ms, start_ms, "left"))
        last = int(np.searchsorted(self.times_ms, end_ms, "right"))
        return self.take(slice(first, last))

    def only(self, kind: Kind) -> bool:
        """Say whether every point is of this kind (true for none)."""
        kinds = self.kinds
        if len(kinds) == 0:
            return True
        wanted = kind.value  # numpy compares with a plain int ten times as fast as with an IntEnum
        if kinds.strides == (0,):
            return kinds.item(0) == wanted
        return bool((kinds == wanted).all())

    def numbers(self) -> Float64s:
        """Return LONG and DOUBLE values as float64[n]; TEXT, BLOB and NULL give NaN."""
        if self.only(Kind.DOUBLE):
            return self.bits.view(np.float64)
        if self.only(Kind.LONG):
            return self.bits.astype(np.float64)
        out = np.where(self.kinds == Kind.LONG.value, self.bits.astype(np.float64), self.bits.view(np.float64))
        out[self.kinds > Kind.DOUBLE.value] = np.nan
        return out

    def value_at(self, index: int) -> int | float | str | bytes | None:
        """Return one value as a Python object (tests and small answers only)."""
        kind = self.kinds[index]
        if kind == Kind.LONG:
            return int(self.bits[index])
        if kind == Kind.DOUBLE:
            return float(self.bits[index : index + 1].view(np.float64)[0])
        if kind == Kind.NULL:
            return None
        raw = self.texts[int(self.bits[index])]
        return raw.decode() if kind == Kind.TEXT else raw

    @staticmethod
    def concat(parts: Sequence[Points]) -> Points:
        """Join parts one after the other, in the order given (times are not sorted)."""
        parts = [p for p in parts if len(p)]
        if not parts:
            return _EMPTY
        if len(parts) == 1:
            return parts[0]
        kinds = {int(p.kinds[0]) for p in parts if p.kinds.strides == (0,)}
        total = sum(len(p) for p in parts)
        uniform = len(kinds) == 1 and all(p.kinds.strides == (0,) for p in parts)
        joined_kinds = same_kind(Kind(kinds.pop()), total) if uniform else np.concatenate([p.kinds for p in parts])
        texts, bits = join_texts([(p.kinds, p.bits, p.texts) for p in parts])
        expires = _joined([(len(p), p.expires_ms) for p in parts])
        stamps = _joined([(len(p), p.stamps) for p in parts])
        return Points(np.concatenate([p.times_ms for p in parts]), joined_kinds, bits, texts, expires, stamps)


_LONG_PART = 64
"""Parts of fewer points are joined before they are looked at: a call for each would take longer than the copy."""


def numbers_of(parts: Sequence[Points]) -> Float64s:
    """Return the values of parts laid end to end, see `Points.numbers`."""
    if sum(map(len, parts)) >= _LONG_PART * len(parts):
        return parts[0].numbers() if len(parts) == 1 else np.concatenate([part.numbers() for part in parts])
    kinds, bits = np.concatenate([part.kinds for part in parts]), np.concatenate([part.bits for part in parts])
    return Points(bits, kinds, bits).numbers()


def _joined(columns: Sequence[tuple[int, Int64s | None]]) -> Int64s | None:
    """Join optional columns of some length; 0 where one is missing, None where all are."""
    if all(column is None for _, column in columns):
        return None
    return np.concatenate([np.zeros(length, np.int64) if column is None else column for length, column in columns])


def join_texts(parts: Sequence[tuple[UInt8s, Int64s, Sequence[bytes]]]) -> tuple[Sequence[bytes], Int64s]:
    """Join text tables of several columns; return the table and all bits, re-indexed where they are text."""
    if not any(texts for _, _, texts in parts):
        return (), np.concatenate([bits for _, bits, _ in parts])
    texts: list[bytes] = []
    columns = []
    for kinds, bits, own in parts:
        if own:
            indexed = (kinds == Kind.TEXT) | (kinds == Kind.BLOB)
            columns.append(np.where(indexed, bits + len(texts), bits))
            texts.extend(own)
        else:
            columns.append(bits)
    return texts, np.concatenate(columns)


_EMPTY = Points(np.zeros(0, np.int64), same_kind(Kind.LONG, 0), np.zeros(0, np.int64))


@dataclass(slots=True, eq=False)
class WriteBatch:
    """Columns of points of many series, in order of arrival; never changed once handed to the gateway.

    Attributes:
        refs: int32[n], series as the gateway resolved them.
        times_ms, kinds, bits, texts, expires_ms, stamps: as in Points (times in any order).
    """

    refs: Int32s
    times_ms: Int64s
    kinds: UInt8s
    bits: Int64s
    texts: Sequence[bytes] = field(default=())
    expires_ms: Int64s | None = None
    stamps: Int64s | None = None

    def __len__(self) -> int:
        return len(self.refs)

    @property
    def memory_bytes(self) -> int:
        """Bytes that the columns occupy."""
        size = self.refs.nbytes + self.times_ms.nbytes + self.bits.nbytes + len(self.refs)
        size += sum(map(len, self.texts)) + 50 * len(self.texts)
        size += 0 if self.stamps is None else self.stamps.nbytes
        return size + (0 if self.expires_ms is None else self.expires_ms.nbytes)

    @classmethod
    def of(cls, refs: Int32s, points: Points) -> WriteBatch:
        """Return columns with their series (int32[n])."""
        return cls(refs, points.times_ms, points.kinds, points.bits, points.texts, points.expires_ms, points.stamps)

    def points(self) -> Points:
        """Return the columns without their series."""
        return Points(self.times_ms, self.kinds, self.bits, self.texts, self.expires_ms, self.stamps)
