"""The ring of blocks: which block holds a time, which to create ahead, to turn down and to drop. Pure; the clock is given.

A block is the window of rows that one pair of tables holds. Blocks of one plan have one length, a multiple of the row width,
counted from 1970, so that no row straddles two blocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from amondawa.errors import ConfigError, Corrupt
from amondawa.settings import Settings
from amondawa.store.base import Capacity

DEFAULT_BLOCK_S = 30 * 86_400
"""length of a block when no history or no number of blocks is set"""

_MASTER_VERSION = 1


@dataclass(frozen=True, slots=True)
class Block:
    """One block, as the master table lists it.

    Attributes:
        start_s, end_s: rows with start_s <= base time < end_s, seconds since 1970.
        name: part of its tables' names; start and length, so that plans of different lengths share no block.
        turned_down: whether its throughput was taken back after its time.
        capacity: throughput of its table of points, as it was last set.
        index_capacity: the same of its index.
        rollup: the rules of roll-up that it is being, or was, rolled up by, see RollupRules; '' = none.
        rolled_s: the clock when its last roll-up began, once that has ended; 0 = none has.
    """

    start_s: int
    end_s: int
    name: str
    turned_down: bool = False
    capacity: Capacity = Capacity()
    index_capacity: Capacity = Capacity()
    rollup: str = ""
    rolled_s: int = 0

    @property
    def datapoints_table(self) -> str:
        """Name of the table of chunks."""
        return f"datapoints_{self.name}"

    @property
    def index_table(self) -> str:
        """Name of the table of index entries and names."""
        return f"index_{self.name}"

    @property
    def length_s(self) -> int:
        """Length in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Throughput:
    """What the tables of a block that is written to are given."""

    datapoints: Capacity = Capacity()
    index: Capacity = Capacity()

    @classmethod
    def of_settings(cls, settings: Settings) -> Throughput:
        """Return what the settings ask for; reads are divided among all blocks of the history.

        Raises:
            ConfigError: a table is given reads but no writes, or writes but no reads.
        """
        blocks = settings.store_history_blocks + 1
        return cls(
            replace(
                _capacity("datapoints", settings.tp_read_datapoints, settings.tp_write_datapoints, blocks),
                warm_read_units=settings.tp_warm_read_datapoints,
                warm_write_units=settings.tp_warm_write_datapoints,
            ),
            replace(
                _capacity("index_key", settings.tp_read_index_key, settings.tp_write_index_key, blocks),
                warm_read_units=settings.tp_warm_read_index_key,
                warm_write_units=settings.tp_warm_write_index_key,
            ),
        )

    def given_to(self, block: Block) -> Block:
        """Return the block as it is listed with this throughput."""
        return replace(block, capacity=self.datapoints, index_capacity=self.index)


def _capacity(name: str, read: int, write: int, blocks: int) -> Capacity:
    if bool(read) != bool(write):
        raise ConfigError(f"tp_write_{name} and tp_read_{name} must both be given or both be 0 (on demand)")
    return Capacity(-(-read // blocks), write) if write else Capacity()


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """How history is cut into blocks.

    Attributes:
        column_height_s: row width.
        history_s: how far back points are kept; 0 = for ever.
        history_blocks: blocks over the history; 0 = blocks of 30 days.
    """

    column_height_s: int
    history_s: int = 0
    history_blocks: int = 0

    @property
    def block_s(self) -> int:
        """Length of a block: the wished length, rounded up to whole rows."""
        wished = DEFAULT_BLOCK_S
        if self.history_s and self.history_blocks:
            wished = -(-self.history_s // self.history_blocks)
        return -(-wished // self.column_height_s) * self.column_height_s

    def block_of(self, base_time_s: int) -> Block:
        """Return the block that holds the row of a base time (of any time in seconds, before 1970 too)."""
        start = base_time_s // self.block_s * self.block_s
        return Block(start, start + self.block_s, _block_name(start, self.block_s))

    def oldest_allowed_s(self, now_s: int) -> int | None:
        """Return the oldest time that is kept, in seconds; None when everything is."""
        return now_s - self.history_s if self.history_s else None

    def expired(self, blocks: Iterable[Block], now_s: int) -> list[Block]:
        """Return the blocks that hold nothing but points older than the history, oldest first."""
        oldest = self.oldest_allowed_s(now_s)
        if oldest is None:
            return []
        return sorted((block for block in blocks if block.end_s <= oldest), key=_start)

    def to_create(self, blocks: Iterable[Block], now_s: int, next_min_s: int, next_pct: float) -> list[Block]:
        """Return the blocks that should exist by now and do not: the current one, and the next one ahead of its time.

        Args:
            blocks: those that exist.
            now_s: the clock.
            next_min_s: create the next block at least this many seconds before the current one ends,
            next_pct: and at least this share of a block's length before, in percent.
        """
        current = self.block_of(now_s)
        wanted = [current]
        if now_s >= current.end_s - max(next_min_s, self.block_s * next_pct / 100):
            wanted.append(self.block_of(current.end_s))
        names = {block.name for block in blocks}
        return [block for block in wanted if block.name not in names]

    def to_retune(self, blocks: Iterable[Block], now_s: int, throughput: Throughput) -> list[Block]:
        """Return the blocks in use, now or next, whose tables have another throughput than they should, oldest first."""
        current = self.block_of(now_s)
        in_use = {current.name, self.block_of(current.end_s).name}
        return sorted(
            (block for block in blocks if block.name in in_use and throughput.given_to(block) != block), key=_start
        )

    def to_turn_down(
        self, blocks: Iterable[Block], now_s: int, turndown_min_s: int, turndown_pct: float
    ) -> list[Block]:
        """Return the finished blocks whose write capacity should be lowered, oldest first.

        Args:
            blocks: those that exist.
            now_s: the clock.
            turndown_min_s: wait at least this many seconds after a block's end,
            turndown_pct: and at least this share of its length, in percent.
        """
        return sorted(
            (
                block
                for block in blocks
                if not block.turned_down
                and now_s >= block.end_s + max(turndown_min_s, block.length_s * turndown_pct / 100)
            ),
            key=_start,
        )


def turned_down(block: Block) -> Block:
    """Return the block as it is listed once it is turned down: on demand, which costs nothing while nobody asks.

    The least provisioned throughput would cost money for nothing, and stop points that come late.
    """
    return replace(block, turned_down=True, capacity=Capacity(), index_capacity=Capacity())


def overlapping(blocks: Sequence[Block], start_s: int, end_s: int) -> list[Block]:
    """Return the blocks that may hold rows with start_s <= base time <= end_s, oldest first."""
    return sorted((block for block in blocks if block.start_s <= end_s and start_s < block.end_s), key=_start)


def render_master(block: Block) -> bytes:
    """Return a block's item in the master table: JSON with sorted keys."""
    item = {"version": _MASTER_VERSION, **asdict(block)}
    item["tables"] = [block.datapoints_table, block.index_table]
    if not block.rollup:  # as releases without roll-up write it
        del item["rollup"], item["rolled_s"]
    return json.dumps(item, sort_keys=True, separators=(",", ":")).encode()


def parse_master(value: bytes) -> Block:
    """Return the block of a master item. Raises Corrupt."""
    try:
        item = json.loads(value)
        if item["version"] != _MASTER_VERSION:
            raise Corrupt(f"master item is of version {item['version']!r}; this release reads {_MASTER_VERSION}")
        return Block(
            int(item["start_s"]),
            int(item["end_s"]),
            str(item["name"]),
            bool(item["turned_down"]),
            Capacity(**item["capacity"]),
            Capacity(**item.get("index_capacity", {})),
            str(item.get("rollup", "")),
            int(item.get("rolled_s", 0)),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"master item does not parse: {value[:80]!r}") from error


def _block_name(start_s: int, length_s: int) -> str:
    """Return a name that any engine takes as part of a table's: digits, with n in place of a minus sign."""
    return f"{'n' if start_s < 0 else ''}{abs(start_s)}-{length_s}"


def _start(block: Block) -> int:
    return block.start_s
