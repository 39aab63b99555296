"""Rows decoded and merged, kept for the next query."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Set

from amondawa.model.points import Points
from amondawa.store.rollup_items import StoredRow

RowName = tuple[int, int]
"""(ref, base time in seconds)"""
StoredPoints = Points | StoredRow
"""a row: its points, or those and its rolled-up data"""


class RowCache:
    """Least recently used rows within a budget of bytes and of rows; safe in any thread.

    A reader takes `epoch` before it reads the store and hands it to `keep`: rows read before a change are not kept.
    """

    def __init__(self, budget_bytes: int, budget_rows: int = 1_000_000) -> None:
        self._budget = budget_bytes
        self._budget_rows = budget_rows
        self._lock = threading.Lock()
        self._rows: OrderedDict[RowName, tuple[StoredPoints, int]] = OrderedDict()
        self._bytes = 0
        self.epoch = 0
        self.hits = 0
        self.misses = 0

    @property
    def memory_bytes(self) -> int:
        """Bytes held."""
        return self._bytes

    def find(self, names: Iterable[RowName]) -> dict[RowName, StoredPoints]:
        """Return those of the rows that are here."""
        found: dict[RowName, StoredPoints] = {}
        asked = 0
        with self._lock:
            for name in names:
                asked += 1
                entry = self._rows.get(name)
                if entry is not None:
                    self._rows.move_to_end(name)
                    found[name] = entry[0]
        self.hits += len(found)
        self.misses += asked - len(found)
        return found

    def keep(self, epoch: int, rows: dict[RowName, StoredPoints]) -> None:
        """Keep rows that were read since `epoch`, unless anything changed meanwhile."""
        with self._lock:
            if epoch != self.epoch:
                return
            for name, points in rows.items():
                size = _size(points)
                before = self._rows.pop(name, None)
                self._bytes += size - (before[1] if before else 0)
                self._rows[name] = (points, size)
            while self._rows and (self._bytes > self._budget or len(self._rows) > self._budget_rows):
                _, (_, size) = self._rows.popitem(last=False)
                self._bytes -= size

    def drop(self, names: Iterable[RowName]) -> None:
        """Forget rows that changed, and refuse what readers are about to keep."""
        with self._lock:
            self.epoch += 1
            for name in names:
                entry = self._rows.pop(name, None)
                if entry is not None:
                    self._bytes -= entry[1]

    def forget_series(self, refs: Set[int]) -> None:
        """Forget all rows of some series."""
        with self._lock:
            gone = [name for name in self._rows if name[0] in refs]
        self.drop(gone)

    def forget(self, start_s: int, end_s: int) -> None:
        """Forget the rows with start_s <= base time < end_s."""
        with self._lock:
            gone = [name for name in self._rows if start_s <= name[1] < end_s]
        self.drop(gone)


def _size(row: StoredPoints) -> int:
    if isinstance(row, StoredRow):
        return row.memory_bytes + _size(row.points)
    points = row
    size = 200 + points.times_ms.nbytes + points.bits.nbytes + (0 if points.kinds.strides == (0,) else len(points))
    size += sum(map(len, points.texts)) + 50 * len(points.texts)
    return size + (0 if points.expires_ms is None else points.expires_ms.nbytes)
