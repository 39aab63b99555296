"""OpenTSDB's telnet commands other than put: their words, checks and answers.

Source: suites telnet and histogram_rollup (histogram_telnet).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from amondawa.errors import BadRequest
from amondawa.protocols.lines import LineCounters
from amondawa.protocols.opentsdb.config import version_fields
from amondawa.protocols.opentsdb.histogram import simple_histogram
from amondawa.protocols.opentsdb.histogram_blob import blob_of_base64, encode_histogram, simple_codec
from amondawa.protocols.opentsdb.javamap import java_map_text
from amondawa.protocols.opentsdb.numbers_text import NotANumber
from amondawa.protocols.opentsdb.rollup_kind import RollupKind
from amondawa.protocols.opentsdb.values import BadNumber, parse_time, parse_value

HELP = "available commands: stats dropcaches version exit help put rollup histogram diediedie \n"
CACHES_DROPPED = "Caches dropped.\n"
NOT_ALLOWED = "diediedie: not allowed\n"
NO_HISTOGRAMS = "Histogram storage has not been enabled. Check the 'tsd.core.histograms.config' configuration."

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")


class Refused(BadRequest):
    """A histogram that was understood as a line but cannot be stored."""


class Unread(Refused):
    """A histogram whose buckets cannot be read: it is dropped without an answer, as in the original."""


def version_text() -> str:
    """Return the two lines of `version`."""
    fields = version_fields()
    built = f"net.opentsdb.tools {fields['version']} built at revision {fields['short_revision']} (MINT)"
    return f"{built}\nBuilt on 1970/01/01 00:00:00 +0000 by {fields['user']}@{fields['host']}\n"


def unknown_command(word: str) -> str:
    """Return what an unknown command is told."""
    return f"unknown command: {word}.  Try `help'.\n"


def parse_tags(words: list[str]) -> dict[str, str]:
    """Read tags; empty words are skipped, the same pair may come twice.

    Raises:
        BadRequest: with OpenTSDB's text.
    """
    tags: dict[str, str] = {}
    for word in words:
        if not word:
            continue
        parts = word.split("=")
        if len(parts) != 2 or not parts[0] or not parts[1]:
            raise BadRequest(f"invalid tag: {word}", field="tags", value=word)
        name, value = parts
        if tags.setdefault(name, value) != value:
            raise BadRequest(f"duplicate tag: {word}, tags={java_map_text(tags)}", field="tags", value=word)
    return tags


def need_words(words: list[str], least: int, named: int) -> None:
    """Check the number of words behind the command; the text names `named` whatever is really needed.

    Raises:
        BadRequest: there are fewer than `least`.
    """
    if len(words) - 1 < least:
        raise BadRequest(f"not enough arguments (need least {named}, got {len(words) - 1})")


def need_metric(name: str) -> None:
    """Check that a metric name is there.

    Raises:
        BadRequest: it is empty.
    """
    if not name:
        raise BadRequest("empty metric name", field="metric")


@dataclass(frozen=True, slots=True)
class RollupLine:
    """The words of a rollup line.

    Attributes:
        time: in seconds or milliseconds.
        value, tags: as parsed.
    """

    kind: RollupKind
    metric: str
    time: int
    value: int | float
    tags: dict[str, str]


def parse_rollup(words: list[str]) -> RollupLine:
    """Read a rollup line, `rollup INTERVAL-FUNCTION[:FUNCTION] METRIC TIME VALUE TAGS`, with the real server's checks.

    Raises:
        BadRequest: with the text of the first thing that is wrong.
    """
    need_words(words, 5, 7)
    if not words[1]:
        raise BadRequest("Missing interval or aggregator")
    need_metric(words[2])
    time = parse_time(words[3])
    if not words[4]:
        raise BadRequest("empty value", field="value")
    tags = parse_tags(words[5:])
    return RollupLine(RollupKind.of_word(words[1]), words[2], time, parse_value(words[4]), tags)


# histograms -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HistogramLine:
    """The words of a histogram line.

    Attributes:
        time: in seconds or milliseconds.
        tags: as parsed.
        blob: the histogram as it is stored.
    """

    metric: str
    time: int
    tags: dict[str, str]
    blob: bytes


def parse_histogram(words: list[str], setting: str) -> HistogramLine:
    """Read a histogram line: `histogram METRIC TIME [ID BASE64 | BUCKETS] TAGS`.

    Args:
        words: of the line.
        setting: the configured decoders, see `Settings.opentsdb_histograms`.

    Raises:
        BadRequest: the line is wrong.
        Refused: only the histogram itself is.
        Unread: its buckets are.
    """
    codec = simple_codec(setting)
    if codec is None:
        raise BadRequest(NO_HISTOGRAMS)
    need_words(words, 4, 5)
    need_metric(words[1])
    time = parse_time(words[2])
    given_codec = _codec_id(words[3])
    text = words[3] if given_codec is None else words[4]
    if not text:
        raise BadRequest("empty histogram value", field="value")
    tags = parse_tags(words[4 if given_codec is None else 5 :])
    if given_codec is None:
        blob = encode_buckets(text, codec)
    elif given_codec == codec:
        blob = _decode_base64(text, codec)
    else:
        raise Refused(f"No codec found mapped to ID {given_codec}")
    return HistogramLine(words[1], time, tags, blob)


def _codec_id(word: str) -> int | None:
    """Return a decoder's id, or None when the word is a histogram itself."""
    return int(word) if _INTEGER.fullmatch(word) and -(2**31) <= int(word) < 2**31 else None


def _decode_base64(text: str, codec: int) -> bytes:
    try:
        return blob_of_base64(text, codec)
    except BadRequest as error:
        raise Refused(error.message, value=text) from None


def encode_buckets(text: str, codec: int) -> bytes:
    """Turn `LOW,HIGH=COUNT:…:u=COUNT:o=COUNT` into a histogram's stored form.

    Raises:
        Unread: it has another form.
    """
    buckets: dict[str, int] = {}
    outside = {"u": 0, "o": 0}
    for bucket in text.split(":"):
        bounds, *count = bucket.split("=")
        if len(count) != 1:
            raise Unread(f"Improperly formatted bucket: {bucket}", value=text)
        bounds = bounds.lower()
        if bounds in outside:
            outside[bounds] = _parse_count(count[0])
        elif bounds.count(",") == 1:
            buckets[bounds] = _parse_count(count[0])
        else:
            raise Unread(f"Improperly formatted bounds: {bucket}", value=text)
    try:
        return encode_histogram(simple_histogram(buckets, outside["u"], outside["o"]), codec)
    except NotANumber as error:
        raise Unread(f'For input string: "{error}"' if str(error) else "empty String", value=text) from None


def _parse_count(text: str) -> int:
    if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63:
        return int(text)
    raise Unread(f'For input string: "{text}"', value=text)


# statistics -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ErrorCounters:
    """Lines refused, by the words of the real server's statistics."""

    invalid_values: int = 0
    illegal_arguments: int = 0
    hbase_errors: int = 0
    unknown: int = 0

    def count(self, error: BadRequest) -> None:
        """Count a refused line."""
        if isinstance(error, BadNumber):
            self.invalid_values += 1
        else:
            self.illegal_arguments += 1


def stats_lines(
    lines: LineCounters, errors: ErrorCounters, gateway: Mapping[str, float], now_ms: int, host: str
) -> str:
    """Return statistics as lines of `name time value tag=value …`, time in seconds."""
    rows: list[tuple[str, float, str]] = [
        ("tsd.connectionmgr.connections", lines.connections, "type=total"),
        ("tsd.rpc.received", lines.lines, "type=telnet"),
        ("tsd.rpc.received", lines.points, "type=put"),
        ("tsd.rpc.exceptions", 0, ""),
        ("tsd.rpc.errors", errors.hbase_errors, "type=hbase_errors"),
        ("tsd.rpc.errors", errors.invalid_values, "type=invalid_values"),
        ("tsd.rpc.errors", errors.illegal_arguments, "type=illegal_arguments"),
        ("tsd.rpc.errors", errors.unknown, "type=unknown_commands"),
        ("tsd.uid.cache-hit", lines.known, "kind=metrics"),
        ("tsd.uid.cache-miss", lines.points - lines.known, "kind=metrics"),
        ("tsd.datapoints.added", lines.points, "type=all"),
    ]
    rows += [(f"tsd.{name}", value, "") for name, value in sorted(gateway.items())]
    return "".join(
        f"{name} {now_ms // 1000} {_number_text(value)} {tag}{' ' if tag else ''}host={host}\n"
        for name, value, tag in rows
    )


def _number_text(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
