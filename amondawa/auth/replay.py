"""Signatures of the signed writes that were applied, so that none is applied twice, by this process or the next one.

A signature can come again only within the clock skew that is allowed, so it is forgotten after that. Memory is bounded:
when more are remembered than fit, the oldest are forgotten and writes signed as long ago are refused from then on.

What is remembered is durable as receipts in the journal (`model.receipt`, `ingest.receipts`): a write's receipt is in the
write's own entry; what else a request changed is noted before it is acknowledged.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import numpy as np
import numpy.typing as npt

from amondawa.auth.caller import Caller
from amondawa.auth.signing import SKEW_S
from amondawa.errors import Forbidden
from amondawa.model.receipt import RECEIPT_BYTES, Receipt

MARK_BYTES = 16
SPAN_S = 10
MOST_SIGNATURES = 4_000_000
"""64 MB"""
_LOOSE = 8_192
_RECEIPT = np.dtype([("mark", f"V{MARK_BYTES}"), ("signed_s", "<i8")])
_HORIZON = bytes(MARK_BYTES)
"""stands for all signatures up to a time: they were forgotten, and are refused"""

assert _RECEIPT.itemsize == RECEIPT_BYTES

Note = Callable[[bytes], Awaitable[None]]
"""makes receipts durable that no write carries"""


class _Span:
    """The signatures of one stretch of time: most of them in a sorted array, the latest in a set."""

    def __init__(self) -> None:
        self._sorted: npt.NDArray[np.bytes_] = np.empty(0, f"S{MARK_BYTES}")
        self._loose: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._loose)

    def __contains__(self, mark: bytes) -> bool:
        if mark in self._loose:
            return True
        at = int(np.searchsorted(self._sorted, np.bytes_(mark)))
        return at < len(self._sorted) and bytes(self._sorted[at]) == mark.rstrip(b"\0")

    def add(self, mark: bytes) -> None:
        """Remember one."""
        self._loose.add(mark)
        if len(self._loose) >= _LOOSE:
            loose = np.frombuffer(b"".join(self._loose), f"S{MARK_BYTES}")
            self._sorted = np.sort(np.concatenate((self._sorted, loose)))
            self._loose.clear()

    def add_all(self, marks: npt.NDArray[np.bytes_]) -> int:
        """Remember many (S16[n]); return how many were not known."""
        before = len(self)
        loose = np.array(list(self._loose), f"S{MARK_BYTES}")
        self._sorted = np.unique(np.concatenate((self._sorted, loose, marks)))
        self._loose.clear()
        return len(self) - before

    def receipts(self, signed_s: int) -> bytes:
        """Return all as receipts, as if they had been signed at one time."""
        rows = np.empty(len(self), _RECEIPT)
        kept = len(self._sorted)
        rows["mark"][:kept] = self._sorted.view(f"V{MARK_BYTES}")
        if self._loose:
            rows["mark"][kept:] = np.frombuffer(b"".join(self._loose), f"V{MARK_BYTES}")
        rows["signed_s"] = signed_s
        return rows.tobytes()


class AppliedSignatures:
    """Remembers which signed writes were applied. Used on the event loop only.

    Args:
        most: how many are remembered.
    """

    def __init__(self, most: int = MOST_SIGNATURES) -> None:
        self._most = most
        self._spans: dict[int, _Span] = {}
        self._under_way: dict[bytes, tuple[Caller, asyncio.Future[None]]] = {}
        self._forgotten_s = -1
        self._count = 0
        self._note: Note | None = None

    def __len__(self) -> int:
        return self._count

    # over restarts ------------------------------------------------------------------------------------------------

    def recover(self, receipts: bytes, note: Note, now_s: float) -> None:
        """Take what a former process remembered, and note what comes with `note` from now on."""
        rows = np.frombuffer(receipts, _RECEIPT)
        rows = rows[rows["signed_s"] + SKEW_S + SPAN_S >= now_s]
        marks, signed_s = np.ascontiguousarray(rows["mark"]).view(f"S{MARK_BYTES}"), rows["signed_s"]
        horizons = signed_s[marks == b""]
        if len(horizons):
            self._forgotten_s = max(self._forgotten_s, int(horizons.max()))
        for number in np.unique(signed_s[marks != b""] // SPAN_S).tolist():
            span = self._spans.setdefault(number, _Span())
            self._count += span.add_all(marks[(signed_s // SPAN_S == number) & (marks != b"")])
        self._forget(now_s)
        self._note = note

    def receipts(self) -> bytes:
        """Return everything that must not be forgotten, as receipts."""
        spans = [span.receipts(number * SPAN_S + SPAN_S - 1) for number, span in self._spans.items()]
        pending = [one.receipt for one, _ in self._under_way.values() if one.receipt is not None]
        durable = [receipt.data for receipt in pending if receipt.durable]
        horizon = [_receipt(_HORIZON, self._forgotten_s)] if self._forgotten_s >= 0 else []
        return b"".join([*horizon, *spans, *durable])

    # one request --------------------------------------------------------------------------------------------------

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
            await asyncio.wait((self._under_way[mark][1],))
        if caller.signed_s <= self._forgotten_s:
            raise Forbidden("this write was signed too long ago to tell whether it was applied already: sign it again")
        caller.replayed = mark in self._spans.get(caller.signed_s // SPAN_S, ())
        if not caller.replayed:
            caller.receipt = Receipt(_receipt(mark, caller.signed_s))
            self._under_way[mark] = caller, asyncio.get_running_loop().create_future()

    async def note(self, caller: Caller) -> None:
        """Make what a caller changed durable as changed, unless its write carried the receipt. Before it is acknowledged.

        Raises:
            StorageFull, Unavailable: it is not; the changes were made all the same.
        """
        receipt = caller.receipt
        if receipt is None or receipt.taken or caller.failed or self._note is None:
            return
        receipt.taken = True
        await self._note(receipt.data)
        receipt.durable = True

    def end(self, caller: Caller, now_s: float) -> None:
        """The caller's request is over: remember it when its changes were carried out."""
        if caller.signature is None or caller.replayed is not False:
            return
        mark = _mark(caller.signature)
        if not caller.failed:
            self._remember(mark, caller.signed_s)
            self._forget(now_s)
        _, future = self._under_way.pop(mark, (caller, None))
        if future is not None and not future.done():
            future.set_result(None)

    def _remember(self, mark: bytes, signed_s: int) -> None:
        span = self._spans.setdefault(signed_s // SPAN_S, _Span())
        if mark not in span:
            span.add(mark)
            self._count += 1

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


def _receipt(mark: bytes, signed_s: int) -> bytes:
    return np.array([(mark, signed_s)], _RECEIPT).tobytes()
