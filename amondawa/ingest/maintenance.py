"""Maintenance of blocks: created ahead of their time, turned down after it, dropped whole past the history.

Every gateway looks; the one that holds the lease acts. Each step may be done twice without harm, and the clock is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from amondawa.errors import AmondawaError
from amondawa.index.blocks import OpenBlocks
from amondawa.ingest.documents import Documents
from amondawa.settings import Settings
from amondawa.store.base import BlockStore
from amondawa.store.blocks import Block, BlockPlan, Throughput
from amondawa.store.lease import TimedLease

LEASE_MS = 180_000
"""A gateway that has not renewed its lease for this long is followed by another."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rules:
    """When blocks are created and turned down, see BlockPlan, and how long dropping them waits.

    Attributes:
        grace_s: a block stays this long after it is hidden, for queries that began before in any gateway.
    """

    next_min_s: int = 3_600
    next_pct: float = 10.0
    turndown_min_s: int = 3_600
    turndown_pct: float = 10.0
    grace_s: int = 300

    @classmethod
    def of_settings(cls, settings: Settings) -> Rules:
        """Return the rules that the settings ask for."""
        return cls(
            settings.mx_create_next_min * 60,
            settings.mx_create_next_pct,
            settings.mx_turndown_min * 60,
            settings.mx_turndown_pct,
            max(300, int(settings.query_seconds) + 60),
        )


@dataclass(slots=True)
class Report:
    """What one pass did, by names of blocks; `held` = the lease was ours, `failed` = steps to be tried again."""

    held: bool = False
    created: list[str] = field(default_factory=list)
    retuned: list[str] = field(default_factory=list)
    turned_down: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Maintainer:
    """Looks after the blocks of a store; one pass at a time, in any thread.

    Args:
        forget: called with blocks that queries may not see any more, so that caches forget them.
    """

    def __init__(
        self,
        store: BlockStore,
        blocks: OpenBlocks,
        rules: Rules,
        holder: str,
        forget: Callable[[Sequence[Block]], None],
    ) -> None:
        self._store = store
        self._blocks = blocks
        self._rules = rules
        self._lease = TimedLease(store, "maintenance", holder, LEASE_MS)
        self._forget = forget

    def run(self, now_ms: int) -> Report:
        """Make one pass.

        Raises:
            AmondawaError: the master table cannot be read or the lease not be asked for.
        """
        now_s = now_ms // 1000
        self._store.refresh()
        gone = self._blocks.reload()
        gone += self._blocks.hide_before(self._blocks.plan.oldest_allowed_s(now_s))
        if gone:
            self._forget(gone)
        report = Report(held=self._lease.take(now_ms))
        if report.held:
            self._act(now_s, report)
        return report

    def _act(self, now_s: int, report: Report) -> None:
        plan, rules, blocks = self._blocks.plan, self._rules, self._blocks
        for block in plan.to_create(blocks.listed(), now_s, rules.next_min_s, rules.next_pct):
            self._do("create", blocks.create, block, report.created, report)
        for block in plan.to_retune(blocks.listed(), now_s, blocks.throughput):
            self._do("retune", blocks.retune, block, report.retuned, report)
        for block in plan.to_turn_down(blocks.listed(), now_s, rules.turndown_min_s, rules.turndown_pct):
            self._do("turn down", blocks.turn_down, block, report.turned_down, report)
        for block in plan.expired(blocks.listed(), now_s - rules.grace_s):
            self._do("drop", lambda one: blocks.drop([one]), block, report.dropped, report)

    @staticmethod
    def _do(what: str, step: Callable[[Block], object], block: Block, done: list[str], report: Report) -> None:
        """Take one step; one that fails leaves the others alone and is taken again in the next pass."""
        try:
            step(block)
        except AmondawaError as error:
            report.failed.append(block.name)
            log.warning(
                "maintenance of a block failed, will be tried again", step=what, block=block.name, error=str(error)
            )
            return
        done.append(block.name)
        log.info("maintained a block", step=what, block=block.name)

    def end(self, now_ms: int) -> None:
        """Let another gateway take over at once."""
        self._lease.release(now_ms)


def create_tables(settings: Settings, store: BlockStore, now_s: int) -> None:
    """Create the tables that a gateway needs: those outside of blocks, and the block of the present time.

    Raises:
        ConfigError: the store holds data of another row width.
    """
    plan = BlockPlan(settings.store_column_height_s, settings.store_history_s, settings.store_history_blocks)
    blocks = OpenBlocks(store, plan, Throughput.of_settings(settings))
    for table in OUTSIDE_OF_BLOCKS:
        store.create_table(table)
    Documents(store).open()
    blocks.load()
    rules = Rules.of_settings(settings)
    for block in plan.to_create(blocks.listed(), now_s, rules.next_min_s, rules.next_pct):
        blocks.create(block)


OUTSIDE_OF_BLOCKS = ("config", "credentials")
"""Tables that commands use beside those that the gateway creates for itself."""
