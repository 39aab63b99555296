"""The blocks that exist: read from the master table, opened when a point's time asks for one."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from amondawa.store.base import BlockStore, Item
from amondawa.store.blocks import Block, BlockPlan, parse_master, render_master

MASTER = "master"
_BLOCKS = b"blocks"


class OpenBlocks:
    """Blocks of this store by start; safe in any thread."""

    def __init__(self, store: BlockStore, plan: BlockPlan) -> None:
        self._store = store
        self.plan = plan
        self._lock = threading.Lock()
        self._blocks: dict[int, Block] = {}

    def load(self) -> None:
        """Read the master table, creating it when it is missing."""
        self._store.create_table(MASTER)
        for page in self._store.query(MASTER, _BLOCKS):
            for item in page:
                block = parse_master(item.value)
                self._blocks[block.start_s] = block

    def all(self) -> list[Block]:
        """Return all blocks, oldest first."""
        with self._lock:
            return [self._blocks[start] for start in sorted(self._blocks)]

    def overlapping(self, start_s: int, end_s: int) -> list[Block]:
        """Return the blocks that hold rows with start_s <= base time <= end_s, oldest first."""
        return [block for block in self.all() if block.start_s <= end_s and start_s < block.end_s]

    def of(self, base_time_s: int) -> Block:
        """Return the block of a base time, opening it when it does not exist yet."""
        block = self.plan.block_of(base_time_s)
        with self._lock:
            found = self._blocks.get(block.start_s)
            if found is not None:
                return found
            self._store.create_table(block.datapoints_table)
            self._store.create_table(block.index_table)
            self._store.put(MASTER, [Item(_BLOCKS, block.name.encode(), render_master(block))])
            self._blocks[block.start_s] = block
            return block

    def drop(self, blocks: Iterable[Block]) -> None:
        """Delete blocks whole, with their tables."""
        for block in blocks:
            with self._lock:
                self._store.delete(MASTER, [(_BLOCKS, block.name.encode())])
                self._blocks.pop(block.start_s, None)
            self._store.delete_table(block.datapoints_table)
            self._store.delete_table(block.index_table)
