"""Results as pandas DataFrames."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from amondawa.client.requests import Stream


def frame_of(streams: Sequence[Stream]) -> pd.DataFrame:
    """Return results side by side.

    Returns:
        One column a result, called `name{tag=value,…}`; the index is the time in UTC, ascending. A result without a point at
        a time has NaN there.
    """
    columns = {}
    for number, stream in enumerate(streams):
        times = pd.to_datetime([time for time, _ in stream.values], unit="ms", utc=True)
        label = stream.label if stream.label not in columns else f"{stream.label} #{number}"
        columns[label] = pd.Series([value for _, value in stream.values], index=times)
    if not columns:
        return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
    return pd.DataFrame(columns).sort_index()
