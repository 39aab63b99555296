"""The journal of the embedded store: one database file a segment, dropped by unlinking it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from amondawa.store.sqlite_file import ConnectionPool, DatabaseFile, sync_directory

_SCHEMA = ("CREATE TABLE IF NOT EXISTS entries (sequence INTEGER PRIMARY KEY, payload BLOB NOT NULL)",)
_PAGE_BYTES = 4_096
_SUFFIX = ".sqlite"


class SegmentFiles:
    """Segments in a directory; safe in any thread.

    Args:
        directory: where the files are; created when missing.
        pool: where idle connections wait.
    """

    def __init__(self, directory: Path, pool: ConnectionPool) -> None:
        self._directory = directory
        self._pool = pool
        self._lock = threading.Lock()
        self._files: dict[int, DatabaseFile] = {}
        self._used: set[int] = set()

    def open(self) -> None:
        """Find the segments on disk; those whose first entry never became durable are removed."""
        self._directory.mkdir(exist_ok=True)
        sync_directory(self._directory.parent)
        for path in self._directory.glob(f"*{_SUFFIX}"):
            if not path.stem.lstrip("-").isdigit():
                continue
            file = self._file(int(path.stem))
            with file.read() as connection:
                used = connection.execute("SELECT EXISTS (SELECT 1 FROM entries)").fetchone()[0]
            if used:
                self._used.add(int(path.stem))
            else:
                self.drop(int(path.stem))

    def append(self, segment: int, sequence: int, payload: bytes) -> None:
        """Write an entry; durable on return."""
        with self._file(segment).write() as connection:
            connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?)", (sequence, payload))
        self._used.add(segment)

    def segments(self) -> list[int]:
        """Return the segments that hold entries, ascending."""
        return sorted(self._used.copy())

    def read(self, segment: int) -> Iterator[bytes]:
        """Yield the payloads of a segment in order of sequence, none for a segment that does not exist."""
        with self._lock:
            file = self._files.get(segment)
        after: tuple[int, ...] = ()
        while file is not None:
            where = "WHERE sequence > ?" if after else ""
            with file.read() as connection:
                found = connection.execute(
                    f"SELECT sequence, payload FROM entries {where} ORDER BY sequence LIMIT 1", after
                ).fetchone()
            if found is None:
                return
            after = (found[0],)
            yield found[1]

    def drop(self, segment: int) -> None:
        """Remove a segment and its file."""
        with self._lock:
            file = self._files.pop(segment, None)
            self._used.discard(segment)
        if file is not None:
            file.unlink()

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            files = list(self._files.values())
            self._files.clear()
            self._used.clear()
        for file in files:
            file.close()

    def _file(self, segment: int) -> DatabaseFile:
        with self._lock:
            file = self._files.get(segment)
            if file is None:
                path = self._directory / f"{segment}{_SUFFIX}"
                file = DatabaseFile(path, self._pool, _SCHEMA, page_bytes=_PAGE_BYTES)
                self._files[segment] = file
            return file
