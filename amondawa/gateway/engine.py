"""The gateway: the parts of the engine put together behind the door."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from amondawa.errors import StorageFull
from amondawa.gateway.door import Watcher
from amondawa.gateway.parts import rollup_runner
from amondawa.index.blocks import OpenBlocks
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NameTable, RowDirectory
from amondawa.ingest.admission import Admission
from amondawa.ingest.documents import Documents
from amondawa.ingest.entry import DeleteEntry
from amondawa.ingest.foresight import Foresight
from amondawa.ingest.maintenance import Maintainer, Report, Rules
from amondawa.ingest.receipts import ReceiptBook
from amondawa.ingest.rollup import RollupReport, Step
from amondawa.ingest.rollup_run import LEASE_MS as ROLLUP_LEASE_MS
from amondawa.ingest.spooling import open_spooling
from amondawa.ingest.upkeep import Upkeep
from amondawa.ingest.writer import Writer
from amondawa.model.acknowledgement import note_acknowledgement
from amondawa.model.points import WriteBatch
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Query, Selection
from amondawa.model.result import DeleteReport, Result
from amondawa.model.series import Series, Tags
from amondawa.query.cache import RowCache
from amondawa.query.executor import Executor
from amondawa.query.names import NameReader
from amondawa.query.reader import Reader
from amondawa.settings import Settings
from amondawa.store.base import BlockStore
from amondawa.store.blocks import Block, BlockPlan, Throughput
from amondawa.store.lease import TimedLease
from amondawa.store.payer import GATEWAY, at_cost_of
from amondawa.store.retention import Retention
from amondawa.store.rollup_rules import RollupRules

T = TypeVar("T")
FULL_MS = 10_000
"""how long the store counts as full after a write was refused for it; the next write that succeeds ends it at once"""


def wall_clock_ms() -> int:
    """Return the time in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Gateway:
    """The gateway over one store; see GatewayDoor for what each method promises.

    Build it with `start`. All methods run on the event loop that started it.
    """

    def __init__(self, settings: Settings, store: BlockStore, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._store = store
        self._now_ms = now_ms
        plan = BlockPlan(settings.store_column_height_s, settings.store_history_s, settings.store_history_blocks)
        self._retention = retention = Retention.parse(settings.store_history_s, settings.retention)
        self._registry = SeriesRegistry()
        self._admission = Admission(plan, retention, self._registry)
        self._blocks = OpenBlocks(store, plan, Throughput.of_settings(settings))
        self._directory = RowDirectory(
            store, self._registry, self._blocks, settings.cache_write_index_key, settings.cache_query_index_key
        )
        self._names = NameTable(store, self._blocks)
        self._directory.is_absent = lambda metric, block: self._names.lacks(metric.domain, metric.metric, block)
        self._documents = Documents(store)
        self._cache = RowCache(settings.cache_datapoints_bytes, settings.cache_datapoints_rows)
        self._writer = Writer(
            store,
            self._registry,
            self._blocks,
            self._directory,
            self._names,
            head_limit_bytes=settings.head_limit_bytes,
            flush_age_s=settings.flush_age_s,
            changed=self._cache.drop,
            forget_series=self._cache.forget_series,
            now_ms=now_ms,
            retention=retention,
            open_spooling=lambda: open_spooling(settings, store, self._registry),
            spool_head_bytes=settings.spool_head_bytes,
            commit_wait_s=settings.commit_wait_ms / 1000,
        )
        rules, self._holder = Rules.of_settings(settings), settings.gateway_id or socket.gethostname()
        maintainer = Maintainer(store, self._blocks, rules, self._holder, self._forget)
        lease = TimedLease(store, "rollup", self._holder, ROLLUP_LEASE_MS)
        self._rollups = rollup_runner(
            settings, store, self._registry, self._blocks, self._names, self._writer, lease, self._cache.drop, now_ms
        )
        self._upkeep = Upkeep(maintainer, self._age, now_ms, billed=store.bills_writes)
        reader = Reader(store, self._registry, self._directory, self._writer.head, self._cache, retention, now_ms)
        self._reader = reader
        self._name_reader = NameReader(self._registry, self._names, self._writer.head, reader, now_ms, retention)
        self._executor = Executor(
            reader,
            self._registry,
            threads=settings.query_threads,
            points=settings.query_points,
            series=settings.query_series,
            seconds=settings.query_seconds,
            now_ms=now_ms,
        )
        self._foresight = self._new_foresight(settings.default_domain) if settings.store == "dynamodb" else None
        self._io = ThreadPoolExecutor(2, "documents")
        self._full_until_ms = 0
        self._watchers: tuple[Watcher, ...] = ()

    def _new_foresight(self, default_domain: str) -> Foresight:
        return Foresight(
            self._registry,
            self._directory,
            self._names,
            self._blocks,
            self._writer.head,
            default_domain,
            lambda: self._store.outage,
            self._now_ms,
        )

    async def _age(self) -> int:
        """Sweep, then roll up; return how many points were swept."""
        swept = await self._writer.sweep()
        await self._rollups.background()
        return swept

    def _forget(self, blocks: Sequence[Block]) -> None:
        """Forget what is cached of blocks that are not shown any more."""
        self._directory.forget(blocks)
        self._names.forget(blocks)
        for block in blocks:
            self._cache.forget(block.start_s, block.end_s)

    @classmethod
    async def start(cls, settings: Settings, store: BlockStore, now_ms: Callable[[], int] = wall_clock_ms) -> Gateway:
        """Open the blocks, read the journal back, and return a gateway that serves.

        Raises:
            StoreError: the store or the journal cannot be read.
        """
        gateway = cls(settings, store, now_ms)
        await asyncio.to_thread(gateway._open)
        await gateway._upkeep.start()
        await gateway._writer.start()
        if gateway._foresight is not None:
            gateway._foresight.start()
        return gateway

    def _open(self) -> None:
        self._blocks.load()
        self._documents.open()

    async def stop(self, deadline_s: float = 8.0) -> None:
        """Make everything durable, flush within the deadline, and close the store."""
        if self._foresight is not None:
            await self._foresight.stop()
        await asyncio.gather(self._writer.stop(deadline_s), self._upkeep.stop())
        await self._rollups.stop()
        self._executor.pool.shutdown(wait=False, cancel_futures=True)
        self._io.shutdown(wait=True)
        await asyncio.to_thread(self._store.close)

    async def maintain(self) -> Report:
        """Look after the blocks and sweep now, as happens at intervals; return what was done to the blocks."""
        return await self._upkeep.run()

    async def sweep(self) -> int:
        """Remove points that have expired or are past their retention now; return how many went."""
        return await self._writer.sweep()

    async def roll_up(
        self,
        rules: RollupRules,
        progress: Callable[[Step], None],
        *,
        dry_run: bool = False,
        again: bool = False,
    ) -> RollupReport:
        """Roll old blocks up by some rules now; see RollupRunner.run."""
        return await self._rollups.run(rules, dry_run=dry_run, again=again, progress=progress)

    async def flush(self) -> None:
        """Write all points of the head as chunks now."""
        await self._writer.flush()

    # series and writes --------------------------------------------------------------------------------------------

    def resolve(self, domain: str, metric: str, tags: Tags) -> int:
        """Return the ref of a series, registering it when it is new."""
        return self._registry.resolve(domain, metric, tags)

    def series_of(self, ref: int) -> Series:
        """Return the series of a ref."""
        return self._registry.series_of(ref)

    def stored_tags(self, domain: str, tags: Tags) -> Tags:
        """Return tags as they are stored."""
        return tags

    def hashes_tags(self, domain: str) -> bool:
        """Say whether a domain keeps tags as hashes: the rules of domains say so, not the gateway."""
        return False

    def keep_by_domain(self, domains: Callable[[], Mapping[str, int]]) -> None:
        """Keep the points of some domains for less than the history: `domains()` gives seconds by domain, see Retention."""
        self._retention.domains = domains

    def limit_queries(self, points_of: Callable[[str], int]) -> None:
        """Have every request read no more points than `points_of(domain)` says (0 = as many as the settings allow)."""
        self._executor.points_of = points_of

    def domain_of(self, ref: int) -> str:
        """Return the domain of a ref's series."""
        return self._registry.metric_of(ref).domain

    async def write(self, batch: WriteBatch) -> None:
        """Make a batch durable and visible."""
        kept, refusal = self._admission.split(batch, self._now_ms())
        if refusal is None or len(kept):
            await self._write(kept)
        if refusal is not None:
            raise refusal

    async def _write(self, batch: WriteBatch) -> None:
        try:
            note_acknowledgement(await self._writer.write(batch))
        except StorageFull:
            self._full_until_ms = self._now_ms() + FULL_MS
            raise
        self._full_until_ms = 0
        for watcher in self._watchers:
            await watcher(batch)

    def watch_writes(self, watcher: Watcher) -> Callable[[], None]:
        """Show every batch to `watcher` before it is acknowledged; return what ends that."""
        self._watchers = (*self._watchers, watcher)

        def end() -> None:
            self._watchers = tuple(one for one in self._watchers if one is not watcher)

        return end

    @property
    def outage(self) -> str:
        """Why writes are not stored at once: the store is away, or the spool is being drained; empty = they are."""
        spooling = self._writer.spooling
        return self._store.outage if spooling is None else spooling.reason

    @property
    def congested(self) -> bool:
        """Whether writers without acknowledgement should stop reading."""
        return self._writer.congested

    def congested_for(self, domain: str) -> bool:
        """Whether such writers of one domain should stop reading."""
        return self._writer.congested_for(domain)

    @property
    def receipts(self) -> ReceiptBook:
        """What of receipts of signed requests outlives the process."""
        return self._writer.receipts

    async def note(self, receipt: bytes) -> None:
        """Make a receipt durable that no write carries. Raises StorageFull, Unavailable."""
        await self._writer.note(receipt)

    async def wait_until_clear(self) -> None:
        """Return when `congested` is false again."""
        while self._writer.congested:  # noqa: ASYNC110 - it changes in several threads
            await asyncio.sleep(0.02)

    # queries ------------------------------------------------------------------------------------------------------

    async def query(self, queries: Sequence[Query], finish: Callable[[list[Result]], T], label: str = "") -> T:
        """Run queries in a worker thread and finish their results there."""
        return await self._executor.run(queries, finish, label)

    async def find_series(self, selection: Selection, start_ms: int, end_ms: int) -> list[Series]:
        """Return the series that match and have rows in the range, from the index alone."""
        find = self._name_reader.find_series
        return await self._in_pool(selection.domain, lambda: find(selection, start_ms, end_ms))

    async def metric_names(self, domain: str, prefix: str = "") -> list[str]:
        """Return the names of metrics that have data, sorted."""
        names = await self._in_pool(domain, lambda: self._name_reader.metric_names(domain))
        return [name for name in names if name.startswith(prefix)]

    async def tag_names(self, domain: str) -> list[str]:
        """Return all tag names in use, sorted."""
        return sorted({name for name, _ in await self._in_pool(domain, lambda: self._name_reader.pairs(domain))})

    async def tag_values(self, domain: str, tag_name: str | None = None) -> list[str]:
        """Return all tag values in use (of one tag name), sorted."""
        pairs = await self._in_pool(domain, lambda: self._name_reader.pairs(domain))
        return sorted({value for name, value in pairs if tag_name in (None, name)})

    async def _in_pool(self, domain: str, work: Callable[[], T]) -> T:
        """Do what a domain asked for in a query thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor.pool, at_cost_of, domain, work)

    # deletes ------------------------------------------------------------------------------------------------------

    async def delete(self, selection: Selection, start_ms: int, end_ms: int) -> DeleteReport:
        """Delete the points of the inclusive range; goes on to its end even when the caller is cancelled."""
        return await asyncio.shield(self._delete(selection, start_ms, end_ms))

    async def _delete(self, selection: Selection, start_ms: int, end_ms: int) -> DeleteReport:
        await self._writer.fellowship.hear()
        series_in = self._reader.series_in
        refs = await self._in_pool(selection.domain, lambda: series_in(selection, start_ms, end_ms))
        if not len(refs):
            return DeleteReport(0, 0)
        keys = [self._registry.key_of(ref) for ref in refs.tolist()]
        points, touched = await self._writer.delete(DeleteEntry(start_ms, end_ms, keys))
        remaining = set(await self.metric_names(selection.domain))
        gone = {self._registry.series_of(ref).metric for ref in touched} - remaining
        return DeleteReport(points, len(touched), sorted(gone))

    async def delete_metric(self, domain: str, metric: str) -> DeleteReport:
        """Delete a metric with everything it holds."""
        return await self.delete(Selection(domain, metric), MIN_TIME_MS, MAX_TIME_MS)

    # documents ----------------------------------------------------------------------------------------------------

    async def put_document(self, domain: str, collection: str, key: str, value: bytes) -> None:
        """Store a value; durable on return."""
        await self._in_io(lambda: self._documents.put(domain, collection, key, value), domain)

    async def put_document_if(
        self, domain: str, collection: str, key: str, value: bytes, expected: bytes | None
    ) -> bool:
        """Store a value only when the stored one is as expected; say whether it was."""
        return await self._in_io(lambda: self._documents.put_if(domain, collection, key, value, expected), domain)

    async def get_document(self, domain: str, collection: str, key: str) -> bytes | None:
        """Return a value, or None."""
        return await self._in_io(lambda: self._documents.get(domain, collection, key), domain)

    async def delete_document(self, domain: str, collection: str, key: str) -> bool:
        """Remove a value; say whether there was one."""
        return await self._in_io(lambda: self._documents.delete(domain, collection, key), domain)

    async def list_documents(self, domain: str, collection: str, prefix: str = "") -> list[tuple[str, bytes]]:
        """Return the (key, value) pairs of a collection, sorted by key."""
        return await self._in_io(lambda: self._documents.list_all(domain, collection, prefix), domain)

    async def take_lease(self, name: str, length_ms: int) -> bool:
        """Take or renew a lease; say whether it is ours."""
        lease = TimedLease(self._store, name, self._holder, length_ms)
        return await self._in_io(lambda: lease.take(self._now_ms()))

    async def release_lease(self, name: str) -> None:
        """Let another gateway take a lease at once."""
        lease = TimedLease(self._store, name, self._holder, 0)
        await self._in_io(lambda: lease.release(self._now_ms()))

    async def _in_io(self, work: Callable[[], T], domain: str = GATEWAY) -> T:
        """Do what a domain asked for, or the gateway needs itself, in a thread for documents."""
        return await asyncio.get_running_loop().run_in_executor(self._io, at_cost_of, domain, work)

    # operations ---------------------------------------------------------------------------------------------------

    def running_queries(self) -> list[dict[str, object]]:
        """Return the queries in flight."""
        return self._executor.running.list()

    def end_query(self, query_id: int) -> bool:
        """End a running query; say whether it was found."""
        return self._executor.running.end(query_id)

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name."""
        consumed = self._store.consumed()
        return {
            **self._writer.statistics(),
            "series": float(len(self._registry)),
            "storage_full": float(self._now_ms() < self._full_until_ms),
            "maintenance_failures": float(self._upkeep.failures),
            "rows_rolled_up": float(self._rollups.rows_rolled),
            "queries": float(self._executor.queries),
            "points_read": float(self._executor.points_read),
            "row_cache_bytes": float(self._cache.memory_bytes),
            "row_cache_hits": float(self._cache.hits),
            "row_cache_misses": float(self._cache.misses),
            "read_units": consumed.read_units,
            "write_units": consumed.write_units,
        }

    @property
    def now_ms(self) -> int:
        """The gateway's clock, ms since 1970 UTC."""
        return self._now_ms()
