"""Parts of the gateway that take some putting together."""

from __future__ import annotations

from collections.abc import Callable

from amondawa.index.blocks import OpenBlocks
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NameTable
from amondawa.ingest.rollup import BlockRoller
from amondawa.ingest.rollup_run import RollupRunner
from amondawa.ingest.writer import SETTLE_S, Writer
from amondawa.settings import Settings
from amondawa.store.base import BlockStore
from amondawa.store.lease import TimedLease
from amondawa.store.rollup_rules import RollupRules


def rollup_runner(
    settings: Settings,
    store: BlockStore,
    registry: SeriesRegistry,
    blocks: OpenBlocks,
    names: NameTable,
    writer: Writer,
    lease: TimedLease,
    changed: Callable[[list[tuple[int, int]]], None],
    now_ms: Callable[[], int],
) -> RollupRunner:
    """Return what rolls old blocks up, in the background and when asked to."""
    settle_s = settings.flush_age_s + SETTLE_S if store.bills_writes else 0
    return RollupRunner(
        BlockRoller(store, registry, blocks, names, changed, now_ms, settle_s),
        RollupRules.parse(settings.rollup, settings.store_column_height_s),
        lease,
        writer.flush,
        writer.exclusively,
        lambda: writer.is_flushing,
        now_ms,
        shared=store.bills_writes,
    )
