"""Journal entries: columns of points, a delete, or a mark, as bytes. The layout is docs/format/journal.md."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from amondawa.errors import Corrupt
from amondawa.ingest.receipts import split_receipts
from amondawa.model.points import Int32s, Int64s, Kind, WriteBatch, same_kind

VERSION = 1
POINTS = 1
DELETE = 2
MARK = 3

_HEADER = struct.Struct("<4sBBHI")  # magic, version, type, flags, crc32 of what follows
_POINTS = struct.Struct("<IIII")  # points, new series, bytes of their keys, texts
_DELETE = struct.Struct("<qqII")  # start, end, series, bytes of their keys
_MARK = struct.Struct("<QIII")  # next segment, released segments, changed metrics, bytes of their keys
_STAMP = struct.Struct("<q")
_MAGIC = b"AMJ1"

_ONE_KIND = 1
_ONE_SERIES = 2
_EXPIRES = 4
_WHOLE_METRIC = 8
_STAMPED = 16
_FOLLOWED = 32


@dataclass(frozen=True, slots=True, eq=False)
class PointsEntry:
    """Points of an entry; refs are those of the process that wrote it.

    Attributes:
        batch: the columns.
        new_refs: int32[k], the refs that this segment had not named before.
        new_keys: their series keys.
        stamp: when it was committed (us, see `ingest.stamps`); 0 where one gateway has the store for itself.
    """

    batch: WriteBatch
    new_refs: Int32s
    new_keys: list[bytes]
    stamp: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class DeleteEntry:
    """A delete: the inclusive range, and the series keys (or, for a whole metric, its one metric key).

    Attributes:
        stamp: only points committed until then go (us, 0 = all that precede it in the journal).
        followed: another gateway carries it out in the chunks; here it says that points of this journal went.
    """

    start_ms: int
    end_ms: int
    keys: list[bytes]
    whole_metric: bool = False
    stamp: int = 0
    followed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class MarkEntry:
    """What other gateways have to know about this journal.

    Attributes:
        next_segment: the segment that follows this one; 0 = none yet.
        released: segments whose points are in chunks.
        changed: keys of metrics of which stored rows were cut or removed.
        stamp: when it was committed (us).
    """

    next_segment: int = 0
    released: Sequence[int] = ()
    changed: Sequence[bytes] = ()
    stamp: int = 0


Entry = PointsEntry | DeleteEntry | MarkEntry


def _pack_keys(keys: Sequence[bytes]) -> bytes:
    return np.array([len(key) for key in keys], "<u4").tobytes() + b"".join(keys)


def encode_points(batch: WriteBatch, new_refs: Int32s, new_keys: Sequence[bytes], stamp: int = 0) -> bytes:
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
    return _seal(POINTS, flags, b"".join([numbers, *parts]), stamp)


def encode_delete(entry: DeleteEntry) -> bytes:
    """Return the bytes of a delete."""
    numbers = _DELETE.pack(entry.start_ms, entry.end_ms, len(entry.keys), sum(map(len, entry.keys)))
    flags = (_WHOLE_METRIC if entry.whole_metric else 0) | (_FOLLOWED if entry.followed else 0)
    return _seal(DELETE, flags, numbers + _pack_keys(entry.keys), entry.stamp)


def encode_mark(entry: MarkEntry) -> bytes:
    """Return the bytes of a mark."""
    numbers = _MARK.pack(entry.next_segment, len(entry.released), len(entry.changed), sum(map(len, entry.changed)))
    released = np.array(entry.released, "<u8").tobytes()
    return _seal(MARK, 0, numbers + released + _pack_keys(entry.changed), entry.stamp)


def _seal(kind: int, flags: int, body: bytes, stamp: int = 0) -> bytes:
    if stamp:
        flags, body = flags | _STAMPED, _STAMP.pack(stamp) + body
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
    """Read an entry back, whatever receipts are in front of it.

    Raises:
        Corrupt: the bytes are not what was written.
    """
    data, _ = split_receipts(data)
    try:
        magic, version, kind, flags, crc = _HEADER.unpack_from(data)
    except struct.error as error:
        raise Corrupt(f"journal entry of {len(data)} bytes has no header") from error
    if magic != _MAGIC or version != VERSION or kind not in _READ:
        raise Corrupt(f"journal entry of unknown form {magic!r} {version}/{kind}")
    if _checksum(kind, flags, memoryview(data)[_HEADER.size :]) != crc:
        raise Corrupt("journal entry fails its checksum")
    at, stamp = _HEADER.size, 0
    if flags & _STAMPED:
        (stamp,) = _STAMP.unpack_from(data, at)
        at += _STAMP.size
    return _READ[kind](data, at, flags, stamp)


def _read_points(data: bytes, at: int, flags: int, stamp: int) -> PointsEntry:
    count, new_count, _, text_count = _POINTS.unpack_from(data, at)
    reader = _Reader(data, at + _POINTS.size)
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
    stamps = same_stamp(stamp, count) if stamp else None
    return PointsEntry(WriteBatch(refs, times, kinds, bits, texts, expires, stamps), new_refs, new_keys, stamp)


def same_stamp(stamp: int, count: int) -> Int64s:
    """Return the column of points that were committed together (int64[count], read-only, takes no memory)."""
    column: Int64s = np.broadcast_to(np.int64(stamp), count)
    return column


def _read_delete(data: bytes, at: int, flags: int, stamp: int) -> DeleteEntry:
    start_ms, end_ms, count, _ = _DELETE.unpack_from(data, at)
    keys = _Reader(data, at + _DELETE.size).keys(count)
    return DeleteEntry(start_ms, end_ms, keys, bool(flags & _WHOLE_METRIC), stamp, bool(flags & _FOLLOWED))


def _read_mark(data: bytes, at: int, _flags: int, stamp: int) -> MarkEntry:
    next_segment, count, changed, _ = _MARK.unpack_from(data, at)
    reader = _Reader(data, at + _MARK.size)
    return MarkEntry(next_segment, reader.array("<u8", count).tolist(), reader.keys(changed), stamp)


_READ: dict[int, Callable[[bytes, int, int, int], Entry]] = {
    POINTS: _read_points,
    DELETE: _read_delete,
    MARK: _read_mark,
}
