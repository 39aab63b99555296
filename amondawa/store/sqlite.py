"""The embedded store: a directory of SQLite files, one for each block, one for what is not in a block, one a segment.

Layout, page sizes and their measured reasons: docs/format/sqlite.md.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from amondawa.errors import ConfigError, NotFound, StorageFull
from amondawa.settings import Settings
from amondawa.store.base import BlockStore, Capacity, Consumed, Item, Key
from amondawa.store.limits import check_items, check_keys, check_table
from amondawa.store.sqlite_file import ConnectionPool, DatabaseFile, sync_directory
from amondawa.store.sqlite_items import CATALOG, PAGE_SIZE, ItemTable
from amondawa.store.sqlite_journal import SegmentFiles

_BLOCK_TABLES = ("datapoints_", "index_")
_SUFFIX = ".sqlite"
_META = "meta"
_SHRINK_LEAST_PAGES = 1_000
_SHRINK_MOST_PAGES = 20_000


class _Place(NamedTuple):
    """Where a table is."""

    file: DatabaseFile
    number: int
    sql: ItemTable


class SqliteStore(BlockStore):
    """Tables and journal in a directory that one process at a time may use.

    Args:
        directory: created when missing, with its parents.
        tables_only: open just the tables that belong to no block, beside the process that has the directory. SQLite keeps
            these sound among processes; `refresh` shows one the tables that another created or deleted.
    """

    name = "sqlite"

    def __init__(self, directory: str | os.PathLike[str], tables_only: bool = False) -> None:
        self._directory = Path(directory)
        self._tables_only = tables_only
        self._pool = ConnectionPool()
        self._catalog = threading.Lock()
        self._files: dict[Path, DatabaseFile] = {}
        self._tables: dict[str, _Place] = {}
        self._segments = SegmentFiles(self._directory / "journal", self._pool)
        self._lock_handle: int | None = None

    @classmethod
    def of_settings(cls, settings: Settings) -> SqliteStore:
        """Return the store in the settings' data directory, not opened yet."""
        return cls(settings.data)

    @classmethod
    def tables_of_settings(cls, settings: Settings) -> SqliteStore:
        """Return the same for the tables outside of blocks only, beside a running gateway."""
        return cls(settings.data, tables_only=True)

    # open and close ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """See BlockStore; ConfigError also when another process, or this one, has the directory open."""
        try:
            (self._directory / "blocks").mkdir(parents=True, exist_ok=True)
            self._check_access()
            if not self._tables_only:
                self._lock_directory()
            sync_directory(self._directory)
        except OSError as error:
            raise ConfigError(f"the data directory {self._directory} cannot be used: {error}") from error
        try:
            self._find_tables()
            if not self._tables_only:
                self._segments.open()
        except BaseException:
            self.close()
            raise

    def _check_access(self) -> None:
        """Raise PermissionError for what is there and may not be written; SQLite would find out late."""
        for path in map(self._directory.joinpath, ("", "meta.sqlite", "blocks", "journal")):
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def close(self) -> None:
        """See BlockStore."""
        self._segments.close()
        with self._catalog:
            files = list(self._files.values())
            self._files.clear()
            self._tables.clear()
        for file in files:
            file.close()
        if self._lock_handle is not None:
            os.close(self._lock_handle)
            self._lock_handle = None

    def _lock_directory(self) -> None:
        if self._lock_handle is not None:
            raise ConfigError(f"the data directory {self._directory} is open already")
        handle = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise ConfigError(f"the data directory {self._directory} is in use by another process") from error
        except OSError:
            os.close(handle)
            raise
        self._lock_handle = handle

    def _find_tables(self) -> None:
        """Read the catalogs of all files; a block's file without tables is what a crash left of a drop."""
        blocks = () if self._tables_only else sorted((self._directory / "blocks").glob(f"*{_SUFFIX}"))
        for path in (self._directory / f"{_META}{_SUFFIX}", *blocks):
            file = self._file(path)
            with file.read() as connection:
                rows = connection.execute("SELECT name, id FROM tables").fetchall()
            for name, number in rows:
                self._tables[name] = _Place(file, number, ItemTable(number))
            if not rows and path.stem != _META:
                self._forget(file)

    def refresh(self) -> None:
        """See BlockStore: read the catalog of the file that other processes may open too."""
        with self._catalog:
            file = self._file(self._directory / f"{_META}{_SUFFIX}")
            with file.read() as connection:
                rows = connection.execute("SELECT name, id FROM tables").fetchall()
            kept = {name: place for name, place in self._tables.items() if place.file is not file}
            self._tables = kept | {name: _Place(file, number, ItemTable(number)) for name, number in rows}

    # tables -----------------------------------------------------------------------------------------------------------

    def create_table(self, table: str, capacity: Capacity = Capacity()) -> None:  # noqa: B008 - immutable
        """See BlockStore."""
        with self._catalog:
            if check_table(table) in self._tables:
                return
            file = self._file(self._path_of(table))
            with file.write() as connection:
                known = connection.execute("SELECT id FROM tables WHERE name = ?", (table,)).fetchone()
                if known is not None:  # another process was first
                    self._tables[table] = _Place(file, known[0], ItemTable(known[0]))
                    return
                number = connection.execute(
                    "INSERT INTO tables (name, read_units, write_units) VALUES (?, ?, ?)",
                    (table, capacity.read_units, capacity.write_units),
                ).lastrowid
                assert number is not None  # an INSERT always has one
                place = _Place(file, number, ItemTable(number))
                for statement in place.sql.create:
                    connection.execute(statement)
            self._tables[table] = place

    def delete_table(self, table: str) -> None:
        """See BlockStore; with the last table of a block its file goes."""
        with self._catalog:
            place = self._tables.get(check_table(table))
            if place is None:
                return
            shared = any(other.file is place.file for name, other in self._tables.items() if name != table)
            if not shared and place.file.path.stem != _META:
                self._forget(place.file)
            else:
                self._drop_tables(place, table)
            del self._tables[table]

    def _drop_tables(self, place: _Place, table: str) -> None:
        with place.file.write() as connection:
            connection.execute("DELETE FROM tables WHERE name = ?", (table,))
            for statement in place.sql.drop:
                connection.execute(statement)

    def tables(self) -> list[str]:
        """See BlockStore."""
        with self._catalog:
            return sorted(self._tables)

    def set_capacity(self, table: str, capacity: Capacity) -> None:
        """See BlockStore; kept in the file's catalog."""
        with self._place(table).file.write() as connection:
            connection.execute(
                "UPDATE tables SET read_units = ?, write_units = ? WHERE name = ?",
                (capacity.read_units, capacity.write_units, table),
            )

    def _place(self, table: str) -> _Place:
        place = self._tables.get(table)
        if place is None:
            raise NotFound(f"there is no table {table}")
        return place

    def _path_of(self, table: str) -> Path:
        for prefix in _BLOCK_TABLES:
            if table.startswith(prefix) and len(table) > len(prefix):
                if self._tables_only:
                    raise ValueError(f"{table} belongs to a block, and only the other tables are open")
                return self._directory / "blocks" / f"{table.removeprefix(prefix)}{_SUFFIX}"
        return self._directory / f"{_META}{_SUFFIX}"

    def _file(self, path: Path) -> DatabaseFile:
        file = self._files.get(path)
        if file is None:
            file = DatabaseFile(path, self._pool, CATALOG, page_bytes=PAGE_SIZE, shrinks=True)
            self._files[path] = file
        return file

    def _forget(self, file: DatabaseFile) -> None:
        self._files.pop(file.path, None)
        file.unlink()

    # items ------------------------------------------------------------------------------------------------------------

    def put(self, table: str, items: Sequence[Item]) -> None:
        """See BlockStore; one transaction."""
        self.change({table: items}, {})

    def delete(self, table: str, keys: Sequence[Key]) -> None:
        """See BlockStore; one transaction."""
        self.change({}, {table: keys})

    def change(self, puts: Mapping[str, Sequence[Item]], deletes: Mapping[str, Sequence[Key]]) -> None:
        """See BlockStore; one transaction when all tables are in one file, else one a file for puts and for deletes."""
        for items in puts.values():
            check_items(items)
        for keys in deletes.values():
            check_keys(keys)
        written = {self._place(table): items for table, items in puts.items()}
        erased = {self._place(table): keys for table, keys in deletes.items()}
        files = list(dict.fromkeys(place.file for place in (*written, *erased)))
        if len(files) == 1:
            _apply(files[0], written, erased)
            return
        for file in files:
            _apply(file, written, {})
        for file in files:
            _apply(file, {}, erased)

    def get(self, table: str, keys: Sequence[Key]) -> list[Item | None]:
        """See BlockStore; all of one state of the file."""
        check_keys(keys)
        file, _, sql = self._place(table)
        with file.snapshot() as connection:
            return [sql.get(connection, key) for key in keys]

    def query(
        self,
        table: str,
        hash_key: bytes,
        start: bytes | None = None,
        end: bytes | None = None,
        descending: bool = False,
    ) -> Iterator[list[Item]]:
        """See BlockStore; each page is of one state of the file."""
        return self._pages(self._place(table), hash_key, start, end, descending)

    def _pages(
        self, place: _Place, hash_key: bytes, start: bytes | None, end: bytes | None, descending: bool
    ) -> Iterator[list[Item]]:
        more = True
        while more:
            with place.file.read() as connection:
                page, more = place.sql.read_page(connection, hash_key, start, end, descending)
            if page:
                yield page
            if descending:
                end = page[-1].range if page else end
            else:
                start = page[-1].range + b"\0" if page else start

    def query_many(
        self, table: str, hash_keys: Sequence[bytes], start: bytes | None = None, end: bytes | None = None
    ) -> dict[bytes, list[Item]]:
        """See BlockStore; all of one state of the file."""
        file, _, sql = self._place(table)
        with file.snapshot() as connection:
            found = ((key, list(sql.read(connection, key, start, end, descending=False))) for key in hash_keys)
            return {key: items for key, items in found if items}

    def put_if(self, table: str, item: Item, expected: bytes | None) -> bool:
        """See BlockStore."""
        check_items([item])
        file, _, sql = self._place(table)
        with file.write() as connection:
            now = sql.get(connection, (item.hash, item.range))
            if (None if now is None else now.value) != expected:
                return False
            sql.put(connection, [item])
            return True

    def tidy(self) -> None:
        """See BlockStore: drop expired items, give free pages back, and cut the write-ahead logs to nothing."""
        with self._catalog:
            places = list(self._tables.values())
        for file in dict.fromkeys(place.file for place in places):
            if file.changed:
                _tidy(file, [place.sql for place in places if place.file is file])

    def consumed(self) -> Consumed:
        """See BlockStore; nothing is billed."""
        return Consumed()

    # journal ----------------------------------------------------------------------------------------------------------

    def journal_append(self, segment: int, sequence: int, payload: bytes) -> None:
        """See BlockStore; one transaction and one fsync."""
        self._segments.append(segment, sequence, payload)

    def journal_segments(self) -> list[int]:
        """See BlockStore."""
        return self._segments.segments()

    def journal_read(self, segment: int) -> Iterator[bytes]:
        """See BlockStore."""
        return self._segments.read(segment)

    def journal_drop(self, segment: int) -> None:
        """See BlockStore; the file is removed."""
        self._segments.drop(segment)


def _apply(
    file: DatabaseFile, written: Mapping[_Place, Sequence[Item]], erased: Mapping[_Place, Sequence[Key]]
) -> None:
    """Write and delete what concerns one file, in one transaction."""
    puts = [(place.sql, items) for place, items in written.items() if place.file is file and items]
    deletes = [(place.sql, keys) for place, keys in erased.items() if place.file is file and keys]
    if not puts and not deletes:
        return
    with file.write() as connection:
        for sql, items in puts:
            sql.put(connection, items)
        for sql, keys in deletes:
            sql.delete(connection, keys)


def _tidy(file: DatabaseFile, tables: Sequence[ItemTable]) -> None:
    """Give back the room that a file can do without; one that lacks the room for it stays changed, for the next time."""
    with suppress(StorageFull):
        now_s = int(time.time())
        with file.write() as connection:
            for sql in tables:
                sql.purge(connection, now_s)
        file.shrink(_SHRINK_LEAST_PAGES, _SHRINK_MOST_PAGES)
        file.checkpoint()
