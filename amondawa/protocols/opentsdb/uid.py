"""UIDs: the numbers that OpenTSDB gives to metric names, tag names and tag values, and TSUIDs made of them.

They order the groups of an answer and name series in `tsuid` queries, so they must outlive a restart: every new name is
an entry of a log kept as documents, written before the write that brought the name is acknowledged. Ids count from 1 in
order of first use. A name that came by another protocol gets its id when it is first asked for.

A rename moves no data: the id keeps the name under which its points are stored (the *stored* name) and gets another
*wire* name. Only this module knows the difference; `stored_name` and `wire_name` translate.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

import orjson

from amondawa.auth.caller import acting_as_gateway
from amondawa.model.query import Selection
from amondawa.model.series import Series, Tags
from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.errors import NoSuchId
from amondawa.protocols.opentsdb.javamap import java_order
from amondawa.protocols.opentsdb.rollup_names import Rollups
from amondawa.protocols.opentsdb.uid_table import NameTable, render_log

if TYPE_CHECKING:
    from amondawa.gateway import GatewayDoor

UidKind = Literal["metric", "tagk", "tagv"]
KINDS: tuple[UidKind, ...] = ("metric", "tagk", "tagv")
ERROR_KINDS: dict[UidKind, str] = {"metric": "metrics", "tagk": "tagk", "tagv": "tagv"}
"""the words of the error texts"""

COLLECTION = "opentsdb.uids"
DOCUMENT_BYTES = 300_000
COMPACT_DOCUMENTS = 64
"""a log of more documents is written anew, in few, when it is loaded"""

UID_HEX = 6
_ESCAPE = 0xFFFFFF
"""three bytes do not number everything for ever: from here on an id is FFFFFF and eight more digits"""
_ESCAPED_HEX = 8

Entry = tuple[UidKind, int, str, str, int, int]
"""kind, id, wire name, stored name, created (s), 1 = assigned by request rather than by a write"""


def uid_text(uid: int) -> str:
    """Return an id as hexadecimal digits, as it stands in a TSUID."""
    if uid < _ESCAPE:
        return f"{uid:06X}"
    return f"{_ESCAPE:06X}{uid:08X}"


def parse_uids(text: str) -> list[int] | None:
    """Cut hexadecimal digits into ids; None when they are not whole ids."""
    ids = []
    at = 0
    try:
        while at < len(text):
            uid = int(text[at : at + UID_HEX], 16)
            at += UID_HEX
            if uid == _ESCAPE and len(text) - at >= _ESCAPED_HEX:
                uid = int(text[at : at + _ESCAPED_HEX], 16)
                at += _ESCAPED_HEX
            ids.append(uid)
    except ValueError:
        return None
    return ids if at == len(text) else None


def uid_bytes(uid: int) -> bytes:
    """Return an id as its bytes in a TSUID."""
    return bytes.fromhex(uid_text(uid)) if uid != _ESCAPE else b"\xff\xff\xff"


def no_such_id(kind: UidKind, uid: int) -> NoSuchId:
    """Return the error of an id that no name has."""
    return NoSuchId(ERROR_KINDS[kind], uid_bytes(uid))


class Uids:
    """The names and ids of one domain. Look-ups and assignments work in any thread, `flush` on the event loop."""

    def __init__(self, gateway: GatewayDoor, domain: str, rollups: Rollups | None = None) -> None:
        self._gateway = gateway
        self.domain = domain
        self.rollups = rollups or Rollups("")
        self._tables: dict[UidKind, NameTable] = {kind: NameTable() for kind in KINDS}
        self._pending: list[Entry] = []
        self._lock = threading.Lock()
        self._flushing = asyncio.Lock()
        self._sequence = 0
        self.version = 0
        """changes with every rename: what was remembered by name must then be looked up again"""

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
        names = self._tables[kind].names
        return (names[uid] or None) if 0 < uid < len(names) else None

    def created_s(self, kind: UidKind, uid: int) -> int:
        """Return when an id was given, in seconds since 1970."""
        created = self._tables[kind].created_s
        return created[uid] if 0 < uid < len(created) else 0

    def assigned_names(self, kind: UidKind) -> list[str]:
        """Return the names that were given ids by request (they may have no data), in order of id."""
        table = self._tables[kind]
        return [table.names[uid] for uid in sorted(table.explicit)]

    async def find(self, kind: UidKind, name: str) -> int | None:
        """Return the id of a wire name, making one when points came by another protocol under it; None = unknown."""
        uid = self.id_of(kind, name)
        if uid is not None or name in self._tables[kind].by_stored or not await self._has_data(kind, name):
            return uid
        uid = self._assign(kind, name)
        await self.flush()
        return uid

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
        table = self._tables[kind]
        with self._lock:
            known = table.ids.get(name)
            if known is not None:
                return known
            uid = len(table.names)
            stored = name if name not in table.by_stored else f"{name}~{uid_text(uid)}"
            created_s = self._gateway.now_ms // 1000
            table.put(uid, name, stored, created_s, explicit)
            self._pending.append((kind, uid, name, stored, created_s, int(explicit)))
            return uid

    def rename(self, kind: UidKind, uid: int, name: str) -> None:
        """Give an id another wire name; its points stay where they are. Durable after the next `flush`."""
        table = self._tables[kind]
        with self._lock:
            stored = table.stored_name(uid)
            explicit = uid in table.explicit
            self.version += 1
            table.put(uid, name, stored, table.created_s[uid], explicit)
            self._pending.append((kind, uid, name, stored, table.created_s[uid], int(explicit)))

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
        return bool(self._pending) or self._flushing.locked()

    async def flush(self) -> None:
        """Make every id given so far durable; callers that come together share one document.

        Raises:
            Unavailable, StoreError: the entries stay pending for the next flush.
        """
        if not self.dirty:
            return
        async with self._flushing:
            with self._lock:
                entries, self._pending = self._pending, []
            try:
                await self._append(entries)
            except BaseException:
                with self._lock:
                    self._pending = entries + self._pending
                raise

    async def _append(self, entries: list[Entry]) -> None:
        for document in render_log(entries, DOCUMENT_BYTES):
            self._sequence += 1
            with acting_as_gateway():  # ids are given to names that are only read, too
                await self._gateway.put_document(self.domain, COLLECTION, f"{self._sequence:012d}", document)

    async def load(self) -> None:
        """Read the log; called once, before anything else."""
        with acting_as_gateway():
            await self._load()

    async def _load(self) -> None:
        documents = await self._gateway.list_documents(self.domain, COLLECTION)
        for key, value in documents:
            self._sequence = max(self._sequence, int(key))
            for entry in orjson.loads(value):
                self._replay(entry)
        if len(documents) > COMPACT_DOCUMENTS:
            await self._compact([key for key, _ in documents])

    def _replay(self, entry: Entry) -> None:
        """Take an entry of the log; of two gateways that gave one id or name at once, the earlier entry holds."""
        kind, uid, name, stored, created_s, explicit = entry
        table = self._tables[kind]
        taken = uid < len(table.names) and table.names[uid] != "" and table.stored_name(uid) != stored
        if taken:
            self._assign(kind, name, bool(explicit))
        elif table.ids.get(name, uid) == uid:
            table.put(uid, name, stored, created_s, bool(explicit))

    async def _compact(self, keys: list[str]) -> None:
        """Write the whole state behind the log, then drop the old part; after a crash in between both say the same."""
        await self._append(self._state())
        for key in keys:
            await self._gateway.delete_document(self.domain, COLLECTION, key)

    def _state(self) -> list[Entry]:
        return [
            (kind, uid, name, table.stored_name(uid), table.created_s[uid], int(uid in table.explicit))
            for kind, table in self._tables.items()
            for uid, name in enumerate(table.names)
            if name
        ]


class _Registry:
    """The UIDs of every domain of one gateway."""

    def __init__(self, scope: Scope) -> None:
        self._gateway = scope.gateway
        self._rollups = Rollups(scope.settings.opentsdb_rollups)
        self._loaded: dict[str, Uids] = {}
        self._loading = asyncio.Lock()

    def loaded(self, domain: str) -> Uids | None:
        return self._loaded.get(domain)

    async def of(self, domain: str) -> Uids:
        known = self._loaded.get(domain)
        if known is not None:
            return known
        async with self._loading:
            if domain not in self._loaded:
                uids = Uids(self._gateway, domain, self._rollups)
                await uids.load()
                self._loaded[domain] = uids
        return self._loaded[domain]


_REGISTRIES: WeakKeyDictionary[GatewayDoor, _Registry] = WeakKeyDictionary()


def loaded_uids(scope: Scope, domain: str) -> Uids | None:
    """Return what `uids_of` does when it was read from the store already, else None."""
    registry = _REGISTRIES.get(scope.gateway)
    return None if registry is None else registry.loaded(domain)


async def uids_of(scope: Scope, domain: str) -> Uids:
    """Return the UIDs of a domain, one object for all callers of a gateway; read from the store at first use."""
    registry = _REGISTRIES.get(scope.gateway)
    if registry is None:
        registry = _REGISTRIES.setdefault(scope.gateway, _Registry(scope))
    return await registry.of(domain)
