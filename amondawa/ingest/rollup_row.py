"""One row rolled up: what is written and removed, in an order that leaves one answer standing at every step. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from amondawa.aggregate.rollup import join, may_be_rolled_up, roll_up
from amondawa.model.points import Points
from amondawa.model.rollup import Rollup
from amondawa.store import codec, keys, rollup_items
from amondawa.store.base import Item, Key
from amondawa.store.rollup_items import COPIES, MOST_FOLDED, PARTS, RowItems
from amondawa.store.rollup_rules import RollupRule

MOST_SHARE = 1.0
"""A row is left as it is unless rolled-up data take less than this share of its points' bytes: nothing would be gained."""
WINDOW_POINTS = 1_000_000
"""A row with more points than this is put together a stretch of time at a time."""


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Where a row is.

    Attributes:
        row_key, series_key: its hash key, and that of its series.
        base_s, width_s: where it begins, and its width.
    """

    row_key: bytes
    series_key: bytes
    base_s: int
    width_s: int


@dataclass(frozen=True, slots=True)
class RowChange:
    """What rolling a row up does.

    Attributes:
        before: items to write before all others: points that stay, under keys of their own.
        puts, deletes: the rolled-up data, and what they stand for.
        is_copy: the points stay beside them.
        points_before, points_after: points and intervals that the row holds.
        bytes_before, bytes_after: length of its values.
    """

    before: tuple[Item, ...]
    puts: tuple[Item, ...]
    deletes: tuple[Key, ...]
    is_copy: bool
    points_before: int
    points_after: int
    bytes_before: int
    bytes_after: int


def roll_row(items: Sequence[Item], rule: RollupRule, place: RowPlace, made_ms: int) -> RowChange | None:
    """Work out how a row is rolled up; None when it is already, or when nothing would be gained.

    Args:
        items: all of the row.
        rule: what to do. A row whose points are gone is rolled up further whatever it says about them.
        place: the row.
        made_ms: the clock; of two makings of one stretch the later counts.

    Raises:
        Corrupt: naming the item.
    """
    row = RowItems.of(items)
    made_ms = max(made_ms, *(part.made_ms + 1 for part in row.parts), 0)
    if not rule.drop_raw and not row.parts:
        return _copied(row, rule.step_s * keys.SECOND_MS, place, made_ms)
    step_ms = _common_step(row.rollups, rule.step_s * keys.SECOND_MS)
    if step_ms is None or len(row.chunks) > MOST_FOLDED:
        return None
    fresh, left = _put_together(row, step_ms, place)
    idle = _idle_chunks(row)
    is_current = fresh is None and all(one.step_ms == step_ms for one in row.rollups)
    if is_current and not idle and (not row.parts or not row.copies):
        return None
    whole = [*row.rollups, *([] if fresh is None else [fresh])]
    if not row.parts and (fresh is None or len(fresh) >= fresh.points):
        return None
    change = _folded(row, join(whole, step_ms) if whole else None, left, place, made_ms, is_changed=fresh is not None)
    return change if row.parts or change.bytes_after < MOST_SHARE * change.bytes_before else None


def _common_step(rollups: Sequence[Rollup], wanted_ms: int) -> int | None:
    """Return the interval that old and new data can share: as wanted, or as it is; None when they do not fit together."""
    steps = {one.step_ms for one in rollups}
    for step_ms in (wanted_ms, max(steps, default=wanted_ms)):
        if all(step_ms % own == 0 for own in steps):
            return step_ms
    return None


def _idle_chunks(row: RowItems) -> list[Item]:
    """Return the chunks whose points are all in parts: what a crash left to be removed."""
    folded = row.folded
    return [item for item in row.chunks if item.range in folded and not len(row.counting(item))]


def _put_together(row: RowItems, step_ms: int, place: RowPlace) -> tuple[Rollup | None, Points]:
    """Return the points that count put together (None: there are none to be), and those that stay as they are."""
    made: list[Rollup] = []
    stay: list[Points] = []
    for points in _stretches(row, step_ms, place):
        fit = may_be_rolled_up(points)
        if fit.any():
            made.append(roll_up(points.take(fit), step_ms))
        if not fit.all():
            stay.append(points.take(~fit))
    return (join(made, step_ms) if made else None), Points.concat(stay)


def _stretches(row: RowItems, step_ms: int, place: RowPlace) -> Iterator[Points]:
    """Yield the points that count, in stretches of whole intervals that memory can hold."""
    count = sum(codec.describe(item.value).count for item in row.chunks)
    start_ms, width_ms = place.base_s * keys.SECOND_MS, place.width_s * keys.SECOND_MS
    pieces = -(-count // WINDOW_POINTS)
    if pieces <= 1:
        points = row.points()
        if len(points):
            yield points
        return
    stride_ms = max(1, -(-width_ms // pieces) // step_ms) * step_ms
    for at in range(start_ms, start_ms + width_ms, stride_ms):
        points = row.points(at, at + stride_ms - 1).between(at, at + stride_ms - 1)
        if len(points):
            yield points


def _copied(row: RowItems, step_ms: int, place: RowPlace, made_ms: int) -> RowChange | None:
    """Put rolled-up data beside the points; None where they could not stand for all of them."""
    known = rollup_items.read_copies(row.copies)
    if known is not None and all(one.step_ms == step_ms for one in known.rollups):
        return None
    rollup, left = _put_together(row, step_ms, place)
    if rollup is None or len(left) or len(rollup) >= rollup.points:
        return None
    puts = _encoded(place, rollup, COPIES, made_ms)
    if _size(puts) >= MOST_SHARE * _size(row.chunks):
        return None
    written = {item.range for item in puts}
    gone = [item for item in row.copies if item.range not in written]
    before = _size((*row.chunks, *row.copies))
    return RowChange(
        (),
        tuple(puts),
        tuple(rollup_items.keys_of(gone)),
        True,
        rollup.points,
        rollup.points + len(rollup),
        before,
        _size(row.chunks) + _size(puts),
    )


def _folded(
    row: RowItems, rollup: Rollup | None, left: Points, place: RowPlace, made_ms: int, *, is_changed: bool
) -> RowChange:
    """Put rolled-up data in place of the points; what stays is written first, under keys that no part names."""
    present = frozenset(item.range for item in row.chunks)
    folded = row.folded | present if is_changed else row.folded
    before: list[Item] = []
    if is_changed and len(left):
        before = row.rewritten(place.row_key, place.base_s, left, place.series_key, avoid=present)
    puts = [] if rollup is None else _encoded(place, rollup, PARTS, made_ms, folded & present)
    written = {item.range for item in (*before, *puts)}
    outdated = row.chunks if is_changed else tuple(_idle_chunks(row))
    gone = [item for item in (*outdated, *row.part_items, *row.copies) if item.range not in written]
    held = sum(one.points for one in row.rollups)
    fresh = 0 if rollup is None else rollup.points - held
    kept = _size(row.chunks) - _size(outdated)
    return RowChange(
        tuple(before),
        tuple(puts),
        tuple(rollup_items.keys_of(gone)),
        False,
        sum(map(len, row.rollups)) + fresh + len(left),
        (0 if rollup is None else len(rollup)) + len(left),
        _size((*row.chunks, *row.part_items, *row.copies)),
        _size(before) + _size(puts) + kept,
    )


def _encoded(
    place: RowPlace, rollup: Rollup, prefix: bytes, made_ms: int, folded: frozenset[bytes] = frozenset()
) -> list[Item]:
    return rollup_items.part_items(
        place.row_key,
        place.base_s,
        rollup,
        prefix=prefix,
        made_ms=made_ms,
        folded=folded,
        series_key=place.series_key,
    )


def _size(items: Sequence[Item]) -> int:
    return sum(len(item.value) for item in items)
