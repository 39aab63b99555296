"""What happens to entries while the store is away: they go to the spool, and from there, in order, to the store.

Two modes. *Direct*: the journal's thread stores each entry. When that fails because the store is away, the entry goes to
the spool, and so does every one after it: *spooling*. Meanwhile another thread stores the oldest entries at a bounded rate;
when none is left the mode is direct again. The two never store at the same time.

An entry whose try failed may be in the store all the same. It is the first in the spool, with the same bytes for the same
sequence number, so that storing it again changes nothing.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import structlog

from amondawa.errors import Corrupt, StoreError, Unavailable
from amondawa.index.registry import SeriesRegistry
from amondawa.index.rows import NO_REFS
from amondawa.ingest import entry
from amondawa.ingest.naming import LooseEntry, SeriesNames
from amondawa.ingest.receipts import split_receipts
from amondawa.ingest.recovery import Translation
from amondawa.ingest.spool import Record, Spool
from amondawa.model.acknowledgement import Ack
from amondawa.model.points import WriteBatch
from amondawa.settings import Settings
from amondawa.store.base import BlockStore

GATHER_ENTRIES = 500
GATHER_S = 0.02
"""With more entries than this in the spool, writes that come so soon after a commit share the next one: entries are stored
one after the other, so that many small ones would take longer to store than they took to come."""
LOOK_S = 0.1
"""how often it is looked whether the store is back"""
PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
"""pauses after a failure to store, doubling"""

log = structlog.get_logger()


def spool_directory(settings: Settings) -> Path:
    """Return where the spool of a gateway is: every table space, and every gateway in it, has one of its own."""
    gateway = settings.gateway_id or socket.gethostname()
    return Path(settings.data) / "spool" / settings.region / settings.table_space / gateway


def open_spooling(settings: Settings, store: BlockStore, registry: SeriesRegistry) -> Spooling | None:
    """Return what takes entries while the store is away; None where the store is not a service that may be.

    Raises:
        ConfigError: the directory cannot be used.
        Corrupt: an entry that was acknowledged does not read back.
    """
    directory = spool_directory(settings)
    accepts = settings.ack != "stored"
    if settings.store != "dynamodb" or not (accepts or directory.exists()):
        return None
    spool = Spool(directory, settings.spool_limit)
    spool.open()
    return Spooling(spool, registry, lambda: store.outage, accepts=accepts, rate=settings.spool_drain)


class Spooling:
    """Stores entries, or spools them; see the module.

    Args:
        spool: opened; what an earlier process left in it is drained first.
        registry: to name series.
        outage: why the store is known to be away; empty = it is not.
        accepts: whether entries may go to the spool; else they are refused while the store is away.
        rate: bytes of the spool that are stored in a second.

    Attributes:
        is_late: whether entries came out of the spool into the journal that were not flushed since. Other gateways may have
            overwritten their points, and forgotten so, before they heard of them: this one knows better, and flushes.
    """

    def __init__(
        self, spool: Spool, registry: SeriesRegistry, outage: Callable[[], str], *, accepts: bool, rate: int
    ) -> None:
        self.spool = spool
        self._registry = registry
        self._outage = outage
        self.accepts = accepts
        self._rate = rate
        self._turn = threading.Lock()  # held while an entry is spooled, and while the mode changes
        self.active = spool.entries > 0
        self._cause = ""
        self._names = SeriesNames()
        self._file = -1
        self._translation = Translation(registry)
        self._stored: Record | None = None
        self._store: Callable[[LooseEntry], None] = _stores_nothing
        self._latest_s = 0.0
        self._pause_s = PAUSE_S
        self._ready_s = 0.0
        self._work = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self.is_late = False
        self.spooled = 0
        self.drained = 0

    def start(self, store: Callable[[LooseEntry], None]) -> None:
        """Begin to drain; `store` puts an entry into the journal's present segment and raises Unavailable when it cannot."""
        self._store = store
        if self.active:
            log.info("the spool holds entries of an earlier process", entries=self.spool.entries)
            self._work.set()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what is in the spool stays there."""
        self._stop.set()
        self._work.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.spool.close()

    @property
    def reason(self) -> str:
        """Why entries go to the spool, or would; empty = they are stored."""
        away = self._outage()
        if not self.active:
            return away
        return away or self._cause or "the spool is being drained into the store"

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name."""
        oldest_us = self.spool.oldest_us
        return {
            "spooling": float(self.active),
            "spool_bytes": float(self.spool.size_bytes),
            "spool_entries": float(self.spool.entries),
            "spool_age_seconds": max(0.0, time.time() - oldest_us / 1e6) if oldest_us else 0.0,
            "spool_full": float(self.spool.full),
            "spool_limit_bytes": float(self.spool.limit_bytes if self.accepts else 0),
            "spooled_entries": float(self.spooled),
            "spool_drained_entries": float(self.drained),
        }

    # journal thread ---------------------------------------------------------------------------------------------------

    def gather(self) -> None:
        """Wait a moment when much is in the spool, so that more writes share the next commit."""
        if self.active and self.spool.entries > GATHER_ENTRIES:
            time.sleep(min(GATHER_S, max(0.0, self._latest_s + GATHER_S - time.monotonic())))

    def keep(self, loose: LooseEntry) -> Ack:
        """Make an entry durable and say where.

        Raises:
            StorageFull: it would go to the spool, which is full.
            Unavailable: the store is away, and entries may not go to the spool.
        """
        with self._turn:
            if self.active:
                self._put(loose)
                return Ack.SPOOLED
        try:
            self._store(loose)
            return Ack.STORED
        except Unavailable as error:
            if not self.accepts:
                raise  # a mark too: nothing is in the spool that it has to wait for
            self._begin(loose, error)
            return Ack.SPOOLED

    def require_direct(self, what: str) -> None:
        """Raise Unavailable while spooling: what is asked for needs the store."""
        if self.active:
            raise Unavailable(f"{what} while writes are spooled: {self.reason}", retry_after_s=5)

    def _begin(self, loose: LooseEntry, error: Unavailable) -> None:
        with self._turn:
            self._put(loose)
            self._cause = str(error)
            self.active = True
        log.warning("writes go to the spool", cause=str(error))
        self._work.set()

    def _put(self, loose: LooseEntry) -> None:
        """Spool an entry; a mark always, for it acknowledges nothing and has its place behind what is there."""
        if not (self.accepts or isinstance(loose.record, entry.MarkEntry)):
            raise Unavailable(f"writes are not spooled (AMDW_ACK=stored): {self.reason}", retry_after_s=5)
        new_refs = NO_REFS

        def encode(fresh: bool) -> bytes:
            nonlocal new_refs
            if fresh:
                self._names.clear()
            payload, new_refs = loose.encode(self._names, self._registry)
            return payload

        self.spool.append(encode, time.time_ns() // 1000)
        self._names.add(new_refs)
        self._latest_s = time.monotonic()
        self.spooled += 1

    # drain thread -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._work.wait()
            if self._stop.is_set():
                return
            if not self.active:
                self._work.clear()
            elif self._outage():
                self._stop.wait(LOOK_S)
            else:
                self._stop.wait(self._try())

    def _try(self) -> float:
        """Store the oldest entry; return how many seconds to wait before the next one."""
        try:
            size = self._drain()
        except Unavailable as error:
            self._cause = str(error)
        except Exception as error:  # noqa: BLE001 - the thread must outlive any fault of a store
            self._cause = f"the spool cannot be drained: {error}"
            log.error("the spool cannot be drained, will be tried again", error=str(error), pause_s=self._pause_s)
        else:
            self._pause_s, self._cause = PAUSE_S, ""
            now = time.monotonic()
            self._ready_s = max(self._ready_s, now) + size / self._rate
            return max(0.0, self._ready_s - now - LOOK_S)  # small entries share a pause
        pause, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause

    def _drain(self) -> int:
        """Store the oldest entry and release it; change to direct mode after the last. Return its bytes."""
        record = self._stored or self.spool.oldest()
        if record is None:
            raise StoreError("the spool is empty but was not left")
        if self._stored is None:
            self._store(self._loosen(record))
            self._stored = record
        with self._turn:
            self.active = not self.spool.release(record)
            self.is_late, self._stored = True, None
        self.drained += 1
        if not self.active:
            log.info("the spool is drained; writes are stored again", entries=self.drained)
        return record.end - record.start

    def _loosen(self, record: Record) -> LooseEntry:
        """Read an entry of the spool under this process's refs."""
        if record.file != self._file:
            self._file, self._translation = record.file, Translation(self._registry)
        payload, receipts = split_receipts(record.payload)
        found = entry.decode(payload)
        if isinstance(found, entry.PointsEntry):
            batch = self._translation.translate(found)
            return LooseEntry(batch, found.stamp, receipts, self._points_by_domain(batch))
        if isinstance(found, entry.MarkEntry):
            return LooseEntry(found, 0, receipts)
        raise Corrupt(f"the entry at {record.start} of spool file {record.file} is of a kind that is never spooled")

    def _points_by_domain(self, batch: WriteBatch) -> dict[str, float]:
        points: dict[str, float] = {}
        for ref, count in zip(*np.unique(batch.refs, return_counts=True), strict=True):
            domain = self._registry.metric_of(int(ref)).domain
            points[domain] = points.get(domain, 0.0) + int(count)
        return points


def _stores_nothing(_loose: LooseEntry) -> None:
    raise Unavailable("the gateway is starting")
