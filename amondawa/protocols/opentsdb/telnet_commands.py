"""OpenTSDB's telnet commands other than put: their words, checks and answers.

Source: suites telnet and histogram_rollup (histogram_telnet).
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from amondawa.errors import BadRequest
from amondawa.protocols.lines import LineCounters
from amondawa.protocols.opentsdb.javamap import java_map_text
from amondawa.protocols.opentsdb.numbers_text import NotANumber, parse_double
from amondawa.protocols.opentsdb.values import BadNumber, parse_time, parse_value

HELP = "available commands: stats dropcaches version exit help put rollup histogram diediedie \n"
VERSION = (
    "net.opentsdb.tools 2.4.0 built at revision  (MINT)\n"
    "Built on 2018/12/16 00:00:00 +0000 by amondawa@localhost:/opentsdb\n"
)
CACHES_DROPPED = "Caches dropped.\n"
NOT_ALLOWED = "diediedie: not allowed\n"
NO_ROLLUPS = "No rollup or aggregations were configured"
NO_HISTOGRAMS = "Histogram storage has not been enabled. Check the 'tsd.core.histograms.config' configuration."
SIMPLE_DECODER = "SimpleHistogramDecoder"

_LONGS = struct.Struct(">ff")


class Refused(BadRequest):
    """A histogram that was understood as a line but cannot be stored."""


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


def refuse_rollup(words: list[str]) -> None:
    """Check a rollup line as the real server does and refuse it: no rollups can be configured.

    Raises:
        BadRequest: always; with the text of the first thing that is wrong.
    """
    need_words(words, 5, 7)
    if not words[1]:
        raise BadRequest("Missing interval or aggregator")
    need_metric(words[2])
    parse_time(words[3])
    if not words[4]:
        raise BadRequest("empty value", field="value")
    parse_tags(words[5:])
    parse_value(words[4])
    raise BadRequest(NO_ROLLUPS)


# histograms -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HistogramLine:
    """The words of a histogram line.

    Attributes:
        time: in seconds or milliseconds.
        tags: as parsed.
        decoder_id: which decoder reads `raw`.
        raw: the histogram's bytes behind the id, in that decoder's form.
    """

    metric: str
    time: int
    tags: dict[str, str]
    decoder_id: int
    raw: bytes


def histogram_decoders(setting: str) -> dict[int, str]:
    """Return the configured decoders by id, from `ID:DECODER` pairs separated by commas; a bare name gets id 0."""
    decoders = {}
    for entry in filter(None, (part.strip() for part in setting.split(","))):
        number, _, name = entry.rpartition(":")
        decoders[int(number or 0)] = name
    return decoders


def parse_histogram(words: list[str], decoders: Mapping[int, str]) -> HistogramLine:
    """Read a histogram line: `histogram METRIC TIME [ID BASE64 | BUCKETS] TAGS`.

    Raises:
        BadRequest: the line is wrong.
        Refused: only the histogram itself is.
    """
    if not decoders:
        raise BadRequest(NO_HISTOGRAMS)
    need_words(words, 4, 5)
    need_metric(words[1])
    time = parse_time(words[2])
    decoder_id = _decoder_id(words[3])
    text = words[3] if decoder_id is None else words[4]
    if not text:
        raise BadRequest("empty histogram value", field="value")
    tags = parse_tags(words[4 if decoder_id is None else 5 :])
    if decoder_id is not None:
        if decoder_id not in decoders:
            raise Refused(f"No codec found for the given id: {decoder_id}")
        return HistogramLine(words[1], time, tags, decoder_id, _decode_base64(text))
    simple = next((number for number, name in decoders.items() if name.endswith(SIMPLE_DECODER)), None)
    if simple is None:
        raise BadRequest(f"No codec found for the given type: {SIMPLE_DECODER}")
    return HistogramLine(words[1], time, tags, simple, encode_buckets(text))


def _decoder_id(word: str) -> int | None:
    digits = word[1:] if word[:1] in ("+", "-") else word
    if digits.isascii() and digits.isdigit() and len(digits) <= 10 and -(2**31) <= int(word) < 2**31:
        return int(word)
    return None


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(f"histogram value is no base64: {error}", value=text) from None


def encode_buckets(text: str) -> bytes:
    """Turn `LOW,HIGH=COUNT:…:u=COUNT:o=COUNT` into the bytes of OpenTSDB's simple histogram.

    They are: the number of buckets (2 bytes, big-endian); for each bucket, ascending, its bounds (two 4-byte floats) and
    its count; the underflow and the overflow. Counts have seven bits a byte, lowest first.

    Raises:
        Refused: with OpenTSDB's text.
    """
    buckets: dict[tuple[float, float], int] = {}
    outside = {"u": 0, "o": 0}
    for bucket in text.split(":"):
        bounds, *count = bucket.split("=")
        if len(count) != 1:
            raise Refused(f"Improperly formatted bucket: {bucket}", value=text)
        key = bounds.lower()
        if key in outside:
            outside[key] = _parse_count(count[0])
            continue
        ends = key.split(",")
        if len(ends) != 2:
            raise Refused(f"Improperly formatted bounds: {bucket}", value=text)
        buckets[(_parse_bound(ends[0]), _parse_bound(ends[1]))] = _parse_count(count[0])
    if len(buckets) > 0x7FFF:
        raise Refused(f"too many buckets: {len(buckets)}")
    out = bytearray(len(buckets).to_bytes(2, "big"))
    for (low, high), count_in in sorted(buckets.items()):
        out += _LONGS.pack(low, high) + _variable_bytes(count_in)
    return bytes(out + _variable_bytes(outside["u"]) + _variable_bytes(outside["o"]))


def _parse_count(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if digits.isascii() and digits.isdigit() and len(digits) <= 19 and -(2**63) <= int(text) < 2**63:
        return int(text)
    raise Refused(f'For input string: "{text}"', value=text)


def _parse_bound(text: str) -> float:
    try:
        bound = parse_double(text)
        _LONGS.pack(bound, bound)
    except NotANumber:
        raise Refused(f'For input string: "{text}"' if text.strip() else "empty String", value=text) from None
    except OverflowError:
        raise Refused(f"bound is past a 32-bit float: {text}", value=text) from None
    return bound


def _variable_bytes(number: int) -> bytes:
    """Encode 64 bits, seven a byte and lowest first; a ninth byte holds eight."""
    number &= 2**64 - 1
    out = bytearray()
    while number > 0x7F and len(out) < 8:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


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
    rows += [(f"tsd.gateway.{name}", value, "") for name, value in sorted(gateway.items())]
    return "".join(
        f"{name} {now_ms // 1000} {_number_text(value)} {tag}{' ' if tag else ''}host={host}\n"
        for name, value, tag in rows
    )


def _number_text(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
