"""Frames and clocks for tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amondawa.model.points import Kind, Points
from amondawa.model.result import Frame
from amondawa.model.series import Series

Value = int | float | str | None
Pairs = list[tuple[int, Value]]


@dataclass
class Clock:
    start_ms: int = 0
    end_ms: int = 2**62
    now_ms: int = 2**62
    checks: int = 0

    def check(self) -> None:
        self.checks += 1


def points_of(pairs: Pairs) -> Points:
    kinds, bits, texts = [], [], []
    for _, value in pairs:
        if isinstance(value, str):
            kinds.append(Kind.TEXT)
            bits.append(len(texts))
            texts.append(value.encode())
        elif value is None:
            kinds.append(Kind.NULL)
            bits.append(0)
        elif isinstance(value, float):
            kinds.append(Kind.DOUBLE)
            bits.append(int(np.array([value]).view(np.int64)[0]))
        else:
            kinds.append(Kind.LONG)
            bits.append(value)
    times = np.array([time for time, _ in pairs], np.int64)
    return Points(times, np.array(kinds, np.uint8), np.array(bits, np.int64), texts)


def pairs_of(points: Points) -> Pairs:
    return [(int(time), points.value_at(at)) for at, time in enumerate(points.times_ms)]  # type: ignore[misc]


def frame_of(*parts: Pairs, tags: dict[str, str] | None = None) -> Frame:
    members = tuple(Series.of("d", "m", {**(tags or {}), "n": str(at)}) for at in range(len(parts)))
    return Frame("m", members, tuple(points_of(part) for part in parts))


def series_frame(tags: dict[str, str], pairs: Pairs) -> Frame:
    return Frame("m", (Series.of("d", "m", tags),), (points_of(pairs),))
