"""Reading everything of a metric in answers of bounded size: the range is read window by window, as wide as they go."""

from __future__ import annotations

from collections.abc import Iterator

from amondawa.client.requests import Query, Refused, Stream, TooLarge
from amondawa.client.synchronous import Client

ANSWER_BYTES = 16 * 1024 * 1024
"""largest answer that is taken; a window that gives more is read in parts"""
_OVER_BUDGET = 422
_SHRINK = 4
_GROW = 2


class Sweep:
    """Reads metrics over one range.

    Args:
        client: to ask.
        start_ms, end_ms: inclusive range.
    """

    def __init__(self, client: Client, start_ms: int, end_ms: int) -> None:
        self._client = client
        self._start_ms = start_ms
        self._end_ms = end_ms
        self._width_ms = max(1, end_ms - start_ms + 1)

    def read(self, metric: str) -> Iterator[tuple[list[Stream], float]]:
        """Yield the series of each window, ascending, and what share of the range was read with it.

        Raises:
            ClientError, Refused: the gateway cannot be asked; a single millisecond holds more than an answer may.
        """
        at_ms = self._start_ms
        while at_ms <= self._end_ms:
            until_ms = min(self._end_ms, at_ms + self._width_ms - 1)
            try:
                streams = self._client.streams(Query(metric, at_ms, until_ms), ANSWER_BYTES)
            except (TooLarge, Refused) as error:
                over = isinstance(error, TooLarge) or error.status == _OVER_BUDGET
                if not over or self._width_ms == 1:
                    raise
                self._width_ms = max(1, (until_ms - at_ms + 1) // _SHRINK)
                continue
            yield streams, (until_ms + 1 - self._start_ms) / (self._end_ms + 1 - self._start_ms)
            at_ms = until_ms + 1
            self._width_ms *= _GROW
