"""The roll-up scheduler: runs tasks when they are due, from where they stopped, and again where late data came in.

A run first computes again what marks say was touched, then goes on from each query's watermark to the last period that has
ended. Everything a run writes comes out the same when it is done twice, so a crash at any moment only costs time.

Of several gateways on one store one at a time runs tasks, under a lease; all of them see the same tasks and note late data.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog

from amondawa.errors import AmondawaError
from amondawa.gateway import GatewayDoor
from amondawa.model.points import WriteBatch
from amondawa.model.timespan import Span, shift
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.problems import RequestRefused
from amondawa.protocols.kairosdb.rollup_hashes import with_stored_values
from amondawa.protocols.kairosdb.rollup_late import SETTLE_MS, LateWatch, Source
from amondawa.protocols.kairosdb.rollup_periods import EARLIEST_MS, PeriodGrid
from amondawa.protocols.kairosdb.rollup_runs import compute
from amondawa.protocols.kairosdb.rollup_status import run_status, task_status
from amondawa.protocols.kairosdb.rollup_store import Mark, RollupStore, TaskState
from amondawa.protocols.kairosdb.rollups import RollupQuery, RollupTask, stored_task

REFRESH_S = 5.0
"""Tasks that another gateway of the same store has made or changed are seen after this."""
NOTICE_MS = 15_000
"""Until a new task is as old as this, some gateway may not note late data for it."""
LEASE = "kairosdb_rollups"
LEASE_MS = 30_000
SLOT_MS = 1_000
"""A range is marked once in such a time."""
SHORTEST_INTERVAL_MS = 1_000

_AGE_MS = SLOT_MS + SETTLE_MS
"""Marks of this age are worked off: what they stand for is seen by all, and no point counts on them any more."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Entry:
    """A task that is scheduled here."""

    domain: str
    task: RollupTask
    state: TaskState
    marked: set[Mark] = field(default_factory=set)
    """of the last slot in which there were any"""


class Superseded(AmondawaError):
    """A task that is running was changed or deleted, or another gateway runs it now."""


class RollupService:
    """Keeps and runs the tasks of all domains.

    Args:
        gateway: where tasks, sources and results are.
        home_domain: the domain that holds the list of domains with tasks.
    """

    def __init__(self, gateway: GatewayDoor, home_domain: str) -> None:
        self._gateway = gateway
        self._store = RollupStore(gateway, home_domain)
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._late = LateWatch(gateway.series_of)
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()
        self._users = 0
        self._ends: list[Any] = []
        self._running: asyncio.Task[None] | None = None
        self._ours = True
        """whether the lease is held, while tasks run"""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Run the scheduler while at least one application is inside."""
        self._users += 1
        if self._users == 1:
            await self._start()
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                await self._stop()

    async def _start(self) -> None:
        self._ends.append(self._gateway.watch_writes(self.note))
        try:
            await self.refresh()
        except AmondawaError as error:
            log.warning("roll-up tasks cannot be read yet", problem=str(error))
        self._running = asyncio.create_task(self._run(), name="rollups")

    async def _stop(self) -> None:
        while self._ends:
            self._ends.pop()()
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    # tasks --------------------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Read all tasks and states anew."""
        async with self._lock:
            entries: dict[tuple[str, str], _Entry] = {}
            for domain in await self._store.domains():
                states = await self._store.states(domain)
                for task_id, json in await self._store.tasks(domain):
                    entry = self._read(domain, task_id, json, states.get(task_id))
                    if entry is not None:
                        entries[(domain, task_id)] = entry
            self._entries = entries
            self._watch()

    def _read(self, domain: str, task_id: str, json: bytes, state: TaskState | None) -> _Entry | None:
        known = self._entries.get((domain, task_id))
        if known is not None and known.task.json == json:
            known.state = known.state if state is None else state.of(known.task.computes)
            return known
        try:
            task = stored_task(json, self._gateway.now_ms)
        except (RequestRefused, InternalFailure) as error:
            log.error("a stored roll-up task cannot be read", domain=domain, task=task_id, problem=str(error))
            return None
        made = TaskState(_after(self._gateway.now_ms, task.interval), since_ms=self._gateway.now_ms)
        return _Entry(domain, task, (state or made).of(task.computes))

    async def put(self, domain: str, task: RollupTask) -> None:
        """Keep a task, new or changed, and schedule it; what was computed counts as long as it would come out the same."""
        json = with_stored_values(
            task.json, lambda name, value: self._gateway.stored_tags(domain, ((name, value),))[0][1]
        )
        async with self._lock:
            await self._put(domain, task if json == task.json else stored_task(json, self._gateway.now_ms))
        self._changed.set()

    async def _put(self, domain: str, task: RollupTask) -> None:
        known = await self._store.task(domain, task.id)
        kept = None if known is None else await self._store.state(domain, task.id)
        state = (kept or TaskState(0)).of(task.computes)
        state.next_run_ms = _after(self._gateway.now_ms, task.interval)
        state.since_ms = self._gateway.now_ms
        await self._store.put_task(domain, task.id, task.json)
        await self._store.put_state(domain, task.id, state)
        self._entries[(domain, task.id)] = _Entry(domain, task, state)
        self._watch()

    async def get(self, domain: str, task_id: str) -> bytes | None:
        """Return the JSON of a task."""
        return await self._store.task(domain, task_id)

    async def list(self, domain: str) -> list[bytes]:
        """Return the JSON of all tasks of a domain."""
        return [json for _, json in await self._store.tasks(domain)]

    async def delete(self, domain: str, task_id: str) -> bool:
        """Remove a task; say whether there was one."""
        async with self._lock:
            self._entries.pop((domain, task_id), None)
            self._watch()
            return await self._store.delete_task(domain, task_id)

    async def status(self, domain: str, task_id: str) -> dict[str, Any] | None:
        """Return what a task's last run did and how far it lags; None when it never ran."""
        json, state = await self._store.task(domain, task_id), await self._store.state(domain, task_id)
        if json is None or state is None or state.last_run_ms is None:
            return None
        now_ms = self._gateway.now_ms
        queries = stored_task(json, now_ms).queries
        marks = await self._store.marks(domain, task_id, now_ms)
        ran = [state.status[one.key] for one in queries if one.key in state.status]
        late_ranges = len({(one.query_key, one.start_ms, one.end_ms) for one in marks})
        return task_status(ran, state.server or socket.gethostname(), state.next_run_ms, late_ranges)

    async def backfill(self, domain: str, task: RollupTask, start_ms: int, end_ms: int) -> int:
        """Compute every period that meets [start, end) now; return how many points were written."""
        written = 0
        for query in task.queries:
            grid = PeriodGrid(query.period, query.zone)
            for stretch in grid.stretches(grid.floor(start_ms), grid.ceiling(end_ms)):
                written += await compute(self._gateway, domain, query, stretch)
        return written

    # late data ----------------------------------------------------------------------------------------------------

    async def note(self, batch: WriteBatch) -> None:
        """Mark the periods that a batch touches and that may be computed; the marks are durable on return."""
        now_ms = self._gateway.now_ms
        for source, start_ms, end_ms in self._late.touched(batch, now_ms):
            entry = self._entries.get((source.domain, source.task_id))
            if entry is not None:
                await self._mark(entry, Mark(source.query_key, now_ms // SLOT_MS * SLOT_MS, start_ms, end_ms))

    async def _mark(self, entry: _Entry, mark: Mark) -> None:
        """Keep a mark, once. Marks of former slots may have been worked off, by any gateway."""
        if mark in entry.marked:
            return
        await self._store.put_mark(entry.domain, entry.task.id, mark)
        entry.marked = {one for one in entry.marked if one.at_ms == mark.at_ms} | {mark}

    def _watch(self) -> None:
        self._late.set(
            Source(entry.domain, query.metric.name, entry.task.id, query.key, PeriodGrid(query.period, query.zone))
            for entry in self._entries.values()
            for query in entry.task.queries
        )

    # running ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Run what is due, for ever."""
        while True:
            self._changed.clear()
            wait_s = REFRESH_S
            try:
                if await self.take_turn():
                    wait_s = min(REFRESH_S, max(0.05, self._next_due_ms() / 1000))
            except AmondawaError as error:
                log.warning("roll-ups could not be run", problem=str(error))
            except Exception as error:  # noqa: BLE001 - one task's fault must not end the scheduler
                log.error("roll-ups broke off", exc_info=error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)

    def _next_due_ms(self) -> int:
        """Return the time until the next task is due."""
        due = min((entry.state.next_run_ms for entry in self._entries.values()), default=None)
        return int(REFRESH_S * 1000) if due is None else max(0, due - self._gateway.now_ms)

    async def take_turn(self) -> bool:
        """Run what is due unless another gateway is at it; say whether nothing that was due is left to another."""
        await self.refresh()
        if self._next_due_ms():
            return True
        if not await self._gateway.take_lease(LEASE, LEASE_MS):
            return False
        self._ours = True
        renewing = asyncio.create_task(self._renew(), name="rollup lease")
        try:
            await self.run_due()
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing
            await self._gateway.release_lease(LEASE)
        return True

    async def _renew(self) -> None:
        """Renew the lease until cancelled; what runs sees that it is lost before it goes on."""
        while self._ours:
            await asyncio.sleep(LEASE_MS / 3_000)
            try:
                self._ours = await self._gateway.take_lease(LEASE, LEASE_MS)
            except AmondawaError as error:
                log.warning("the lease of roll-ups could not be renewed", problem=str(error))

    async def run_due(self) -> None:
        """Run every task whose time has come, once."""
        await self.refresh()
        for entry in list(self._entries.values()):
            if entry.state.next_run_ms <= self._gateway.now_ms:
                with contextlib.suppress(Superseded):
                    await self.run_task(entry)

    async def run_task(self, entry: _Entry) -> None:
        """Run one task; what fails is noted in its status and tried again with the next run.

        Raises:
            Superseded: it is no longer to be run here.
        """
        started_ms = self._gateway.now_ms
        entry.state.generation += 1
        entry.state.server = socket.gethostname()
        entry.state.next_run_ms = _after(started_ms, entry.task.interval)
        await self._keep(entry)
        for query in entry.task.queries:
            entry.state.status[query.key] = await self._run_query(entry, query, started_ms)
        entry.state.last_run_ms = started_ms
        await self._keep(entry)

    async def _run_query(self, entry: _Entry, query: RollupQuery, started_ms: int) -> dict[str, Any]:
        problem = None
        written = 0
        try:
            aged = await self._store.marks(entry.domain, entry.task.id, self._gateway.now_ms - _AGE_MS)
            marks = [mark for mark in aged if mark.query_key == query.key]
            written += await self._repair(entry, query, marks)
            written += await self._go_on(entry, query, started_ms)
            for mark in marks:
                await self._store.delete_mark(entry.domain, entry.task.id, mark)
        except Superseded:
            raise
        except (AmondawaError, InternalFailure) as error:
            log.warning("roll-up failed", task=entry.task.id, metric=query.save_as, problem=str(error))
            problem = str(error)
        watermark_ms = entry.state.watermarks_ms.get(query.key)
        return run_status(query, started_ms, self._gateway.now_ms, written, watermark_ms, problem)

    async def _repair(self, entry: _Entry, query: RollupQuery, marks: Sequence[Mark]) -> int:
        """Compute again what late data touched; what lies beyond the watermark is computed anyway."""
        watermark_ms = entry.state.watermarks_ms.get(query.key)
        if watermark_ms is None:
            return 0
        grid = PeriodGrid(query.period, query.zone)
        written = 0
        for start_ms, end_ms in _joined(
            (max(mark.start_ms, EARLIEST_MS), min(mark.end_ms, watermark_ms)) for mark in marks
        ):
            for stretch in grid.stretches(start_ms, end_ms):
                written += await compute(self._gateway, entry.domain, query, stretch)
                await self._check(entry)
        return written

    async def _go_on(self, entry: _Entry, query: RollupQuery, now_ms: int) -> int:
        """Compute from the watermark to the last period that has ended; the watermark follows every stretch."""
        grid = PeriodGrid(query.period, query.zone)
        state = entry.state
        start_ms = state.watermarks_ms.get(query.key)
        if start_ms is None:
            start_ms = grid.floor(now_ms - query.lookback_ms)
        written = 0
        for stretch in grid.stretches(start_ms, grid.floor(now_ms)):
            if now_ms < state.since_ms + NOTICE_MS:  # not all note late data for it yet
                noticed = Mark(query.key, state.since_ms + NOTICE_MS, stretch.start_ms, stretch.end_ms)
                await self._store.put_mark(entry.domain, entry.task.id, noticed)
            written += await compute(self._gateway, entry.domain, query, stretch)
            state.watermarks_ms[query.key] = stretch.end_ms
            await self._keep(entry)
        return written

    async def _check(self, entry: _Entry) -> None:
        """Raise Superseded when a task was changed or deleted, by any gateway, or is another's to run."""
        if not self._ours or await self._store.task(entry.domain, entry.task.id) != entry.task.json:
            raise Superseded(f"the task {entry.task.id} is not to be run here any more")

    async def _keep(self, entry: _Entry) -> None:
        """Note how far a task has come. Raises Superseded."""
        async with self._lock:
            await self._check(entry)
            await self._store.put_state(entry.domain, entry.task.id, entry.state)


def _after(now_ms: int, interval: Span) -> int:
    """Return the time of the next run."""
    due = int(shift(np.array([now_ms], np.int64), max(0, interval.value), interval.unit)[0])
    return max(due, now_ms + SHORTEST_INTERVAL_MS)


def _joined(ranges: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that touch or overlap; empty ones are left out."""
    out: list[tuple[int, int]] = []
    for start_ms, end_ms in sorted(one for one in ranges if one[0] < one[1]):
        if out and start_ms <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end_ms))
        else:
            out.append((start_ms, end_ms))
    return out
