"""Files of lines, packed when their name ends in `.gz`, that can be cut back to where they were whole."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from amondawa.client.requests import ClientError

LONGEST_LINE_BYTES = 256 * 1024 * 1024


def open_file(path: str, mode: str) -> IO[bytes]:
    """Open a file in binary, `-` = stdin or stdout. Raises ClientError."""
    if path == "-":
        return sys.stdin.buffer if mode == "rb" else sys.stdout.buffer
    try:
        return open(path, mode)
    except OSError as error:
        raise ClientError(f"{path} cannot be opened: {error.strerror}") from error


def replace_text(path: Path, text: str) -> None:
    """Put a text in place of a file's at once. Raises ClientError."""
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise ClientError(f"{path} cannot be written: {error.strerror}") from error


class Output:
    """A file that is written; use it as a context manager.

    Args:
        path: where; `-` = stdout.
        size: bytes of it that are kept, the rest is cut off.
    """

    def __init__(self, path: str, size: int = 0) -> None:
        self._path = path
        self._packed = path.endswith(".gz")
        self._member: gzip.GzipFile | None = None
        self.raw = open_file(path, "r+b" if size else "wb")
        if size:
            self.raw.seek(size)
            self.raw.truncate()

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.whole()
        if self._path != "-":
            self.raw.close()

    def write(self, lines: Iterable[bytes]) -> None:
        """Write lines. Raises OSError, and whatever `lines` raises."""
        if self._packed and self._member is None:
            self._member = gzip.GzipFile("", "wb", fileobj=self.raw, mtime=0)
        target = self._member or self.raw
        for line in lines:
            target.write(line)

    def whole(self) -> int:
        """Bring everything to the file in a way that it may end here; return its size."""
        if self._member is not None:
            self._member.close()
            self._member = None
        self.raw.flush()
        return self.raw.tell() if self.raw.seekable() else 0


class Input:
    """A file that is read; use it as a context manager.

    Args:
        path: where; `-` = stdin.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._raw = open_file(path, "rb")
        self.size = Path(path).stat().st_size if path != "-" and Path(path).is_file() else 0
        """bytes; 0 = unknown"""

    def __enter__(self) -> Input:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path != "-":
            self._raw.close()

    @property
    def position(self) -> int:
        """How many bytes of the file were read so far, as far as that is known."""
        return self._raw.tell() if self.size else 0

    def lines(self) -> Iterator[bytes]:
        """Yield lines with their ends. Raises ClientError when one is too long or the file is damaged."""
        source: IO[bytes] | gzip.GzipFile = self._raw
        if self._path.endswith(".gz"):
            source = gzip.GzipFile(fileobj=self._raw, mode="rb")
        number = 0
        try:
            while line := source.readline(LONGEST_LINE_BYTES):
                number += 1
                if len(line) == LONGEST_LINE_BYTES:
                    raise ClientError(f"{self._path}:{number}: the line is longer than {LONGEST_LINE_BYTES} bytes")
                yield line
        except (OSError, EOFError, zlib.error) as error:
            raise ClientError(f"{self._path}:{number + 1}: cannot be read: {error}") from error
