"""Streams inside a chunk: one array each, behind a codec id and a length (docs/format/chunk.md)."""

from __future__ import annotations

import threading
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import zstandard
from pcodec import ChunkConfig, DeltaSpec, standalone

from amondawa.errors import Corrupt
from amondawa.model.points import Float64s, Int64s

STEP = 0
"""first value and a constant difference"""
RAW = 1
"""little-endian items, or the bytes themselves"""
PACKED = 2
"""smallest value, then unsigned distances from it in 1, 2, 4 or 8 bytes"""
PCO = 3
"""a standalone pcodec file"""
ZSTD = 4
"""a zstd frame that states its size"""
IMPLIED = 5
"""nothing: an even spread between the header's first and last time"""

_FEW = 8
"""up to here pcodec's own header outweighs what it saves"""
_MANY = 1_024
"""from here on pcodec's search for the best delta order costs less than it saves"""
_SMALL_RAW = ChunkConfig(compression_level=4, delta_spec=DeltaSpec.no_op())
_SMALL_DELTA = ChunkConfig(compression_level=4, delta_spec=DeltaSpec.try_consecutive(1))
_SMALL_FLOAT = ChunkConfig(compression_level=4)
_LARGE = ChunkConfig(compression_level=8)
_ZSTD_LEVEL = 3
_WIDTHS = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"), np.dtype("<u8"))
_LITTLE_I8 = np.dtype("<i8")
_LITTLE_F8 = np.dtype("<f8")


class _Zstd(threading.local):
    """A compressor and a decompressor of each thread: zstandard's may not be shared."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_content_size=True)
        self.decompressor = zstandard.ZstdDecompressor()


_zstd = _Zstd()


class Reader:
    """A position in the bytes of a chunk; every read that passes the end raises Corrupt."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int):
        self.data = data
        self.position = position

    def byte(self) -> int:
        """Read one byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """Read an unsigned LEB128 number."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise Corrupt("chunk holds a length of more than 64 bits")

    def take(self, count: int) -> bytes:
        """Read `count` bytes."""
        end = self.position + count
        if end > len(self.data):
            raise Corrupt(f"chunk ends at byte {len(self.data)} where {count} bytes from {self.position} on are due")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def stream(self) -> tuple[int, bytes]:
        """Read a stream as (codec id, body)."""
        codec = self.byte()
        return codec, self.take(self.varint())


def varint(value: int) -> bytes:
    """Return an unsigned number as LEB128."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _stream(codec: int, body: bytes) -> bytes:
    return bytes((codec,)) + varint(len(body)) + body


# integers -------------------------------------------------------------------------------------------------------------


def constant_step(values: Int64s) -> int | None:
    """Return the difference between neighbours (modulo 2**64, signed) when it is the same everywhere, else None."""
    if len(values) < 2:
        return 0
    steps = values[1:] - values[:-1]
    step = steps[0]
    if steps[-1] != step or (steps != step).any():
        return None
    return int(step)


def encode_times(times_ms: Int64s) -> tuple[int, int, bytes]:
    """Return (smallest, largest, stream) of int64[n >= 1] times in any order."""
    step = constant_step(times_ms)
    if step is not None and step >= 0:
        first, last = int(times_ms[0]), int(times_ms[-1])
        if first + step * (len(times_ms) - 1) == last:  # else the steps went past the largest integer
            return first, last, _stream(IMPLIED, b"")
    return int(times_ms.min()), int(times_ms.max()), encode_integers(times_ms)


def decode_times(reader: Reader, count: int, first_ms: int, last_ms: int) -> Int64s:
    """Decode int64[count] times. Raises Corrupt."""
    if reader.data[reader.position : reader.position + 2] != bytes((IMPLIED, 0)):
        return decode_integers(reader, count, "times")
    reader.position += 2
    step = (last_ms - first_ms) // (count - 1) if count > 1 else 0
    return _spread(first_ms, step, count)


def encode_integers(values: Int64s) -> bytes:
    """Encode contiguous int64[n], any values."""
    count = len(values)
    step = constant_step(values)
    if step is not None:
        return _stream(STEP, _signed(int(values[0]) if count else 0) + _signed(step))
    if count <= _FEW:
        return _stream(PACKED, _packed(values))
    body: bytes = standalone.simple_compress(values, _integer_config(values))
    if len(body) >= values.nbytes:
        return _stream(RAW, values.astype(_LITTLE_I8, copy=False).tobytes())
    return _stream(PCO, body)


def decode_integers(reader: Reader, count: int, what: str) -> Int64s:
    """Decode int64[count]. Raises Corrupt."""
    codec, body = reader.stream()
    if codec == STEP:
        parts = Reader(body, 0)
        return _spread(_read_signed(parts), _read_signed(parts), count)
    if codec == PCO:
        return cast(Int64s, _pco(body, count, np.dtype(np.int64), what))
    if codec == RAW:
        return _items(body, _LITTLE_I8, count, what).astype(np.int64, copy=False)
    if codec == PACKED:
        return _unpacked(body, count, what)
    raise Corrupt(f"chunk's {what} are in unknown codec {codec}")


def _spread(first: int, step: int, count: int) -> Int64s:
    values: Int64s = np.arange(count, dtype=np.int64)
    values *= step
    values += first
    return values


def _signed(value: int) -> bytes:
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return bytes((size,)) + value.to_bytes(size, "little", signed=True)


def _read_signed(reader: Reader) -> int:
    size = reader.byte()
    if size > 8:
        raise Corrupt(f"chunk holds an integer of {size} bytes")
    return int.from_bytes(reader.take(size), "little", signed=True)


def _integer_config(values: Int64s) -> ChunkConfig:
    """Choose how pcodec looks at short arrays: its own search would cost three times the compression."""
    if len(values) >= _MANY:
        return _LARGE
    steps = (values[1:] - values[:-1]).astype(np.float64)
    plain = (values - values[0]).astype(np.float64)
    return _SMALL_DELTA if _variance(steps) < _variance(plain) else _SMALL_RAW


def _variance(values: Float64s) -> float:
    mean = np.add.reduce(values) / len(values)
    return float(values.dot(values) / len(values) - mean * mean)


def _packed(values: Int64s) -> bytes:
    least = values.min()
    distances = (values - least).view(np.uint64)
    bits = int(distances.max()).bit_length()
    width = 0 if bits <= 8 else 1 if bits <= 16 else 2 if bits <= 32 else 3
    items: bytes = distances.astype(_WIDTHS[width]).tobytes()
    return bytes((width,)) + _signed(int(least)) + items


def _unpacked(body: bytes, count: int, what: str) -> Int64s:
    parts = Reader(body, 0)
    width = parts.byte()
    if width >= len(_WIDTHS):
        raise Corrupt(f"chunk's {what} are packed in unknown width {width}")
    least = _read_signed(parts)
    distances = _items(body[parts.position :], _WIDTHS[width], count, what)
    values: Int64s = distances.astype(np.uint64).view(np.int64)
    values += least
    return values


# doubles --------------------------------------------------------------------------------------------------------------


def encode_doubles(values: Float64s) -> bytes:
    """Encode contiguous float64[n >= 1] bit for bit, NaN payloads and -0.0 included."""
    bits = values.view(np.int64)
    if constant_step(bits) == 0 or len(values) <= _FEW:
        return encode_integers(bits)
    body = standalone.simple_compress(values, _LARGE if len(values) >= _MANY else _SMALL_FLOAT)
    if len(body) >= values.nbytes:
        return _stream(RAW, values.astype(_LITTLE_F8, copy=False).tobytes())
    return _stream(PCO, body)


def decode_doubles(reader: Reader, count: int) -> Float64s:
    """Decode float64[count]. Raises Corrupt."""
    start = reader.position
    codec, body = reader.stream()
    if codec == PCO:
        return cast(Float64s, _pco(body, count, np.dtype(np.float64), "doubles"))
    reader.position = start
    return decode_integers(reader, count, "doubles").view(np.float64)


# bytes ----------------------------------------------------------------------------------------------------------------


def encode_bytes(data: bytes) -> bytes:
    """Encode bytes."""
    if len(data) > _FEW:
        body: bytes = _zstd.compressor.compress(data)
        if len(body) < len(data):
            return _stream(ZSTD, body)
    return _stream(RAW, data)


def decode_bytes(reader: Reader, size: int, what: str) -> bytes:
    """Decode exactly `size` bytes. Raises Corrupt."""
    codec, body = reader.stream()
    if codec == ZSTD:
        try:
            if zstandard.frame_content_size(body) != size:
                raise Corrupt(f"chunk's {what} are not {size} bytes long")
            body = _zstd.decompressor.decompress(body)
        except zstandard.ZstdError as error:
            raise Corrupt(f"chunk's {what} do not decompress: {error}") from error
    elif codec != RAW:
        raise Corrupt(f"chunk's {what} are in unknown codec {codec}")
    if len(body) != size:
        raise Corrupt(f"chunk's {what} are {len(body)} bytes long and not {size}")
    return body


# shared ---------------------------------------------------------------------------------------------------------------


def _pco(body: bytes, count: int, dtype: np.dtype[Any], what: str) -> npt.NDArray[Any]:
    try:
        values = standalone.simple_decompress(body)
    except (RuntimeError, TypeError) as error:
        raise Corrupt(f"chunk's {what} do not decompress: {error}") from error
    if values is None or values.dtype != dtype or len(values) != count:
        raise Corrupt(f"chunk's {what} are not {count} values of {dtype}")
    return cast("npt.NDArray[Any]", values)


def _items(body: bytes, dtype: np.dtype[Any], count: int, what: str) -> npt.NDArray[Any]:
    if len(body) != count * dtype.itemsize:
        raise Corrupt(f"chunk's {what} are {len(body)} bytes long and not {count * dtype.itemsize}")
    return np.frombuffer(body, dtype)
