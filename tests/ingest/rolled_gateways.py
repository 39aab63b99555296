"""Two gateways with the same points, of which one rolls up: what the other answers is what must be answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from amondawa.aggregate.downsample import RangeStage
from amondawa.aggregate.group import GroupSeries
from amondawa.gateway import Gateway
from amondawa.ingest.rollup import KNOWN_MS, RollupReport
from amondawa.model.points import Kind, WriteBatch
from amondawa.model.query import Identity, Query, Selection, Stage
from amondawa.model.result import Result
from amondawa.model.rollup import RollupUse
from amondawa.model.timespan import Span, Unit
from amondawa.settings import Settings
from amondawa.store.base import BlockStore
from amondawa.store.memory import MemoryStore
from amondawa.store.rollup_rules import RollupRules
from tests.store.engines import open_engine

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BLOCK_MS = 30 * DAY_MS
START_MS = 600 * BLOCK_MS
"""a block begins here"""
DROP = "*=1d:60s:drop-raw"
KEEP = "*=1d:60s"
SETTINGS = Settings(store_column_height_s=3_600, query_threads=1, flush_age_s=60, gateway_id="one")

Value = int | float | str | bytes
EXACT = RollupUse((60_000,), exact=True)
EVERY_10_S: dict[int, Value] = {time: (time // 10_000) % 97 for time in range(0, HOUR_MS, 10_000)}
FIVE_MINUTES = Span(5, Unit.MINUTES)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ms = START_MS + 2 * HOUR_MS

    def __call__(self) -> int:
        return self.now_ms


def batch_of(gateway: Gateway, metric: str, host: str, points: dict[int, Value], expires_ms: int = 0) -> WriteBatch:
    """Return points of one series, their times counted from START_MS."""
    ref = gateway.resolve("default", metric, (("host", host),))
    kinds, bits, texts = [], [], []
    for value in points.values():
        if isinstance(value, str | bytes):
            kinds.append(Kind.TEXT if isinstance(value, str) else Kind.BLOB)
            bits.append(len(texts))
            texts.append(value.encode() if isinstance(value, str) else value)
        else:
            kinds.append(Kind.LONG if isinstance(value, int) else Kind.DOUBLE)
            bits.append(value if isinstance(value, int) else int(np.float64(value).view(np.int64)))
    return WriteBatch(
        np.full(len(points), ref, np.int32),
        np.array(list(points), np.int64) + START_MS,
        np.array(kinds, np.uint8),
        np.array(bits, np.int64),
        texts,
        np.full(len(points), expires_ms, np.int64) if expires_ms else None,
    )


class Pair:
    """A gateway that rolls up over an engine, and one over memory that never does."""

    def __init__(self, store: BlockStore, rolled: Gateway, raw: Gateway, clock: Clock, settings: Settings) -> None:
        self.store = store
        self.rolled = rolled
        self.raw = raw
        self.clock = clock
        self._settings = settings

    @classmethod
    async def start(cls, engine: str, directory: Path, store: BlockStore | None = None, **changes: Any) -> Pair:
        clock = Clock()
        settings = replace(SETTINGS, **changes)
        store = store or open_engine(engine, directory)
        memory = MemoryStore()
        memory.open()
        return cls(
            store,
            await Gateway.start(settings, store, clock),
            await Gateway.start(replace(settings, rollup=""), memory, clock),
            clock,
            settings,
        )

    async def stop(self) -> None:
        await self.rolled.stop()
        await self.raw.stop()

    async def again(self) -> None:
        """Start the gateway that rolls up anew over its store."""
        await self.rolled.stop()
        self.store.open()
        self.rolled = await Gateway.start(self._settings, self.store, self.clock)

    async def write(self, points: dict[int, Value], *, metric: str = "m", host: str = "a", expires_ms: int = 0) -> None:
        """Write points to both."""
        for gateway in (self.rolled, self.raw):
            await gateway.write(batch_of(gateway, metric, host, points, expires_ms))

    async def delete(self, start_ms: int, end_ms: int, metric: str = "m") -> tuple[int, int]:
        """Delete from both; return how many points went from each."""
        done = [
            await gateway.delete(Selection("default", metric), START_MS + start_ms, START_MS + end_ms)
            for gateway in (self.rolled, self.raw)
        ]
        return done[0].points, done[1].points

    async def roll(self, rules: str = DROP, **options: bool) -> RollupReport:
        """Let the block end and grow old, and roll it up."""
        self.clock.now_ms = max(self.clock.now_ms, START_MS + BLOCK_MS + 3 * DAY_MS)
        report = await self.rolled.roll_up(RollupRules.parse(rules), lambda _: None, **options)
        if report.waiting:
            self.clock.now_ms += KNOWN_MS
            report = await self.rolled.roll_up(RollupRules.parse(rules), lambda _: None, **options)
        assert not report.waiting
        return report

    async def both(
        self,
        stages: Sequence[Stage] = (),
        start_ms: int = 0,
        end_ms: int = BLOCK_MS - 1,
        identity: Identity = Identity.KIND,
        metric: str = "m",
        **more: Any,
    ) -> tuple[Result, Result]:
        """Ask both the same."""
        query = Query(
            Selection("default", metric),
            START_MS + start_ms,
            START_MS + end_ms,
            stages,
            identity=identity,
            **more,
        )
        found = [await gateway.query([query], lambda results: results[0]) for gateway in (self.rolled, self.raw)]
        return found[0], found[1]


def shown(result: Result) -> list[tuple[object, ...]]:
    """Return what a result holds, as it would be written out."""
    return [
        (
            frame.metric,
            frame.members,
            repr(frame.groups),
            [
                (int(time) - START_MS, int(part.kinds[at]), part.value_at(at))
                for part in frame.parts
                for at, time in enumerate(part.times_ms)
            ],
        )
        for frame in result.frames
    ]


def grouped(kind: type[RangeStage], *, align_start_time: bool = False) -> list[Stage]:
    return [GroupSeries("m", ("host",)), kind(FIVE_MINUTES, align_start_time=align_start_time)]


async def agree(pair: Pair, stages: Sequence[Stage], use: RollupUse | None = EXACT, **more: object) -> None:
    """Both answer the same, and it is said what that stands on."""
    rolled, raw = await pair.both(stages, **more)  # type: ignore[arg-type]
    assert shown(rolled) == shown(raw)
    assert (rolled.sample_size, rolled.series_count) == (raw.sample_size, raw.series_count)
    assert (rolled.rollup, raw.rollup) == (use, None)
