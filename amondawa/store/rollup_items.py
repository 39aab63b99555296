"""Items of rolled-up data: how they lie in a row beside its chunks, and how a row that has them is read.

The layout is drawn in docs/format/rollup.md. A row's rolled-up data are in parts, each an item behind all chunks of the row.
A part names the chunks whose points it holds: as long as those are there they do not count in the part's stretch of time.
So one item decides, at every moment, which of both answers, on engines without transactions too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from amondawa.errors import Corrupt
from amondawa.model.points import Float64s, Int64s, Points
from amondawa.model.rollup import Rollup
from amondawa.store import codec, keys, rows
from amondawa.store.base import Item, Key
from amondawa.store.codec_numbers import decode_numbers, encode_numbers, scale_decimals
from amondawa.store.codec_streams import Reader, decode_integers, encode_integers, varint

VERSION = 0xB1
"""first byte of every part"""
PART_INTERVALS = 4_096
"""A part covers the room of this many intervals."""
MOST_FOLDED = 5_000
"""A part can name this many chunks."""
COPIES = b"\xfe"
"""What the range keys of rolled-up data begin with whose raw points are kept; those of chunks begin with 00."""
PARTS = b"\xff"
"""The same where the raw points are gone."""

_HEAD = struct.Struct("<BIQqqQHI")
"""version, checksum, step_ms, start_ms, end_ms, made_ms, parts, intervals"""
_CHECKED_FROM = 5
_NUMBER = struct.Struct(">H")
_KEY_BYTES = 16
_NEAR = 1 << 20
"""So many representable numbers may lie between a sum and the short decimal that is kept for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One item of rolled-up data.

    Attributes:
        rollup: the intervals.
        start_ms, end_ms: the stretch of time that it stands for, end exclusive.
        made_ms: when; of two parts over one stretch the younger counts.
        parts: how many the row was given at that time.
        folded: range keys of the chunks whose points it holds.
        place: range key of its item, where it was read from one.
    """

    rollup: Rollup
    start_ms: int
    end_ms: int
    made_ms: int
    parts: int
    folded: frozenset[bytes]
    place: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class StoredRow:
    """What a row with rolled-up data holds.

    Attributes:
        points: of the chunks that count, in order.
        rollups: of the parts, in order of time.
    """

    points: Points
    rollups: tuple[Rollup, ...]

    @property
    def memory_bytes(self) -> int:
        """Bytes that the rolled-up columns occupy."""
        return sum(one.memory_bytes for one in self.rollups)


# encoding -------------------------------------------------------------------------------------------------------------


def part_items(
    row_key: bytes,
    base_s: int,
    rollup: Rollup,
    *,
    prefix: bytes,
    made_ms: int,
    folded: Iterable[bytes] = (),
    series_key: bytes = b"",
) -> list[Item]:
    """Encode a row's rolled-up data.

    Args:
        row_key: hash key of the row.
        base_s: where it begins.
        rollup: all of its intervals.
        prefix: COPIES or PARTS.
        made_ms: see Part.
        folded: range keys of the chunks whose points are in it.
        series_key: kept beside when the row's key is hashed.
    """
    width_ms = rollup.step_ms * PART_INTERVALS
    base_ms = base_s * keys.SECOND_MS
    numbers = (rollup.firsts.times_ms - base_ms) // width_ms
    present = np.unique(numbers).tolist()
    extra = series_key if keys.row_is_hashed(row_key) else b""
    named = frozenset(folded)
    items = []
    for number in present:
        start_ms = base_ms + number * width_ms
        part = Part(rollup.take(numbers == number), start_ms, start_ms + width_ms, made_ms, len(present), named)
        items.append(Item(row_key, prefix + _NUMBER.pack(number), encode_part(part, extra)))
    return items


def encode_part(part: Part, extra: bytes = b"") -> bytes:
    """Return the value of a part's item."""
    rollup = part.rollup
    body = [varint(len(part.folded)), *sorted(part.folded)]
    for points in (rollup.firsts, rollup.lasts):
        chunk = codec.encode(points, extra=extra)
        body += [varint(len(chunk)), chunk]
    if len(rollup):
        body += [
            encode_integers(rollup.counts),
            _encode_doubles(rollup.least),
            _encode_doubles(rollup.most),
            _encode_sums(rollup),
        ]
    head = _HEAD.pack(
        VERSION, 0, rollup.step_ms, part.start_ms, part.end_ms, part.made_ms, part.parts, len(rollup.counts)
    )
    rest = head[_CHECKED_FROM:] + b"".join(body)
    return b"".join((head[:1], crc32(rest, VERSION).to_bytes(4, "little"), rest))


def _encode_doubles(values: Float64s) -> bytes:
    return encode_numbers(np.ascontiguousarray(values).view(np.int64), None, True)


def _encode_sums(rollup: Rollup) -> bytes:
    """Encode sums of short decimals as such, with how far each lies from its own."""
    sums = np.ascontiguousarray(rollup.sums)
    near = _near_decimals(sums, np.concatenate([rollup.least, rollup.most]))
    if near is not None:
        away = sums.view(np.int64) - near.view(np.int64)
        if int(np.abs(away).max()) < _NEAR:
            return b"\1" + _encode_doubles(near) + encode_integers(away)
    return b"\0" + _encode_doubles(sums)


def _near_decimals(sums: Float64s, values: Float64s) -> Float64s | None:
    """Return the sums with as many decimals as the values have; None when those are no short decimals."""
    scaled = scale_decimals(values)
    if scaled is None or not np.isfinite(sums).all():
        return None
    power = 10.0 ** scaled[0]
    with np.errstate(over="ignore", invalid="ignore"):
        near: Float64s = np.rint(sums * power) / power
    return near if np.isfinite(near).all() else None


# decoding -------------------------------------------------------------------------------------------------------------


def decode_part(item: Item) -> Part:
    """Decode a part's item.

    Raises:
        Corrupt: naming the item.
    """
    try:
        return replace(_decode(item.value), place=item.range)
    except Corrupt as error:
        raise Corrupt(f"rolled-up data {item.hash.hex()}/{item.range.hex()}: {error}") from error


def _decode(data: bytes) -> Part:
    if len(data) < _HEAD.size or data[0] != VERSION:
        raise Corrupt(f"not rolled-up data of this version: {len(data)} bytes")
    _, check, step_ms, start_ms, end_ms, made_ms, parts, count = _HEAD.unpack_from(data)
    if crc32(memoryview(data)[_CHECKED_FROM:], VERSION) != check:
        raise Corrupt(f"rolled-up data of {len(data)} bytes fail their checksum")
    reader = Reader(data, _HEAD.size)
    folded = frozenset(reader.take(_KEY_BYTES) for _ in range(reader.varint()))
    firsts, lasts = (codec.decode(reader.take(reader.varint())) for _ in range(2))
    if len(firsts) != count or len(lasts) != count:
        raise Corrupt(f"rolled-up data of {count} intervals hold {len(firsts)} first and {len(lasts)} last points")
    if not count:
        none = np.zeros(0)
        empty = Rollup(step_ms, np.zeros(0, np.int64), none, none, none, firsts, lasts)
        return Part(empty, start_ms, end_ms, made_ms, parts, folded)
    counts = decode_integers(reader, count, "counts")
    least, most = (_decode_doubles(reader, count) for _ in range(2))
    rollup = Rollup(step_ms, counts, _decode_sums(reader, count), least, most, firsts, lasts)
    if reader.position != len(data):
        raise Corrupt(f"rolled-up data have {len(data) - reader.position} bytes after their last stream")
    return Part(rollup, start_ms, end_ms, made_ms, parts, folded)


def _decode_doubles(reader: Reader, count: int) -> Float64s:
    return decode_numbers(reader, count, None, True).view(np.float64)


def _decode_sums(reader: Reader, count: int) -> Float64s:
    form = reader.byte()
    if form > 1:
        raise Corrupt(f"sums are in unknown form {form}")
    sums = _decode_doubles(reader, count)
    if not form:
        return sums
    away: Int64s = decode_integers(reader, count, "distances of sums")
    return (sums.view(np.int64) + away).view(np.float64)


# rows -----------------------------------------------------------------------------------------------------------------


def is_rolled_up(item: Item) -> bool:
    """Say whether an item of a row holds rolled-up data (copies included) and not points."""
    return item.range[:1] >= COPIES


def is_copy(item: Item) -> bool:
    """Say whether an item of a row holds rolled-up data whose raw points are kept."""
    return item.range[:1] == COPIES


@dataclass(frozen=True, slots=True, eq=False)
class RowItems:
    """The items of one row by what they are.

    Attributes:
        chunks: points.
        parts: the parts that count, in order of time, none over the stretch of another.
        part_items, copies: the items of all parts, and those of the copies.
    """

    chunks: tuple[Item, ...]
    parts: tuple[Part, ...] = ()
    part_items: tuple[Item, ...] = ()
    copies: tuple[Item, ...] = ()

    @classmethod
    def of(cls, items: Iterable[Item]) -> RowItems:
        """Sort items out. Raises Corrupt."""
        chunks: list[Item] = []
        parts: list[Item] = []
        copies: list[Item] = []
        for item in items:
            (copies if is_copy(item) else parts if is_rolled_up(item) else chunks).append(item)
        return cls(tuple(chunks), _that_count(map(decode_part, parts)), tuple(parts), tuple(copies))

    @property
    def folded(self) -> frozenset[bytes]:
        """Range keys of the chunks of which some part holds points."""
        return frozenset().union(*(part.folded for part in self.parts))

    @property
    def rollups(self) -> tuple[Rollup, ...]:
        """The rolled-up data that count."""
        return tuple(part.rollup for part in self.parts if len(part.rollup))

    def points(self, start_ms: int | None = None, end_ms: int | None = None) -> Points:
        """Merge the points that count; when a range (inclusive) is given, of those chunks only that touch it."""
        ordered = sorted(self.chunks, key=lambda item: keys.parse_chunk_range(item.range)[1:])
        if start_ms is not None and end_ms is not None:
            ordered = [item for item in ordered if _touches(item, start_ms, end_ms)]
        found = [points for item in ordered if len(points := self.counting(item))]
        return rows.merge(found) if found else Points.empty()

    def counting(self, item: Item) -> Points:
        """Return the points of a chunk that no part holds. Raises Corrupt."""
        holders = [part for part in self.parts if item.range in part.folded]
        if holders and _is_held(item, holders):
            return Points.empty()
        points = rows.decode_item(item)
        for part in holders:
            points = points.take((points.times_ms < part.start_ms) | (points.times_ms >= part.end_ms))
        return points

    def rewritten(
        self, row_key: bytes, base_s: int, points: Points, series_key: bytes, avoid: frozenset[bytes] = frozenset()
    ) -> list[Item]:
        """Return chunks for points that are to stand in place of all chunks of the row.

        None has the range key of a chunk that a part names (it would not count) or one of those to avoid.
        """
        generation = max(map(rows.generation_of, self.chunks), default=0)
        taken = self.folded | avoid
        items = []
        for item in rows.chunk_items(row_key, base_s, points, generation, series_key):
            offset_ms, generation, part = keys.parse_chunk_range(item.range)
            range_key = item.range
            while range_key in taken:
                part += 1
                range_key = keys.chunk_range(offset_ms, generation, part)
            taken = taken | {range_key}
            items.append(item._replace(range=range_key))
        return items


def _that_count(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return the parts that no younger one stands for, in order of time."""
    kept: list[Part] = []
    for part in sorted(parts, key=lambda one: one.made_ms, reverse=True):
        if all(part.end_ms <= other.start_ms or other.end_ms <= part.start_ms for other in kept):
            kept.append(part)
    return tuple(sorted(kept, key=lambda one: one.start_ms))


def _touches(item: Item, start_ms: int, end_ms: int) -> bool:
    info = codec.describe(item.value)
    return info.first_ms <= end_ms and info.last_ms >= start_ms


def _is_held(item: Item, holders: Sequence[Part]) -> bool:
    """Say whether one part stands for the whole time of a chunk, so that it need not be decoded."""
    info = codec.describe(item.value)
    return any(part.start_ms <= info.first_ms and info.last_ms < part.end_ms for part in holders)


def read_stored(items: Sequence[Item], start_ms: int, end_ms: int) -> tuple[Points | StoredRow, bool]:
    """Read a row for a range (inclusive): its points, or more where some of it is rolled up.

    Returns:
        the row, and whether it is whole; see rows.read_row_between.
    """
    if not any(map(is_rolled_up, items)):
        return rows.read_row_between(items, start_ms, end_ms)
    row = RowItems.of(item for item in items if not is_copy(item))
    if not row.parts:
        return rows.read_row_between(row.chunks, start_ms, end_ms)
    if sum(codec.describe(item.value).count for item in row.chunks) <= rows.DENSE_POINTS:
        return StoredRow(row.points(), row.rollups), True
    return StoredRow(row.points(start_ms, end_ms), row.rollups), False


def read_copies(items: Sequence[Item]) -> StoredRow | None:
    """Read a row from the copies among some of its items; None when those do not stand for the whole row."""
    if not items or not all(map(is_copy, items)):
        return None
    parts = [decode_part(item) for item in items]
    if any(part.parts != len(parts) or part.made_ms != parts[0].made_ms for part in parts):
        return None
    return StoredRow(Points.empty(), tuple(part.rollup for part in parts))


def mergeable(items: Sequence[Item]) -> Sequence[Item]:
    """Return the chunks of a row that may be joined with others: no rolled-up data, no chunk that a part names."""
    if not any(map(is_rolled_up, items)):
        return items
    row = RowItems.of(items)
    folded = row.folded
    return [item for item in row.chunks if item.range not in folded]


def keys_of(items: Iterable[Item]) -> list[Key]:
    """Return the keys of items."""
    return [(item.hash, item.range) for item in items]
