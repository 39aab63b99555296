"""The way of a write body: in bulk when that is certain to be right, leniently when not."""

from __future__ import annotations

from amondawa.protocols.kairosdb.writes import ParsedWrite, parse_bulk
from amondawa.protocols.kairosdb.writes_lenient import parse_lenient


def parse_write(body: bytes) -> ParsedWrite:
    """Read a write body; never raises for its content."""
    parsed = parse_bulk(body)
    return parse_lenient(body) if parsed is None else parsed
