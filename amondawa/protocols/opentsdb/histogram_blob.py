"""Histograms as they are stored: one opaque value a point, in the layout of the original's simple histogram.

    byte     id of the codec
    int16    number of buckets, big-endian
    bucket:  float32 lower bound, float32 upper bound, big-endian; count as a variable-length integer
    underflow, overflow as variable-length integers (7 bits a byte, low ones first, top bit = more follows; a ninth
    byte is the last and holds 8)

Source: suite histogram_rollup; the base64 `value` of /api/histogram holds these bytes without the id.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from amondawa.errors import BadRequest
from amondawa.protocols.opentsdb.numbers_text import pretty_bytes

_COUNT = struct.Struct(">h")
_BOUNDS = struct.Struct(">ff")
_MAX_BUCKETS = 2**15 - 1
_LEAST_BYTES = 6
_LONGEST = 9
"""bytes of the longest integer"""
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PADDING = 127
"""what the original takes `=` for"""
_MOST_PADDING = 2
_BASE64_VALUES = {**{char: at for at, char in enumerate(_BASE64)}, "=": _PADDING}
_NOT_BASE64 = re.compile("[^A-Za-z0-9+/=]")
SIMPLE_DECODER = "SimpleHistogramDecoder"


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values by bucket.

    Attributes:
        buckets: (lower bound, upper bound, count), bounds as 32-bit floats, sorted by bounds.
        underflow, overflow: values below and above all buckets.
    """

    buckets: tuple[tuple[float, float, int], ...]
    underflow: int = 0
    overflow: int = 0


class CutShort(BadRequest):
    """The bytes of a histogram end before it does, or their text is not what its length promises."""


def simple_codec(setting: str) -> int | None:
    """Return the id of the simple histogram's codec, from a setting such as `42:SimpleHistogramDecoder`; None = none."""
    for part in setting.split(","):
        number, _, name = part.strip().partition(":")
        if name.strip().rpartition(".")[2] == SIMPLE_DECODER and number.strip().isdecimal():
            return int(number)
    return None


def encode_histogram(histogram: Histogram, codec: int) -> bytes:
    """Return the stored form.

    Raises:
        BadRequest: more buckets than the layout can count.
    """
    if len(histogram.buckets) > _MAX_BUCKETS:
        raise BadRequest(f"A histogram holds at most {_MAX_BUCKETS} buckets")
    out = bytearray([codec])
    out += _COUNT.pack(len(histogram.buckets))
    for lower, upper, count in histogram.buckets:
        out += _BOUNDS.pack(lower, upper)
        _append_varint(out, count)
    _append_varint(out, histogram.underflow)
    _append_varint(out, histogram.overflow)
    return bytes(out)


def decode_histogram(blob: bytes) -> Histogram:
    """Read the stored form.

    Raises:
        CutShort: bytes are missing.
    """
    try:
        (count,) = _COUNT.unpack_from(blob, 1)
        at = 1 + _COUNT.size
        buckets = []
        for _ in range(count):
            lower, upper = _BOUNDS.unpack_from(blob, at)
            number, at = _read_varint(blob, at + _BOUNDS.size)
            buckets.append((lower, upper, number))
        underflow, at = _read_varint(blob, at)
        overflow, _ = _read_varint(blob, at)
    except (struct.error, IndexError) as error:
        raise CutShort("Buffer underflow.") from error
    return Histogram(tuple(buckets), underflow, overflow)


def blob_of_base64(text: str, codec: int) -> bytes:
    """Return the stored form of a histogram that a client sends in base64, which has no codec's id.

    Raises:
        CutShort: bytes are missing.
        BadRequest: it is shorter than every histogram.
    """
    sent = _lenient_base64(text)
    if len(sent) < _LEAST_BYTES:
        raise BadRequest(f"Byte array shorter than {_LEAST_BYTES} bytes detected: {pretty_bytes(sent)}")
    blob = bytes((codec,)) + sent
    decode_histogram(blob)
    return blob


def _lenient_base64(text: str) -> bytes:
    """Decode base64 as the original does: other characters are skipped, and so is a last group of fewer than four.

    Raises:
        CutShort: more comes out of it than its length and the padding at its end promise, or a character is not ASCII.
    """
    expected = _expected_bytes(text)
    for char in text:
        _check_ascii(char)
    chars = _NOT_BASE64.sub("", text)
    out = bytearray()
    for at in range(0, len(chars) - 3, 4):
        first, second, third, fourth = (_BASE64_VALUES[char] for char in chars[at : at + 4])
        out.append((first << 2 | second >> 4) & 0xFF)
        if third != _PADDING:
            out.append((second << 4 | third >> 2) & 0xFF)
        if fourth != _PADDING:
            out.append((third << 6 | fourth) & 0xFF)
    if len(out) > expected:
        raise CutShort(f"Index {expected} out of bounds for length {expected}")
    return bytes(out)


def _expected_bytes(text: str) -> int:
    """Return how many bytes the original makes room for."""
    bare = text.rstrip("=")
    padding = len(text) - len(bare)
    if bare:
        _check_ascii(bare[-1])
        if bare[-1] not in _BASE64_VALUES:
            padding = 0
    return max(len(text) // 4 * 3 - (padding if padding <= _MOST_PADDING else 0), 0)


def _check_ascii(char: str) -> None:
    if char >= "\x80":
        raise CutShort(f"Index {ord(char)} out of bounds for length 128")


def _append_varint(out: bytearray, number: int) -> None:
    number &= 2**64 - 1
    for _ in range(_LONGEST - 1):
        if number <= 0x7F:
            break
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for taken in range(_LONGEST):
        byte = data[at + taken]
        last = taken == _LONGEST - 1 or not byte & 0x80
        number |= (byte if last else byte & 0x7F) << 7 * taken
        if last:
            break
    return number - 2**64 if number >= 2**63 else number, at + taken + 1
