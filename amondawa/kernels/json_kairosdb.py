"""Fast reading of KairosDB's write bodies: the compiled reader when it can be had; the dialect has its own way otherwise.

numba is imported at first use only, in a thread of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, cast

import numpy as np
import numpy.typing as npt

from amondawa.kernels.line_columns import ScanRules
from amondawa.kernels.lines import Loader
from amondawa.model.points import Int32s, Int64s, UInt8s

METRIC_LOADER = Loader("amondawa.kernels.json_kairosdb_compiled")
INEXACT: Final = 255
"""the kind of a double that the dialect must read itself"""
PLACE_BITS: Final = 10
"""the bits of an INEXACT double: its offset in the body, shifted left by so many bits, plus its length"""


@dataclass(frozen=True, slots=True, eq=False)
class ScannedMetrics:
    """Columns of a body's s series and n points, in order.

    Attributes:
        refs: int32[s]; -1 where the table does not hold the series.
        series: int64[s, 6]: where the name (without quotes) and the tags begin and end in the body, the number of points,
            the time to live in seconds (0 = for ever).
        hashes: uint64[s, 2], of domain, name and tags.
        times_ms, kinds, bits: int64[n], uint8[n], int64[n], as in a WriteBatch, but see INEXACT.
        complete, exact, expiring: whether all series are known, whether no number is INEXACT, whether any has a time to live.
    """

    refs: Int32s
    series: Int64s
    hashes: npt.NDArray[np.uint64]
    times_ms: Int64s
    kinds: UInt8s
    bits: Int64s
    complete: bool
    exact: bool
    expiring: bool


class MetricTable(Protocol):
    """A fast reader with the series that it knows by domain and the raw bytes of name and tags."""

    def scan_metrics(self, body: bytes, domain: bytes) -> ScannedMetrics | None:
        """Read a whole body; None when it is unusual. May run in any thread while another one learns."""

    def learn(self, scanned: ScannedMetrics, rows: Int64s) -> None:
        """Remember the series of some rows by their refs; only ever called by one thread at a time."""


def metric_table(loader: Loader = METRIC_LOADER) -> MetricTable | None:
    """Return a new table; None as long as, or because, the compiled reader is not there."""
    if loader.maker is None:
        return None
    return cast(MetricTable, loader.maker(ScanRules(0, exponent_needs_point=True, longest=0)))
