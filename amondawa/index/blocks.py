"""The blocks that exist: read from the master table, opened when a point's time asks for one."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace

from amondawa.errors import ConfigError, NotFound
from amondawa.store.base import BlockStore, Item
from amondawa.store.blocks import Block, BlockPlan, Throughput, overlapping, parse_master, render_master, turned_down

MASTER = "master"
_BLOCKS = b"blocks"
_HEIGHT = (b"plan", b"store_column_height")


class OpenBlocks:
    """Blocks of this store; safe in any thread. Blocks past the history are not shown, whether they were dropped yet or not.

    Args:
        throughput: what the tables of blocks in use are given.
    """

    def __init__(self, store: BlockStore, plan: BlockPlan, throughput: Throughput = Throughput()) -> None:  # noqa: B008
        self._store = store
        self.plan = plan
        self.throughput = throughput
        self._changing = threading.Lock()  # held while tables are made or read: reads go on meanwhile
        self._lock = threading.Lock()
        self._blocks: list[Block] = []
        self._oldest_s: int | None = None

    def load(self) -> None:
        """Read the master table, creating it when it is missing.

        Raises:
            ConfigError: the data were written with another row width.
        """
        self._store.create_table(MASTER)
        self._check_height()
        self.reload()

    def reload(self) -> list[Block]:
        """Read the master table again; return the blocks that another gateway has dropped."""
        with self._changing:
            now = [parse_master(item.value) for page in self._store.query(MASTER, _BLOCKS) for item in page]
            names = {block.name for block in now}
            with self._lock:
                gone = [block for block in self._blocks if block.name not in names]
                self._blocks = now
        return gone

    def _check_height(self) -> None:
        height = str(self.plan.column_height_s).encode()
        if self._store.put_if(MASTER, Item(*_HEIGHT, height), None):
            return
        kept = self._store.get(MASTER, [_HEIGHT])[0]
        if kept is not None and kept.value != height:
            raise ConfigError(
                f"store_column_height is {height.decode()} seconds but the data in this store were written "
                f"with {kept.value.decode()}"
            )

    # which there are --------------------------------------------------------------------------------------------------

    def hide_before(self, oldest_s: int | None) -> list[Block]:
        """Show no block any more that ends before a time; return those that were shown until now."""
        with self._lock:
            hidden = [one for one in self._blocks if self._is_shown(one) and oldest_s is not None]
            self._oldest_s = oldest_s
            return [block for block in hidden if not self._is_shown(block)]

    def _is_shown(self, block: Block) -> bool:
        return self._oldest_s is None or block.end_s > self._oldest_s

    def is_past(self, base_s: int) -> bool:
        """Say whether the whole row of a base time is older than what is kept."""
        return self._oldest_s is not None and base_s + self.plan.column_height_s <= self._oldest_s

    def all(self) -> list[Block]:
        """Return all blocks, oldest first."""
        with self._lock:
            return sorted(filter(self._is_shown, self._blocks), key=lambda block: block.start_s)

    def listed(self) -> list[Block]:
        """Return all blocks, those past the history too, oldest first."""
        with self._lock:
            return sorted(self._blocks, key=lambda block: block.start_s)

    def overlapping(self, start_s: int, end_s: int) -> list[Block]:
        """Return the blocks that may hold rows with start_s <= base time <= end_s, oldest first."""
        with self._lock:
            return overlapping([block for block in self._blocks if self._is_shown(block)], start_s, end_s)

    # changes ----------------------------------------------------------------------------------------------------------

    def of(self, base_time_s: int) -> Block:
        """Return the block of a base time, opening it when it does not exist yet.

        A block that an earlier plan made (of another length) keeps the rows of its window. One that is opened for late
        points is on demand; the maintainer gives the block of its time the throughput that it should have.
        """
        found = self._holding(base_time_s)
        if found is not None:
            return found
        with self._changing:
            return self._holding(base_time_s) or self._create(self.plan.block_of(base_time_s))

    def known(self, base_time_s: int) -> Block | None:
        """Return the block of a base time, looking for one that another gateway made; None when there is none."""
        found = self._holding(base_time_s)
        if found is None:
            self.reload()
            found = self._holding(base_time_s)
        return found

    def _holding(self, base_time_s: int) -> Block | None:
        with self._lock:
            found = overlapping(self._blocks, base_time_s, base_time_s)
        return max(found, key=lambda block: block.length_s != self.plan.block_s) if found else None

    def create(self, block: Block) -> Block:
        """Make a block with the throughput of one in use, unless it exists; return it."""
        with self._changing:
            listed = next((one for one in self.listed() if one.name == block.name), None)
            return listed or self._create(self.throughput.given_to(block))

    def _create(self, block: Block) -> Block:
        self._store.create_table(block.datapoints_table, block.capacity)
        self._store.create_table(block.index_table, block.index_capacity)
        key = (_BLOCKS, block.name.encode())
        if not self._store.put_if(MASTER, Item(*key, render_master(block)), None):  # another gateway was first
            listed = self._store.get(MASTER, [key])[0]
            block = block if listed is None else parse_master(listed.value)
        with self._lock:
            self._blocks = [*self._blocks, block]
        return block

    def retune(self, block: Block) -> None:
        """Give the tables of a block the throughput of one in use."""
        self._set_capacity(block, self.throughput.given_to(block))

    def turn_down(self, block: Block) -> None:
        """Take the throughput of a finished block back."""
        self._set_capacity(block, turned_down(block))

    def note_rollup(self, block: Block, rules: str, rolled_s: int) -> Block:
        """List by which rules a block is rolled up, and when that began (0 = it has not ended yet); return the block.

        Raises:
            NotFound: the block was dropped meanwhile.
        """
        key = (_BLOCKS, block.name.encode())
        while True:  # until nobody else changed the entry meanwhile
            listed = self._store.get(MASTER, [key])[0]
            if listed is None:
                raise NotFound(f"block {block.name} was dropped")
            after = replace(parse_master(listed.value), rollup=rules, rolled_s=rolled_s)
            if self._store.put_if(MASTER, Item(*key, render_master(after)), listed.value):
                break
        with self._lock:
            self._blocks = [after if one.name == block.name else one for one in self._blocks]
        return after

    def _set_capacity(self, before: Block, after: Block) -> None:
        """Change a block's tables, then its entry; when another gateway changed that meanwhile, what it wrote stands."""
        if before.capacity != after.capacity:
            self._store.set_capacity(before.datapoints_table, after.capacity)
        if before.index_capacity != after.index_capacity:
            self._store.set_capacity(before.index_table, after.index_capacity)
        item = Item(_BLOCKS, before.name.encode(), render_master(after))
        with self._changing:
            if not self._store.put_if(MASTER, item, render_master(before)):
                return
            with self._lock:
                self._blocks = [after if one.name == before.name else one for one in self._blocks]

    def drop(self, blocks: Iterable[Block]) -> None:
        """Delete blocks whole: their tables, then their entries, so that whatever a crash leaves is dropped next time."""
        for block in blocks:
            self._store.delete_table(block.datapoints_table)
            self._store.delete_table(block.index_table)
            with self._changing:
                self._store.delete(MASTER, [(_BLOCKS, block.name.encode())])
                with self._lock:
                    self._blocks = [one for one in self._blocks if one.name != block.name]
