"""Combine the streams of a group into one: a point at every time where any member has one, the others interpolated.

A member takes part between its first and its last point. Where it has no point at a time its gap rule says what it gives:
a value on the line between its neighbours, zero, its last value, or nothing.

A combined value is an integer when every member's current point and next point are integers; then all of its arithmetic
is done in truncating 64-bit integers. Source: suites query_aggregators, query_numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from amondawa.aggregate import members
from amondawa.aggregate.members import Bools, FloatReduction, LongReduction
from amondawa.aggregate.registry import Registry
from amondawa.model.points import Float64s, Int64s, Kind, Points, UInt8s, same_kind

LEAST_DOUBLE = 5e-324
"""Java's Double.MIN_VALUE, the least positive double"""
LEAST_LONG = -(2**63)
BLOCK_CELLS = 1 << 18
"""members times times worked on at once; bounds the memory of a large group"""


class Gap(Enum):
    """What a member gives at a time at which it has no point."""

    LINEAR = "linear"
    ZERO = "zero"
    PREVIOUS = "previous"
    SKIP = "skip"
    LEAST = "least"
    """among integers the least one, among floats Java's least positive double: so mimmax never falls below that"""


@dataclass(frozen=True, slots=True)
class Combination:
    """A way to make one value of many.

    Attributes:
        floats, longs: the reductions across members.
        gap: what a member without a point gives.
    """

    floats: FloatReduction
    longs: LongReduction
    gap: Gap = Gap.LINEAR


QUANTILES = {
    pattern.format(digits): percent
    for pattern in ("p{}", "ep{}r3", "ep{}r7")
    for digits, percent in (("999", 99.9), ("99", 99.0), ("95", 95.0), ("90", 90.0), ("75", 75.0), ("50", 50.0))
}
"""names of percentiles, in percent"""

COMBINATIONS: Registry[Combination] = Registry("aggregator")


def _register() -> None:
    """File every aggregator under its name."""
    m = members
    plain = {
        "sum": Combination(m.sum_floats, m.sum_longs),
        "min": Combination(m.minimum_floats, m.minimum_longs),
        "max": Combination(m.maximum_floats, m.maximum_longs),
        "avg": Combination(m.mean_floats, m.mean_longs),
        "none": Combination(m.first_floats, m.first_longs, Gap.SKIP),
        "median": Combination(m.median_floats, m.median_longs),
        "mult": Combination(m.product_floats, m.product_longs),
        "dev": Combination(m.deviation_floats, m.deviation_longs),
        "diff": Combination(m.difference_floats, m.difference_longs),
        "count": Combination(m.count_floats, m.count_longs),
        "zimsum": Combination(m.sum_floats, m.sum_longs, Gap.ZERO),
        "mimmin": Combination(m.minimum_floats, m.minimum_longs, Gap.SKIP),
        "mimmax": Combination(m.maximum_floats, m.maximum_longs, Gap.LEAST),
        "first": Combination(m.first_floats, m.first_longs, Gap.ZERO),
        "last": Combination(m.last_floats, m.last_longs, Gap.ZERO),
        "pfsum": Combination(m.sum_floats, m.sum_longs, Gap.PREVIOUS),
        "squareSum": Combination(m.square_sum_floats, m.square_sum_longs, Gap.ZERO),
    }
    for name, combination in plain.items():
        COMBINATIONS.register(name)(combination)
    places = {"p": m.position_classic, "r3": m.position_r3, "r7": m.position_r7}
    for name, percent in QUANTILES.items():
        place = places["p" if name[0] == "p" else name[-2:]]
        COMBINATIONS.register(name)(Combination(*m.quantile_reductions(percent, place)))


_register()


def combine(streams: Sequence[Points], how: Combination, held: bool = False, end_ms: int | None = None) -> Points:
    """Combine the streams of a group.

    Args:
        streams: each ascending in time, without equal times, LONG and DOUBLE only; in the order of the members.
        how: the aggregator.
        held: a stream's value holds until its next point instead of being interpolated, its first value holds from the
            beginning of time, and its first time is not among the times of the answer (OpenTSDB's rates).
        end_ms: later times are not among the times of the answer; their points still serve interpolation.

    Returns:
        One stream of LONG and DOUBLE points.
    """
    streams = [stream for stream in streams if len(stream) > int(held)]
    if not streams:
        return Points.empty()
    if end_ms is None and all(same_times(stream, streams[0]) for stream in streams[1:]):
        return _combine_aligned(streams, how, held)
    times = np.unique(np.concatenate([stream.times_ms[int(held) :] for stream in streams]))
    times = times if end_ms is None else times[times <= end_ms]
    width = max(1, BLOCK_CELLS // len(streams))
    blocks = [times[at : at + width] for at in range(0, len(times), width)]
    return Points.concat([_combine_block(streams, how, held, block) for block in blocks])


def same_times(one: Points, other: Points) -> bool:
    """Say whether two streams have points at the same times."""
    a, b = one.times_ms, other.times_ms
    return a is b or (len(a) == len(b) and a[0] == b[0] and a[-1] == b[-1] and np.array_equal(a, b))


def _integer_columns(kinds: UInt8s) -> Bools:
    """Say at which points of one stream both the current and the next value are integers (bool[n])."""
    longs = np.asarray(kinds == Kind.LONG)
    longs[:-1] &= longs[1:]
    return longs


def _combine_aligned(streams: Sequence[Points], how: Combination, held: bool) -> Points:
    """Combine streams with the same times."""
    times = streams[0].times_ms[int(held) :]
    present = np.broadcast_to(np.True_, (len(streams), len(times)))
    if held or not any(stream.kinds.strides != (0,) or stream.kinds[0] == Kind.LONG for stream in streams):
        values = np.vstack([stream.numbers()[int(held) :] for stream in streams])
        return Points.doubles(times, how.floats(values, present))
    if all(stream.only(Kind.LONG) for stream in streams):
        return Points.longs(times, how.longs(np.vstack([stream.bits for stream in streams]), present))
    integer = np.logical_and.reduce([_integer_columns(stream.kinds) for stream in streams])
    longs = how.longs(np.vstack([stream.bits[integer] for stream in streams]), present[:, integer])
    floats = how.floats(np.vstack([stream.numbers()[~integer] for stream in streams]), present[:, ~integer])
    return _mixed(times, integer, longs, floats)


def _mixed(times: Int64s, integer: Bools, longs: Int64s, floats: Float64s) -> Points:
    """Put integer and float columns into one stream."""
    if not integer.any():
        return Points.doubles(times, floats)
    bits = np.empty(len(times), np.int64)
    bits[integer] = longs
    bits[~integer] = floats.view(np.int64)
    kinds = np.where(integer, np.uint8(Kind.LONG), np.uint8(Kind.DOUBLE))
    return Points(times, kinds if len(longs) < len(times) else same_kind(Kind.LONG, len(times)), bits)


@dataclass(frozen=True, slots=True)
class _Slots:
    """Where the times of a block lie in one stream.

    Attributes:
        left: int64[n], the last point at or before the time; 0 for times before the first point.
        inside: bool[n], the stream takes part.
        between: int64[k], indices of the times inside at which the stream has no point.
    """

    left: Int64s
    inside: Bools
    between: Int64s


def _slots(stream: Points, at: Int64s, held: bool) -> _Slots:
    """Find the times of a block in a stream."""
    times = stream.times_ms
    slot = np.searchsorted(times, at, "right") - 1
    inside = at <= times[-1]
    if not held:
        inside &= slot >= 0
    left = np.maximum(slot, 0)
    between = np.flatnonzero(inside & (times[left] != at))
    return _Slots(left, inside, between)


def _integer_times(streams: Sequence[Points], slots: Sequence[_Slots], at: Int64s) -> Bools:
    """Say at which times no member's current or next point is a float (bool[n])."""
    integer = np.ones(len(at), bool)
    for stream, slot in zip(streams, slots, strict=True):
        if stream.only(Kind.LONG):
            continue
        floats = np.append(stream.kinds != Kind.LONG, False)
        begun = stream.times_ms[slot.left] <= at
        following = np.where(begun, slot.left + 1, 0)
        integer &= ~((floats[slot.left] & slot.inside) | floats[following])
    return integer


def _around(stream: Points, first_ms: int, last_ms: int) -> Points:
    """Keep what times of a block may need: its points, the one before and the one after; never nothing."""
    times = stream.times_ms
    start = max(int(np.searchsorted(times, first_ms, "right")) - 1, 0)
    end = int(np.searchsorted(times, last_ms, "right")) + 1
    return stream if start == 0 and end >= len(times) else stream.take(slice(start, max(end, start + 1)))


def _combine_block(streams: Sequence[Points], how: Combination, held: bool, at: Int64s) -> Points:
    """Combine at some times, ascending."""
    streams = [_around(stream, int(at[0]), int(at[-1])) for stream in streams]
    slots = [_slots(stream, at, held) for stream in streams]
    if held or all(stream.only(Kind.DOUBLE) for stream in streams):
        return Points.doubles(at, _floats(streams, slots, how, held, at))
    integer = _integer_times(streams, slots, at)
    if integer.all():
        return Points.longs(at, _longs(streams, slots, how, at))
    if not integer.any():
        return Points.doubles(at, _floats(streams, slots, how, held, at))
    whole, broken = at[integer], at[~integer]
    longs = _longs(streams, [_slots(stream, whole, held) for stream in streams], how, whole)
    floats = _floats(streams, [_slots(stream, broken, held) for stream in streams], how, held, broken)
    return _mixed(at, integer, longs, floats)


def _present(slots: Sequence[_Slots], gap: Gap) -> Bools:
    """Say which member takes part when (bool[members, times])."""
    present = np.vstack([slot.inside for slot in slots])
    if gap is Gap.SKIP:
        for row, slot in zip(present, slots, strict=True):
            row[slot.between] = False
    return present


def _floats(streams: Sequence[Points], slots: Sequence[_Slots], how: Combination, held: bool, at: Int64s) -> Float64s:
    """Reduce as floats."""
    gap = Gap.PREVIOUS if held else how.gap
    values = np.empty((len(streams), len(at)))
    for row, stream, slot in zip(values, streams, slots, strict=True):
        own = stream.numbers()
        row[:] = own[slot.left]
        between = slot.between
        if gap is Gap.ZERO:
            row[between] = 0.0
        elif gap is Gap.LEAST:
            row[between] = LEAST_DOUBLE
        elif gap is Gap.LINEAR and len(between):
            left = slot.left[between]
            x0, y0 = stream.times_ms[left], own[left]
            row[between] = y0 + (at[between] - x0) * (own[left + 1] - y0) / (stream.times_ms[left + 1] - x0)
    return how.floats(values, _present(slots, gap))


def _longs(streams: Sequence[Points], slots: Sequence[_Slots], how: Combination, at: Int64s) -> Int64s:
    """Reduce as integers."""
    values = np.empty((len(streams), len(at)), np.int64)
    for row, stream, slot in zip(values, streams, slots, strict=True):
        own = stream.bits
        row[:] = own[slot.left]
        between = slot.between
        if how.gap is Gap.ZERO:
            row[between] = 0
        elif how.gap is Gap.LEAST:
            row[between] = LEAST_LONG
        elif how.gap is Gap.LINEAR and len(between):
            left = slot.left[between]
            x0, y0 = stream.times_ms[left], own[left]
            rise = (at[between] - x0) * (own[left + 1] - y0)
            row[between] = y0 + members.truncating_divide(rise, stream.times_ms[left + 1] - x0)
    return how.longs(values, _present(slots, how.gap))
