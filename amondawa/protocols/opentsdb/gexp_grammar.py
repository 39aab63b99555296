"""The grammar of the graphite-like expressions of /api/query/gexp.

    expression = name "(" parameter {"," parameter} ")"
    parameter  = expression | metric | word
    metric     = agg ":" [word ":"] [word ":"] word ["{" tag "=" value {"," tag "=" value} "}"]

Source: suite query_gexp.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from amondawa.protocols.opentsdb.errors import TsdbError

INTERNAL = 500
MAX_DEPTH = 64

SHOWN_NAMES: Mapping[str, str] = {
    **{name: name for name in ("alias", "scale", "absolute", "movingAverage", "highestCurrent", "highestMax")},
    **dict.fromkeys(("shift", "timeShift"), "timeshift"),
    **dict.fromkeys(("sumSeries", "sum"), "sumSeries"),
    **dict.fromkeys(("diffSeries", "difference"), "diffSeries"),
    **dict.fromkeys(("multiplySeries", "multiply"), "multiplySeries"),
    **dict.fromkeys(("divideSeries", "divide"), "divideSeries"),
}
"""functions by the names that expressions use, and what errors call them"""

_WORD = re.compile(r"\s*(\*|[A-Za-z0-9\-_#/$@|.'\[\]]+)")
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class MetricNode:
    """A metric in an expression, as an `m` parameter spells it."""

    text: str

    @property
    def name(self) -> str:
        """The metric alone."""
        return self.text.partition("{")[0].rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class CallNode:
    """A function with its parameters.

    Attributes:
        function: its name.
        series: metrics and calls, in order.
        words: the other parameters, in order.
        leading: number of series that stand before the first word.
    """

    function: str
    series: tuple[MetricNode | CallNode, ...]
    words: tuple[str, ...]
    leading: int

    def metrics(self) -> list[str]:
        """Return the metrics in it, in order."""
        return [text for one in self.series for text in ([one.text] if isinstance(one, MetricNode) else one.metrics())]

    def shown(self) -> str:
        """Return it as errors show it: calls before metrics; of the words only those of an alias."""
        inner = [one.shown() for one in self.series if isinstance(one, CallNode)]
        names = [one.name for one in self.series if isinstance(one, MetricNode)]
        words = self.words if self.function == "alias" else ()
        return f"{SHOWN_NAMES[self.function]}({','.join((*inner, *names, *words))})"


class _NoParse(Exception):
    """The text does not follow the grammar."""


def parse_gexp(text: str) -> CallNode:
    """Parse one `exp` parameter; what follows the last parenthesis is passed over.

    Raises:
        TsdbError: 500 for a text or function it does not know, as the original answers.
    """
    try:
        return _Reader(text).call(0)
    except _NoParse as error:
        raise TsdbError(f"Failed to parse {text}", INTERNAL) from error


class _Reader:
    """A recursive descent over one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def call(self, depth: int) -> CallNode:
        """Read a function with its parameters."""
        if depth > MAX_DEPTH:
            raise _NoParse
        function = self._word()
        if function not in SHOWN_NAMES:
            raise TsdbError(f"Function {function} has not been implemented", INTERNAL)
        self._expect("(")
        read = [self._parameter(depth)]
        while self._take(","):
            read.append(self._parameter(depth))
        self._expect(")")
        series = tuple(one for one in read if not isinstance(one, str))
        words = tuple(one for one in read if isinstance(one, str))
        leading = next((at for at, one in enumerate(read) if isinstance(one, str)), len(read))
        return CallNode(function, series, words, leading)

    def _parameter(self, depth: int) -> MetricNode | CallNode | str:
        start = self._at
        word = self._word()
        following = self._peek()
        if following == "(":
            self._at = start
            return self.call(depth + 1)
        return MetricNode(self._metric(word)) if following == ":" else word

    def _metric(self, aggregator: str) -> str:
        """Read on to the end of a metric; return it without blanks."""
        words = [aggregator]
        while len(words) < 4 and self._take(":"):
            words.append(self._word())
        return ":".join(words) + (self._tags() if self._take("{") else "")

    def _tags(self) -> str:
        pairs = []
        while True:
            name = self._word()
            self._expect("=")
            pairs.append(f"{name}={self._word()}")
            if not self._take(","):
                break
        self._expect("}")
        return "{" + ",".join(pairs) + "}"

    def _word(self) -> str:
        match = _WORD.match(self._text, self._at)
        if match is None:
            raise _NoParse
        self._at = match.end()
        return match[1]

    def _peek(self) -> str:
        blank = _SPACE.match(self._text, self._at)
        self._at = self._at if blank is None else blank.end()
        return self._text[self._at : self._at + 1]

    def _take(self, sign: str) -> bool:
        found = self._peek() == sign
        self._at += found
        return found

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise _NoParse
