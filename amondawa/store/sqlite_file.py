"""One SQLite database file: pooled connections, one writer at a time, errors in the store's own terms."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from amondawa.errors import AmondawaError, Corrupt, StorageFull, StoreError, Unavailable

_BUSY_S = 30.0
_CHECKPOINT_BUSY_MS = 100
_CACHE_KIB = 2_048
_WAL_LIMIT_BYTES = 8 * 1024 * 1024
_NO_ROOM_BYTES = 64 * 1024
_FULL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,  # a quota or a file size limit: not told apart from a refused write
    sqlite3.SQLITE_IOERR_SHMSIZE,
}
_RETRY_S = 5


def store_error(error: sqlite3.Error, path: Path) -> AmondawaError:
    """Return the error of the store that an error of SQLite on a file stands for."""
    extended = getattr(error, "sqlite_errorcode", None) or 0
    code = extended & 0xFF
    if extended in _FULL or (code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _no_room(path.parent)):
        return StorageFull(f"no room to write {path.name}: {error}", _RETRY_S)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Corrupt(f"{path.name} is damaged: {error}")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(f"{path.name} is locked by another process: {error}")
    return StoreError(f"{path.name}: {error}")


def _no_room(directory: Path) -> bool:
    try:
        room = os.statvfs(directory)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < _NO_ROOM_BYTES or (room.f_files > 0 and room.f_favail == 0)


log = structlog.get_logger()


class ConnectionPool:
    """Idle connections of all files of a store; past `limit` the one that was idle longest is closed.

    A connection belongs to whoever took it until it is given back, hence threads may come and go as they like.
    """

    def __init__(self, limit: int = 16) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, tuple[DatabaseFile, sqlite3.Connection]] = OrderedDict()

    def take(self, file: DatabaseFile) -> sqlite3.Connection | None:
        """Return the connection to the file that was used last, if one is idle."""
        with self._lock:
            for key in reversed(self._idle):
                owner, connection = self._idle[key]
                if owner is file:
                    del self._idle[key]
                    return connection
        return None

    def give(self, file: DatabaseFile, connection: sqlite3.Connection) -> None:
        """Keep a connection for the next user."""
        with self._lock:
            self._idle[id(connection)] = file, connection
            oldest = self._idle.popitem(last=False)[1][1] if len(self._idle) > self._limit else None
        if oldest is not None:
            oldest.close()

    def close(self, file: DatabaseFile) -> None:
        """Close all idle connections to a file."""
        while (connection := self.take(file)) is not None:
            connection.close()


class DatabaseFile:
    """A database file in WAL mode with synchronous=FULL.

    Args:
        path: the file; created with the first connection.
        pool: where idle connections wait.
        schema: statements that create what every file of this sort holds; must be repeatable.
        page_bytes: page size of a new file.
        shrinks: whether a new file can give free pages back (see `shrink`).
    """

    def __init__(
        self, path: Path, pool: ConnectionPool, schema: tuple[str, ...], *, page_bytes: int, shrinks: bool = False
    ) -> None:
        self.path = path
        self._pool = pool
        self._schema = schema
        self._page_bytes = page_bytes
        self._shrinks = shrinks
        self._writer = threading.Lock()
        self._creating = threading.Lock()
        self._closed = False
        self._ready = False
        self.changed = False
        """whether something was written since the last checkpoint"""

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for reading. Raises the store's errors in place of SQLite's."""
        connection = self._take()
        try:
            yield connection
        except sqlite3.Error as error:
            problem = store_error(error, self.path)
            self._settle(connection, problem)
            raise problem from error
        except BaseException:
            self._give(connection)
            raise
        self._give(connection)

    def _settle(self, connection: sqlite3.Connection, problem: AmondawaError) -> None:
        """Keep a connection that only found no room: with the last one SQLite removes the shared memory file of the
        write-ahead log, and could not make it again, so that not even reads went on.
        """
        if isinstance(problem, StorageFull):
            try:
                _end(connection)
            except sqlite3.Error:
                log.debug("a connection cannot be used any more", file=self.path.name, exc_info=True)
            else:
                self._give(connection)
                return
        connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection whose reads all see one state of the file."""
        with self.read() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                _end(connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection inside a transaction, which is durable when the block ends and undone when it raises."""
        with self._writer, self.read() as connection:
            connection.execute("BEGIN IMMEDIATE")
            self.changed = True
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                _end(connection)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file and cut it to nothing, unless readers are in the way for long."""
        with self._writer, self.read() as connection:
            connection.execute(f"PRAGMA busy_timeout={_CHECKPOINT_BUSY_MS}")
            try:
                busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                connection.execute(f"PRAGMA busy_timeout={int(_BUSY_S * 1000)}")
            self.changed = bool(busy)

    def shrink(self, least_pages: int, most_pages: int) -> None:
        """Give up to `most_pages` free pages back to the disk, when `least_pages` and a fifth of the file are free."""
        with self._writer, self.read() as connection:
            free = connection.execute("PRAGMA freelist_count").fetchone()[0]
            total = connection.execute("PRAGMA page_count").fetchone()[0]
            if free >= least_pages and free * 5 >= total:
                # one step frees one page, and only a script is stepped to its end
                connection.executescript(f"PRAGMA incremental_vacuum({most_pages})")
                self.changed = True

    def close(self) -> None:
        """Close all connections, those in use as soon as they are given back."""
        with self._writer:
            self._closed = True
        self._pool.close(self)

    def unlink(self) -> None:
        """Close the file and remove it with what SQLite keeps beside it."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        sync_directory(self.path.parent)

    # connections ------------------------------------------------------------------------------------------------------

    def _take(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(f"{self.path.name} is closed")
        idle = self._pool.take(self)
        if idle is not None:
            return idle
        if self._ready:
            return self._connect()
        with self._creating:  # two connections that switch one new file to WAL lock each other out
            return self._connect()

    def _give(self, connection: sqlite3.Connection) -> None:
        if self._closed:
            connection.close()
            return
        self._pool.give(self, connection)
        if self._closed:  # closed while the connection was on its way back
            self._pool.close(self)

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=128
            )
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error
        try:
            self._prepare(connection)
        except sqlite3.Error as error:
            connection.close()
            raise store_error(error, self.path) from error
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA page_size={self._page_bytes}")
        if self._shrinks:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT_BYTES}")
        if not self._ready:
            self._create(connection)

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in self._schema:
                connection.execute(statement)
            connection.execute("COMMIT")
        finally:
            _end(connection)
        sync_directory(self.path.parent)
        self._ready = True


def _end(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
