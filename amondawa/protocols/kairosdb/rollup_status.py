"""What rollups/status says of a task: the original's fields, and beside them how far each roll-up has come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from amondawa.protocols.kairosdb.rollups import RollupQuery

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LAST_MS = 253_402_300_799_000
"""The last second of the year 9999; what is later is shown as this."""


def shown_time(time_ms: int) -> str:
    """Return a moment as the original writes it, UTC: its hours go from 00 to 11, noon and midnight are 00."""
    moment = _moment(time_ms)
    half = "AM" if moment.hour < 12 else "PM"
    day = f"{moment.day:02} {_MONTHS[moment.month - 1]} {moment.year:04}"
    return f"{day} {moment.hour % 12:02}:{moment.minute:02}:{moment.second:02} {half}"


def run_status(
    query: RollupQuery, started_ms: int, ended_ms: int, written: int, watermark_ms: int | None, problem: str | None
) -> dict[str, Any]:
    """Return what one run of one query did.

    Args:
        query: what was computed.
        started_ms: when the run began.
        ended_ms: when this query was done.
        written: how many points it wrote.
        watermark_ms: up to where its periods are computed; None = none is.
        problem: what failed, or None.
    """
    return {
        "metric_name": query.metric.name,
        "save_as": query.save_as,
        "last_executed": shown_time(started_ms),
        "data_point_count": written,
        "execution_length": ended_ms - started_ms,
        **({} if problem is None else {"error_message": problem}),
        "last_execution_time": started_ms,
        "watermark": None if watermark_ms is None else _moment(watermark_ms).isoformat(timespec="milliseconds"),
    }


def task_status(statuses: list[dict[str, Any]], host: str, next_run_ms: int, late_ranges: int) -> dict[str, Any]:
    """Return what is said of a task.

    Args:
        statuses: of its queries' last runs, see `run_status`.
        host: where they ran.
        next_run_ms: when the next run is due.
        late_ranges: how many ranges of late data wait for it.
    """
    return {
        "statuses": statuses,
        "executing_host": host,
        "next_scheduled": shown_time(next_run_ms),
        "late_ranges": late_ranges,
    }


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(min(time_ms, _LAST_MS) / 1000, UTC)
