"""Bodies with some bad points among good ones: only the bad ones go the exact way, which takes twenty times as long.

A body is cut into its points as sent; blocks of them are tried in columns, and the points of a block that fails one by one.
Source: suite put_http (summary_partial, details_partial_order).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from amondawa.model.points import WriteBatch
from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.incoming import parse_points
from amondawa.protocols.opentsdb.put_columns import SeriesCache, Unusual, parse_columns
from amondawa.protocols.opentsdb.put_points import Columns, collect_number, collect_points
from amondawa.protocols.opentsdb.uid import Uids
from amondawa.protocols.write_queue import join_batches

BLOCK_POINTS = 32
YIELD_BLOCKS = 16
"""blocks between two chances for other requests"""

_SPLIT: Callable[[bytes], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(slots=True)
class Sorted:
    """The points of a body, the good apart from the refused.

    Attributes:
        kept: positions of the good points, ascending.
        refused: entries of the others, in their order.
        batches: the good points, in order.
    """

    kept: list[int] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    batches: list[WriteBatch] = field(default_factory=list)

    def batch(self) -> WriteBatch:
        """Return the good points; there must be some."""
        return join_batches(self.batches)

    def take(self, at: int, batch: WriteBatch) -> None:
        """Add good points that stand one after the other."""
        self.kept.extend(range(at, at + len(batch)))
        self.batches.append(batch)


def split_points(body: bytes) -> list[bytes]:
    """Return the points of an array as sent; none when the body is no array in good JSON."""
    try:
        return [bytes(one) for one in _SPLIT(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


async def sort_points(scope: Scope, uids: Uids, cache: SeriesCache, points: list[bytes]) -> Sorted:
    """Tell the good points from the bad ones.

    Raises:
        TsdbError: 400, one of them is no point at all; then none counts.
    """
    out = Sorted()
    hopeless = False
    for first in range(0, len(points), BLOCK_POINTS):
        if first // BLOCK_POINTS % YIELD_BLOCKS == YIELD_BLOCKS - 1:
            await asyncio.sleep(0)
        block = points[first : first + BLOCK_POINTS]
        if _taken(out, first, block, cache):
            hopeless = False
        elif hopeless:
            await _judge(out, first, block, scope, uids)
        else:
            hopeless = await _sort_singly(out, first, block, scope, uids, cache)
    return out


async def _sort_singly(
    out: Sorted, first: int, block: list[bytes], scope: Scope, uids: Uids, cache: SeriesCache
) -> bool:
    """Try the points of a block one by one; say whether all had to go the exact way, as those behind them may have to."""
    judged = 0
    for at, point in enumerate(block, first):
        if not _taken(out, at, [point], cache):
            await _judge(out, at, [point], scope, uids)
            judged += 1
    return judged == len(block)


def _taken(out: Sorted, at: int, points: list[bytes], cache: SeriesCache) -> bool:
    """Take points whose every one is right; say whether they were."""
    try:
        out.take(at, parse_columns(b"[" + b",".join(points) + b"]", cache))
    except Unusual:
        return False
    return True


async def _judge(out: Sorted, first: int, points: list[bytes], scope: Scope, uids: Uids) -> None:
    """Let the exact way decide about points that stand one after the other."""
    columns = Columns()
    incoming = parse_points(b"[" + b",".join(points) + b"]")
    kept, refused = await collect_points(scope, uids, incoming, columns, collect_number)
    out.refused += refused
    if kept:
        out.kept += [first + at for at in kept]
        out.batches.append(columns.batch())
