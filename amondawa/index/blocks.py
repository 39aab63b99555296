"""The blocks that exist: read from the master table, opened when a point's time asks for one."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from amondawa.errors import ConfigError
from amondawa.store.base import BlockStore, Item
from amondawa.store.blocks import Block, BlockPlan, overlapping, parse_master, render_master

MASTER = "master"
_BLOCKS = b"blocks"
_HEIGHT = (b"plan", b"store_column_height")


class OpenBlocks:
    """Blocks of this store; safe in any thread."""

    def __init__(self, store: BlockStore, plan: BlockPlan) -> None:
        self._store = store
        self.plan = plan
        self._lock = threading.Lock()
        self._blocks: list[Block] = []

    def load(self) -> None:
        """Read the master table, creating it when it is missing.

        Raises:
            ConfigError: the data were written with another row width.
        """
        self._store.create_table(MASTER)
        self._check_height()
        self._blocks = [parse_master(item.value) for page in self._store.query(MASTER, _BLOCKS) for item in page]

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

    def all(self) -> list[Block]:
        """Return all blocks, oldest first."""
        with self._lock:
            return sorted(self._blocks, key=lambda block: block.start_s)

    def overlapping(self, start_s: int, end_s: int) -> list[Block]:
        """Return the blocks that may hold rows with start_s <= base time <= end_s, oldest first."""
        with self._lock:
            return overlapping(self._blocks, start_s, end_s)

    def of(self, base_time_s: int) -> Block:
        """Return the block of a base time, opening it when it does not exist yet.

        A block that an earlier plan made (of another length) keeps the rows of its window.
        """
        with self._lock:
            found = overlapping(self._blocks, base_time_s, base_time_s)
            if found:
                return max(found, key=lambda block: block.length_s != self.plan.block_s)
            block = self.plan.block_of(base_time_s)
            self._store.create_table(block.datapoints_table)
            self._store.create_table(block.index_table)
            self._store.put(MASTER, [Item(_BLOCKS, block.name.encode(), render_master(block))])
            self._blocks = [*self._blocks, block]
            return block

    def drop(self, blocks: Iterable[Block]) -> None:
        """Delete blocks whole, with their tables."""
        for block in blocks:
            with self._lock:
                self._store.delete(MASTER, [(_BLOCKS, block.name.encode())])
                self._blocks = [one for one in self._blocks if one.name != block.name]
            self._store.delete_table(block.datapoints_table)
            self._store.delete_table(block.index_table)
