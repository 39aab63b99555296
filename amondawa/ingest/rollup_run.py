"""Roll-ups beside everything else that a gateway does: by one gateway at a time, in steps between flushes and deletes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import structlog

from amondawa.errors import Cancelled, Unavailable
from amondawa.ingest.rollup import BlockRoller, RollupReport, Step
from amondawa.store.lease import TimedLease
from amondawa.store.rollup_rules import RollupRules

T = TypeVar("T")
Exclusively = Callable[[Callable[[], object]], Awaitable[object]]
"""runs work in a thread while nothing is flushed, deleted or swept"""

LEASE_MS = 180_000
"""A gateway that has not renewed its lease for this long is followed by another."""
RENEW_S = 30.0
HEARD_S = 5.0
"""Where several gateways share a store, they hear within this time what was flushed, and do not count it twice."""
SLICE_S = 20.0
"""A roll-up in the background goes on for this long at a time, so that other upkeep has its turn."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Ongoing:
    """A roll-up that goes on where it stopped.

    Attributes:
        steps: what is left of it.
        report: of what was done.
        flushed: what was in memory when it began is written.
    """

    steps: Iterator[Step]
    report: RollupReport
    flushed: bool = False


class RollupRunner:
    """Runs roll-ups; lives on the event loop.

    Args:
        roller: does the work.
        rules: of the roll-up in the background.
        lease: held while it runs, so that no two gateways roll up at once.
        flush: writes what is in memory, so that what is rolled up cannot come again from the journal.
        exclusively: see Exclusively.
        shared: several gateways share the store.
        is_busy: a flush is going on, or waits to be repeated: a roll-up in the background waits for it.
        now_ms: the wall clock.
    """

    def __init__(
        self,
        roller: BlockRoller,
        rules: RollupRules,
        lease: TimedLease,
        flush: Callable[[], Awaitable[None]],
        exclusively: Exclusively,
        is_busy: Callable[[], bool],
        now_ms: Callable[[], int],
        *,
        shared: bool,
    ) -> None:
        self._shared = shared
        self._roller = roller
        self._rules = rules
        self._lease = lease
        self._flush = flush
        self._exclusively = exclusively
        self._is_busy = is_busy
        self._now_ms = now_ms
        self._ongoing: _Ongoing | None = None
        self._renewed = 0.0
        self._turn = asyncio.Lock()
        self.rows_rolled = 0

    async def background(self) -> None:
        """Roll up what is due by the settings' rules, for a while; go on there at the next call.

        Raises:
            AmondawaError: the store failed; the next call begins again, and passes over what is rolled up.
        """
        if self._turn.locked() or self._is_busy() or not self._roller.is_due(self._rules):
            return
        async with self._turn:
            if not await self._take():
                self._ongoing = None
                return
            if self._ongoing is None:
                report = RollupReport()
                self._ongoing = _Ongoing(self._roller.steps(self._rules, report), report)
            ongoing, self._ongoing = self._ongoing, None  # none when a step raises
            before = ongoing.report.rolled
            end = time.monotonic() + SLICE_S
            ended = await self._walk(ongoing, lambda _: time.monotonic() < end)
            self.rows_rolled += ongoing.report.rolled - before
            if not ended:
                self._ongoing = ongoing

    async def run(
        self, rules: RollupRules, *, dry_run: bool = False, again: bool = False, progress: Callable[[Step], None]
    ) -> RollupReport:
        """Roll up all that is due.

        Args:
            rules: which metrics, when and by what.
            dry_run: only count.
            again: look through blocks that were rolled up before, too.
            progress: told how far it is.

        Raises:
            Unavailable: another gateway is at it.
            AmondawaError: the store failed; what was done stays done.
        """
        async with self._turn:
            self._ongoing = None
            if not dry_run:
                if not await self._take():
                    raise Unavailable("another gateway is rolling blocks up")
                await self._write_all()  # it may make blocks
            report = RollupReport()
            steps = self._roller.steps(rules, report, dry_run=dry_run, again=again)

            def told(step: Step) -> bool:
                progress(step)
                return True

            await self._walk(_Ongoing(steps, report, flushed=True), told, renew=not dry_run)
            self.rows_rolled += report.rolled
            return report

    async def _walk(self, ongoing: _Ongoing, go_on: Callable[[Step], bool], *, renew: bool = True) -> bool:
        """Take steps while `go_on` says so; say whether the last one was taken. Nothing is written before the first."""
        while True:
            if renew and time.monotonic() - self._renewed > RENEW_S and not await self._take():
                raise Cancelled("another gateway took the roll-up over")
            step = await self._exclusively(lambda: next(ongoing.steps, None))
            if step is None:
                return True
            assert isinstance(step, Step)
            if not ongoing.flushed:
                await self._write_all()
                ongoing.flushed = True
            if not go_on(step):
                return False

    async def _write_all(self) -> None:
        """Flush, and give other gateways the time to hear of it."""
        await self._flush()
        if self._shared:
            await asyncio.sleep(HEARD_S)

    async def _take(self) -> bool:
        self._renewed = time.monotonic()
        return await asyncio.to_thread(self._lease.take, self._now_ms())

    async def stop(self) -> None:
        """Let another gateway go on."""
        if self._renewed:
            await asyncio.to_thread(self._lease.release, self._now_ms())
