"""Numbers of a chunk: doubles that are short decimals become scaled integers and may share a stream with longs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from amondawa.errors import Corrupt
from amondawa.model.points import Float64s, Int64s
from amondawa.store.codec_streams import Reader, decode_doubles, decode_integers, encode_doubles, encode_integers

MAX_DECIMALS = 15
FLOATS = 0xFE
"""in place of the number of decimals: doubles in a stream of their own form"""
SPLIT = 0xFF
"""in place of the number of decimals: longs and doubles in two streams"""

_POWERS = 10.0 ** np.arange(MAX_DECIMALS + 1)
_INT64_MAX = 2**63 - 1
_SAMPLE = 8


def scale_decimals(values: Float64s) -> tuple[int, Int64s] | None:
    """Return (decimals, integers), the fewest decimals for which integers / 10**decimals is every value bit for bit.

    Args:
        values: float64[n >= 1], any bit pattern.

    Returns:
        None when there is no such scale up to 15 decimals (-0.0, NaN and infinities never have one).
    """
    decimals = _decimals_of(values[:: len(values) // _SAMPLE + 1])
    bits = values.view(np.int64)
    wanted = bits.tobytes()
    with np.errstate(over="ignore", invalid="ignore"):
        while decimals <= MAX_DECIMALS:
            integers = np.rint(values * _POWERS[decimals]).astype(np.int64)
            unscaled = _unscale(integers, decimals)
            if unscaled.tobytes() == wanted:
                return decimals, integers
            decimals = max(decimals + 1, _decimals_of(values[unscaled != bits][:_SAMPLE]))
    return None


def _decimals_of(sample: Float64s) -> int:
    """Return the decimals of the longest of some values when printed, past the largest when one is not finite."""
    most = 0
    for value in sample.tolist():
        mantissa, _, exponent = repr(value).partition("e")
        whole, _, fraction = mantissa.partition(".")
        if not fraction and not exponent:  # nan, inf
            return MAX_DECIMALS + 1
        digits = 0 if fraction == "0" else len(fraction)
        most = max(most, digits - int(exponent or 0))
        if most > MAX_DECIMALS:
            return most
    return most


def encode_numbers(bits: Int64s, is_double: npt.NDArray[np.bool_] | None, uniform_double: bool) -> bytes:
    """Encode contiguous int64[n >= 1] bits of longs and doubles.

    Args:
        bits: as in Points.
        is_double: which are doubles, when both occur; None when only one kind does.
        uniform_double: the only kind, when `is_double` is None.
    """
    if is_double is None:
        return _encode_double_bits(bits) if uniform_double else encode_integers(bits)
    doubles, longs = bits[is_double], bits[~is_double]
    scaled = scale_decimals(doubles.view(np.float64))
    if scaled is not None and _fit(longs, scaled[0]):
        decimals, integers = scaled
        shared = np.empty(len(bits), np.int64)
        shared[is_double] = integers
        shared[~is_double] = longs * 10**decimals
        return bytes((decimals,)) + encode_integers(shared)
    return bytes((SPLIT,)) + encode_integers(longs) + _encode_double_bits(doubles)


def _fit(longs: Int64s, decimals: int) -> bool:
    limit: int = _INT64_MAX // 10**decimals
    return max(int(longs.max()), -int(longs.min())) <= limit


def _encode_double_bits(bits: Int64s) -> bytes:
    values = bits.view(np.float64)
    scaled = scale_decimals(values)
    if scaled is None:
        return bytes((FLOATS,)) + encode_doubles(values)
    return bytes((scaled[0],)) + encode_integers(scaled[1])


def decode_numbers(reader: Reader, count: int, is_double: npt.NDArray[np.bool_] | None, uniform_double: bool) -> Int64s:
    """Decode what `encode_numbers` wrote: int64[count] bits. Raises Corrupt."""
    if is_double is None:
        return _decode_double_bits(reader, count) if uniform_double else decode_integers(reader, count, "longs")
    first = reader.data[reader.position : reader.position + 1]
    if first == bytes((SPLIT,)):
        reader.position += 1
        bits = np.empty(count, np.int64)
        doubles = int(np.count_nonzero(is_double))
        bits[~is_double] = decode_integers(reader, count - doubles, "longs")
        bits[is_double] = _decode_double_bits(reader, doubles)
        return bits
    decimals = _decimals(reader.byte())
    integers = decode_integers(reader, count, "numbers")
    longs = integers // 10**decimals if decimals else integers
    return np.where(is_double, _unscale(integers, decimals), longs)


def _decode_double_bits(reader: Reader, count: int) -> Int64s:
    decimals = reader.byte()
    if decimals == FLOATS:
        return decode_doubles(reader, count).view(np.int64)
    return _unscale(decode_integers(reader, count, "doubles"), _decimals(decimals))


def _decimals(byte: int) -> int:
    if byte > MAX_DECIMALS:
        raise Corrupt(f"chunk's numbers have unknown scale {byte}")
    return byte


def _unscale(integers: Int64s, decimals: int) -> Int64s:
    values = integers.astype(np.float64)
    if decimals:
        values /= _POWERS[decimals]
    return values.view(np.int64)
