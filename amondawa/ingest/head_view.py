"""A look at the head for one query: what is not in chunks yet, of this gateway and of those that share its store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from amondawa.ingest.generation import Snapshot
from amondawa.ingest.overwritten import without_overwritten
from amondawa.ingest.run import PageCache
from amondawa.model.points import Int32s, Int64s, Points, WriteBatch


class HeadView:
    """A snapshot of generations for one query.

    Args:
        stages: of each generation, in order.
        newer: points that are in chunks, and were committed after some of these: those have lost to them.
        now_ms: series whose points have all expired by then are not named.
    """

    def __init__(
        self, stages: Sequence[Snapshot], cache: PageCache, newer: Sequence[Snapshot] = (), now_ms: int = -(2**63)
    ) -> None:
        self._cache = cache
        self._now_ms = now_ms
        self._stages = stages
        self._newer = newer

    def _refs_of(self, batch: WriteBatch) -> Int32s:
        """Return the refs of a batch's points that have not expired."""
        return batch.refs if batch.expires_ms is None else batch.refs[_unexpired(batch.expires_ms, self._now_ms)]

    def refs(self) -> Int32s:
        """Return the series that have points here (int32, ascending)."""
        parts = [run.live_refs(self._cache, self._now_ms) for runs, _ in self._stages for run in runs]
        parts += [self._refs_of(batch) for _, young in self._stages for batch in young]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int32)

    def among(self, refs: Int32s) -> Int32s:
        """Return those of the given refs (ascending) that have points here."""
        if not len(refs):
            return refs
        parts = []
        for runs, young in self._stages:
            parts += [member_of(refs, run.live_refs(self._cache, self._now_ms)) for run in runs]
            parts += [member_of(refs, np.unique(self._refs_of(batch))) for batch in young]
        parts = [part for part in parts if len(part)]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int32)

    def among_between(self, refs: Int32s, start_ms: int, end_ms: int) -> Int32s:
        """Return those of the given refs (ascending) whose points here span times of the inclusive range."""
        parts = [refs[:0]]
        for runs, young in self._stages:
            for run in runs:
                among = member_of(refs, run.spanning(start_ms, end_ms))
                parts.append(np.intersect1d(among, run.live_refs(self._cache, self._now_ms), assume_unique=True))
            for batch in young:
                inside = (batch.times_ms <= end_ms) & (batch.times_ms >= start_ms)
                if batch.expires_ms is not None:
                    inside &= _unexpired(batch.expires_ms, self._now_ms)
                parts.append(member_of(refs, np.unique(batch.refs[inside])))
        return np.unique(np.concatenate(parts))

    def parts_of(self, refs: Int32s) -> dict[int, list[Points]]:
        """Return the points of each of the refs (ascending) in order of arrival; times in any order."""
        found = self._gather(self._stages, refs)
        for ref, newer in self._gather(self._newer, np.array(sorted(found), np.int32)).items() if self._newer else ():
            found[ref] = _not_overwritten(found[ref], newer)
        return found

    def _gather(self, stages: Sequence[Snapshot], refs: Int32s) -> dict[int, list[Points]]:
        found: dict[int, list[Points]] = {}
        if not len(refs):
            return found
        for runs, young in stages:
            for run in runs:
                for ref, points in run.parts_of(member_of(refs, run.refs), self._cache):
                    found.setdefault(ref, []).append(points)
            for batch in young:
                self._from_batch(batch, refs, found)
        return found

    @staticmethod
    def _from_batch(batch: WriteBatch, refs: Int32s, found: dict[int, list[Points]]) -> None:
        if len(refs) == 1:
            hits = np.flatnonzero(batch.refs == refs[0])
        else:
            at = np.searchsorted(refs, batch.refs)
            at[at == len(refs)] = 0
            hits = np.flatnonzero(refs[at] == batch.refs)
        if not len(hits):
            return
        owners = batch.refs[hits]
        points = batch.points()
        for ref in np.unique(owners).tolist():
            found.setdefault(ref, []).append(points.take(hits[owners == ref]))


def _unexpired(expires_ms: Int64s, now_ms: int) -> npt.NDArray[np.bool_]:
    """Return which points have not expired by now (bool[n])."""
    alive: npt.NDArray[np.bool_] = (expires_ms == 0) | (expires_ms > now_ms)
    return alive


def member_of(refs: Int32s, sorted_refs: Int32s) -> Int32s:
    """Return those of `refs` (ascending) that are in `sorted_refs` (ascending), in order."""
    if not len(refs) or not len(sorted_refs):
        return refs[:0]
    at = np.searchsorted(sorted_refs, refs)
    at[at == len(sorted_refs)] = 0
    hits: Int32s = refs[sorted_refs[at] == refs]
    return hits


def _not_overwritten(parts: Sequence[Points], newer: Sequence[Points]) -> list[Points]:
    """Return the points of one series but for those of which `newer` holds one that was committed later."""
    own, others = Points.concat(list(parts)), Points.concat(list(newer))
    zeros = np.zeros(len(own), np.int32), np.zeros(len(others), np.int32)
    left = without_overwritten(WriteBatch.of(zeros[0], own), WriteBatch.of(zeros[1], others))
    return [left.points()] if len(left) else []
