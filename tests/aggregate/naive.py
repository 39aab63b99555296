"""The range rules and the stages once more, point by point, in plain Python with datetime: what the fast ones must equal."""

from __future__ import annotations

import math
import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

Pairs = list[tuple[int, Any]]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIXED = {"MILLISECONDS": 1, "SECONDS": 1_000, "MINUTES": 60_000, "HOURS": 3_600_000}
MS = timedelta(milliseconds=1)


# calendar -------------------------------------------------------------------------------------------------------------


def local(time_ms: int, zone: str) -> datetime:
    """What clocks show, without a zone."""
    return (EPOCH + time_ms * MS).astimezone(zoneinfo.ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def offset(time_ms: int, zone: str) -> timedelta:
    found = (EPOCH + time_ms * MS).astimezone(zoneinfo.ZoneInfo(zone)).utcoffset()
    assert found is not None
    return found


def moment(shown: datetime, zone: str, like: timedelta) -> int:
    """The moment of a local time: with the offset `like` where that is possible, else by datetime's rule of fold 0."""
    kept = (shown.replace(tzinfo=UTC) - like - EPOCH) // MS
    if offset(kept, zone) == like:
        return kept
    return (shown.replace(tzinfo=zoneinfo.ZoneInfo(zone)).astimezone(UTC) - EPOCH) // MS


def add_months(shown: datetime, months: int) -> datetime:
    year, month = divmod(shown.year * 12 + shown.month - 1 + months, 12)
    day = shown.day
    while True:
        try:
            return shown.replace(year=year, month=month + 1, day=day)
        except ValueError:
            day -= 1


def edge(origin_ms: int, count: int, unit: str, zone: str) -> int:
    """The moment `count` units after the origin."""
    if unit in FIXED:
        return origin_ms + count * FIXED[unit]
    shown = local(origin_ms, zone)
    if unit in ("DAYS", "WEEKS"):
        moved = shown + timedelta(days=count * (7 if unit == "WEEKS" else 1))
    else:
        moved = add_months(shown, count * (12 if unit == "YEARS" else 1))
    return moment(moved, zone, offset(origin_ms, zone))


def aligned(start_ms: int, unit: str, zone: str) -> int:
    if unit == "MILLISECONDS":
        return start_ms - start_ms % 1000
    shown = local(start_ms, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "WEEKS":
        shown -= timedelta(days=shown.weekday())
    elif unit == "MONTHS":
        shown = shown.replace(day=1)
    elif unit == "YEARS":
        shown = shown.replace(day=1, month=1)
    return moment(shown, zone, offset(start_ms, zone))


def bucket_number(time_ms: int, origin_ms: int, value: int, unit: str, zone: str) -> int:
    """Whole steps between origin and time, cut towards zero."""
    if unit in FIXED:
        return math.trunc((time_ms - origin_ms) / (value * FIXED[unit]))
    number = 0
    if time_ms >= origin_ms:
        while edge(origin_ms, (number + 1) * value, unit, zone) <= time_ms:
            number += 1
    else:
        while edge(origin_ms, (number - 1) * value, unit, zone) >= time_ms:
            number -= 1
    return number


# range aggregators ----------------------------------------------------------------------------------------------------

Reduce = Callable[[int, Pairs, bool], Pairs]


def ranges(
    points: Pairs,
    reduce: Reduce,
    start_ms: int,
    value: int,
    unit: str,
    zone: str = "UTC",
    align_sampling: bool = True,
    align_start_time: bool = False,
    align_end_time: bool = False,
) -> Pairs:
    """Walk the stream: a point opens its bucket, the bucket takes every following point before its end."""
    origin = aligned(start_ms, unit, zone) if align_sampling else start_ms
    out: Pairs = []
    at = 0
    while at < len(points):
        number = bucket_number(points[at][0], origin, value, unit, zone)
        begin, end = edge(origin, number * value, unit, zone), edge(origin, (number + 1) * value, unit, zone)
        stamp = begin if align_start_time else end if align_end_time else points[at][0]
        bucket: Pairs = []
        while at < len(points) and points[at][0] < end:
            bucket.append(points[at])
            at += 1
        out.extend(reduce(stamp, bucket, align_start_time or align_end_time))
    return out


def values(bucket: Pairs) -> list[float]:
    return [float(value) for _, value in bucket]


def total(stamp: int, bucket: Pairs, _: bool) -> Pairs:
    out = 0.0
    for value in values(bucket):
        out += value
    return [(stamp, out)]


def mean(stamp: int, bucket: Pairs, _: bool) -> Pairs:
    return [(stamp, total(stamp, bucket, False)[0][1] / len(bucket))]


def smallest(stamp: int, bucket: Pairs, _: bool) -> Pairs:
    return [(stamp, min(values(bucket)))]


def largest(stamp: int, bucket: Pairs, _: bool) -> Pairs:
    return [(stamp, max(values(bucket)))]


def how_many(stamp: int, bucket: Pairs, _: bool) -> Pairs:
    return [(stamp, len(bucket))]


def first(stamp: int, bucket: Pairs, _: bool) -> Pairs:
    return [(stamp, bucket[0][1])]


def last(stamp: int, bucket: Pairs, moved: bool) -> Pairs:
    return [(stamp if moved else bucket[-1][0], bucket[-1][1])]


def deviation(kind: str, times: int) -> Reduce:
    def reduce(stamp: int, bucket: Pairs, _: bool) -> Pairs:
        average, squares, spread = 0.0, 0.0, 0.0
        for count, value in enumerate(values(bucket), 1):
            average += (value - average) / count
            squares += (value * value - squares) / count
            variance = (squares * count - count * average * average) / (count - 1) if count > 1 else 0.0
            spread = math.sqrt(variance) if variance > 0 else 0.0
        return [
            (stamp, {"value": spread, "pos_sd": average + spread * times, "neg_sd": average - spread * times}[kind])
        ]

    return reduce


def percentile(fraction: float) -> Reduce:
    def reduce(stamp: int, bucket: Pairs, _: bool) -> Pairs:
        ordered = sorted(values(bucket))
        position = fraction * (len(ordered) + 1)
        if position < 1:
            return [(stamp, ordered[0])]
        if position >= len(ordered):
            return [(stamp, ordered[-1])]
        lower, upper = ordered[int(position) - 1], ordered[int(position)]
        return [(stamp, lower + (position - math.floor(position)) * (upper - lower))]

    return reduce


def fitted(_: int, bucket: Pairs, __: bool) -> Pairs:
    if len(bucket) < 3:
        return bucket
    count, mean_x, mean_y, sum_x, sum_y, sum_xx, sum_xy = 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for time, value in bucket:
        x, y = float(time), float(value)
        if count == 0:
            mean_x, mean_y = x, y
        else:
            share = count / (1.0 + count)
            off_x, off_y = x - mean_x, y - mean_y
            sum_xx += off_x * off_x * share
            sum_xy += off_x * off_y * share
            mean_x += off_x / (1.0 + count)
            mean_y += off_y / (1.0 + count)
        sum_x += x
        sum_y += y
        count += 1
    slope = sum_xy / sum_xx if sum_xx > 0 else math.nan
    intercept = (sum_y - slope * sum_x) / count
    return [(time, intercept + slope * float(time)) for time in (bucket[0][0], bucket[-1][0])]


def gaps(points: Pairs, start_ms: int, end_ms: int, value: int, unit: str, zone: str, align: bool) -> Pairs:
    """Every bucket from the start to the end: its points, or a null at its start."""
    origin = aligned(start_ms, unit, zone) if align else start_ms
    out: Pairs = []
    at, following = 0, start_ms
    while at < len(points) or following <= end_ms:
        number = bucket_number(following, origin, value, unit, zone)
        begin = edge(origin, number * value, unit, zone)
        following = edge(origin, (number + 1) * value, unit, zone)
        taken = at
        while at < len(points) and points[at][0] < following:
            at += 1
        out.extend(points[taken:at] or [(begin, None)])
    return out


# streams --------------------------------------------------------------------------------------------------------------


def span_ms(time_ms: int, value: int, unit: str, zone: str) -> int:
    if unit in FIXED:
        return value * FIXED[unit]
    return edge(time_ms, value, unit, zone) - time_ms


def rate(points: Pairs, value: int, unit: str, zone: str) -> Pairs:
    pairs = zip(points, points[1:], strict=False)
    return [(t1, (float(x1) - float(x0)) / (t1 - t0) * span_ms(t0, value, unit, zone)) for (t0, x0), (t1, x1) in pairs]


def sampler(points: Pairs, unit: str, zone: str) -> Pairs:
    pairs = zip(points, points[1:], strict=False)
    return [(t1, float(x1) / (t1 - t0) * span_ms(t0, 1, unit, zone)) for (t0, _), (t1, x1) in pairs]


def difference(points: Pairs) -> Pairs:
    return [(t1, float(x1) - float(x0)) for (_, x0), (t1, x1) in zip(points, points[1:], strict=False)]


def moving_average(points: Pairs, size: int) -> Pairs:
    out: Pairs = []
    for at in range(size - 1, len(points)):
        out.append((points[at][0], sum(values(points[at - size + 1 : at + 1])) / size))
    return out


def score(points: Pairs, thresholds: list[tuple[float, str]], descending: bool) -> Pairs:
    out: Pairs = []
    for time, value in points:
        passed = sum(float(value) > mark or (float(value) == mark and side == "inferior") for mark, side in thresholds)
        out.append((time, float(len(thresholds) - passed if descending else passed)))
    return out


def merge(streams: list[Pairs], descending: bool = False) -> Pairs:
    every = [point for stream in streams for point in stream]
    # -0.0 comes before 0.0, and a long 0 is 0.0.
    key = lambda point: (point[0], float(point[1]), math.copysign(1.0, float(point[1])))  # noqa: E731
    return sorted(every, key=key, reverse=descending)
