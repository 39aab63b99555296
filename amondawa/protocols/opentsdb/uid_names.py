"""UIDs: the numbers that OpenTSDB gives to metric names, tag names and tag values, and TSUIDs made of them.

They order the groups of an answer and name series in `tsuid` queries, so they must outlive a restart: every new name is
an entry of a log (uid_log.py), written before the write that brought the name is acknowledged. Ids count from 1 in order of
first use. A name that came by another protocol gets its id when it is first asked for.

All gateways of a store share the log. An id is tentative until it is in there: when another gateway was first, its entries
count, and names that waited get other ids. `moves` and `version` tell, and `settled` does work again whose ids did not hold.

A rename moves no data: the id keeps the name under which its points are stored (the *stored* name) and gets another
*wire* name. Only this module knows the difference; `stored_name` and `wire_name` translate.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from amondawa.auth.hashing import is_hash
from amondawa.errors import Unavailable
from amondawa.model.query import Selection
from amondawa.model.series import Series, Tags
from amondawa.protocols.opentsdb.errors import NoSuchId
from amondawa.protocols.opentsdb.javamap import java_order
from amondawa.protocols.opentsdb.rollup_names import Rollups
from amondawa.protocols.opentsdb.uid_log import DOCUMENT_BYTES, Entry, UidKind, UidLog
from amondawa.protocols.opentsdb.uid_table import NameTable, first_document
from amondawa.protocols.opentsdb.uid_text import ERROR_KINDS, KINDS, no_such_id, parse_uids, uid_text

if TYPE_CHECKING:
    from amondawa.gateway import GatewayDoor

T = TypeVar("T")


class Uids:
    """The names and ids of one domain. Look-ups and assignments work in any thread, `flush` on the event loop."""

    def __init__(self, gateway: GatewayDoor, domain: str, rollups: Rollups | None = None) -> None:
        self._gateway = gateway
        self.domain = domain
        self.rollups = rollups or Rollups("")
        self._tables: dict[UidKind, NameTable] = {kind: NameTable() for kind in KINDS}
        self._pending: list[Entry] = []
        self._lock = threading.Lock()
        self._logging = asyncio.Lock()
        self._log = UidLog(gateway, domain)
        self.version = 0
        """changes with every rename: what was remembered by name must then be looked up again"""
        self.moves = 0
        """changes when a tentative id went to another name"""

    # names and ids ----------------------------------------------------------------------------------------------------

    def id_of(self, kind: UidKind, name: str, create: bool = False) -> int | None:
        """Return the id of a wire name; None when it has none and none is to be made.

        A made id is in the log after the next `flush`.
        """
        uid = self._tables[kind].ids.get(name)
        if uid is None and create:
            return self._assign(kind, name)
        return uid

    def name_of(self, kind: UidKind, uid: int) -> str | None:
        """Return the wire name of an id, or None."""
        found = self._tables[kind].names[uid : uid + 1] if uid > 0 else None
        return (found[0] or None) if found else None

    def created_s(self, kind: UidKind, uid: int) -> int:
        """Return when an id was given, in seconds since 1970."""
        found = self._tables[kind].created_s[uid : uid + 1] if uid > 0 else None
        return found[0] if found else 0

    def assigned_names(self, kind: UidKind) -> list[str]:
        """Return the names that were given ids by request (they may have no data), in order of id."""
        table = self._tables[kind]
        return [table.names[uid] for uid in sorted(table.explicit)]

    async def find(self, kind: UidKind, name: str) -> int | None:
        """Return the id of a wire name, making one when points came by another protocol under it; None = unknown."""
        uid = self.id_of(kind, name)
        if uid is None:
            await self.refresh()
            uid = self.id_of(kind, name)
        if uid is not None or name in self._tables[kind].by_stored or not await self._has_data(kind, name):
            return uid
        self._assign(kind, name)
        await self.flush()
        return self.id_of(kind, name)

    async def _has_data(self, kind: UidKind, name: str) -> bool:
        if kind == "metric":
            return name in await self._gateway.metric_names(self.domain, name)
        if kind == "tagk":
            return name in await self._gateway.tag_names(self.domain)
        return name in await self._gateway.tag_values(self.domain)

    def assign(self, kind: UidKind, name: str) -> int:
        """Give a name an id because a client asked for it; the name needs no data."""
        return self._assign(kind, name, explicit=True)

    def _assign(self, kind: UidKind, name: str, explicit: bool = False) -> int:
        with self._lock:
            return self._assign_locked(kind, name, explicit)

    def _assign_locked(self, kind: UidKind, name: str, explicit: bool) -> int:
        table = self._tables[kind]
        known = table.ids.get(name)
        if known is not None:
            return known
        uid = len(table.names)
        stored = table.free_stored(name)
        created_s = self._gateway.now_ms // 1000
        table.put(uid, name, stored, created_s, explicit)
        self._pending.append((kind, uid, name, stored, created_s, int(explicit)))
        return uid

    async def rename(self, kind: UidKind, old: str, new: str) -> bool:
        """Give an id another wire name, durably; its points stay where they are.

        Say whether it was done: not when no id has the old name (any more), or another one has the new name.

        Raises:
            Unavailable, StoreError: it may have been done; whoever reads the log on will see.
        """
        table = self._tables[kind]
        async with self._logging:
            await self._save()
            while True:
                uid = table.ids.get(old)
                if uid is None or table.ids.get(new, uid) != uid:
                    return False
                entry = (kind, uid, new, table.stored_name(uid), table.created_s[uid], int(uid in table.explicit))
                if await self._log.append(first_document([entry], DOCUMENT_BYTES)[0]):
                    self._rebase([entry])
                    return True
                self._rebase(await self._log.read_missed())

    # stored names -----------------------------------------------------------------------------------------------------

    @property
    def renamed(self) -> bool:
        """Whether any name is stored under another one; when not, stored and wire names are the same."""
        return any(table.stored for table in self._tables.values())

    def stored_name(self, kind: UidKind, name: str) -> str:
        """Return the name under which the points of a wire name are stored."""
        table = self._tables[kind]
        if not table.stored:
            return name
        uid = table.ids.get(name)
        return name if uid is None else table.stored_name(uid)

    def wire_name(self, kind: UidKind, stored: str) -> str:
        """Return the name that clients see for a stored one."""
        table = self._tables[kind]
        if kind == "metric":
            stored = self.rollups.base(stored)
        uid = table.by_stored.get(stored) if table.by_stored else None
        return stored if uid is None else table.names[uid]

    def wire_series(self, series: Series) -> Series:
        """Return a series with the names that clients see."""
        if not self.renamed and not self.rollups.intervals_ms:
            return series
        tags = tuple(sorted((self.wire_name("tagk", k), self.wire_name("tagv", v)) for k, v in series.tags))
        return Series(series.domain, self.wire_name("metric", series.metric), tags)

    # series -----------------------------------------------------------------------------------------------------------

    def register(self, metric: str, tags: Iterable[tuple[str, str]]) -> tuple[str, Tags]:
        """Give ids to the wire names of a new series; return its stored metric and tags (sorted by name).

        Called once a new series, before `gateway.resolve`. The names are durable after the next `flush`.
        New names get their ids in the order in which the original meets them: that of a Java map of the tags.
        """
        ordered = self.hashed(tuple(sorted(tags)))
        self.id_of("metric", metric, create=True)
        names, values = self._tables["tagk"].ids, self._tables["tagv"].ids
        if not all(name in names and value in values for name, value in ordered):
            by_name = dict(ordered)
            for name in java_order(by_name):
                self.id_of("tagk", name, create=True)
                self.id_of("tagv", by_name[name], create=True)
        if not self.renamed:
            return metric, ordered
        stored = ((self.stored_name("tagk", name), self.stored_name("tagv", value)) for name, value in ordered)
        return self.stored_name("metric", metric), tuple(sorted(stored))

    def hashed(self, tags: Tags) -> Tags:
        """Return tags with the values that the domain keeps as hashes hashed: such a value gets its id as a hash."""
        return self._gateway.stored_tags(self.domain, tags)

    def hashed_value(self, name: str, value: str) -> str:
        """Return a value of one tag as `hashed` does."""
        return self.hashed(((name, value),))[0][1]

    def is_clear(self, value: str) -> bool:
        """Say whether a tag value is one that the domain may want to keep as a hash only."""
        return self._gateway.hashes_tags(self.domain) and not is_hash(value)

    async def hashes_of(self, value: str) -> set[str]:
        """Return the hashes that a value has as the value of any tag in use; none where nothing is hashed."""
        if not self.is_clear(value):
            return set()
        return {self.hashed_value(name, value) for name in await self._gateway.tag_names(self.domain)} - {value}

    def _stored_id(self, kind: UidKind, stored: str) -> int:
        uid = self._tables[kind].of_stored(stored)
        return self._assign(kind, stored) if uid is None else uid

    def series_ids(self, series: Series) -> tuple[int, list[tuple[int, int]]]:
        """Return the ids of a stored series: the metric's, and (tag name, tag value) pairs sorted by them."""
        pairs = [(self._stored_id("tagk", name), self._stored_id("tagv", value)) for name, value in series.tags]
        pairs.sort()
        return self._stored_id("metric", self.rollups.base(series.metric)), pairs

    def tsuid(self, series: Series) -> str:
        """Return the TSUID of a stored series, making ids for names that have none."""
        metric, pairs = self.series_ids(series)
        return uid_text(metric) + "".join(uid_text(name) + uid_text(value) for name, value in pairs)

    def series_of_tsuid(self, tsuid: str) -> Series:
        """Return the stored series that a TSUID names (it need not have points).

        Raises:
            NoSuchId: an id in it belongs to no name, or the text is no TSUID.
        """
        ids = parse_uids(tsuid)
        if not ids or len(ids) % 2 == 0 or len(ids) < 3:
            raise NoSuchId(ERROR_KINDS["metric"], b"")
        metric = self._stored_of("metric", ids[0])
        pairs = zip(ids[1::2], ids[2::2], strict=True)
        tags = sorted((self._stored_of("tagk", name), self._stored_of("tagv", value)) for name, value in pairs)
        return Series(self.domain, metric, tuple(tags))

    def _stored_of(self, kind: UidKind, uid: int) -> str:
        if self.name_of(kind, uid) is None:
            raise no_such_id(kind, uid)
        return self._tables[kind].stored_name(uid)

    async def rolled_up(
        self, selection: Selection, function: str, step_ms: int, range_ms: tuple[int, int]
    ) -> Selection:
        """Return the selection of the longest rollup that serves buckets of a function; the same when there is none.

        Args:
            selection: of a stored metric.
            function: name of the downsampler's function.
            step_ms: length of its buckets; 0 = no fixed length.
            range_ms: inclusive range to read; rollups without a series in it are passed over.
        """
        for name in self.rollups.serving(selection.metric, function, step_ms):
            rolled = replace(selection, metric=name)
            if await self._gateway.find_series(rolled, *range_ms):
                return rolled
        return selection

    # the log ----------------------------------------------------------------------------------------------------------

    @property
    def dirty(self) -> bool:
        """Whether names wait for `flush`, or are on their way to the store."""
        return bool(self._pending)

    @property
    def age_s(self) -> float:
        """Seconds since the log was last read to its end."""
        return time.monotonic() - self._log.read_at

    async def flush(self) -> None:
        """Make every id given so far durable; callers that come together share one document.

        While the store is away ids wait for it, as the points do that are spooled meanwhile.

        Raises:
            Unavailable, StoreError: the entries stay pending for the next flush.
        """
        if self.dirty:
            async with self._logging:
                try:
                    await self._save()
                except Unavailable:
                    if not self._gateway.outage:
                        raise

    async def _save(self) -> None:
        """Append what waits. Entries leave the list only once they are durable, so `dirty` holds until then."""
        while self._pending:
            with self._lock:
                document, count = first_document(self._pending, DOCUMENT_BYTES)
            if await self._log.append(document):
                with self._lock:
                    del self._pending[:count]
            else:
                self._rebase(await self._log.read_missed())

    async def settled(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what `work` makes of names and ids, all of them durable; it is done again when some did not hold.

        Raises:
            Unavailable, StoreError; what `work` raises.
        """
        while True:
            before = (self.version, self.moves)
            out = await work()
            await self.flush()
            if before == (self.version, self.moves):
                return out

    async def refresh(self) -> None:
        """Read what other gateways appended to the log. Raises Unavailable, StoreError."""
        async with self._logging:
            self._rebase(await self._log.read_further())

    async def load(self) -> None:
        """Read the log; called once, before anything else."""
        self._rebase(await self._log.load())
        await self._log.compact(self._state())

    def _rebase(self, entries: Iterable[Entry]) -> None:
        """Take entries of the log in; names that wait for it come behind them."""
        with self._lock:
            waiting, self._pending = self._pending, []
            for kind, uid, *_ in reversed(waiting):
                self._tables[kind].take_back(uid)
            for entry in entries:
                self._replay(entry)
            for kind, uid, name, _, _, explicit in waiting:
                self.moves += self._assign_locked(kind, name, bool(explicit)) != uid

    def _replay(self, entry: Entry) -> None:
        """Take an entry of the log."""
        kind, uid, name, stored, created_s, explicit = entry
        table = self._tables[kind]
        self.version += uid < len(table.names) and table.names[uid] not in ("", name)
        table.put(uid, name, stored, created_s, bool(explicit))

    def _state(self) -> list[Entry]:
        return [
            (kind, uid, name, table.stored_name(uid), table.created_s[uid], int(uid in table.explicit))
            for kind, table in self._tables.items()
            for uid, name in enumerate(table.names)
            if name
        ]
