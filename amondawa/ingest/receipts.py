"""Receipts in the journal: in front of the entry whose writes they belong to. The layout is docs/format/journal.md.

They live as long as their segment. Before segments are dropped, those that still matter are written to the next one, so
that no table and no file has to be kept for them, whatever the store.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from amondawa.errors import Corrupt
from amondawa.model.receipt import RECEIPT_BYTES

_MAGIC = b"AMR1"
_HEADER = struct.Struct("<4sII")  # magic, receipts, crc32 of them


def with_receipts(entry: bytes, receipts: bytes) -> bytes:
    """Return an entry with receipts in front; the entry itself when there are none."""
    if not receipts:
        return entry
    return _HEADER.pack(_MAGIC, len(receipts) // RECEIPT_BYTES, zlib.crc32(receipts)) + receipts + entry


def split_receipts(payload: bytes) -> tuple[bytes, bytes]:
    """Return an entry without what is in front of it, and the receipts.

    Raises:
        Corrupt: the receipts are not what was written.
    """
    if not payload.startswith(_MAGIC):
        return payload, b""
    if len(payload) < _HEADER.size:
        raise Corrupt("journal entry ends within its receipts")
    _, count, crc = _HEADER.unpack_from(payload)
    end = _HEADER.size + count * RECEIPT_BYTES
    receipts = payload[_HEADER.size : end]
    if zlib.crc32(receipts) != crc:
        raise Corrupt("journal entry fails the checksum of its receipts")
    return payload[end:], receipts


class ReceiptBook:
    """What of receipts outlives a segment.

    Attributes:
        recovered: those that the journal held when the gateway started.
    """

    def __init__(self) -> None:
        self.recovered = b""
        self._living: Callable[[], bytes] | None = None

    def kept_by(self, living: Callable[[], bytes]) -> None:
        """From now on `living` says which receipts still matter."""
        self._living = living
        self.recovered = b""

    def living(self) -> bytes:
        """Return the receipts that still matter."""
        return self.recovered if self._living is None else self._living()
