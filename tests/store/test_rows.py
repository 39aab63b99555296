from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from amondawa.model.points import Kind, Points
from amondawa.store import keys, rows
from amondawa.store.base import ITEM_BYTES, Item

POINT = st.tuples(st.integers(0, 6), st.sampled_from([Kind.LONG, Kind.DOUBLE]), st.integers(-5, 5))
PARTS = st.lists(st.lists(POINT, min_size=1, max_size=12), min_size=1, max_size=5)
ROW = keys.row_key(keys.metric_key("d", "m"), 0, b"")


def points_of(raw: list[tuple[int, Kind, int]]) -> Points:
    times, kinds, bits = zip(*raw, strict=True)
    return Points(np.array(times, np.int64), np.array(kinds, np.uint8), np.array(bits, np.int64))


def shown(points: Points) -> list[tuple[int, int, int]]:
    columns = (points.times_ms.tolist(), points.kinds.tolist(), points.bits.tolist())
    return list(zip(*columns, strict=True))


def last_wins(raw: list[tuple[int, Kind, int]]) -> list[tuple[int, int, int]]:
    kept: dict[tuple[int, Kind], tuple[int, int]] = {}
    for arrival, (time, kind, value) in enumerate(raw):
        kept[(time, kind)] = (arrival, value)
    ordered = sorted((time, arrival, kind, value) for (time, kind), (arrival, value) in kept.items())
    return [(time, int(kind), value) for time, _, kind, value in ordered]


@given(PARTS)
def test_of_equal_time_and_kind_the_last_arrival_stays(parts: list[list[tuple[int, Kind, int]]]) -> None:
    merged = rows.merge([points_of(part) for part in parts])
    assert shown(merged) == last_wins([point for part in parts for point in part])


@given(PARTS)
def test_latest_only_keeps_one_point_a_time(parts: list[list[tuple[int, Kind, int]]]) -> None:
    everything = [point for part in parts for point in part]
    latest = {time: (int(kind), value) for time, kind, value in everything}
    found = shown(rows.latest_only(rows.merge([points_of(everything)])))
    assert found == [(time, *latest[time]) for time in sorted(latest)]


@given(PARTS, st.randoms())
def test_fragments_merge_by_generation_in_whatever_order_they_are_read(parts, random) -> None:  # type: ignore[no-untyped-def]
    items: list[Item] = []
    for generation, part in enumerate(parts, 5):
        items += rows.chunk_items(ROW, 0, rows.in_order(points_of(part)), generation, b"")
    random.shuffle(items)
    assert shown(rows.read_row(items)) == last_wins([point for part in parts for point in part])


def test_a_row_of_many_points_is_cut_into_chunks_that_fit() -> None:
    count = 3 * rows.CHUNK_POINTS + 7
    rng = np.random.default_rng(3)
    points = Points.doubles(np.arange(count, dtype=np.int64), rng.random(count))
    items = rows.chunk_items(ROW, 0, points, 9, b"")
    assert len(items) == 4
    assert shown(rows.read_row(items)) == shown(points)


def test_large_texts_are_spread_over_items_below_the_limit() -> None:
    rng = np.random.default_rng(3)
    texts = [rng.bytes(100_000) for _ in range(12)]
    points = Points.of_texts(np.arange(12, dtype=np.int64), texts)
    items = rows.chunk_items(ROW, 0, points, 9, b"")
    assert all(len(item.value) + len(item.hash) + len(item.range) < ITEM_BYTES for item in items)
    assert len(items) > 1
    back = rows.read_row(items)
    assert [back.texts[int(bit)] for bit in back.bits] == texts


def test_a_dense_row_is_decoded_only_where_the_range_touches_it() -> None:
    count = rows.DENSE_POINTS + rows.CHUNK_POINTS
    points = Points.longs(np.arange(count, dtype=np.int64), np.arange(count, dtype=np.int64))
    items = rows.chunk_items(ROW, 0, points, 9, b"")
    found, whole = rows.read_row_between(items, 20_000, 20_010)
    assert not whole
    assert len(found) <= 2 * rows.CHUNK_POINTS
    assert shown(found.between(20_000, 20_010)) == shown(points.between(20_000, 20_010))
    assert rows.read_row_between(items, 0, count)[1]
    assert len(rows.read_row_between(items, count, count + 5)[0]) == 0
