"""Regular expressions of clients, written in Java's way.

They are matched within a time limit, because some patterns take for ever on some texts.
"""

from __future__ import annotations

import time

import regex

from amondawa.errors import BadRequest, LimitExceeded
from amondawa.protocols.java_patterns import translate

SECONDS = 1.0
"""All matches of one pattern in one query may take this long together."""


class Pattern:
    """A client's pattern. Matching lets other threads run.

    Raises:
        BadRequest: it is not a pattern; with Java's text.
    """

    def __init__(self, text: str) -> None:
        try:
            self._compiled = regex.compile(translate(text), regex.VERSION1)
        except (regex.error, RecursionError, OverflowError, ValueError) as error:
            raise BadRequest(str(error), value=text) from error
        self._text = text
        self._left_s = SECONDS

    def found_in(self, value: str) -> bool:
        """Say whether it occurs anywhere. Raises LimitExceeded."""
        return self._within_limit(self._compiled.search, value)

    def matches(self, value: str) -> bool:
        """Say whether it matches the whole text. Raises LimitExceeded."""
        return self._within_limit(self._compiled.fullmatch, value)

    def _within_limit(self, match, value: str) -> bool:  # type: ignore[no-untyped-def]
        started = time.monotonic()
        try:
            found = match(value, timeout=max(self._left_s, 0.001), concurrent=True)
        except TimeoutError as error:
            raise LimitExceeded(
                f"the regular expression {self._text!r} takes longer than {SECONDS:g} second: simplify it"
            ) from error
        finally:
            self._left_s -= time.monotonic() - started
        return found is not None
