"""Chunks: data points of one row fragment (or any other run of points) as a versioned, checksummed string of bytes.

The layout is drawn in docs/format/chunk.md. Decoding gives back exactly the points that were encoded or raises Corrupt.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt

from amondawa.errors import Corrupt
from amondawa.model.points import Int64s, Kind, Points, UInt8s, same_kind
from amondawa.store.codec_numbers import decode_numbers, encode_numbers
from amondawa.store.codec_streams import (
    Reader,
    decode_bytes,
    decode_integers,
    decode_times,
    encode_bytes,
    encode_integers,
    encode_times,
    varint,
)

VERSION = 0xA1
"""first byte of every chunk"""

_WIDE_SPAN = 1
_WIDE_GENERATION = 2
_EXTRA = 4
_EXPIRES = 8
_KNOWN_FLAGS = 15
_HEADS = tuple(struct.Struct("<BIBI" + tail) for tail in ("qII", "qQI", "qIQ", "qQQ"))
"""version, checksum, flags, count, first_ms, span_ms, generation; chosen by the two lowest flags"""
_CHECKED_FROM = 5
_FLAGS_AT = 5
_MIXED_PAIR = 0x80
"""kinds of two sorts: plus low kind, plus 4 times the high one; then one bit a point"""
_MIXED_BYTES = 0xFF
"""kinds of more sorts: one byte a point"""
_U32 = 2**32


@dataclass(frozen=True, slots=True)
class ChunkInfo:
    """What a chunk's header says.

    Attributes:
        count: number of points.
        first_ms, last_ms: smallest and largest time (0 and 0 when there are no points).
        generation: which flush wrote it.
        size_bytes: length of the chunk.
    """

    count: int
    first_ms: int
    last_ms: int
    generation: int
    size_bytes: int


# encoding -------------------------------------------------------------------------------------------------------------


def encode(points: Points, *, generation: int = 0, extra: bytes = b"") -> bytes:
    """Encode points of any kinds, in any order of time.

    Args:
        points: as in Points; kept in the order given, texts that no point uses are left out.
        generation: 0 to 2**64-1, see `describe`.
        extra: bytes to keep beside the points, see `read_extra`.

    Raises:
        ValueError: a NULL among the kinds.
    """
    count = len(points)
    times = np.ascontiguousarray(points.times_ms, np.int64)
    first = last = 0
    flags = (_EXTRA if extra else 0) | (_EXPIRES if points.expires_ms is not None else 0)
    body = [varint(len(extra)) + extra] if extra else []
    if count:
        first, last, stream = encode_times(times)
        body.append(stream)
        body.append(_encode_values(points.kinds, np.ascontiguousarray(points.bits, np.int64), points.texts))
        if points.expires_ms is not None:
            body.append(_encode_expires(np.ascontiguousarray(points.expires_ms, np.int64), times))
    return _seal(flags, count, first, last - first, generation, b"".join(body))


def _seal(flags: int, count: int, first_ms: int, span_ms: int, generation: int, body: bytes) -> bytes:
    flags |= (_WIDE_SPAN if span_ms >= _U32 else 0) | (_WIDE_GENERATION if generation >= _U32 else 0)
    head = _HEADS[flags & 3].pack(VERSION, 0, flags, count, first_ms, span_ms, generation)
    check = crc32(body, crc32(head[_CHECKED_FROM:], VERSION))
    return b"".join((head[:1], check.to_bytes(4, "little"), head[_CHECKED_FROM:], body))


def _encode_values(kinds: UInt8s, bits: Int64s, texts: Sequence[bytes]) -> bytes:
    low, high = _kind_range(kinds)
    if high > Kind.BLOB:
        raise ValueError("a chunk holds no empty points")
    if low == high:
        head = bytes((low,))
        if low > Kind.DOUBLE:
            return head + _encode_texts(bits.tolist(), texts)
        return head + encode_numbers(bits, None, low == Kind.DOUBLE)
    parts = [_encode_kinds(kinds, low, high)]
    numbers = kinds <= Kind.DOUBLE
    if low <= Kind.DOUBLE:
        parts.append(_encode_mixed_numbers(bits[numbers], kinds[numbers]))
    if high > Kind.DOUBLE:
        parts.append(_encode_texts(bits[~numbers].tolist(), texts))
    return b"".join(parts)


def _kind_range(kinds: UInt8s) -> tuple[int, int]:
    if kinds.strides == (0,):
        return int(kinds[0]), int(kinds[0])
    return int(kinds.min()), int(kinds.max())


def _encode_kinds(kinds: UInt8s, low: int, high: int) -> bytes:
    is_high = kinds == high
    if not ((kinds == low) | is_high).all():
        return bytes((_MIXED_BYTES,)) + encode_bytes(kinds.tobytes())
    return bytes((_MIXED_PAIR | high << 2 | low,)) + encode_bytes(np.packbits(is_high, bitorder="little").tobytes())


def _encode_mixed_numbers(bits: Int64s, kinds: UInt8s) -> bytes:
    is_double = kinds == Kind.DOUBLE
    doubles = int(np.count_nonzero(is_double))
    both = 0 < doubles < len(bits)
    return encode_numbers(bits, is_double if both else None, doubles > 0)


def _encode_texts(indices: list[int], texts: Sequence[bytes]) -> bytes:
    used = [texts[index] for index in indices]
    places = {text: place for place, text in enumerate(dict.fromkeys(used))}
    table = list(places)
    return b"".join(
        (
            varint(len(table)),
            encode_integers(np.fromiter(map(places.__getitem__, used), np.int64, len(used))),
            encode_integers(np.fromiter(map(len, table), np.int64, len(table))),
            encode_bytes(b"".join(table)),
        )
    )


def _encode_expires(expires_ms: Int64s, times_ms: Int64s) -> bytes:
    """Encode the distance from the points' times when that takes less, as it does for a constant time to live."""
    plain = encode_integers(expires_ms)
    distance = encode_integers(expires_ms - times_ms)
    return b"\0" + plain if len(plain) <= len(distance) else b"\1" + distance


# decoding -------------------------------------------------------------------------------------------------------------


def decode(data: bytes) -> Points:
    """Return the points of a chunk.

    Returns:
        Points in the order in which they were encoded; arrays are contiguous, kinds are zero-stride when all are alike.

    Raises:
        Corrupt: the bytes are not what `encode` gave; says what is wrong.
    """
    info, flags, reader = _open(data)
    if flags & _EXTRA:
        reader.take(reader.varint())
    if not info.count:
        return _no_points(reader, flags)
    times = decode_times(reader, info.count, info.first_ms, info.last_ms)
    kinds, bits, texts = _decode_values(reader, info.count)
    expires = _decode_expires(reader, times) if flags & _EXPIRES else None
    _at_end(reader)
    return Points(times, kinds, bits, texts, expires)


def describe(data: bytes) -> ChunkInfo:
    """Return what the header says; the checksum is not looked at. Raises Corrupt when it is no chunk."""
    return _head(data)[0]


def read_extra(data: bytes) -> bytes:
    """Return the bytes kept beside the points (empty when there are none). Raises Corrupt."""
    _, flags, reader = _open(data)
    return reader.take(reader.varint()) if flags & _EXTRA else b""


def _head(data: bytes) -> tuple[ChunkInfo, int, int, int]:
    """Return (info, flags, checksum, length of the header)."""
    if len(data) <= _FLAGS_AT or data[0] != VERSION:
        raise Corrupt(f"not a chunk of this version: {len(data)} bytes that begin with {data[:1].hex() or 'nothing'}")
    head = _HEADS[data[_FLAGS_AT] & 3]
    if len(data) < head.size:
        raise Corrupt(f"chunk of {len(data)} bytes is shorter than its header")
    _, check, flags, count, first_ms, span_ms, generation = head.unpack_from(data)
    return ChunkInfo(count, first_ms, first_ms + span_ms, generation, len(data)), flags, check, head.size


def _open(data: bytes) -> tuple[ChunkInfo, int, Reader]:
    info, flags, check, size = _head(data)
    if crc32(memoryview(data)[_CHECKED_FROM:], VERSION) != check:
        raise Corrupt(f"chunk of {len(data)} bytes fails its checksum")
    if flags & ~_KNOWN_FLAGS:
        raise Corrupt(f"chunk has unknown flags {flags:#x}")
    return info, flags, Reader(data, size)


def _at_end(reader: Reader) -> None:
    if reader.position != len(reader.data):
        raise Corrupt(f"chunk has {len(reader.data) - reader.position} bytes after its last stream")


def _no_points(reader: Reader, flags: int) -> Points:
    _at_end(reader)
    empty = Points.empty()
    return Points(empty.times_ms, empty.kinds, empty.bits, (), empty.times_ms if flags & _EXPIRES else None)


def _decode_values(reader: Reader, count: int) -> tuple[UInt8s, Int64s, Sequence[bytes]]:
    sort = reader.byte()
    if sort <= Kind.DOUBLE:
        return same_kind(Kind(sort), count), decode_numbers(reader, count, None, sort == Kind.DOUBLE), ()
    if sort <= Kind.BLOB:
        bits, texts = _decode_texts(reader, count)
        return same_kind(Kind(sort), count), bits, texts
    kinds = _decode_kinds(reader, count, sort)
    return _decode_mixed(reader, kinds)


def _decode_mixed(reader: Reader, kinds: UInt8s) -> tuple[UInt8s, Int64s, Sequence[bytes]]:
    count = len(kinds)
    numbers = kinds <= Kind.DOUBLE
    number_count = int(np.count_nonzero(numbers))
    bits = np.empty(count, np.int64)
    texts: Sequence[bytes] = ()
    if number_count:
        bits[numbers] = _decode_mixed_numbers(reader, kinds[numbers])
    if number_count < count:
        bits[~numbers], texts = _decode_texts(reader, count - number_count)
    return kinds, bits, texts


def _decode_kinds(reader: Reader, count: int, sort: int) -> UInt8s:
    if sort == _MIXED_BYTES:
        kinds = np.frombuffer(decode_bytes(reader, count, "kinds"), np.uint8)
        if int(kinds.max()) > Kind.BLOB:
            raise Corrupt("chunk holds an unknown kind of value")
        return kinds
    if sort & 0xF0 != _MIXED_PAIR:
        raise Corrupt(f"chunk has an unknown sort of kinds {sort:#x}")
    packed = np.frombuffer(decode_bytes(reader, (count + 7) // 8, "kinds"), np.uint8)
    is_high: npt.NDArray[np.uint8] = np.unpackbits(packed, count=count, bitorder="little")
    pair = np.array((sort & 3, sort >> 2 & 3), np.uint8)
    return pair[is_high]


def _decode_mixed_numbers(reader: Reader, kinds: UInt8s) -> Int64s:
    is_double = kinds == Kind.DOUBLE
    doubles = int(np.count_nonzero(is_double))
    both = 0 < doubles < len(kinds)
    return decode_numbers(reader, len(kinds), is_double if both else None, doubles > 0)


def _decode_texts(reader: Reader, count: int) -> tuple[Int64s, list[bytes]]:
    size = reader.varint()
    if not 0 < size <= count:
        raise Corrupt(f"chunk of {count} texts has a table of {size}")
    places = decode_integers(reader, count, "text places")
    if int(places.min()) < 0 or int(places.max()) >= size:
        raise Corrupt(f"chunk's text places are outside its table of {size}")
    lengths = decode_integers(reader, size, "text lengths").tolist()
    if min(lengths) < 0:
        raise Corrupt("chunk has a text of negative length")
    data = decode_bytes(reader, sum(lengths), "texts")
    table = []
    start = 0
    for length in lengths:
        table.append(data[start : start + length])
        start += length
    return places, table


def _decode_expires(reader: Reader, times_ms: Int64s) -> Int64s:
    form = reader.byte()
    if form > 1:
        raise Corrupt(f"chunk's expiry times are in unknown form {form}")
    stored = decode_integers(reader, len(times_ms), "expiry times")
    return stored + times_ms if form else stored
