"""The short way from a write body to a batch: the compiled reader takes plain bodies whose every point is right.

Anything else makes it give up before anything is stored, and the other ways (ingest.parse_write) have the word. Names and
tags are taken apart once a series: later bodies are known by their bytes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import numpy as np
import orjson

from amondawa.kernels.json_kairosdb import INEXACT, METRIC_LOADER, PLACE_BITS, MetricTable, ScannedMetrics, metric_table
from amondawa.kernels.lines import Loader
from amondawa.model.points import Int64s, Kind, UInt8s, WriteBatch
from amondawa.model.series import Tags, sorted_tags

_THREAD_BYTES = 1024 * 1024
"""Bodies from here on are read in a worker thread: a millisecond's work."""
_SERIES_AT_ONCE = 4096
_PLACE_MASK = (1 << PLACE_BITS) - 1


class _Unusual(Exception):
    """A body for the other ways."""


class QuickWrites:
    """Reads plain bodies, and remembers the series that it met in them.

    Args:
        resolve: the gateway's.
        loader: where the compiled reader comes from; loaded in a thread of its own from now on.
    """

    def __init__(self, resolve: Callable[[str, str, Tags], int], loader: Loader = METRIC_LOADER) -> None:
        self._resolve = resolve
        self._loader = loader
        self._table: MetricTable | None = None
        loader.start()

    async def batch(self, domain: str, body: bytes, now_ms: int) -> WriteBatch | None:
        """Return the points of a body; None when the other ways must read it. A time to live counts from `now_ms`."""
        if self._table is None:
            self._table = metric_table(self._loader)
            if self._table is None:
                return None
        table, domain_bytes = self._table, domain.encode()
        if len(body) < _THREAD_BYTES:
            scanned = table.scan_metrics(body, domain_bytes)
        else:
            scanned = await asyncio.to_thread(table.scan_metrics, body, domain_bytes)
        if scanned is None:
            return None
        try:
            kinds, bits = (scanned.kinds, scanned.bits) if scanned.exact else _exact_numbers(scanned, body)
            if not scanned.complete:
                await self._complete(table, scanned, domain, body)
        except _Unusual:
            return None
        counts = scanned.series[:, 4]
        refs = scanned.refs if len(counts) == len(bits) and counts.all() else np.repeat(scanned.refs, counts)
        return WriteBatch(refs, scanned.times_ms, kinds, bits, (), _expiries(scanned, now_ms))

    async def _complete(self, table: MetricTable, scanned: ScannedMetrics, domain: str, body: bytes) -> None:
        """Make unknown series known; lets others run in between when they are many.

        Raises:
            _Unusual: a series whose name or tags are not right; those before it are resolved but not remembered.
        """
        rows = np.flatnonzero(scanned.refs < 0)
        places = scanned.series[rows, :4].tolist()
        for at, (row, place) in enumerate(zip(rows.tolist(), places, strict=True), 1):
            metric, tags = _names(body[place[0] : place[1]], body[place[2] : place[3]])
            scanned.refs[row] = self._resolve(domain, metric, tags)
            if at % _SERIES_AT_ONCE == 0:
                await asyncio.sleep(0)
        table.learn(scanned, rows)


def _names(raw_metric: bytes, raw_tags: bytes) -> tuple[str, Tags]:
    """Take a series' name and tags apart.

    Raises:
        _Unusual: they are not certainly good ones.
    """
    try:
        metric = raw_metric.decode()
        tags = orjson.loads(raw_tags)
    except (UnicodeDecodeError, orjson.JSONDecodeError) as error:
        raise _Unusual from error
    if not metric or not tags or "" in tags or not all(type(value) is str and value for value in tags.values()):
        raise _Unusual
    if raw_tags.count(b'"') != 4 * len(tags):
        raise _Unusual  # a name comes twice
    return metric, sorted_tags(tags)


def _exact_numbers(scanned: ScannedMetrics, body: bytes) -> tuple[UInt8s, Int64s]:
    """Read the doubles that the compiled reader left open; return the columns of kinds and bits.

    Raises:
        _Unusual: one is too large for a double.
    """
    rows = np.flatnonzero(scanned.kinds == INEXACT)
    numbers = [
        float(body[at >> PLACE_BITS : (at >> PLACE_BITS) + (at & _PLACE_MASK)]) for at in scanned.bits[rows].tolist()
    ]
    if not all(map(math.isfinite, numbers)):
        raise _Unusual
    scanned.bits[rows] = np.array(numbers).view(np.int64)
    scanned.kinds[rows] = Kind.DOUBLE.value
    return scanned.kinds, scanned.bits


def _expiries(scanned: ScannedMetrics, now_ms: int) -> Int64s | None:
    """Return when each point expires, int64[n]; None when none does."""
    if not scanned.expiring:
        return None
    ttls_ms = scanned.series[:, 5] * 1000
    return np.repeat(np.where(ttls_ms > 0, now_ms + ttls_ms, 0), scanned.series[:, 4])
