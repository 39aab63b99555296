"""The spool: a queue of journal entries on the local disk, for the time in which the store cannot be reached.

Several files, each a run of frames (docs/format/spool.md), so that what was drained can be removed. An entry is on the disk
(fsynced) when `append` returns; a file is gone from the disk before `release` says that its last entry was drained, so that
nothing comes back after what was stored behind it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
import zstandard

from amondawa.errors import ConfigError, Corrupt, StorageFull, StoreError
from amondawa.store.sqlite_file import sync_directory

FILE_BYTES = 16 * 1024 * 1024
"""A file that has reached this size is followed by another."""
SUFFIX = ".spool"
LEVEL = 1

_FRAME = struct.Struct("<4sIIq")  # magic, bytes of the body, crc32 of time and body, time (us since 1970)
_TIME = struct.Struct("<q")
_MAGIC = b"AMS1"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Record:
    """One entry in the spool.

    Attributes:
        file: number of its file; refs mean the same within one file only.
        start, end: where its frame lies.
        time_us: when it was taken, us since 1970.
        body: the packed payload.
    """

    file: int
    start: int
    end: int
    time_us: int
    body: bytes

    @property
    def payload(self) -> bytes:
        """The journal entry. Raises Corrupt when it does not unpack."""
        try:
            return zstandard.ZstdDecompressor().decompress(self.body)
        except zstandard.ZstdError as error:
            raise Corrupt(f"entry at {self.start} of spool file {self.file}: {error}") from error


@dataclass(slots=True)
class _File:
    """One file: its number, where it is, its size, and the entries in it that were not released."""

    number: int
    path: Path
    size: int = 0
    entries: int = 0


class Spool:
    """The queue; safe in any thread, with one reader.

    Args:
        directory: where the files are; made when missing. Nothing else may be in it.
        limit_bytes: what all files may occupy.
        file_bytes: see FILE_BYTES; less where the limit is small.
    """

    def __init__(self, directory: Path, limit_bytes: int, file_bytes: int = FILE_BYTES) -> None:
        self._directory = directory
        self.limit_bytes = limit_bytes
        self._file_bytes = min(file_bytes, limit_bytes // 8)
        self._lock = threading.Lock()
        self._files: list[_File] = []
        self._tail: int | None = None  # descriptor of the last file while entries may be added to it
        self._lock_file: int | None = None
        self._at = 0  # of the next record, in the first file
        self._oldest_us = 0
        self._number = 0
        self.full = False
        """whether an entry was refused for want of room and nothing was removed since"""

    # open and close ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Find what an earlier process left; an entry that was never finished is cut off.

        Raises:
            ConfigError: the directory cannot be used, or another process uses it.
            Corrupt: an entry that was acknowledged does not read back.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            sync_directory(self._directory.parent)
            self._take_lock()
        except OSError as error:
            raise ConfigError(
                f"the spool directory {self._directory} cannot be used ({error.strerror}): give --data a directory that "
                "can be written to, or refuse writes while the store is away (AMDW_ACK=stored)"
            ) from error
        try:
            for path in sorted(self._directory.glob(f"{'[0-9a-f]' * 16}{SUFFIX}")):
                self._find(path)
            self._look_at_oldest()
        except OSError as error:
            raise StoreError(f"the spool in {self._directory} cannot be read: {error}") from error

    def _take_lock(self) -> None:
        self._lock_file = os.open(self._directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"the spool directory {self._directory} is in use by another process") from error

    def _find(self, path: Path) -> None:
        """Take up a file: count its entries, cut off what was never finished, remove it when nothing is left."""
        file = _File(int(path.stem, 16), path)
        data = path.read_bytes()
        while (record := _frame_at(data, file.number, file.size)) is not None:
            file.size = record.end
            file.entries += 1
        self._number = max(self._number, file.number)
        if file.size < len(data):
            _check_torn(path, data, file.size)
            log.warning("an unfinished entry of the spool was cut off", file=str(path), bytes=len(data) - file.size)
            os.truncate(path, file.size)
        if file.entries:
            self._files.append(file)
        else:
            path.unlink()

    def close(self) -> None:
        """Close everything; what is in the spool stays there."""
        with self._lock:
            self._close_tail()
            if self._lock_file is not None:
                os.close(self._lock_file)
                self._lock_file = None

    def _close_tail(self) -> None:
        if self._tail is not None:
            os.close(self._tail)
            self._tail = None

    # what it holds ----------------------------------------------------------------------------------------------------

    @property
    def entries(self) -> int:
        """Entries that were not released."""
        return sum(file.entries for file in tuple(self._files))

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in tuple(self._files))

    @property
    def oldest_us(self) -> int:
        """When the oldest entry was taken, us since 1970; 0 = there is none."""
        return self._oldest_us

    # writing ----------------------------------------------------------------------------------------------------------

    def append(self, encode: Callable[[bool], bytes], time_us: int) -> None:
        """Add an entry; it is on the disk on return.

        Args:
            encode: returns the entry; told whether it is the first one of a file, where no ref has been named yet.
            time_us: now, us since 1970.

        Raises:
            StorageFull: the limit is reached, or the disk is full.
            StoreError: the disk failed otherwise.
        """
        with self._lock:
            fresh = self._tail is None or self._files[-1].size >= self._file_bytes
            frame = _framed(encode(fresh), time_us)
            if self.size_bytes + len(frame) > self.limit_bytes:
                self.full = True
                raise StorageFull(f"the spool has reached its limit of {self.limit_bytes} bytes (AMDW_SPOOL_LIMIT)")
            try:
                if fresh:
                    self._begin_file()
                self._write(frame)
            except OSError as error:
                self._undo()
                if error.errno in _NO_ROOM:
                    self.full = True
                    raise StorageFull(f"the disk of the spool is full: {error.strerror}") from error
                raise StoreError(f"the spool cannot be written: {error}") from error
            self._count(self._files[-1], len(frame), time_us)

    def _begin_file(self) -> None:
        self._close_tail()
        self._number += 1
        path = self._directory / f"{self._number:016x}{SUFFIX}"
        self._tail = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._files.append(_File(self._number, path))
        sync_directory(self._directory)

    def _write(self, frame: bytes) -> None:
        tail = self._tail
        assert tail is not None
        size, view = self._files[-1].size, memoryview(frame)
        while view:
            written = os.pwrite(tail, view, size)
            size, view = size + written, view[written:]
        os.fdatasync(tail)

    def _undo(self) -> None:
        """After a failure: add nothing behind what may be half an entry, and take back what can be taken back."""
        if self._tail is None:
            return
        file = self._files[-1]
        try:
            os.ftruncate(self._tail, file.size)
            if not file.entries:
                self._files.pop()
                file.path.unlink()
        except OSError as error:
            log.warning("half an entry stays in the spool; it is cut off at the next start", error=str(error))
        self._close_tail()

    def _count(self, file: _File, size: int, time_us: int) -> None:
        if not self.entries:
            self._at, self._oldest_us = 0, time_us
        file.size += size
        file.entries += 1

    # reading ----------------------------------------------------------------------------------------------------------

    def replay(self) -> Iterator[Record]:
        """Yield every entry, oldest first. Raises Corrupt when one does not read back."""
        for file in tuple(self._files):
            at = self._at if file is self._files[0] else 0
            for _ in range(file.entries):
                record = self._read(file, at)
                at = record.end
                yield record

    def oldest(self) -> Record | None:
        """Return the oldest entry; None when there is none. Raises Corrupt when it does not read back."""
        with self._lock:
            return self._read(self._files[0], self._at) if self.entries else None

    def _read(self, file: _File, at: int) -> Record:
        try:
            with file.path.open("rb") as source:
                source.seek(at)
                head = source.read(_FRAME.size)
                data = head + source.read(_FRAME.unpack(head)[1]) if len(head) == _FRAME.size else head
        except OSError as error:
            raise StoreError(f"the spool cannot be read: {error}") from error
        record = _frame_at(data, file.number, 0)
        if record is None:
            raise Corrupt(f"the entry at {at} of the spool file {file.path} does not read back")
        return Record(file.number, at, at + record.end, record.time_us, record.body)

    def release(self, record: Record) -> bool:
        """Forget the oldest entry, which is in the store; a file goes with its last one. Say whether the spool is empty.

        Raises:
            StoreError: the file could not be removed for good; call it again.
        """
        with self._lock:
            file = self._files[0]
            if file.entries == 1:
                self._remove(file)
            else:
                file.entries -= 1
                self._at = record.end
            self._look_at_oldest()
            return not self._files

    def _remove(self, file: _File) -> None:
        """Remove a file for good before anything may be stored behind what was in it."""
        if len(self._files) == 1:
            self._close_tail()
        try:
            file.path.unlink(missing_ok=True)
            sync_directory(self._directory)
        except OSError as error:
            raise StoreError(f"a drained file of the spool cannot be removed: {error}") from error
        del self._files[0]
        self._at = 0
        self.full = False

    def _look_at_oldest(self) -> None:
        self._oldest_us = self._read(self._files[0], self._at).time_us if self._files else 0


def _framed(payload: bytes, time_us: int) -> bytes:
    body = zstandard.ZstdCompressor(level=LEVEL).compress(payload)
    return _FRAME.pack(_MAGIC, len(body), zlib.crc32(body, zlib.crc32(_TIME.pack(time_us))), time_us) + body


def _frame_at(data: bytes, file: int, at: int) -> Record | None:
    """Return the entry whose frame begins there; None when no whole one does."""
    if len(data) - at < _FRAME.size:
        return None
    magic, size, crc, time_us = _FRAME.unpack_from(data, at)
    start = at + _FRAME.size
    body = data[start : start + size]
    if magic != _MAGIC or len(body) < size or zlib.crc32(body, zlib.crc32(_TIME.pack(time_us))) != crc:
        return None
    return Record(file, at, start + size, time_us, body)


def _check_torn(path: Path, data: bytes, at: int) -> None:
    """Raise Corrupt when a whole entry follows: then what is broken is not the last one, which nobody was told of."""
    following = data.find(_MAGIC, at + 1)
    while following >= 0:
        if _frame_at(data, 0, following) is not None:
            raise Corrupt(
                f"the entry at {at} of the spool file {path} does not read back; others follow it at {following}"
            )
        following = data.find(_MAGIC, following + 1)
