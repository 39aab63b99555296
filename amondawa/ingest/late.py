"""Late points and rolled-up rows: copies that are no longer right go, and the next roll-up is told which rows to look at."""

from __future__ import annotations

from collections.abc import Sequence

from amondawa.store import keys, rollup_items
from amondawa.store.base import Item, Key
from amondawa.store.blocks import Block

COPY_KEY = rollup_items.COPIES + b"\0\0"
"""range key of a row's first copy: without it the others are not used"""


def late_items(block: Block, row_key: bytes, base_s: int, series_key: bytes, generation: int) -> list[Item]:
    """Return the entry of the index that has a row rolled up again; none where its block is not rolled up.

    Args:
        block: where the row is.
        row_key: its hash key.
        base_s: its base time.
        series_key: of its series.
        generation: of the chunks that are written to it.
    """
    if not block.rollup:
        return []
    return [Item(*keys.late_entry(row_key, generation), keys.expiry_value(base_s, series_key))]


def outdated_copies(block: Block, row_key: bytes, present: Sequence[Item] | None) -> list[Key]:
    """Return the keys of the copies that new points of a row make wrong.

    Args:
        block: where the row is.
        row_key: its hash key.
        present: its items; None = they were not read.
    """
    if present is None:
        return [(row_key, COPY_KEY)] if block.rollup else []
    return rollup_items.keys_of(filter(rollup_items.is_copy, present))
