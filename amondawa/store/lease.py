"""A lease in the master table: one gateway at a time does what all of them could."""

from __future__ import annotations

import json

from amondawa.errors import Corrupt
from amondawa.store.base import BlockStore, Item

MASTER = "master"
_HASH = b"lease"


class TimedLease:
    """A lease that its holder renews and that runs out by itself.

    The clocks of gateways are compared. Where they differ by more than the length, two may hold it for a while: what is done
    under it must be harmless when it is done twice.

    Args:
        name: of what is leased.
        holder: who asks, the same after a restart.
        length_ms: how long it lasts after it was taken or renewed.
    """

    def __init__(self, store: BlockStore, name: str, holder: str, length_ms: int) -> None:
        self._store = store
        self._key = (_HASH, name.encode())
        self._holder = holder
        self._length_ms = length_ms

    def take(self, now_ms: int) -> bool:
        """Take or renew the lease unless another holds it; say whether it is ours. Raises Corrupt."""
        stored = self._store.get(MASTER, [self._key])[0]
        if stored is not None:
            holder, until_ms = _parse(stored.value)
            if holder != self._holder and now_ms < until_ms:
                return False
        return self._put(now_ms + self._length_ms, None if stored is None else stored.value)

    def release(self, now_ms: int) -> None:
        """Let another take it at once; nothing happens when it is not ours."""
        stored = self._store.get(MASTER, [self._key])[0]
        if stored is not None and _parse(stored.value)[0] == self._holder:
            self._put(now_ms, stored.value)

    def _put(self, until_ms: int, expected: bytes | None) -> bool:
        value = json.dumps({"holder": self._holder, "until_ms": until_ms}, sort_keys=True).encode()
        return value == expected or self._store.put_if(MASTER, Item(*self._key, value), expected)


def _parse(value: bytes) -> tuple[str, int]:
    try:
        item = json.loads(value)
        return str(item["holder"]), int(item["until_ms"])
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"lease does not parse: {value[:80]!r}") from error
