from __future__ import annotations

import numpy as np
import pytest

from amondawa.model.points import Kind, Points, numbers_of

MIXED = Points(
    np.arange(5, dtype=np.int64),
    np.array([Kind.LONG, Kind.TEXT, Kind.BLOB, Kind.TEXT, Kind.LONG], np.uint8),
    np.array([2, 2, 0, 2, 1], np.int64),
    [b"blob", b"unused", b"text"],
    np.arange(5, dtype=np.int64) + 100,
)


def test_texts_that_no_point_uses_can_be_left_out() -> None:
    kept = MIXED.with_used_texts()
    assert list(kept.texts) == [b"blob", b"text"]
    assert [kept.value_at(place) for place in range(5)] == [MIXED.value_at(place) for place in range(5)]
    assert kept.expires_ms is MIXED.expires_ms


def test_numbers_that_were_taken_from_a_mixed_column_keep_no_texts() -> None:
    kept = MIXED.take(MIXED.kinds == Kind.LONG).with_used_texts()
    assert (kept.bits.tolist(), list(kept.texts)) == ([2, 1], [])


def test_points_without_texts_stay_as_they_are() -> None:
    points = Points.longs(np.arange(3), np.arange(3))
    assert points.with_used_texts() is points


@pytest.mark.parametrize("length", [0, 1, 3, 200])
def test_the_values_of_parts_laid_end_to_end_are_those_of_each(length: int):
    times = np.arange(length, dtype=np.int64)
    mixed = Points(times, (times % 4).astype(np.uint8), np.arange(length, dtype=np.int64) + 5, [b"x"] * (length + 5))
    parts = [Points.doubles(times, times / 7), mixed, Points.longs(times, times - 3), Points.empty()]
    for some in (parts, parts[:1], parts[1:3], parts[3:]):
        expected = np.concatenate([part.numbers() for part in some])
        np.testing.assert_array_equal(numbers_of(some), expected)
