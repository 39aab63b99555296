"""The executor: queries run whole in one worker thread, from index to rendered answer, within a budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from amondawa.index.registry import SeriesRegistry
from amondawa.model.query import Query
from amondawa.model.result import Result
from amondawa.model.rollup import note_uses
from amondawa.query.budget import Budget, RunningQueries
from amondawa.query.reader import Reader
from amondawa.query.rollup import RolledSeries, RollupPlan
from amondawa.store.payer import paid_by

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class QueryClock:
    """What stages see of the query."""

    start_ms: int
    end_ms: int
    now_ms: int
    budget: Budget

    def check(self) -> None:
        """Raise when the query must end."""
        self.budget.check()


class Executor:
    """Runs queries beside the event loop.

    Args:
        threads: how many run at once; more wait their turn.
        points, series, seconds: the budget of one request.
    """

    def __init__(
        self,
        reader: Reader,
        registry: SeriesRegistry,
        *,
        threads: int,
        points: int,
        series: int,
        seconds: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._reader = reader
        self._registry = registry
        self._limits = (points, series, seconds)
        self._now_ms = now_ms
        self.pool = ThreadPoolExecutor(threads, "query")
        self.running = RunningQueries()
        self.points_of: Callable[[str], int] = lambda _domain: 0
        """points that a request on a domain may read; 0 = as many as all others"""
        self.queries = 0
        self.points_read = 0

    async def run(self, queries: Sequence[Query], finish: Callable[[list[Result]], T], label: str) -> T:
        """Run queries and finish their results in a worker thread; cancelling the caller ends them."""
        domain = queries[0].selection.domain if queries else ""
        points, series, seconds = self._limits
        own = self.points_of(domain)
        budget = Budget(label, min(own, points) if own else points, series, seconds, self._now_ms)
        budget.domain = domain
        loop = asyncio.get_running_loop()
        with self.running.hold(budget):
            try:
                answer = await loop.run_in_executor(self.pool, self._run, queries, finish, budget)
            except asyncio.CancelledError:
                budget.cancel()
                raise
        note_uses(budget.rollups)
        return answer

    def _run(self, queries: Sequence[Query], finish: Callable[[list[Result]], T], budget: Budget) -> T:
        now_ms = self._now_ms()
        self.queries += len(queries)
        with paid_by({budget.domain: 1.0}):
            results = [self._answer(query, budget, now_ms) for query in queries]
        self.points_read += budget.points
        budget.rollups += [result.rollup for result in results if result.rollup is not None]
        return finish(results)

    def _answer(self, query: Query, budget: Budget, now_ms: int) -> Result:
        started = time.perf_counter()
        rows_before, bytes_before = budget.rows_read, budget.bytes_read
        plan = RollupPlan.of(query)
        found = list(self._reader.read(query, budget, now_ms, plan))
        selection = query.selection
        named = self._registry.series_many(selection.domain, selection.metric, [one.ref for one in found])
        read = [
            RolledSeries(series, one.points, one.rollups, one.is_cut) for series, one in zip(named, found, strict=True)
        ]
        clock = QueryClock(
            query.start_ms if query.clock_start_ms is None else query.clock_start_ms,
            query.end_ms if query.clock_end_ms is None else query.clock_end_ms,
            now_ms,
            budget,
        )
        frames, rollup = plan.run(read, clock)
        return Result(
            frames,
            sum(one.sample_size for one in read),
            sum(one.sample_size > 0 for one in read),
            budget.rows_read - rows_before,
            budget.bytes_read - bytes_before,
            (time.perf_counter() - started) * 1000,
            rollup,
        )
