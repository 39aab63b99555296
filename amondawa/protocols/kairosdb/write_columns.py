"""The short way from a write body to a batch: the compiled reader takes plain bodies whose every point is right.

Anything else makes it give up before anything is stored, and the other ways (ingest.parse_write) have the word. Names and
tags are taken apart once a series: later bodies are known by their bytes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
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

    def batch_at_once(self, domain: str, body: bytes, now_ms: int) -> WriteBatch | None:
        """Return what `batch` does, without a break: for small bodies."""
        table = self._loaded()
        scanned = None if table is None else table.scan_metrics(body, domain.encode())
        if table is None or scanned is None:
            return None
        try:
            kinds, bits = (scanned.kinds, scanned.bits) if scanned.exact else _exact_numbers(scanned, body)
            if not scanned.complete:
                rows = np.flatnonzero(scanned.refs < 0)
                self._resolve_rows(scanned, rows, domain, body)
                table.learn(scanned, rows)
        except _Unusual:
            return None
        return _batch(scanned, kinds, bits, now_ms)

    async def batch(self, domain: str, body: bytes, now_ms: int) -> WriteBatch | None:
        """Return the points of a body; None when the other ways must read it. A time to live counts from `now_ms`."""
        table, domain_bytes = self._loaded(), domain.encode()
        if table is None:
            return None
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
        return _batch(scanned, kinds, bits, now_ms)

    def _loaded(self) -> MetricTable | None:
        if self._table is None:
            self._table = metric_table(self._loader)
        return self._table

    async def _complete(self, table: MetricTable, scanned: ScannedMetrics, domain: str, body: bytes) -> None:
        """Make unknown series known; lets others run in between when they are many.

        Raises:
            _Unusual: a series whose name or tags are not right; those before it are resolved but not remembered.
        """
        rows = np.flatnonzero(scanned.refs < 0)
        for at in range(0, len(rows), _SERIES_AT_ONCE):
            if at:
                await asyncio.sleep(0)
            self._resolve_rows(scanned, rows[at : at + _SERIES_AT_ONCE], domain, body)
        table.learn(scanned, rows)

    def _resolve_rows(self, scanned: ScannedMetrics, rows: npt.NDArray[np.intp], domain: str, body: bytes) -> None:
        """Fill in the refs of some series. Raises _Unusual."""
        places = scanned.series[rows, :4].tolist()
        for row, place in zip(rows.tolist(), places, strict=True):
            metric, tags = _names(body[place[0] : place[1]], body[place[2] : place[3]])
            scanned.refs[row] = self._resolve(domain, metric, tags)


def _batch(scanned: ScannedMetrics, kinds: UInt8s, bits: Int64s, now_ms: int) -> WriteBatch:
    """Return the batch of a body whose series are all known."""
    counts = scanned.series[:, 4]
    one_each = len(counts) == len(bits) and (len(counts) == 1 or bool(counts.all()))
    refs = scanned.refs if one_each else np.repeat(scanned.refs, counts)
    return WriteBatch(refs, scanned.times_ms, kinds, bits, (), _expiries(scanned, now_ms))


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
