"""What a request that brought points is answered: nothing, counts, or counts with the error of each refused point.

Source: suite put_http (single_ok_*, plain_error_status, summary_partial, details_partial_order).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amondawa.protocols.opentsdb.calls import JSON_TYPE, Answer, Params
from amondawa.protocols.opentsdb.errors import TsdbError

STORED = Answer(status=204, headers={"Content-Type": JSON_TYPE})
HAD_ERRORS = "One or more data points had errors"
SEE_DETAILS = 'Please see the TSD logs or append "details" to the put request'


@dataclass(frozen=True, slots=True)
class Flags:
    """What the query string asks of the answer; presence counts, not the value.

    Attributes:
        summary, details: whether counts, and errors, are wanted.
        timeouts: whether the count of timeouts is part of the counts.
    """

    summary: bool
    details: bool
    timeouts: bool

    @classmethod
    def of(cls, params: Params) -> Flags:
        """Read the flags.

        Raises:
            TsdbError: 500, `sync_timeout` is no number (as in the original).
        """
        text = params.get("sync_timeout")
        try:
            timeout = int(text) if text is not None else 0
        except ValueError as error:
            raise TsdbError(f'For input string: "{text}"', 500) from error
        details = "details" in params
        return cls(details or "summary" in params, details, timeout > 0)


def refusal(echo: dict[str, Any] | None, error: str) -> dict[str, Any]:
    """Return the entry of one refused point."""
    return {"datapoint": echo, "error": error}


def report(flags: Flags, stored: int, refused: list[dict[str, Any]]) -> Answer:
    """Answer a request: `stored` points are kept, one entry for each that is not, in their order.

    Raises:
        TsdbError: 400, points were refused and the client asked for no counts.
    """
    if not flags.summary:
        if refused:
            raise TsdbError(HAD_ERRORS, 400, SEE_DETAILS)
        return STORED
    counts: dict[str, Any] = {"success": stored}
    if flags.timeouts:
        counts["timeouts"] = 0
    counts["failed"] = len(refused)
    if flags.details:
        counts["errors"] = refused
    return Answer.json(counts, 400 if refused else 200)
