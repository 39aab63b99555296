from __future__ import annotations

import struct
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from amondawa.errors import Corrupt
from amondawa.model.points import Kind, Points, same_kind
from amondawa.store import codec
from amondawa.store.codec import decode, describe, encode, read_extra

INT64 = st.integers(-(2**63), 2**63 - 1)
DECIMAL = st.tuples(st.integers(-(10**9), 10**9), st.integers(0, 6)).map(lambda pair: pair[0] / 10 ** pair[1])
DOUBLE_BITS = st.one_of(
    INT64,
    st.floats().map(lambda value: struct.unpack("<q", struct.pack("<d", value))[0]),
    DECIMAL.map(lambda value: struct.unpack("<q", struct.pack("<d", value))[0]),
)
TEXT = st.binary(max_size=5)


@st.composite
def columns(draw: st.DrawFn) -> Points:
    count = draw(st.integers(0, 40))
    times = draw(
        st.one_of(
            st.lists(INT64, min_size=count, max_size=count),
            st.tuples(st.integers(0, 2**41), st.integers(-5, 60_000)).map(
                lambda pair: [pair[0] + pair[1] * n for n in range(count)]
            ),
        )
    )
    allowed = draw(st.sampled_from([(0,), (1,), (2,), (3,), (0, 1), (1, 2), (0, 2), (2, 3), (0, 1, 2, 3)]))
    kinds = draw(st.lists(st.sampled_from(allowed), min_size=count, max_size=count))
    small = draw(st.booleans())
    texts: list[bytes] = []
    bits = []
    for kind in kinds:
        if kind == Kind.LONG:
            bits.append(draw(st.integers(-1_000, 1_000) if small else INT64))
        elif kind == Kind.DOUBLE:
            bits.append(draw(DOUBLE_BITS))
        else:
            texts.append(draw(TEXT))
            bits.append(len(texts) - 1)
    expires = draw(st.none() | st.lists(st.sampled_from([0, 5, 2**40]), min_size=count, max_size=count))
    return Points(
        np.array(times, np.int64),
        same_kind(Kind(allowed[0]), count) if len(allowed) == 1 else np.array(kinds, np.uint8),
        np.array(bits, np.int64),
        texts,
        None if expires is None else np.array(expires, np.int64),
    )


def assert_same(found: Points, given_points: Points) -> None:
    np.testing.assert_array_equal(found.times_ms, given_points.times_ms)
    np.testing.assert_array_equal(found.kinds, given_points.kinds)
    numbers = given_points.kinds <= Kind.DOUBLE
    np.testing.assert_array_equal(found.bits[numbers], given_points.bits[numbers])
    for one, other in zip(found.bits[~numbers], given_points.bits[~numbers], strict=True):
        assert found.texts[one] == given_points.texts[other]
    if given_points.expires_ms is None:
        assert found.expires_ms is None
    else:
        np.testing.assert_array_equal(found.expires_ms, given_points.expires_ms)
    for column in (found.times_ms, found.bits):
        assert column.dtype == np.int64
        assert column.flags.c_contiguous


@settings(max_examples=400, deadline=None)
@given(columns(), st.integers(0, 2**64 - 1), st.binary(max_size=8))
def test_any_points_come_back_with_what_was_kept_beside_them(points: Points, generation: int, extra: bytes) -> None:
    data = encode(points, generation=generation, extra=extra)
    assert_same(decode(data), points)
    assert read_extra(data) == extra
    info = describe(data)
    assert (info.count, info.generation, info.size_bytes) == (len(points), generation, len(data))
    if len(points):
        assert (info.first_ms, info.last_ms) == (points.times_ms.min(), points.times_ms.max())


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.int64, st.sampled_from([9, 60, 1_023, 1_024, 1_500]), elements=INT64))
def test_long_columns_of_any_integers_and_bit_patterns_come_back(bits: npt.NDArray[np.int64]) -> None:
    times = np.arange(len(bits), dtype=np.int64)
    for points in (Points.longs(times, bits), Points.doubles(times, bits.view(np.float64)), Points.longs(bits, times)):
        assert_same(decode(encode(points)), points)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 15), st.integers(9, 400), st.integers(1, 2**50), st.integers(0, 99))
def test_decimals_come_back_bit_for_bit_whatever_their_scale(decimals: int, count: int, top: int, seed: int) -> None:
    integers = np.random.default_rng(seed).integers(-top, top, count, endpoint=True)
    values = integers / 10.0**decimals
    assert_same(decode(encode(Points.doubles(np.arange(count), values))), Points.doubles(np.arange(count), values))


SPECIAL = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 5e-324, 1.7976931348623157e308, 2.0**53, 2.0**53 + 2]


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("count", [1, 5, 300, 2_000])
def test_a_special_double_among_decimals_comes_back(special: float, count: int) -> None:
    values = np.round(np.linspace(0, 10, count), 2)
    values[count // 2] = special
    points = Points.doubles(np.arange(count, dtype=np.int64), values)
    assert_same(decode(encode(points)), points)


def test_one_long_decimal_that_the_sample_missed_raises_the_scale() -> None:
    values = np.ones(1_000)
    values[777] = 1.125
    points = Points.doubles(np.arange(1_000, dtype=np.int64), values)
    data = encode(points)
    assert len(data) < 200
    assert_same(decode(data), points)


def test_kinds_of_a_uniform_chunk_take_no_memory() -> None:
    points = decode(encode(Points.longs(np.arange(5, dtype=np.int64), np.arange(5, dtype=np.int64))))
    assert points.kinds.strides == (0,)
    mixed = Points(np.arange(5, dtype=np.int64), np.ones(5, np.uint8), np.zeros(5, np.int64))
    assert decode(encode(mixed)).kinds.strides == (0,)


def test_longs_and_doubles_share_a_stream_when_they_can() -> None:
    rng = np.random.default_rng(1)
    walk = np.round(np.cumsum(rng.normal(0, 1, 2_000)), 1)
    whole = walk == np.rint(walk)
    bits = np.where(whole, walk.astype(np.int64), walk.view(np.int64))
    mixed = Points(np.arange(2_000, dtype=np.int64), (~whole).astype(np.uint8), bits)
    plain = encode(Points.doubles(mixed.times_ms, walk))
    assert len(encode(mixed)) < len(plain) + 260
    assert_same(decode(encode(mixed)), mixed)


def test_evenly_spaced_times_take_no_room() -> None:
    values = np.zeros(8_640, np.int64)
    assert len(encode(Points.longs(1_700_000_000_000 + np.arange(8_640) * 10_000, values))) < 40


def test_a_two_decimal_gauge_takes_about_a_byte_a_point() -> None:
    rng = np.random.default_rng(7)
    values = np.round(50 + np.cumsum(rng.normal(0, 0.3, 8_640)), 2)
    data = encode(Points.doubles(1_700_000_000_000 + np.arange(8_640) * 10_000, values))
    assert len(data) < 1.2 * 8_640


def test_texts_that_no_point_uses_are_left_out() -> None:
    points = Points.of_texts(np.arange(2, dtype=np.int64), [b"used", b"also"]).take(slice(0, 1))
    assert list(decode(encode(points)).texts) == [b"used"]


def test_repeated_texts_are_kept_once() -> None:
    texts = [b"state %d" % (n % 3) for n in range(1_000)]
    found = decode(encode(Points.of_texts(np.arange(1_000, dtype=np.int64), texts)))
    assert list(found.texts) == [b"state 0", b"state 1", b"state 2"]


def test_an_empty_point_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        encode(Points(np.zeros(1, np.int64), same_kind(Kind.NULL, 1), np.zeros(1, np.int64)))


# damage ---------------------------------------------------------------------------------------------------------------


def samples() -> list[Points]:
    times = 1_700_000_000_000 + np.arange(40, dtype=np.int64) * 1_000
    rng = np.random.default_rng(3)
    kinds = np.array([0, 1, 2, 3] * 10, np.uint8)
    bits = np.where(kinds < 2, np.round(rng.normal(0, 9, 40), 1).view(np.int64), np.arange(40))
    return [
        Points.doubles(times, np.round(rng.normal(0, 9, 40), 2)),
        Points.doubles(times + rng.integers(0, 99, 40), rng.normal(0, 1, 40)),
        Points.longs(times, rng.integers(-(2**62), 2**62, 40)),
        Points.of_texts(times, [b"text %d" % n for n in range(40)]),
        Points(times, kinds, bits, [b"t%d" % n for n in range(40)], times + 60_000),
        Points.empty(),
    ]


@pytest.mark.parametrize("points", samples(), ids=["decimals", "doubles", "longs", "texts", "mixed", "none"])
def test_every_flipped_byte_and_every_cut_is_corrupt(points: Points) -> None:
    data = encode(points, generation=9, extra=b"series")
    for place in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            wrong = bytearray(data)
            wrong[place] ^= mask
            with pytest.raises(Corrupt, match="chunk"):
                decode(bytes(wrong))
        with pytest.raises(Corrupt, match="chunk"):
            decode(data[:place])
    with pytest.raises(Corrupt, match="checksum"):
        decode(data + b"\0")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(samples()), st.data())
def test_damage_that_the_checksum_does_not_show_is_corrupt_or_points(points: Points, data: st.DataObject) -> None:
    made = bytearray(encode(points, generation=9))
    for _ in range(data.draw(st.integers(1, 3))):
        made[data.draw(st.integers(5, len(made) - 1))] = data.draw(st.integers(0, 255))
    count = codec.describe(bytes(encode(points))).count
    made[6:10] = count.to_bytes(4, "little")
    made[1:5] = crc32(made[5:], made[0]).to_bytes(4, "little")
    try:
        found = decode(bytes(made))
    except Corrupt:
        return
    assert len(found) == len(found.bits) == len(found.kinds)


@pytest.mark.parametrize("data", [b"", b"\xa1", b"\xa2" * 40, b"pco!" * 10])
def test_what_is_no_chunk_is_corrupt(data: bytes) -> None:
    for read in (decode, describe, read_extra):
        with pytest.raises(Corrupt, match="chunk"):
            read(data)  # type: ignore[operator]
