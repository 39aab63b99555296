"""Tag columns: the inverted index of one metric, tag=value to series, kept as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from amondawa.model.points import Int32s, Int64s
from amondawa.model.query import Selection, TagFilter
from amondawa.model.series import Tags

Positions = npt.NDArray[np.intp]
ABSENT = -1


class GrowingInts:
    """An int32 array that grows; views taken earlier stay valid and never change."""

    __slots__ = ("_data", "count")

    def __init__(self) -> None:
        self._data = np.empty(8, np.int32)
        self.count = 0

    def append(self, value: int) -> None:
        """Add one number."""
        if self.count == len(self._data):
            self._grow(self.count + 1)
        self._data[self.count] = value
        self.count += 1

    def pad(self, count: int, value: int) -> None:
        """Extend to `count` numbers, new ones being `value`."""
        if count > self.count:
            self._grow(count)
            self._data[self.count : count] = value
            self.count = count

    def view(self) -> Int32s:
        """Return the numbers so far (int32[count])."""
        return self._data[: self.count]

    def _grow(self, least: int) -> None:
        if least > len(self._data):
            grown = np.empty(max(least, len(self._data) * 2), np.int32)
            grown[: self.count] = self._data[: self.count]
            self._data = grown


class TagColumn:
    """One tag of one metric: a code per series (position order), and the positions of each code."""

    __slots__ = ("_codes", "_numbers", "_offsets", "_order", "_settled", "values")

    def __init__(self) -> None:
        self.values: list[str] = []
        self._numbers: dict[str, int] = {}
        self._codes = GrowingInts()
        self._settled = 0
        self._order: Positions = np.zeros(0, np.intp)
        self._offsets: Int64s = np.zeros(1, np.int64)

    def add(self, position: int, value: str) -> None:
        """Give the series at a position (above all earlier ones) a value."""
        code = self._numbers.get(value)
        if code is None:
            code = self._numbers[value] = len(self.values)
            self.values.append(value)
        codes = self._codes
        if codes.count != position:
            codes.pad(position, ABSENT)
        codes.append(code)

    def codes(self, count: int) -> Int32s:
        """Return the code of each of the first `count` positions, ABSENT where the series lacks the tag."""
        codes = self._codes.view()
        if len(codes) >= count:
            return codes[:count]
        return np.concatenate([codes, np.full(count - len(codes), ABSENT, np.int32)])

    def code_of(self, value: str) -> int | None:
        """Return the code of a value, or None when no series has it."""
        return self._numbers.get(value)

    def positions_of(self, code: int) -> Positions:
        """Return the positions with a code, ascending: a posting list, and a scan of the young tail."""
        codes = self._codes.view()
        if len(codes) - self._settled > 1024 + self._settled // 4:
            self._settle(codes)
        tail = np.flatnonzero(codes[self._settled :] == code) + self._settled
        if code + 1 >= len(self._offsets):
            return tail
        settled = self._order[self._offsets[code] : self._offsets[code + 1]]
        return np.concatenate([settled, tail]) if len(tail) else settled

    def _settle(self, codes: Int32s) -> None:
        order = np.argsort(codes, kind="stable")
        ordered = codes[order]
        first = int(np.searchsorted(ordered, 0))
        counts = np.bincount(ordered[first:], minlength=int(ordered[-1]) + 1 if len(ordered) > first else 0)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._order, self._offsets, self._settled = order[first:], offsets, len(codes)


class MetricSeries:
    """All series of one metric that this process knows, with their tag columns.

    A series' position here is its rank of creation within the metric. Appending and reading may happen in different
    threads: the registry's lock guards both.
    """

    __slots__ = ("_columns", "_refs", "domain", "metric", "metric_key")

    def __init__(self, domain: str, metric: str, metric_key: bytes) -> None:
        self.domain = domain
        self.metric = metric
        self.metric_key = metric_key
        self._refs = GrowingInts()
        self._columns: dict[str, TagColumn] = {}

    def add(self, ref: int, tags: Tags) -> None:
        """Append a series; refs ascend."""
        position = self._refs.count
        for name, value in tags:
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = TagColumn()
            column.add(position, value)
        self._refs.append(ref)

    @property
    def refs(self) -> Int32s:
        """Refs of all series, ascending (int32[n])."""
        return self._refs.view()

    def tag_names(self) -> list[str]:
        """Return the tag names that any series has."""
        return list(self._columns)

    def wanted_codes(self, selection: Selection) -> list[tuple[TagFilter, list[int]]]:
        """Return each filter, narrowest first, with the codes that pass it: calls the filters' tests, needs no lock."""
        ordered = sorted(selection.filters, key=_breadth)
        columns = [self._columns.get(one.name) for one in ordered]
        return [
            (one, [] if column is None or one.absent else _matching_codes(column, one))
            for one, column in zip(ordered, columns, strict=True)
        ]

    def match(self, selection: Selection, wanted: Sequence[tuple[TagFilter, list[int]]], count: int) -> Int32s:
        """Return the refs of those of the first `count` series that match, ascending (int32[k]).

        Args:
            selection: what `wanted` was made from.
            wanted: what `wanted_codes` gave after there were `count` series.
            count: series that came later are left out.
        """
        refs = self._refs.view()[:count]
        positions: Positions | None = None
        for one, codes in wanted:
            positions = self._narrow(one, codes, positions)
            if not len(positions):
                return refs[:0]
        if selection.only_tags is not None:
            positions = self._with_only(selection.only_tags, positions)
        return refs if positions is None else refs[positions[: np.searchsorted(positions, count)]]

    def pairs_of(self, refs: Int32s) -> set[tuple[str, str]]:
        """Return the distinct tag pairs that series of this metric (refs ascending) have."""
        known = self._refs.view()
        positions = np.searchsorted(known, refs)
        pairs: set[tuple[str, str]] = set()
        for name, column in self._columns.items():
            used = np.unique(column.codes(len(known))[positions])
            pairs.update((name, column.values[code]) for code in used.tolist() if code != ABSENT)
        return pairs

    def tag_codes(self, positions: Positions) -> list[tuple[str, Int32s, list[str]]]:
        """Return the tags of some series: for each name, ascending, their codes (or ABSENT) and the values of the codes."""
        count = self._refs.count
        return [(name, column.codes(count)[positions], column.values) for name, column in sorted(self._columns.items())]

    def _narrow(self, one: TagFilter, wanted: list[int], positions: Positions | None) -> Positions:
        count = self._refs.count
        column = self._columns.get(one.name)
        if column is None:
            if not one.absent:
                return np.zeros(0, np.intp)
            return np.arange(count) if positions is None else positions
        if one.absent:
            return _where(column.codes(count) == ABSENT, positions)
        if positions is None and not one.negate and len(wanted) <= 16:
            lists = [column.positions_of(code) for code in wanted]
            return np.sort(np.concatenate(lists)) if len(lists) > 1 else (lists or [np.zeros(0, np.intp)])[0]
        hit = np.zeros(len(column.values) + 1, np.bool_)  # the last slot answers for ABSENT (-1)
        hit[wanted] = True
        if one.negate:
            hit = ~hit
        hit[ABSENT] = False
        codes = column.codes(count)
        return np.flatnonzero(hit[codes]) if positions is None else positions[hit[codes[positions]]]

    def _with_only(self, names: Iterable[str], positions: Positions | None) -> Positions:
        count = self._refs.count
        wanted = set(names)
        kept = np.ones(count, np.bool_)
        for name in wanted:
            column = self._columns.get(name)
            kept &= False if column is None else column.codes(count) != ABSENT
        for name, column in self._columns.items():
            if name not in wanted:
                kept &= column.codes(count) == ABSENT
        return _where(kept, positions)


def tags_of(coded: Sequence[tuple[str, Int32s, list[str]]], series: int) -> list[Tags]:
    """Return the tags (sorted by name) of so many series from what `tag_codes` gave; equal pairs are one object."""
    columns: list[list[tuple[str, str] | None]] = []
    for name, codes, values in coded:
        used, at = np.unique(codes, return_inverse=True)
        pairs = [None if code == ABSENT else (name, values[code]) for code in used.tolist()]
        columns.append([pairs[place] for place in at.tolist()])
    if not columns:
        return [()] * series
    if any(None in column for column in columns):
        return [tuple(pair for pair in row if pair is not None) for row in zip(*columns, strict=True)]
    return cast(list[Tags], list(zip(*columns, strict=True)))


def _breadth(one: TagFilter) -> int:
    """Order filters so that the narrowest kind runs first."""
    if one.values is not None and not one.negate:
        return len(one.values)
    return 1_000_000


def _matching_codes(column: TagColumn, one: TagFilter) -> list[int]:
    count = len(column.values)  # those that come while tests run belong to series that come too late
    if one.values is not None:
        codes = [code for value in sorted(one.values) if (code := column.code_of(value)) is not None]
    else:
        codes = list(range(count))
    if one.test is not None:
        codes = [code for code in codes if one.test(column.values[code])]
    return codes


def _where(mask: npt.NDArray[np.bool_], positions: Positions | None) -> Positions:
    return np.flatnonzero(mask) if positions is None else positions[mask[positions]]
