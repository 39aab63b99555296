"""Signatures of the signed writes that were applied, so that none is applied twice.

A signature can come again only within the clock skew that is allowed, so it is forgotten after that. Memory is bounded:
when more are remembered than fit, the oldest are forgotten and writes signed as long ago are refused from then on.
"""

from __future__ import annotations

import asyncio
import hashlib

import numpy as np
from numpy.typing import NDArray

from amondawa.auth.caller import Caller
from amondawa.auth.signing import SKEW_S
from amondawa.errors import Forbidden

MARK_BYTES = 16
SPAN_S = 10
MOST_SIGNATURES = 4_000_000
"""64 MB"""
_LOOSE = 8_192


class _Span:
    """The signatures of one stretch of time: most of them in a sorted array, the latest in a set."""

    def __init__(self) -> None:
        self._sorted: NDArray[np.bytes_] = np.empty(0, f"S{MARK_BYTES}")
        self._loose: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._loose)

    def __contains__(self, mark: bytes) -> bool:
        if mark in self._loose:
            return True
        at = int(np.searchsorted(self._sorted, np.bytes_(mark)))
        return at < len(self._sorted) and bytes(self._sorted[at]) == mark.rstrip(b"\0")

    def add(self, mark: bytes) -> None:
        self._loose.add(mark)
        if len(self._loose) >= _LOOSE:
            loose = np.frombuffer(b"".join(self._loose), f"S{MARK_BYTES}")
            self._sorted = np.sort(np.concatenate((self._sorted, loose)))
            self._loose.clear()


class AppliedSignatures:
    """Remembers which signed writes were applied. Used on the event loop only.

    Args:
        most: how many are remembered.
    """

    def __init__(self, most: int = MOST_SIGNATURES) -> None:
        self._most = most
        self._spans: dict[int, _Span] = {}
        self._under_way: dict[bytes, asyncio.Future[None]] = {}
        self._forgotten_s = -1
        self._count = 0

    def __len__(self) -> int:
        return self._count

    async def begin(self, caller: Caller) -> bool:
        """Say whether a change that a caller wants is to be carried out; False = it was before, acknowledge it.

        The same signature on two connections at once: the second waits for what becomes of the first.

        Raises:
            Forbidden: it was signed so long ago that it is not known any more.
        """
        if caller.signature is None:
            return True
        if caller.replayed is None:
            await self._decide(caller, caller.signature)
        return not caller.replayed

    async def _decide(self, caller: Caller, signature: bytes) -> None:
        mark = _mark(signature)
        while mark in self._under_way:
            await asyncio.wait((self._under_way[mark],))
        if caller.signed_s <= self._forgotten_s:
            raise Forbidden("this write was signed too long ago to tell whether it was applied already: sign it again")
        caller.replayed = mark in self._spans.get(caller.signed_s // SPAN_S, ())
        if not caller.replayed:
            self._under_way[mark] = asyncio.get_running_loop().create_future()

    def end(self, caller: Caller, now_s: float) -> None:
        """The caller's request is over: remember it when its changes were carried out."""
        if caller.signature is None or caller.replayed is not False:
            return
        mark = _mark(caller.signature)
        if not caller.failed:
            self._spans.setdefault(caller.signed_s // SPAN_S, _Span()).add(mark)
            self._count += 1
            self._forget(now_s)
        future = self._under_way.pop(mark, None)
        if future is not None and not future.done():
            future.set_result(None)

    def _forget(self, now_s: float) -> None:
        """Drop what cannot come again, and the oldest of what is too much."""
        for span in [span for span in self._spans if (span + 1) * SPAN_S + SKEW_S < now_s]:
            self._count -= len(self._spans.pop(span))
        while self._count > self._most and len(self._spans) > 1:
            oldest = min(self._spans)
            self._count -= len(self._spans.pop(oldest))
            self._forgotten_s = max(self._forgotten_s, (oldest + 1) * SPAN_S - 1)


def _mark(signature: bytes) -> bytes:
    return hashlib.sha256(signature).digest()[:MARK_BYTES]
