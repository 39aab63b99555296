"""Chunks read by the page docs/format/chunk.md alone: what it says is what is written."""

from __future__ import annotations

import struct
from zlib import crc32

import numpy as np
import pytest
import zstandard
from pcodec import standalone

from amondawa.model.points import Kind, Points, same_kind
from amondawa.store.codec import decode, encode

Row = tuple[int, int, int | float | bytes, int | None]
"""time, kind, value, expiry"""

BASE_MS = 1_700_000_000_000
GOLDEN = bytes.fromhex(
    "a113bf1ba400030000000068e5cf8b010000d0070000090000000500ff010300010201000502a401"
    "01050100040100010000040108010001086772c3b6c39f6572"
)


class Page:
    """A reader that knows what the page says and nothing of the code."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def signed(self) -> int:
        return int.from_bytes(self.take(self.take(1)[0]), "little", signed=True)

    def integers(self, count: int, implied: tuple[int, int] = (0, 0)) -> list[int]:
        (codec,) = self.take(1)
        body = Page(self.take(self.varint()))
        if codec == 5:
            first, last = implied
            return [first + (last - first) // max(count - 1, 1) * place for place in range(count)]
        if codec == 0:
            first, step = body.signed(), body.signed()
            return [(first + step * place + 2**63) % 2**64 - 2**63 for place in range(count)]
        if codec == 1:
            return list(struct.unpack(f"<{count}q", body.data))
        if codec == 2:
            width, least = body.take(1)[0], body.signed()
            return [
                (least + int.from_bytes(body.take(2**width), "little") + 2**63) % 2**64 - 2**63 for _ in range(count)
            ]
        assert codec == 3
        return standalone.simple_decompress(body.data).view(np.int64).tolist()

    def octets(self) -> bytes:
        (codec,) = self.take(1)
        body = self.take(self.varint())
        assert codec in (1, 4)
        return body if codec == 1 else zstandard.ZstdDecompressor().decompress(body)

    def doubles(self, count: int) -> list[float]:
        (decimals,) = self.take(1)
        if decimals == 0xFE:
            return [struct.unpack("<d", struct.pack("<q", bits))[0] for bits in self.integers(count)]
        return [integer / 10.0**decimals for integer in self.integers(count)]

    def kinds(self, count: int) -> list[int]:
        (sort,) = self.take(1)
        if sort < 4:
            return [sort] * count
        octets = self.octets()
        if sort == 0xFF:
            return list(octets)
        low, high = sort & 3, sort >> 2 & 3
        return [high if octets[place // 8] >> place % 8 & 1 else low for place in range(count)]

    def numbers(self, kinds: list[int]) -> list[int | float]:
        longs, doubles = kinds.count(Kind.LONG), kinds.count(Kind.DOUBLE)
        if not doubles:
            return list(self.integers(longs)) if longs else []
        if not longs:
            return list(self.doubles(doubles))
        if self.data[self.at] == 0xFF:
            self.at += 1
            of_longs, of_doubles = iter(self.integers(longs)), iter(self.doubles(doubles))
            return [next(of_longs) if kind == Kind.LONG else next(of_doubles) for kind in kinds]
        (decimals,) = self.take(1)
        integers = self.integers(longs + doubles)
        pairs = zip(kinds, integers, strict=True)
        return [each // 10**decimals if kind == Kind.LONG else each / 10.0**decimals for kind, each in pairs]

    def texts(self, count: int) -> list[bytes]:
        if not count:
            return []
        size = self.varint()
        places, lengths, joined = self.integers(count), self.integers(size), self.octets()
        ends = np.cumsum(lengths).tolist()
        table = [joined[end - length : end] for end, length in zip(ends, lengths, strict=True)]
        return [table[place] for place in places]


def read(data: bytes) -> tuple[list[Row], int, bytes]:
    """Return (rows, generation, extra bytes)."""
    page = Page(data)
    assert page.take(1) == b"\xa1"
    assert struct.unpack("<I", page.take(4))[0] == crc32(data[5:], 0xA1)
    flags = page.take(1)[0]
    count, first = struct.unpack("<Iq", page.take(12))
    span = int.from_bytes(page.take(8 if flags & 1 else 4), "little")
    generation = int.from_bytes(page.take(8 if flags & 2 else 4), "little")
    extra = page.take(page.varint()) if flags & 4 else b""
    if not count:
        return [], generation, extra
    times = page.integers(count, (first, first + span))
    assert (min(times), max(times)) == (first, first + span)
    kinds = page.kinds(count)
    numbers = iter(page.numbers([kind for kind in kinds if kind <= Kind.DOUBLE]))
    texts = iter(page.texts(sum(kind > Kind.DOUBLE for kind in kinds)))
    values = [next(numbers) if kind <= Kind.DOUBLE else next(texts) for kind in kinds]
    expires: list[int | None] = [None] * count
    if flags & 8:
        (form,) = page.take(1)
        stored = page.integers(count)
        expires = [each + form * time for each, time in zip(stored, times, strict=True)]
    assert page.at == len(data)
    return list(zip(times, kinds, values, expires, strict=True)), generation, extra


def rows_of(points: Points) -> list[Row]:
    expires = [None] * len(points) if points.expires_ms is None else points.expires_ms.tolist()
    return [
        (int(points.times_ms[place]), int(points.kinds[place]), value_of(points, place), expires[place])
        for place in range(len(points))
    ]


def value_of(points: Points, place: int) -> int | float | bytes:
    if points.kinds[place] > Kind.DOUBLE:
        return points.texts[int(points.bits[place])]
    value = points.value_at(place)
    assert isinstance(value, int | float)
    return value


def shapes() -> dict[str, Points]:
    rng = np.random.default_rng(5)
    long_times = BASE_MS + np.arange(2_000, dtype=np.int64) * 1_000
    times, jittered = long_times[:40], long_times[:40] + rng.integers(0, 900, 40)
    mixed = np.array([0, 1, 2, 3] * 10, np.uint8)
    bits = np.where(mixed < 2, np.round(rng.normal(0, 9, 40), 1).view(np.int64), np.arange(40))
    pair = np.array([0, 1] * 20, np.uint8)
    decimals = np.round(rng.normal(0, 9, 40), 2)
    texts = [b"text %d" % (place % 7) for place in range(40)]
    return {
        "none": Points.empty(),
        "one": Points.longs(times[:1], np.array([-(2**63)])),
        "constant": Points.longs(times, np.full(40, 7)),
        "few": Points.longs(times[:5], np.array([2**63 - 1, -(2**63), 0, 1, -1])),
        "longs": Points.longs(jittered, rng.integers(-(2**62), 2**62, 40)),
        "many": Points.doubles(long_times, np.round(np.cumsum(rng.normal(0, 1, 2_000)), 2)),
        "decimals": Points.doubles(jittered, decimals),
        "doubles": Points.doubles(jittered, rng.normal(0, 1, 40)),
        "texts": Points.of_texts(times, texts),
        "opaque": Points(times, same_kind(Kind.BLOB, 40), np.arange(40), texts),
        "shared": Points(times, pair, np.where(pair == 0, np.arange(40), decimals.view(np.int64))),
        "split": Points(times, pair, np.where(pair == 0, np.arange(40), rng.normal(0, 1, 40).view(np.int64))),
        "mixed": Points(times, mixed, bits, [b"t%d" % place for place in range(40)], times + 60_000),
        "ages": Points(np.array([-(2**63), 0, 2**63 - 1]), same_kind(Kind.LONG, 3), np.arange(3)),
    }


@pytest.mark.parametrize("name", shapes())
def test_the_page_tells_how_to_read_a_chunk(name: str) -> None:
    points = shapes()[name]
    for generation, extra in ((3, b""), (2**40, b"series")):
        assert read(encode(points, generation=generation, extra=extra)) == (rows_of(points), generation, extra)


def test_a_chunk_that_was_written_once_stays_readable() -> None:
    assert (
        rows_of(decode(GOLDEN))
        == read(GOLDEN)[0]
        == [
            (BASE_MS, Kind.LONG, 42, None),
            (BASE_MS + 1_000, Kind.DOUBLE, 42.5, None),
            (BASE_MS + 2_000, Kind.TEXT, "größer".encode(), None),
        ]
    )
