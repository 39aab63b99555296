"""KairosDB's telnet dialect: put, putm, puts, version. Nothing else is ever answered, bad lines are dropped in silence;
but for a line without an end, which ends the connection.

Source: suite kairosdb/telnet.
"""

from __future__ import annotations

import functools
import logging
import math
import re
import struct

from amondawa.errors import AmondawaError, BadRequest
from amondawa.kernels.line_columns import ScanRules
from amondawa.model.points import Kind
from amondawa.model.series import sorted_tags
from amondawa.protocols.base import LineSession, Scope
from amondawa.protocols.kairosdb.java_numbers import DOUBLE, double_of
from amondawa.protocols.kairosdb.version import VERSION
from amondawa.protocols.line_session import Session
from amondawa.protocols.lines import Exit, LineCounters, LinePoint, LineReader, Taken, common_key
from amondawa.protocols.write_queue import Budget

VERSION_LINE = f"{VERSION}\n".encode()
LINE_BYTES = 1024
SECONDS_BELOW = 3_000_000_000
TTL_TAG = "kairos_opt.ttl"
CHARSET = "iso-8859-1"

_WORD = re.compile(r"[^\x00-\x20]+")
_QUOTE_END = re.compile(r'"[\x00-\x20]')
_LONG = re.compile(r"-?[0-9]{1,4000}")
_INT = re.compile(r"[+-]?[0-9]{1,4000}")

_log = logging.getLogger(__name__)


class BadLine(Exception):
    """A line that is dropped; the text says why."""


class KairosDialect:
    """See LineDialect.

    Args:
        scope: the door, the settings and the domain that the points go to.
    """

    rules = ScanRules(seconds_below=SECONDS_BELOW, exponent_needs_point=True, longest=LINE_BYTES)
    names_version = 0

    def __init__(self, scope: Scope) -> None:
        self._gateway = scope.gateway
        self._domain = scope.settings.default_domain
        self.endless_bytes = scope.settings.line_limit_bytes
        self.counters = LineCounters()

    async def open(self) -> None:
        """Make ready; there is nothing to do."""

    async def settle(self) -> None:
        """Make series durable; the gateway does it with their points."""

    def too_long(self) -> None:
        """Drop a line that is too long."""
        return

    def refusal(self, error: AmondawaError) -> bytes:
        """Say nothing of refused points, as the real server does; the log tells the operator."""
        _log.warning("telnet points refused: %s", error)
        return b""

    def take(self, line: bytes) -> Taken:
        """Decide about one line; see LineDialect."""
        words = split_words(line.decode(CHARSET))
        command = words[0] if words else ""
        if command == "version":
            return VERSION_LINE
        if command == "exit":
            return Exit()
        if command not in ("put", "putm", "puts"):
            _log.debug("unknown telnet command %r", command[:64])
            return b""
        try:
            point = self._point(words)
        except (BadLine, BadRequest) as error:
            _log.debug("telnet line dropped: %s", error)
            return b""
        if command == "put" and not point.expires_ms:
            return point._replace(key=common_key(line))
        return point

    def _point(self, words: list[str]) -> LinePoint:
        """Read the words of a put, putm or puts.

        Raises:
            BadLine: the line must be dropped.
        """
        if len(words) < 4:
            raise BadLine("too few words")
        command, metric, time, value = words[:4]
        time_ms = parse_long(time)
        if command == "put" and time_ms < SECONDS_BELOW:
            time_ms *= 1000
        if not metric or not -(2**63) <= time_ms < 2**63:
            raise BadLine("no metric name, or a time past 64 bits")
        text = value.encode() if command == "puts" else b""
        kind, bits = (Kind.TEXT, 0) if command == "puts" else parse_value(value)
        tags, ttl_s = parse_tags(words[4:])
        ref = self._gateway.resolve(self._domain, metric, sorted_tags(tags or {"add": "tag"}))
        expires_ms = self._gateway.now_ms + ttl_s * 1000 if ttl_s > 0 else 0
        return LinePoint(ref, time_ms, kind, bits, text, expires_ms)


def split_words(line: str) -> list[str]:
    """Split at blanks and control characters; a word that begins with a quote goes on to a quote with a blank behind it."""
    if '"' not in line:
        return _WORD.findall(line)
    words = []
    at = 0
    while found := _WORD.search(line, at):
        if line[found.start()] != '"':
            words.append(found[0])
            at = found.end()
            continue
        start = found.start() + 1
        closed = _QUOTE_END.search(line, start - 1)
        end = closed.start() if closed else len(line) - line.endswith('"')
        at = closed.end() if closed else len(line)
        if start <= end:
            words.append(line[start:end])
    return words


def parse_long(text: str) -> int:
    """Read a 64-bit integer: a minus sign at most, then digits.

    Raises:
        BadLine: it is anything else.
    """
    if _LONG.fullmatch(text):
        number = int(text)
        if -(2**63) <= number < 2**63:
            return number
    raise BadLine(f"no integer: {text[:32]!r}")


def parse_value(text: str) -> tuple[Kind, int]:
    """Read a value: a double when it has a point, else an integer.

    Raises:
        BadLine: it is neither, or not finite: such a point could never be read again.
    """
    if "." not in text:
        return Kind.LONG, parse_long(text)
    if not DOUBLE.fullmatch(text) or not math.isfinite(number := double_of(text)):
        raise BadLine(f"no number: {text[:32]!r}")
    return Kind.DOUBLE, struct.unpack("<q", struct.pack("<d", number))[0]


def parse_tags(words: list[str]) -> tuple[dict[str, str], int]:
    """Read tags and the time to live in seconds (0 = none given); of more than one `=` the rest is lost.

    Raises:
        BadLine: a tag lacks its name or value, comes twice, or the time to live is no integer.
    """
    tags: dict[str, str] = {}
    ttl_s = 0
    for word in words:
        parts = word.split("=")
        if len(parts) < 2 or not parts[0] or not parts[1]:
            raise BadLine(f"no tag: {word[:64]!r}")
        if parts[0] == TTL_TAG:
            ttl_s = _parse_ttl(parts[1])
        elif parts[0] in tags:
            raise BadLine(f"tag {parts[0][:64]!r} comes twice")
        else:
            tags[parts[0]] = parts[1]
    return tags, ttl_s


def _parse_ttl(text: str) -> int:
    if _INT.fullmatch(text) and -(2**31) <= int(text) < 2**31:
        return int(text)
    raise BadLine("the time to live is no number")


@functools.lru_cache(maxsize=256)
def _shared(scope: Scope) -> tuple[LineReader, Budget]:
    """Return what all connections of a scope share."""
    return LineReader(KairosDialect(scope)), Budget()


def session(scope: Scope) -> LineSession:
    """Return the session of a new connection; all of one scope share what they know of series."""
    reader, budget = _shared(scope)
    return Session(reader, scope.gateway, budget)


def counters(scope: Scope) -> LineCounters:
    """Return what the telnet connections of a scope have seen since the start."""
    return _shared(scope)[0].counters
