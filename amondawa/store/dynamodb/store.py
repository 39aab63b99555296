"""The store on DynamoDB: requests from bounded pools through one retry layer. Importing this calls nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

from amondawa.errors import ConfigError, NotFound, StoreError, Unavailable
from amondawa.settings import Settings
from amondawa.store.base import BlockStore, Capacity, Consumed, Item, Key
from amondawa.store.dynamodb.breaker import Prober
from amondawa.store.dynamodb.capacity import Meter, TableUse
from amondawa.store.dynamodb.client import Client, ClientMaker, client_maker
from amondawa.store.dynamodb.items import key_attributes
from amondawa.store.dynamodb.journal import ShardJournal
from amondawa.store.dynamodb.lease import LEASE_S, LEASES, Lease
from amondawa.store.dynamodb.reader import Bounds, Reader
from amondawa.store.dynamodb.retry import Retrier, RetryPolicy
from amondawa.store.dynamodb.shards import DynamoShards
from amondawa.store.dynamodb.tables import Tables
from amondawa.store.dynamodb.warmth import BY_PARAMETER, Warmth
from amondawa.store.dynamodb.writer import Writer
from amondawa.store.limits import check_items, check_keys
from amondawa.store.schema import is_own_table
from amondawa.store.shared import SharedJournals

JOURNAL = "journal"
JOURNAL_KEEP_S = 30 * 86_400
"""Entries of the journal expire no earlier: so long may a gateway be down with points that are not in chunks yet."""
_CALLERS = 16
"""Requests that threads outside the pools may have in flight."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a store uses DynamoDB.

    Attributes:
        readers, writers: threads, and so requests in flight, of each kind.
        retry: the retry layer's policy.
        statements: whether many hash keys are read by PartiQL statements (50 a request) or by a Query each.
        journal_keep_s: when entries of the journal expire.
        lease_s: how long another process waits for a shard whose gateway is not seen to have ended.
        tables_only: open beside a gateway, without a journal shard.
        warm_by: how tables that must be warm are made so, see Warmth.
        append_s: how long an entry of the journal is tried; None = as everything else.
    """

    readers: int = 16
    writers: int = 8
    retry: RetryPolicy = RetryPolicy()
    statements: bool = True
    journal_keep_s: int = JOURNAL_KEEP_S
    lease_s: float = LEASE_S
    tables_only: bool = False
    warm_by: str = BY_PARAMETER
    append_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Parts:
    """What exists while a store is open."""

    client: Client
    tables: Tables
    reader: Reader
    writer: Writer
    journal: ShardJournal
    lease: Lease
    shards: DynamoShards
    pools: tuple[ThreadPoolExecutor, ...]
    prober: Prober


class DynamoStore(BlockStore):
    """Tables `{space}_{name}` and a journal shard in `{space}_journal`.

    Args:
        make_client: makes the low-level client when the store is opened.
        space: what the names of the tables begin with.
        shard: name of the gateway's journal shard; the same after a restart, another for each gateway.
        options: see Options.
    """

    name = "dynamodb"
    bills_writes = True

    def __init__(
        self,
        make_client: ClientMaker,
        space: str,
        shard: str,
        options: Options = Options(),  # noqa: B008 - immutable
    ) -> None:
        self._make_client = make_client
        self._space = space
        self._shard = shard
        self._options = options
        self._meter = Meter()
        self._retrier = Retrier(options.retry)
        self._parts: _Parts | None = None

    @classmethod
    def of_settings(cls, settings: Settings) -> DynamoStore:
        """Return the store of the settings' table space, not opened yet."""
        return cls._of(settings, tables_only=False)

    @classmethod
    def tables_of_settings(cls, settings: Settings) -> DynamoStore:
        """Return the same without a journal shard, for use beside a running gateway."""
        return cls._of(settings, tables_only=True)

    @classmethod
    def _of(cls, settings: Settings, *, tables_only: bool) -> DynamoStore:
        connections = settings.mt_readers + settings.mt_writers + _CALLERS
        keep_s = max(JOURNAL_KEEP_S, 2 * settings.flush_age_s, 2 * settings.store_column_height_s)
        options = Options(settings.mt_readers, settings.mt_writers, journal_keep_s=keep_s, tables_only=tables_only)
        append_s = None if settings.ack == "stored" else settings.spool_after_s
        retry = replace(options.retry, away_s=settings.spool_after_s)
        options = replace(options, warm_by=settings.tp_warm_by, append_s=append_s, retry=retry)
        maker = client_maker(settings.region, settings.dynamodb_endpoint, connections)
        return cls(maker, settings.table_space, settings.gateway_id or socket.gethostname(), options)

    # open and close ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """See BlockStore; creates the journal table and takes the lease on the shard.

        Raises:
            ConfigError: DynamoDB cannot be reached or refuses, or another process uses the shard.
        """
        if self._parts is not None:
            raise ConfigError("the store is open already")
        self._meter = Meter()
        self._retrier = Retrier(self._options.retry)
        self._parts = self._build()
        try:
            if self._options.tables_only:
                self._parts.tables.names()
            else:
                self._parts.tables.create(JOURNAL, Capacity())
                self._parts.lease.acquire()
        except (StoreError, Unavailable, ValueError) as error:
            self.close()
            raise ConfigError(f"the tables of space {self._space!r} cannot be used: {error}") from error
        except BaseException:
            self.close()
            raise

    def _build(self) -> _Parts:
        options = self._options
        client = self._make_client()
        tables = Tables(client, self._retrier, self._space, Warmth(options.warm_by))
        readers = ThreadPoolExecutor(options.readers, "dynamodb-read")
        writers = ThreadPoolExecutor(options.writers, "dynamodb-write")
        reader = Reader(client, self._retrier, self._meter, readers, statements=options.statements)
        writer = Writer(client, self._retrier, self._meter, writers)
        name = tables.full(JOURNAL)
        clock = self._retrier.clock

        appending = Writer(client, self._appending(), self._meter, writers)

        def journal_of(shard: str) -> ShardJournal:
            return ShardJournal(name, shard, reader, appending, options.journal_keep_s)

        def adopting(shard: str) -> Lease:
            return Lease(name, shard, reader, writer, clock, options.lease_s, adopting=True)

        lease = Lease(name, self._shard, reader, writer, clock, options.lease_s)
        shards = DynamoShards(name, self._shard, reader, journal_of, adopting, clock, options.lease_s)
        pools = (readers, writers)
        prober = Prober(self._retrier.breaker, lambda: self._probe(client, name), lease.hasten)
        return _Parts(client, tables, reader, writer, journal_of(self._shard), lease, shards, pools, prober)

    def _appending(self) -> Retrier:
        """Return what makes the requests of the journal: as patient as its writers, with a budget of its own."""
        own, policy = self._retrier, self._options.retry
        if self._options.append_s is not None:
            policy = replace(policy, deadline_s=self._options.append_s)
        return Retrier(policy, own.clock, own.sleep, own.draw, own.breaker)

    def _probe(self, client: Client, name: str) -> None:
        """Read one small item, whatever the breaker says."""
        keys = {"Keys": [key_attributes((LEASES, self._shard.encode()))], "ConsistentRead": True}
        self._retrier.probe(client.batch_get_item, RequestItems={name: keys}, ReturnConsumedCapacity="TOTAL")

    @property
    def outage(self) -> str:
        """See BlockStore."""
        return self._retrier.breaker.reason

    @property
    def is_replaced(self) -> bool:
        """See BlockStore."""
        parts = self._parts
        return parts is not None and parts.lease.is_lost

    @property
    def shared(self) -> SharedJournals | None:
        """See BlockStore."""
        parts = self._parts
        return None if parts is None or self._options.tables_only else parts.shards

    def close(self) -> None:
        """See BlockStore."""
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.shards.close()
            parts.lease.release()
            parts.prober.stop()
            for pool in parts.pools:
                pool.shutdown(wait=True)
            parts.client.close()

    @property
    def _open(self) -> _Parts:
        if self._parts is None:
            raise StoreError("the store is not open")
        return self._parts

    # tables -----------------------------------------------------------------------------------------------------------

    def create_table(self, table: str, capacity: Capacity = Capacity()) -> None:  # noqa: B008 - immutable
        """See BlockStore; on demand unless a capacity is given."""
        self._open.tables.create(_checked(table), capacity)

    def delete_table(self, table: str) -> None:
        """See BlockStore; returns when the table is gone."""
        self._open.tables.delete(_checked(table))

    def tables(self) -> list[str]:
        """See BlockStore; without the journal's."""
        return [name for name in self._open.tables.names() if name != JOURNAL]

    def refresh(self) -> None:
        """See BlockStore; tables are looked up anew when they are named next."""
        self._open.tables.forget_all()

    def used_by(self) -> str:
        """See BlockStore; a gateway that was killed elsewhere takes a lease's length."""
        return self._open.shards.living(self._retrier.sleep)

    def delete_everything(self) -> None:
        """See BlockStore; the journal's table goes too, with the shards of all gateways. Other programs' tables stay."""
        parts = self._open
        for table in filter(is_own_table, self.tables()):
            parts.tables.delete(table)
        parts.lease.release()
        parts.tables.delete(JOURNAL)

    def set_capacity(self, table: str, capacity: Capacity) -> None:
        """See BlockStore; None switches to on demand."""
        self._open.tables.set_capacity(_checked(table), capacity)

    def capacity(self, table: str) -> Capacity:
        """Return a table's throughput."""
        return self._open.tables.capacity(table)

    @contextmanager
    def _table(self, table: str) -> Iterator[str]:
        """Give a table's full name; a table that turns out to be gone is looked up anew next time."""
        tables = self._open.tables
        try:
            yield tables.full(table)
        except NotFound:
            tables.forget(table)
            raise

    # items ------------------------------------------------------------------------------------------------------------

    def put(self, table: str, items: Sequence[Item]) -> None:
        """See BlockStore."""
        check_items(items)
        self._open.tables.require([table])
        with self._table(table) as name:
            self._open.writer.put(name, items)

    def delete(self, table: str, keys: Sequence[Key]) -> None:
        """See BlockStore."""
        check_keys(keys)
        self._open.tables.require([table])
        with self._table(table) as name:
            self._open.writer.delete(name, keys)

    def change(self, puts: Mapping[str, Sequence[Item]], deletes: Mapping[str, Sequence[Key]]) -> None:
        """See BlockStore; no transaction: those take 100 items and cost twice."""
        for items in puts.values():
            check_items(items)
        for keys in deletes.values():
            check_keys(keys)
        self._open.tables.require({*puts, *deletes})
        for table, items in puts.items():
            self.put(table, items)
        for table, keys in deletes.items():
            self.delete(table, keys)

    def get(self, table: str, keys: Sequence[Key]) -> list[Item | None]:
        """See BlockStore; strongly consistent."""
        check_keys(keys)
        self._open.tables.require([table])
        with self._table(table) as name:
            return self._open.reader.get(name, keys)

    def query(
        self,
        table: str,
        hash_key: bytes,
        start: bytes | None = None,
        end: bytes | None = None,
        descending: bool = False,
    ) -> Iterator[list[Item]]:
        """See BlockStore; strongly consistent page by page."""
        self._open.tables.require([table])
        with self._table(table) as name:
            yield from self._open.reader.query(name, hash_key, Bounds(start, end), descending)

    def query_many(
        self, table: str, hash_keys: Sequence[bytes], start: bytes | None = None, end: bytes | None = None
    ) -> dict[bytes, list[Item]]:
        """See BlockStore; strongly consistent, 50 hash keys a request where DynamoDB takes statements."""
        self._open.tables.require([table])
        with self._table(table) as name:
            return self._open.reader.query_many(name, hash_keys, Bounds(start, end))

    def put_if(self, table: str, item: Item, expected: bytes | None) -> bool:
        """See BlockStore."""
        check_items([item])
        self._open.tables.require([table])
        with self._table(table) as name:
            return self._open.writer.put_if(name, item, expected)

    def consumed(self) -> Consumed:
        """See BlockStore; as DynamoDB states it in its answers."""
        return self._meter.total()

    def consumed_by_domain(self) -> Mapping[str, Consumed]:
        """See BlockStore."""
        return self._meter.by_domain()

    def consumed_by_table(self) -> dict[str, TableUse]:
        """Return what was used since open, by table name."""
        prefix = self._space + "_"
        return {name.removeprefix(prefix): use for name, use in self._meter.by_table().items()}

    @property
    def retries(self) -> int:
        """Requests that were made again since open."""
        return self._retrier.retries

    # journal ----------------------------------------------------------------------------------------------------------

    def journal_append(self, segment: int, sequence: int, payload: bytes) -> None:
        """See BlockStore; compressed. Unavailable also when the lease ran out meanwhile, or the journal's table is gone."""
        parts = self._open
        parts.lease.check()
        try:
            parts.journal.append(segment, sequence, payload)
        except NotFound as error:  # it is being restored, perhaps; no client asked for a table
            raise Unavailable(f"the journal's table is gone: {error}") from error
        parts.lease.check()

    def journal_segments(self) -> list[int]:
        """See BlockStore; those of this gateway's shard."""
        return self._open.journal.segments()

    def journal_read(self, segment: int) -> Iterator[bytes]:
        """See BlockStore."""
        return self._open.journal.read(segment)

    def journal_drop(self, segment: int) -> None:
        """See BlockStore; one small write."""
        self._open.journal.drop(segment)


def _checked(table: str) -> str:
    """Return a table's name. Raises ValueError for the journal's own."""
    if table == JOURNAL:
        raise ValueError(f"table name {table!r} is the store's own")
    return table
