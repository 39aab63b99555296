"""Where rollups are kept: beside their metric, under names that no client of this dialect can write.

The points of the sums by the hour of `cpu` are those of the metric `cpu:1h:sum`, with the same tags. Pre-aggregates (one
series in place of many, summed up by the client) are those of `cpu:_aggregate`, with the tag `_aggregate=SUM` added, as
OpenTSDB 2.4 adds it; their sums by the hour are `cpu:_aggregate:1h:sum`.
"""

from __future__ import annotations

from amondawa.protocols.opentsdb.times import parse_duration

SEPARATOR = ":"
"""may not stand in names of this dialect"""

GROUPED_TAG = "_aggregate"
"""tag of pre-aggregates: the function, in capitals"""

_GROUPED_SUFFIX = SEPARATOR + GROUPED_TAG

KIN = (("sum", "zimsum", "pfsum"), ("min", "mimmin"), ("max", "mimmax"))
"""functions that differ only in how they fill holes"""

COMPOSED = frozenset(name for names in KIN for name in names)
"""functions whose longer buckets follow from the shorter ones of the same function"""


class Rollups:
    """The intervals of rollups that are taken.

    Args:
        setting: intervals such as `1m,1h`; empty = none.

    Raises:
        TsdbError: an interval is none.
    """

    def __init__(self, setting: str) -> None:
        words = [word.strip() for word in setting.split(",") if word.strip()]
        lengths_ms = {word: parse_duration(word) for word in words}
        self.intervals_ms = dict(sorted(lengths_ms.items(), key=lambda item: -item[1]))
        """interval to length, the longest first"""

    def name(self, metric: str, interval: str, function: str) -> str:
        """Return the stored name of a rollup of a stored metric."""
        return SEPARATOR.join((metric, interval, function))

    def grouped_name(self, metric: str) -> str:
        """Return the stored name of a stored metric's pre-aggregates."""
        return metric + _GROUPED_SUFFIX

    def base(self, metric: str) -> str:
        """Return the stored metric that a stored name is a rollup or pre-aggregate of; the name itself when it is none."""
        if not self.intervals_ms or SEPARATOR not in metric:
            return metric
        parts = metric.rsplit(SEPARATOR, 2)
        if len(parts) == 3 and parts[1] in self.intervals_ms:
            metric = parts[0]
        return metric.removesuffix(_GROUPED_SUFFIX) or metric

    def is_rollup(self, metric: str) -> bool:
        """Say whether a stored name is that of a rollup."""
        return self.base(metric) != metric

    def serving(self, metric: str, function: str, step_ms: int) -> list[str]:
        """Return the stored names of the rollups that give buckets of a function, the longest interval first.

        A bucket must hold whole intervals; several of them only where the function can be composed.
        """
        if not step_ms:
            return []
        return [
            self.name(metric, interval, function)
            for interval, length_ms in self.intervals_ms.items()
            if function in COMPOSED and step_ms % length_ms == 0
        ]


def grouped_values(function: str) -> frozenset[str]:
    """Return the values of the tag of pre-aggregates that serve a group function."""
    kin = next((names for names in KIN if function in names), (function,))
    return frozenset(name.upper() for name in kin)
