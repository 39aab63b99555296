"""A naive gateway: dictionaries and loops. The oracle of the property tests and a stand-in for protocol tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from amondawa.errors import Cancelled
from amondawa.gateway import Watcher
from amondawa.model.points import Kind, Points, WriteBatch
from amondawa.model.query import Identity, Query, Selection
from amondawa.model.result import DeleteReport, Frame, Result
from amondawa.model.series import Series, Tags

T = TypeVar("T")
Value = tuple[Kind, int | float | bytes, int]
"""kind, value, expiry in ms (0 = never)"""


class NaiveClock:
    """The clock a stage sees."""

    def __init__(self, start_ms: int, end_ms: int, now_ms: int) -> None:
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.now_ms = now_ms

    def check(self) -> None:
        pass


def series_matches(selection: Selection, series: Series) -> bool:
    """Evaluate a selection one series at a time."""
    if series.domain != selection.domain or (selection.metric and series.metric != selection.metric):
        return False
    tags = dict(series.tags)
    if selection.only_tags is not None and set(tags) != set(selection.only_tags):
        return False
    for one in selection.filters:
        if one.absent:
            if one.name in tags:
                return False
            continue
        if one.name not in tags:
            return False
        value = tags[one.name]
        hit = (one.values is None or value in one.values) and (one.test is None or one.test(value))
        if hit == one.negate:
            return False
    return True


def columns_of(stored: list[tuple[int, Value]]) -> Points:
    """Build columns from (time, value) pairs."""
    kinds = np.array([v[0] for _, v in stored], np.uint8)
    bits = np.zeros(len(stored), np.int64)
    texts: list[bytes] = []
    for i, (_, (kind, value, _)) in enumerate(stored):
        if kind == Kind.LONG:
            bits[i] = value
        elif kind == Kind.DOUBLE:
            bits[i] = np.float64(value).view(np.int64)
        else:
            bits[i] = len(texts)
            assert isinstance(value, bytes)
            texts.append(value)
    expires = np.array([v[2] for _, v in stored], np.int64)
    return Points(np.array([t for t, _ in stored], np.int64), kinds, bits, texts, expires if expires.any() else None)


class NaiveGateway:
    """Everything GatewayDoor promises, as simply as possible, in memory."""

    def __init__(self, now_ms: Callable[[], int] | None = None) -> None:
        self._now = now_ms or (lambda: int(time.time() * 1000))
        self._refs: dict[Series, int] = {}
        self._series: list[Series] = []
        self._data: dict[int, dict[tuple[int, Kind], tuple[int, Value]]] = {}
        self._deleted_expired: set[int] = set()
        self._arrival = 0
        self._documents: dict[tuple[str, str, str], bytes] = {}
        self._running: dict[int, dict[str, object]] = {}
        self._watchers: list[Watcher] = []

    def resolve(self, domain: str, metric: str, tags: Tags) -> int:
        series = Series(domain, metric, tuple(tags))
        assert list(series.tags) == sorted(series.tags)
        if series not in self._refs:
            self._refs[series] = len(self._series)
            self._series.append(series)
        return self._refs[series]

    def series_of(self, ref: int) -> Series:
        return self._series[ref]

    def domain_of(self, ref: int) -> str:
        return self._series[ref].domain

    def stored_tags(self, domain: str, tags: Tags) -> Tags:
        return tags

    def hashes_tags(self, domain: str) -> bool:
        return False

    async def write(self, batch: WriteBatch) -> None:
        points = batch.points()
        for i in range(len(batch)):
            kind = Kind(int(batch.kinds[i]))
            value = points.value_at(i)
            if isinstance(value, str):
                value = value.encode()
            assert value is not None
            expires = 0 if batch.expires_ms is None else int(batch.expires_ms[i])
            self._arrival += 1
            stored = self._data.setdefault(int(batch.refs[i]), {})
            stored[(int(batch.times_ms[i]), kind)] = (self._arrival, (kind, value, expires))
        for watcher in list(self._watchers):
            await watcher(batch)

    def watch_writes(self, watcher: Watcher) -> Callable[[], None]:
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    @property
    def outage(self) -> str:
        return ""

    @property
    def congested(self) -> bool:
        return False

    async def wait_until_clear(self) -> None:
        return

    def _read(self, ref: int, start_ms: int, end_ms: int, identity: Identity) -> list[tuple[int, Value]]:
        now = self.now_ms
        alive = [
            (time_ms, arrival, value)
            for (time_ms, _), (arrival, value) in self._data.get(ref, {}).items()
            if start_ms <= time_ms <= end_ms and (value[2] == 0 or value[2] > now)
        ]
        alive.sort(key=lambda entry: entry[:2])
        if identity is Identity.TIME:
            alive = [e for i, e in enumerate(alive) if i + 1 == len(alive) or alive[i + 1][0] != e[0]]
        return [(time_ms, value) for time_ms, _, value in alive]

    @staticmethod
    def _limited(stored: list[tuple[int, Value]], limit: int, identity: Identity) -> list[tuple[int, Value]]:
        seen: dict[Kind, int] = {}
        kept = []
        for entry in stored:
            kind = entry[1][0] if identity is Identity.KIND else Kind.NULL
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] <= limit:
                kept.append(entry)
        return kept

    def run(self, query: Query) -> Result:
        """Answer one query."""
        frames = []
        count = 0
        for ref, series in enumerate(self._series):
            if not series_matches(query.selection, series):
                continue
            stored = self._read(ref, query.start_ms, query.end_ms, query.identity)
            if query.descending:
                stored.reverse()
            if query.limit:
                stored = self._limited(stored, query.limit, query.identity)
            if stored:
                count += len(stored)
                frames.append(Frame(series.metric, (series,), (columns_of(stored),)))
        series_count = len(frames)
        clock = NaiveClock(
            query.start_ms if query.clock_start_ms is None else query.clock_start_ms,
            query.end_ms if query.clock_end_ms is None else query.clock_end_ms,
            self.now_ms,
        )
        for stage in query.stages:
            frames = stage.apply(frames, clock)
        return Result(frames, count, series_count)

    async def query(self, queries: Sequence[Query], finish: Callable[[list[Result]], T], label: str = "") -> T:
        return finish([self.run(query) for query in queries])

    async def find_series(self, selection: Selection, start_ms: int, end_ms: int) -> list[Series]:
        height = 86_400_000
        start = start_ms // height * height
        end = end_ms // height * height + height - 1
        return [
            series
            for ref, series in enumerate(self._series)
            if series_matches(selection, series) and self._read(ref, start, end, Identity.KIND)
        ]

    def _in_use(self, domain: str) -> list[Series]:
        now = self.now_ms
        return [
            s
            for ref, s in enumerate(self._series)
            if s.domain == domain and any(v[2] == 0 or v[2] > now for _, v in self._data.get(ref, {}).values())
        ]

    def expired_names(self, domain: str) -> tuple[set[str], set[str], set[str]]:
        """Return metric names, tag names and hosts of all series that points were kept of, expired or not.

        A delete that meets nothing but what has expired may leave that to the sweep.
        """
        refs = [ref for ref in range(len(self._series)) if self._data.get(ref) or ref in self._deleted_expired]
        kept = [self._series[ref] for ref in refs if self._series[ref].domain == domain]
        pairs = [pair for s in kept for pair in s.tags]
        return {s.metric for s in kept}, {k for k, _ in pairs}, {v for k, v in pairs if k == "host"}

    async def metric_names(self, domain: str, prefix: str = "") -> list[str]:
        return sorted({s.metric for s in self._in_use(domain) if s.metric.startswith(prefix)})

    async def tag_names(self, domain: str) -> list[str]:
        return sorted({k for s in self._in_use(domain) for k, _ in s.tags})

    async def tag_values(self, domain: str, tag_name: str | None = None) -> list[str]:
        return sorted({v for s in self._in_use(domain) for k, v in s.tags if tag_name in (None, k)})

    async def delete(self, selection: Selection, start_ms: int, end_ms: int) -> DeleteReport:
        points = series_hit = 0
        before = {s.metric for s in self._in_use(selection.domain)}
        for ref, series in enumerate(self._series):
            if series_matches(selection, series):
                stored = self._data.get(ref, {})
                doomed = [key for key in stored if start_ms <= key[0] <= end_ms]
                if any(0 < stored[key][1][2] <= self.now_ms for key in doomed):
                    self._deleted_expired.add(ref)
                for key in doomed:
                    del stored[key]
                points += len(doomed)
                series_hit += bool(doomed)
        gone = before - {s.metric for s in self._in_use(selection.domain)}
        return DeleteReport(points, series_hit, sorted(gone))

    async def delete_metric(self, domain: str, metric: str) -> DeleteReport:
        return await self.delete(Selection(domain, metric), -(2**63), 2**63 - 1)

    async def put_document(self, domain: str, collection: str, key: str, value: bytes) -> None:
        self._documents[(domain, collection, key)] = value

    async def put_document_if(
        self, domain: str, collection: str, key: str, value: bytes, expected: bytes | None
    ) -> bool:
        if self._documents.get((domain, collection, key)) != expected:
            return False
        await self.put_document(domain, collection, key, value)
        return True

    async def get_document(self, domain: str, collection: str, key: str) -> bytes | None:
        return self._documents.get((domain, collection, key))

    async def delete_document(self, domain: str, collection: str, key: str) -> bool:
        return self._documents.pop((domain, collection, key), None) is not None

    async def list_documents(self, domain: str, collection: str, prefix: str = "") -> list[tuple[str, bytes]]:
        return sorted(
            (key, value)
            for (d, c, key), value in self._documents.items()
            if (d, c) == (domain, collection) and key.startswith(prefix)
        )

    async def take_lease(self, name: str, length_ms: int) -> bool:
        return True

    async def release_lease(self, name: str) -> None:
        return None

    def running_queries(self) -> list[dict[str, object]]:
        return list(self._running.values())

    def end_query(self, query_id: int) -> bool:
        if query_id not in self._running:
            return False
        raise Cancelled("ended")

    def statistics(self) -> dict[str, float]:
        return {"points_written": float(self._arrival), "series": float(len(self._series))}

    @property
    def now_ms(self) -> int:
        return self._now()
