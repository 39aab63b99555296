"""The figures of `show_stats` and `show_summary`, under the original's names.

What has no counterpart here (HBase, salt, compaction, ids looked up while scanning) is 0. Times are in ms. Source: suite
query_basic (show_stats, show_summary).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amondawa.model.result import Result


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures about one sub query.

    Attributes:
        index: its place among the sub queries.
        metric: what was read.
        histogram: whether histograms were.
        points, rows: how many points and series were found.
        scan_ms: how long reading and computing took.
    """

    index: int = 0
    metric: str = ""
    histogram: bool = False
    points: int = 0
    rows: int = 0
    scan_ms: float = 0.0

    @classmethod
    def of(cls, index: int, metric: str, histogram: bool, results: Sequence[Result]) -> Figures:
        """Add up the figures of a sub query's reads."""
        points = sum(result.sample_size for result in results)
        rows = sum(result.series_count for result in results)
        return cls(index, metric, histogram, points, rows, sum(result.elapsed_ms for result in results))

    def counts(self) -> dict[str, Any]:
        """Return what was found, before and after filters."""
        counts = {"dps": self.points, "rows": self.rows}
        found = {f"{name}{where}Filter": count for name, count in counts.items() for where in ("Post", "Pre")}
        return found | {"successfulScan": 1, "uidPairsResolved": 0}

    def _grouping(self) -> dict[str, Any]:
        return {} if self.histogram else {"groupByTime": 0.0}

    def result(self, emitted: int) -> dict[str, Any]:
        """Return the figures that stand beside a result of so many points."""
        return _ordered(
            {
                **_emission(emitted),
                **self._grouping(),
                "queryIndex": self.index,
                "queryScanTime": self.scan_ms,
                "saltScannerMergeTime": 0.0,
            }
        )

    def whole(self, emitted: int | None) -> dict[str, Any]:
        """Return the figures that the summary shows; of what was put out none when there was no result."""
        scanner = {
            **self.counts(),
            "compactionTime": 0.0,
            "hbaseTime": 0.0,
            "scannerId": f"Scanner({self.metric})",
            "scannerTime": self.scan_ms,
            "scannerUidToStringTime": 0.0,
        }
        return _ordered(
            {
                **({} if emitted is None else _emission(emitted)),
                **self.counts(),
                **self._grouping(),
                "avgHBaseTime": 0.0,
                "avgScannerTime": self.scan_ms,
                "avgScannerUidToStringTime": 0.0,
                "maxHBaseTime": 0.0,
                "maxScannerUidtoStringTime": 0.0,
                "queryIndex": self.index,
                "queryScanTime": self.scan_ms,
                "saltScannerMergeTime": 0.0,
                "scannerStats": {"scannerIdx_00": _ordered(scanner)},
            }
        )


def summary(figures: Sequence[Figures], emitted: Iterable[tuple[int, int]]) -> dict[str, Any]:
    """Return the figures of a whole query.

    Args:
        figures: those of its sub queries.
        emitted: of each result the index of the sub query and the number of points.
    """
    by_query: dict[int, int] = {}
    for index, count in emitted:
        by_query[index] = by_query.get(index, 0) + count
    scans_ms = [one.scan_ms for one in figures] or [0.0]
    longest_ms, mean_ms = max(scans_ms), sum(scans_ms) / len(scans_ms)
    totals: dict[str, Any] = {}
    for one in figures:
        for name, count in one.counts().items():
            totals[name] = totals.get(name, 0) + count
    if by_query:
        output = ("avgAggregationTime", "avgSerializationTime", "maxAggregationTime", "maxSerializationTime")
        totals |= {**dict.fromkeys((*output, "maxUidToStringTime"), 0.0), "emittedDPs": sum(by_query.values())}
    totals |= {
        **dict.fromkeys(
            ("avgHBaseTime", "avgScannerUidToStringTime", "maxHBaseTime", "maxScannerUidtoStringTime"), 0.0
        ),
        "avgQueryScanTime": mean_ms,
        "avgScannerTime": mean_ms,
        "maxQueryScanTime": longest_ms,
        "processingPreWriteTime": sum(scans_ms),
        **{f"queryIdx_{one.index:02d}": one.whole(by_query.get(one.index)) for one in figures},
    }
    return _ordered(totals)


def _emission(emitted: int) -> dict[str, Any]:
    return {"aggregationTime": 0.0, "emittedDPs": emitted, "serializationTime": 0.0, "uidToStringTime": 0.0}


def _ordered(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figures[name] for name in sorted(figures)}
