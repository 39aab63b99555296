"""Queries of histograms: sums of bucket counts, and percentiles of them."""

from __future__ import annotations

from collections.abc import Callable

from amondawa.aggregate.across_series import OnlyKinds
from amondawa.model.points import Kind
from amondawa.model.query import Stage
from amondawa.model.series import Series
from amondawa.protocols.opentsdb.data_query import CheckedSubQuery


def histogram_stages(
    sub: CheckedSubQuery, order: Callable[[Series], object], group: Callable[[Series], object] | None
) -> tuple[Stage, ...]:
    """Return the stages of a histogram query."""
    return (OnlyKinds((Kind.BLOB,)),)
