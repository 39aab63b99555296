"""Bodies that must be read before anybody knows whether their signature is right: together they have a limit.

A signer may leave the hash of the body out of its headers; then the signature can only be checked with the whole body in
memory, and whoever sent it may have no key at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from amondawa.errors import Overloaded

SMALL_BYTES = 65_536
"""bodies up to this are not counted: connections themselves are limited"""
MOST_AT_ONCE = 2
"""bodies of the largest size that there may be at once"""


class UnprovenBodies:
    """Counts them. Used on the event loop only.

    Args:
        largest_bytes: of one body.
    """

    def __init__(self, largest_bytes: int) -> None:
        self._largest_bytes = largest_bytes
        self._bytes = 0

    @contextlib.contextmanager
    def counted(self, announced_bytes: int | None) -> Iterator[None]:
        """Count a body while it is read and its signature is checked; None = its size is not announced.

        Raises:
            Overloaded: there are too many already.
        """
        size = self._largest_bytes if announced_bytes is None else min(announced_bytes, self._largest_bytes)
        if size <= SMALL_BYTES:
            size = 0
        if self._bytes + size > MOST_AT_ONCE * self._largest_bytes:
            raise Overloaded(
                "too many large bodies are being received whose hash is not among the signed headers: "
                "send X-Amz-Content-SHA256, or try again",
                1,
            )
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size
