"""Fast reading of JSON points: the compiled reader when it can be had; there is no twin, the dialect has its own way.

numba is imported at first use only, in a thread of its own.
"""

from __future__ import annotations

from typing import Protocol, cast

from amondawa.kernels.line_columns import ScanRules
from amondawa.kernels.lines import Loader
from amondawa.model.points import Int32s, Int64s, UInt8s

POINT_LOADER = Loader("amondawa.kernels.points_compiled")


class Scanned(Protocol):
    """Columns of n points, in order; see points_compiled.ScannedPoints."""

    @property
    def refs(self) -> Int32s:
        """int32[n]; -1 where the table does not hold the series."""

    @property
    def times_ms(self) -> Int64s:
        """int64[n]."""

    @property
    def kinds(self) -> UInt8s:
        """uint8[n]; 255 where the dialect must read the number itself."""

    @property
    def bits(self) -> Int64s:
        """int64[n], as in a WriteBatch."""

    @property
    def offsets(self) -> Int64s:
        """int64[n, 6]: where metric (without quotes), tags and value begin and end in the body."""


class PointTable(Protocol):
    """A fast reader with the series that it knows by the raw bytes of metric and tags."""

    def scan_points(self, body: bytes) -> Scanned | None:
        """Read a whole body; None when it is unusual."""

    def add(self, metric: bytes, tags: bytes, ref: int) -> None:
        """Learn a series."""

    def clear(self) -> None:
        """Forget all series."""


def point_table(seconds_below: int, loader: Loader = POINT_LOADER) -> PointTable | None:
    """Return a new table; None as long as, or because, the compiled reader is not there."""
    if loader.maker is None:
        return None
    rules = ScanRules(seconds_below, exponent_needs_point=False, longest=0)
    return cast(PointTable, loader.maker(rules))
