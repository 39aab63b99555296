"""Results as pandas DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from amondawa.client.requests import Stream

_EXACT = 2**53
"""up to here every long is a double, too"""


def frame_of(streams: Sequence[Stream]) -> pd.DataFrame:
    """Return results side by side.

    Returns:
        One column a result, called `name{tag=value,…}`; the index is the time in UTC, ascending. A result without a point at
        a time has NaN there. Longs are int64, or float64 next to NaN, or Int64 when that could not hold every digit.
    """
    columns = {}
    for number, stream in enumerate(streams):
        times = pd.to_datetime([time for time, _ in stream.values], unit="ms", utc=True)
        label = stream.label if stream.label not in columns else f"{stream.label} #{number}"
        columns[label] = _column([value for _, value in stream.values], times)
    if not columns:
        return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
    return pd.DataFrame(columns).sort_index()


def _column(values: list[Any], times: pd.DatetimeIndex) -> pd.Series:
    exact = all(isinstance(value, int) for value in values) and any(abs(value) > _EXACT for value in values)
    return pd.Series(values, index=times, dtype="Int64" if exact else None)


def numbers_of(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the numbers of each column that has any, by the column's name; the index is UTC without saying so."""
    found = {}
    for name in frame.columns:
        column = pd.to_numeric(frame[name], errors="coerce").dropna().astype("float64")
        if len(column):
            found[str(name)] = column.tz_localize(None)
    return found
