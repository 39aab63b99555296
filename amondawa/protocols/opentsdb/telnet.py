"""OpenTSDB's telnet dialect: put and the commands beside it. A good line is not answered, a bad one with one line of text.

Source: suite opentsdb/telnet.
"""

from __future__ import annotations

import functools
import logging
import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from amondawa.errors import AmondawaError, BadRequest
from amondawa.kernels.line_columns import ScanRules
from amondawa.model.points import Kind, WriteBatch
from amondawa.model.series import sorted_tags
from amondawa.protocols.base import LineSession, Scope
from amondawa.protocols.line_session import Session, endless_line
from amondawa.protocols.lines import Exit, LineCounters, LinePoint, LineReader, Taken, common_key
from amondawa.protocols.opentsdb import telnet_commands as commands
from amondawa.protocols.opentsdb.last import write_times_of
from amondawa.protocols.opentsdb.names import check_series
from amondawa.protocols.opentsdb.put_points import Refused
from amondawa.protocols.opentsdb.rollup_kind import refuse_kind, refuse_unconfigured, register_rollup
from amondawa.protocols.opentsdb.uid import Uids, uids_of
from amondawa.protocols.opentsdb.values import (
    SECONDS_BELOW,
    BadNumber,
    check_point,
    check_time,
    parse_time,
    parse_value,
    time_in_ms,
    value_bits,
)
from amondawa.protocols.write_queue import Budget

if TYPE_CHECKING:
    from amondawa.gateway import GatewayDoor

CHARSET = "iso-8859-1"

_log = logging.getLogger(__name__)


class OpenTsdbDialect:
    """See LineDialect.

    Args:
        scope: the door, the settings and the domain that the points go to.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._gateway = scope.gateway
        self._domain = scope.settings.default_domain
        self._max_tags = scope.settings.opentsdb_max_tags
        self._histograms = scope.settings.opentsdb_histograms
        self._uids: Uids | None = None
        self._drops = 0
        self._errors = commands.ErrorCounters()
        self._host = platform.node() or "localhost"
        self.counters = LineCounters()
        self.endless_bytes = scope.settings.line_limit_bytes
        self.rules = ScanRules(SECONDS_BELOW, False, self.endless_bytes)
        self._commands: dict[str, Callable[[list[str], bytes], Taken]] = {
            "put": self._put,
            "rollup": self._rollup,
            "histogram": self._histogram,
            "version": lambda words, line: commands.version_text().encode(),
            "help": lambda words, line: commands.HELP.encode(),
            "stats": self._stats,
            "dropcaches": self._drop_caches,
            "exit": lambda words, line: Exit(),
            "diediedie": lambda words, line: commands.NOT_ALLOWED.encode(),
        }

    async def open(self) -> None:
        """Read the ids of names, once."""
        if self._uids is None:
            self._uids = await uids_of(self._scope, self._domain)

    async def settle(self) -> None:
        """Make the ids of new names durable before their points; notice what other gateways did to names."""
        if self._uids is not None:
            await (await uids_of(self._scope, self._domain)).flush()

    @property
    def names_version(self) -> int:
        """Changes when a name was given to another id, and when a client drops the caches."""
        return self._drops + (0 if self._uids is None else self._uids.version)

    def too_long(self) -> Exit:
        """End the connection: what follows cannot be told from the rest of the line."""
        return Exit(endless_line(self.rules.longest))

    def refusal(self, error: AmondawaError) -> bytes:
        """Word an error of points that were read well but not stored."""
        if isinstance(error, BadRequest):
            self._errors.count(error)
            return f"put: illegal argument: {error.message}\n".encode()
        self._errors.hbase_errors += 1
        _log.error("telnet points were not stored: %s", error)
        return f"put: HBase error: {error}\n".encode()

    def take(self, line: bytes) -> Taken:
        """Decide about one line; see LineDialect."""
        words = line.decode(CHARSET).split(" ")
        command = self._commands.get(words[0])
        if command is None:
            self._errors.unknown += 1
            return commands.unknown_command(words[0]).encode()
        try:
            return command(words, line)
        except commands.Unread:
            self._errors.hbase_errors += 1
            return b""
        except commands.Refused as error:
            self._errors.hbase_errors += 1
            return f"{words[0]}: HBase error: {error.message}\n".encode()
        except BadRequest as error:
            self._errors.count(error)
            kind = "invalid value" if isinstance(error, BadNumber) else "illegal argument"
            return f"{words[0]}: {kind}: {error.message}\n".encode()

    def _put(self, words: list[str], line: bytes) -> LinePoint:
        """Read a put line, with the checks in the real server's order."""
        commands.need_words(words, 4, 4)
        commands.need_metric(words[1])
        time = parse_time(words[2])
        if not words[3]:
            raise BadRequest("empty value", field="value")
        tags = commands.parse_tags(words[4:])
        value = parse_value(words[3])
        check_point(words[1], time, value, tags)
        ref = self._resolve(words[1], tags)
        return LinePoint(ref, time_in_ms(time), *value_bits(value), key=common_key(line))

    def _histogram(self, words: list[str], line: bytes) -> LinePoint:
        read = commands.parse_histogram(words, self._histograms)
        limit = self._scope.settings.text_limit_bytes
        if len(read.blob) > limit:
            raise commands.Refused(f"histogram is larger than {limit} bytes")
        try:
            check_time(read.metric, read.time, read.blob, 0, read.tags)
            ref = self._resolve(read.metric, read.tags)
        except BadRequest as error:  # the original looks at names where it stores
            raise commands.Refused(error.message) from error
        return LinePoint(ref, time_in_ms(read.time), Kind.BLOB, 0, read.blob)

    def _resolve(self, metric: str, tags: dict[str, str]) -> int:
        check_series(metric, tags, self._max_tags)
        stored_metric, stored_tags = cast(Uids, self._uids).register(metric, sorted_tags(tags))
        return self._gateway.resolve(self._domain, stored_metric, stored_tags)

    def _rollup(self, words: list[str], line: bytes) -> LinePoint:
        """Read a rollup line; what may not be stored is refused as by HTTP."""
        read = commands.parse_rollup(words)
        uids = cast(Uids, self._uids)
        if not uids.rollups.intervals_ms:
            refuse_unconfigured(read.kind, read.metric, read.time, read.value, read.tags, self._max_tags)
        try:
            refuse_kind(uids.rollups, read.kind, read.time)
        except Refused as error:
            raise BadRequest(str(error)) from error
        check_point(read.metric, read.time, read.value, read.tags)
        check_series(read.metric, read.tags, self._max_tags)
        metric, tags = register_rollup(uids, read.kind, read.metric, sorted_tags(read.tags))
        ref = self._gateway.resolve(self._domain, metric, tags)
        return LinePoint(ref, time_in_ms(read.time), *value_bits(read.value))

    def _stats(self, words: list[str], line: bytes) -> bytes:
        gateway = self._gateway
        text = commands.stats_lines(self.counters, self._errors, gateway.statistics(), gateway.now_ms, self._host)
        return text.encode()

    def _drop_caches(self, words: list[str], line: bytes) -> bytes:
        self._drops += 1
        return commands.CACHES_DROPPED.encode()


class NotingDoor:
    """A gateway's door for lines: remembers when which series were written, for `/api/query/last`. See LineDoor."""

    def __init__(self, gateway: GatewayDoor) -> None:
        self._gateway = gateway
        self._write_times = write_times_of(gateway)

    async def write(self, batch: WriteBatch) -> None:
        """Write a batch and note its series once it is durable."""
        await self._gateway.write(batch)
        self._write_times.note(batch.refs, self._gateway.now_ms)

    @property
    def congested(self) -> bool:
        """See GatewayDoor."""
        return self._gateway.congested

    async def wait_until_clear(self) -> None:
        """See GatewayDoor."""
        await self._gateway.wait_until_clear()


@functools.lru_cache(maxsize=256)
def _shared(scope: Scope) -> tuple[LineReader, NotingDoor, Budget]:
    """Return what all connections of a scope share."""
    return LineReader(OpenTsdbDialect(scope)), NotingDoor(scope.gateway), Budget()


def session(scope: Scope) -> LineSession:
    """Return the session of a new connection; all of one scope share what they know of series."""
    reader, door, budget = _shared(scope)
    return Session(reader, door, budget)


def counters(scope: Scope) -> LineCounters:
    """Return what the telnet connections of a scope have seen since the start."""
    return _shared(scope)[0].counters
