"""Which series a stretch of entries has named, and an entry before that is known: it fits any segment, and the spool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from amondawa.index.registry import SeriesRegistry
from amondawa.ingest import entry
from amondawa.ingest.receipts import with_receipts
from amondawa.model.points import Int32s, WriteBatch


class SeriesNames:
    """The series that were named since a segment, or a file of the spool, began."""

    def __init__(self) -> None:
        self._named = np.zeros(1024, np.bool_)

    def lacking(self, refs: Int32s) -> Int32s:
        """Return the distinct refs that were not named yet (int32, ascending)."""
        top = int(refs.max()) + 1 if len(refs) else 0
        if top > len(self._named):
            grown = np.zeros(max(top, 2 * len(self._named)), np.bool_)
            grown[: len(self._named)] = self._named
            self._named = grown
        return np.unique(refs[~self._named[refs]])

    def add(self, refs: Int32s) -> None:
        """Note that series were named."""
        self._named[refs] = True

    def clear(self) -> None:
        """Begin a new stretch: nothing is named."""
        self._named[:] = False


@dataclass(frozen=True, slots=True, eq=False)
class LooseEntry:
    """What an entry says, whatever was named before it.

    Attributes:
        record: points under this process's refs, or a mark.
        stamp: when the points were committed (us); 0 = they have no stamp.
        receipts: what stands in front of the entry.
        payers: for how much of the store's bill each domain stands, see `store.payer`.
    """

    record: WriteBatch | entry.MarkEntry
    stamp: int = 0
    receipts: bytes = b""
    payers: Mapping[str, float] = field(default_factory=dict)

    def encode(self, names: SeriesNames, registry: SeriesRegistry) -> tuple[bytes, Int32s]:
        """Return the entry's bytes behind what was named before, and the refs that it names itself (to be added then)."""
        if isinstance(self.record, entry.MarkEntry):
            return with_receipts(entry.encode_mark(self.record), self.receipts), np.empty(0, np.int32)
        new_refs = names.lacking(self.record.refs)
        new_keys = [registry.key_of(ref) for ref in new_refs.tolist()]
        return with_receipts(entry.encode_points(self.record, new_refs, new_keys, self.stamp), self.receipts), new_refs
