"""Journal entries: columns of points, or a delete, as bytes. The layout is docs/format/journal.md."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from amondawa.errors import Corrupt
from amondawa.model.points import Int32s, Kind, WriteBatch, same_kind

VERSION = 1
POINTS = 1
DELETE = 2

_HEADER = struct.Struct("<4sBBHI")  # magic, version, type, flags, crc32 of what follows
_POINTS = struct.Struct("<IIII")  # points, new series, bytes of their keys, texts
_DELETE = struct.Struct("<qqII")  # start, end, series, bytes of their keys
_MAGIC = b"AMJ1"

_ONE_KIND = 1
_ONE_SERIES = 2
_EXPIRES = 4
_WHOLE_METRIC = 8


@dataclass(frozen=True, slots=True, eq=False)
class PointsEntry:
    """Points of an entry; refs are those of the process that wrote it.

    Attributes:
        batch: the columns.
        new_refs: int32[k], the refs that this segment had not named before.
        new_keys: their series keys.
    """

    batch: WriteBatch
    new_refs: Int32s
    new_keys: list[bytes]


@dataclass(frozen=True, slots=True, eq=False)
class DeleteEntry:
    """A delete: the inclusive range, and the series keys (or, for a whole metric, its one metric key)."""

    start_ms: int
    end_ms: int
    keys: list[bytes]
    whole_metric: bool = False


Entry = PointsEntry | DeleteEntry


def _pack_keys(keys: Sequence[bytes]) -> bytes:
    return np.array([len(key) for key in keys], "<u4").tobytes() + b"".join(keys)


def encode_points(batch: WriteBatch, new_refs: Int32s, new_keys: Sequence[bytes]) -> bytes:
    """Return the bytes of an entry: raw columns, for it is written at full speed and read back once at most."""
    count = len(batch)
    flags = 0
    kinds = batch.kinds
    if count and bool((kinds == kinds[0]).all()):
        flags |= _ONE_KIND
        kinds = kinds[:1]
    refs = batch.refs
    if count and bool((refs == refs[0]).all()):
        flags |= _ONE_SERIES
        refs = refs[:1]
    parts = [
        _pack_keys(new_keys),
        new_refs.astype("<i4").tobytes(),
        refs.astype("<i4", copy=False).tobytes(),
        kinds.tobytes(),
        batch.times_ms.astype("<i8", copy=False).tobytes(),
        batch.bits.astype("<i8", copy=False).tobytes(),
    ]
    if batch.expires_ms is not None:
        flags |= _EXPIRES
        parts.append(batch.expires_ms.astype("<i8", copy=False).tobytes())
    parts.append(_pack_keys(batch.texts))
    numbers = _POINTS.pack(count, len(new_keys), sum(map(len, new_keys)), len(batch.texts))
    return _seal(POINTS, flags, b"".join([numbers, *parts]))


def encode_delete(entry: DeleteEntry) -> bytes:
    """Return the bytes of a delete."""
    numbers = _DELETE.pack(entry.start_ms, entry.end_ms, len(entry.keys), sum(map(len, entry.keys)))
    return _seal(DELETE, _WHOLE_METRIC if entry.whole_metric else 0, numbers + _pack_keys(entry.keys))


def _seal(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, VERSION, kind, flags, _checksum(kind, flags, body)) + body


def _checksum(kind: int, flags: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, kind << 16 | flags)


class _Reader:
    """Cuts arrays off the front of a buffer."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = memoryview(data)
        self._at = at

    def array(self, dtype: str, count: int) -> npt.NDArray[Any]:
        out = np.frombuffer(self._data, dtype, count, self._at)
        self._at += out.nbytes
        return out

    def keys(self, count: int) -> list[bytes]:
        lengths = self.array("<u4", count).tolist()
        out = []
        for length in lengths:
            out.append(bytes(self._data[self._at : self._at + length]))
            self._at += length
        return out


def decode(data: bytes) -> Entry:
    """Read an entry back.

    Raises:
        Corrupt: the bytes are not what was written.
    """
    try:
        magic, version, kind, flags, crc = _HEADER.unpack_from(data)
    except struct.error as error:
        raise Corrupt(f"journal entry of {len(data)} bytes has no header") from error
    if magic != _MAGIC or version != VERSION or kind not in (POINTS, DELETE):
        raise Corrupt(f"journal entry of unknown form {magic!r} {version}/{kind}")
    if _checksum(kind, flags, memoryview(data)[_HEADER.size :]) != crc:
        raise Corrupt("journal entry fails its checksum")
    return _read_points(data, flags) if kind == POINTS else _read_delete(data, flags)


def _read_points(data: bytes, flags: int) -> PointsEntry:
    count, new_count, _, text_count = _POINTS.unpack_from(data, _HEADER.size)
    reader = _Reader(data, _HEADER.size + _POINTS.size)
    new_keys = reader.keys(new_count)
    new_refs = reader.array("<i4", new_count)
    refs = reader.array("<i4", 1 if flags & _ONE_SERIES else count)
    if flags & _ONE_SERIES:
        refs = np.broadcast_to(refs[0], count)
    kinds = reader.array("u1", 1 if flags & _ONE_KIND else count)
    if flags & _ONE_KIND:
        kinds = same_kind(Kind(int(kinds[0])), count)
    times, bits = reader.array("<i8", count), reader.array("<i8", count)
    expires = reader.array("<i8", count) if flags & _EXPIRES else None
    texts = reader.keys(text_count)
    return PointsEntry(WriteBatch(refs, times, kinds, bits, texts, expires), new_refs, new_keys)


def _read_delete(data: bytes, flags: int) -> DeleteEntry:
    start_ms, end_ms, count, _ = _DELETE.unpack_from(data, _HEADER.size)
    reader = _Reader(data, _HEADER.size + _DELETE.size)
    return DeleteEntry(start_ms, end_ms, reader.keys(count), bool(flags & _WHOLE_METRIC))
