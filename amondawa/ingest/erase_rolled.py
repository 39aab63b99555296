"""Deletes in rows that hold rolled-up data. Pure.

An interval belongs to the time of its first point: a delete removes the intervals whose first point lies in its range, whole,
which are those that a query of the range shows. Adjoining deletes remove everything once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from amondawa.model.points import Points
from amondawa.model.rollup import Rollup
from amondawa.store import rollup_items
from amondawa.store.base import Item, Key
from amondawa.store.rollup_items import RowItems

CutRollup = Callable[[Rollup], tuple[Rollup, int]]
"""From rolled-up data to what is kept of them and the number of points that go."""


def untouched(rollup: Rollup) -> tuple[Rollup, int]:
    """Keep rolled-up data as they are."""
    return rollup, 0


def whole(rollup: Rollup) -> tuple[Rollup, int]:
    """Remove rolled-up data."""
    return rollup.take(slice(0, 0)), rollup.points


def between(start_ms: int, end_ms: int) -> CutRollup:
    """Return the cut of the intervals whose first point lies in the inclusive range."""

    def cut(rollup: Rollup) -> tuple[Rollup, int]:
        times = rollup.firsts.times_ms
        inside = (times >= start_ms) & (times <= end_ms)
        if not inside.any():
            return rollup, 0
        return rollup.take(~inside), int(rollup.counts[inside].sum())

    return cut


@dataclass(frozen=True, slots=True)
class RolledCut:
    """What a cut changes in a row.

    Attributes:
        lost: points that go.
        is_empty: nothing is left.
        before: keys to remove before anything is written: copies, and chunks that do not count.
        puts, deletes: items to write, then keys to remove.
    """

    lost: int
    is_empty: bool
    before: tuple[Key, ...] = ()
    puts: tuple[Item, ...] = ()
    deletes: tuple[Key, ...] = ()


def cut_rolled(
    items: Sequence[Item],
    cut: Callable[[Points], tuple[Points, int]],
    cut_rollup: CutRollup,
    *,
    base_s: int,
    series_key: bytes,
) -> RolledCut:
    """Work out a cut of a row with rolled-up data, copies included."""
    row = RowItems.of(items)
    row_key = items[0].hash
    kept, lost = cut(row.points())
    puts: list[Item] = []
    stay: set[bytes] = set()
    for part in row.parts:
        remaining, gone = cut_rollup(part.rollup)
        lost += gone
        if len(remaining):
            stay.add(part.place)
        if gone and len(remaining):
            puts += _again(row_key, base_s, replace(part, rollup=remaining), series_key)
    is_empty = not len(kept) and not stay
    if not lost:
        return RolledCut(0, is_empty)
    puts += row.rewritten(row_key, base_s, kept, series_key)
    stay.update(item.range for item in puts)
    folded = row.folded
    idle = [item for item in row.chunks if item.range in folded and not len(row.counting(item))]
    before = rollup_items.keys_of([*row.copies, *idle])
    rest = rollup_items.keys_of(item for item in (*row.chunks, *row.part_items) if item.range not in stay)
    return RolledCut(lost, is_empty, tuple(before), tuple(puts), tuple(key for key in rest if key not in before))


def _again(row_key: bytes, base_s: int, part: rollup_items.Part, series_key: bytes) -> list[Item]:
    """Encode a part again under its own number."""
    return rollup_items.part_items(
        row_key,
        base_s,
        part.rollup,
        prefix=rollup_items.PARTS,
        made_ms=part.made_ms,
        folded=part.folded,
        series_key=series_key,
    )
