"""Rows: the fragments of one series and one row width, merged so that the last write wins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from amondawa.errors import Corrupt
from amondawa.model.points import Points
from amondawa.store import codec, keys
from amondawa.store.base import ITEM_BYTES, Item

CHUNK_POINTS = 16_384
"""A chunk holds at most this many points, so that a read of a short range in a dense row decodes little."""
DENSE_POINTS = 65_536
"""A row with more points than this is not decoded whole for a short range."""
_CHUNK_BYTES = ITEM_BYTES - 2_048 - 1_024 - 4_096


def in_order(points: Points) -> Points:
    """Sort points in order of arrival by time; of equal time and kind keep the one that came last.

    Where points have stamps, those tell what came last; a point without one (0: it is stored) came before all that have.

    Returns:
        points ascending in time; at equal times (kinds differ) in order of arrival.
    """
    times = points.times_ms
    if len(times) < 2:
        return points
    steps = times[1:] > times[:-1]
    if steps.all():
        return points
    if points.stamps is not None or not (times[1:] >= times[:-1]).all():
        points = points.take(_arrival(points))
        times = points.times_ms
        steps = times[1:] > times[:-1]
        if steps.all():
            return points
    return points.take(_last_of_kind(points, steps))


def _arrival(points: Points) -> npt.NDArray[np.intp]:
    """Return the order by time, at equal times of arrival."""
    if points.stamps is None:
        return np.argsort(points.times_ms, kind="stable")
    return np.lexsort((points.stamps, points.times_ms))


def _last_of_kind(points: Points, steps: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the mask of points that no later point of the same time and kind replaces; times ascend."""
    group = np.concatenate([[0], np.cumsum(steps)])
    identity = group * 8 + points.kinds
    order = np.argsort(identity, kind="stable")
    last = np.append(identity[order][1:] != identity[order][:-1], True)
    kept = np.zeros(len(group), np.bool_)
    kept[order[last]] = True
    return kept


def latest_only(points: Points) -> Points:
    """Of points `in_order`, keep at each time only the one that came last, whatever its kind."""
    times = points.times_ms
    if len(times) < 2:
        return points
    kept = np.append(times[1:] > times[:-1], True)
    return points if kept.all() else points.take(kept)


def merge(parts: Sequence[Points]) -> Points:
    """Merge parts given in order of arrival, see `in_order`."""
    if len(parts) == 1:
        return in_order(parts[0])
    return in_order(Points.concat(parts))


def decode_item(item: Item) -> Points:
    """Decode a chunk item.

    Raises:
        Corrupt: naming the item.
    """
    try:
        return codec.decode(item.value)
    except Corrupt as error:
        raise Corrupt(f"chunk {item.hash.hex()}/{item.range.hex()}: {error}") from error


def generation_of(item: Item) -> int:
    """Return the generation of a chunk item: of two items with one point the higher generation wins."""
    return keys.parse_chunk_range(item.range)[1]


def read_row(items: Sequence[Item]) -> Points:
    """Merge all chunk items of a row."""
    ordered = sorted(items, key=lambda item: keys.parse_chunk_range(item.range)[1:])
    return merge([decode_item(item) for item in ordered])


def read_row_between(items: Sequence[Item], start_ms: int, end_ms: int) -> tuple[Points, bool]:
    """Merge the chunk items of a row; of a dense row only those that touch the inclusive range.

    Returns:
        the points (some may lie outside the range), and whether they are the whole row.
    """
    described = [(codec.describe(item.value), item) for item in items]
    if sum(info.count for info, _ in described) <= DENSE_POINTS:
        return read_row(items), True
    touching = [item for info, item in described if info.first_ms <= end_ms and info.last_ms >= start_ms]
    return (read_row(touching) if touching else Points.empty()), len(touching) == len(items)


def chunk_items(row_key: bytes, base_s: int, points: Points, generation: int, series_key: bytes) -> list[Item]:
    """Encode points of one row (in order) as items that fit the store's limits."""
    extra = series_key if keys.row_is_hashed(row_key) else b""
    base_ms = base_s * keys.SECOND_MS
    return [
        Item(row_key, keys.chunk_range(int(piece.times_ms[0]) - base_ms, generation, part), data)
        for part, (piece, data) in enumerate(_pieces(points, generation, extra))
    ]


def _pieces(points: Points, generation: int, extra: bytes) -> Iterator[tuple[Points, bytes]]:
    if not len(points):
        return
    if len(points) > CHUNK_POINTS:
        for at in range(0, len(points), CHUNK_POINTS):
            yield from _pieces(points.take(slice(at, at + CHUNK_POINTS)), generation, extra)
        return
    data = codec.encode(points, generation=generation, extra=extra)
    if len(data) > _CHUNK_BYTES and len(points) > 1:
        middle = len(points) // 2
        yield from _pieces(points.take(slice(0, middle)), generation, extra)
        yield from _pieces(points.take(slice(middle, len(points))), generation, extra)
        return
    yield points, data
