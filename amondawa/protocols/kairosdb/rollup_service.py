"""The roll-up scheduler: runs tasks when they are due, from where they stopped, and again where late data came in.

A run first computes again what marks say was touched, then goes on from each query's watermark to the last period that has
ended. Everything a run writes comes out the same when it is done twice, so a crash at any moment only costs time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import structlog

from amondawa.errors import AmondawaError
from amondawa.gateway import GatewayDoor
from amondawa.model.points import WriteBatch
from amondawa.model.timespan import Span, shift
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.problems import RequestRefused
from amondawa.protocols.kairosdb.rollup_late import LateWatch, Source
from amondawa.protocols.kairosdb.rollup_periods import PeriodGrid
from amondawa.protocols.kairosdb.rollup_runs import compute
from amondawa.protocols.kairosdb.rollup_store import Mark, RollupStore, TaskState
from amondawa.protocols.kairosdb.rollups import RollupQuery, RollupTask, stored_task

REFRESH_S = 30.0
"""Tasks that another gateway of the same store has made or changed are seen after this."""
SHORTEST_INTERVAL_MS = 1_000

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Entry:
    """A task that is scheduled here."""

    domain: str
    task: RollupTask
    state: TaskState
    marked: set[Mark] = field(default_factory=set)
    computing_ms: dict[str, int] = field(default_factory=dict)
    """by query key, the end of what is being computed: late points before it are marked already"""


class RollupService:
    """Keeps and runs the tasks of all domains of one gateway.

    Several gateways on one store each run every task: the results are the same, and a run that another gateway has made
    meanwhile is not made again.

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
                for task_id, json in await self._store.tasks(domain):
                    entry = await self._read(domain, task_id, json)
                    if entry is not None:
                        entries[(domain, task_id)] = entry
            self._entries = entries
            self._watch()

    async def _read(self, domain: str, task_id: str, json: bytes) -> _Entry | None:
        known = self._entries.get((domain, task_id))
        if known is not None and known.task.json == json:
            known.state = await self._store.state(domain, task_id) or known.state
            return known
        try:
            task = stored_task(json, self._gateway.now_ms)
        except (RequestRefused, InternalFailure) as error:
            log.error("a stored roll-up task cannot be read", domain=domain, task=task_id, problem=str(error))
            return None
        state = await self._store.state(domain, task_id)
        return _Entry(domain, task, state or TaskState(_after(self._gateway.now_ms, task.interval)))

    async def put(self, domain: str, task: RollupTask) -> None:
        """Keep a task, new or changed, and schedule it; what was computed counts as long as it would come out the same."""
        async with self._lock:
            await self._put(domain, task)
        self._changed.set()

    async def _put(self, domain: str, task: RollupTask) -> None:
        state = await self._store.state(domain, task.id) or TaskState(0)
        state.next_run_ms = _after(self._gateway.now_ms, task.interval)
        keys = {query.key for query in task.queries}
        known = self._entries.get((domain, task.id))
        if known is None or _computes(known.task) != _computes(task):
            keys.clear()
        state.watermarks_ms = {key: one for key, one in state.watermarks_ms.items() if key in keys}
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
        entry = self._entries.get((domain, task_id))
        if entry is None or entry.state.last_run_ms is None:
            return None
        marks = await self._store.marks(domain, task_id)
        return {
            "rollup_id": task_id,
            "next_scheduled": _iso(entry.state.next_run_ms),
            "status": [entry.state.status[one.key] for one in entry.task.queries if one.key in entry.state.status],
            "executing_server": socket.gethostname(),
            "late_ranges": len(marks),
        }

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
        """Mark the computed periods that a batch touches; the marks are durable on return."""
        for source, start_ms, end_ms in self._late.touched(batch):
            entry = self._entries.get((source.domain, source.task_id))
            if entry is None:
                continue
            mark = Mark(source.query_key, entry.state.generation, start_ms, end_ms)
            if mark not in entry.marked:
                await self._store.put_mark(source.domain, source.task_id, mark)
                entry.marked.add(mark)

    def _watch(self) -> None:
        self._late.set(self._sources())

    def _sources(self) -> Iterator[Source]:
        for entry in self._entries.values():
            for query in entry.task.queries:
                mark_ms = entry.computing_ms.get(query.key, entry.state.watermarks_ms.get(query.key))
                if mark_ms is not None:
                    grid = PeriodGrid(query.period, query.zone)
                    yield Source(entry.domain, query.metric.name, entry.task.id, query.key, grid, mark_ms)

    # running ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Run what is due, for ever."""
        while True:
            self._changed.clear()
            try:
                await self.run_due()
            except AmondawaError as error:
                log.warning("roll-ups could not be run", problem=str(error))
            except Exception as error:  # noqa: BLE001 - one task's fault must not end the scheduler
                log.error("roll-ups broke off", exc_info=error)
            wait_s = min(REFRESH_S, max(0.05, self._next_due_ms() / 1000))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)

    def _next_due_ms(self) -> int:
        """Return the time until the next task is due."""
        due = min((entry.state.next_run_ms for entry in self._entries.values()), default=None)
        return int(REFRESH_S * 1000) if due is None else max(0, due - self._gateway.now_ms)

    async def run_due(self) -> None:
        """Run every task whose time has come, once."""
        await self.refresh()
        for entry in list(self._entries.values()):
            if entry.state.next_run_ms <= self._gateway.now_ms:
                await self.run_task(entry)

    async def run_task(self, entry: _Entry) -> None:
        """Run one task; what fails is noted in its status and tried again with the next run."""
        started_ms = self._gateway.now_ms
        entry.state.generation += 1
        entry.state.next_run_ms = _after(started_ms, entry.task.interval)
        entry.marked.clear()
        await self._keep(entry)
        for query in entry.task.queries:
            entry.state.status[query.key] = await self._run_query(entry, query, started_ms)
        entry.state.last_run_ms = started_ms
        await self._keep(entry)

    async def _run_query(self, entry: _Entry, query: RollupQuery, started_ms: int) -> dict[str, Any]:
        status: dict[str, Any] = {"metric_name": query.save_as, "last_execution_time": _iso(started_ms)}
        written = 0
        try:
            written += await self._repair(entry, query)
            written += await self._go_on(entry, query, started_ms)
        except (AmondawaError, InternalFailure) as error:
            log.warning("roll-up failed", task=entry.task.id, metric=query.save_as, problem=str(error))
            status["error_message"] = str(error)
        watermark_ms = entry.state.watermarks_ms.get(query.key)
        return {
            **status,
            "data_point_count": written,
            "execution_length": self._gateway.now_ms - started_ms,
            "watermark": None if watermark_ms is None else _iso(watermark_ms),
        }

    async def _repair(self, entry: _Entry, query: RollupQuery) -> int:
        """Compute again what late data touched before this run began."""
        marks = [
            mark
            for mark in await self._store.marks(entry.domain, entry.task.id)
            if mark.query_key == query.key and mark.generation < entry.state.generation
        ]
        written = 0
        grid = PeriodGrid(query.period, query.zone)
        for start_ms, end_ms in _joined((mark.start_ms, mark.end_ms) for mark in marks):
            for stretch in grid.stretches(start_ms, end_ms):
                written += await compute(self._gateway, entry.domain, query, stretch)
        for mark in marks:
            await self._store.delete_mark(entry.domain, entry.task.id, mark)
        return written

    async def _go_on(self, entry: _Entry, query: RollupQuery, now_ms: int) -> int:
        """Compute from the watermark to the last period that has ended; the watermark follows every stretch."""
        grid = PeriodGrid(query.period, query.zone)
        start_ms = entry.state.watermarks_ms.get(query.key)
        if start_ms is None:
            start_ms = grid.floor(now_ms - query.lookback_ms)
        written = 0
        try:
            for stretch in grid.stretches(start_ms, grid.floor(now_ms)):
                # The watch begins before the reading, so that a point written meanwhile is marked.
                entry.computing_ms[query.key] = stretch.end_ms
                self._watch()
                written += await compute(self._gateway, entry.domain, query, stretch)
                entry.state.watermarks_ms[query.key] = stretch.end_ms
                await self._keep(entry)
        finally:
            entry.computing_ms.pop(query.key, None)
            self._watch()
        return written

    async def _keep(self, entry: _Entry) -> None:
        """Note how far a task has come, unless it was replaced or deleted meanwhile."""
        async with self._lock:
            if self._entries.get((entry.domain, entry.task.id)) is entry:
                await self._store.put_state(entry.domain, entry.task.id, entry.state)


def _computes(task: RollupTask) -> list[object]:
    """Return what decides a task's results."""
    return [(one.key, one.save_as, one.period, one.zone, repr(one.metric)) for one in task.queries]


def _after(now_ms: int, interval: Span) -> int:
    """Return the time of the next run."""
    due = int(shift(np.array([now_ms], np.int64), max(0, interval.value), interval.unit)[0])
    return max(due, now_ms + SHORTEST_INTERVAL_MS)


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _joined(ranges: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that touch or overlap."""
    out: list[tuple[int, int]] = []
    for start_ms, end_ms in sorted(ranges):
        if out and start_ms <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end_ms))
        else:
            out.append((start_ms, end_ms))
    return out
