"""Receipts: what makes a signed request known that was carried out, so that it is not carried out again.

A receipt travels beside its write (in the context, not in the batch) and joins the write's own journal entry: one is
durable exactly when the other is, for no commit more. What reaches the journal on its own asks for one of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

RECEIPT_BYTES = 24
"""every receipt is this long: 16 bytes that tell requests apart, and when it was signed (int64, s since 1970)"""


@dataclass(slots=True, eq=False)
class Receipt:
    """The receipt of the request at hand.

    Attributes:
        data: its RECEIPT_BYTES bytes (or several receipts at once).
        taken: whether a journal entry carries it.
        durable: whether that entry is durable.
    """

    data: bytes
    taken: bool = False
    durable: bool = False


_CURRENT: ContextVar[Receipt | None] = ContextVar("amondawa_receipt", default=None)


@contextlib.contextmanager
def accompanied_by(receipt: Receipt | None) -> Iterator[None]:
    """Have the first write inside carry a receipt; None = none."""
    token = _CURRENT.set(receipt)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def carries_receipt() -> bool:
    """Say whether the write at hand is to carry a receipt."""
    receipt = _CURRENT.get()
    return receipt is not None and not receipt.taken


def take_receipt() -> Receipt | None:
    """Return the receipt that the write at hand is to carry, once; None when there is none."""
    receipt = _CURRENT.get()
    if receipt is None or receipt.taken:
        return None
    receipt.taken = True
    return receipt
