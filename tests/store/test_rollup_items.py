"""Items of rolled-up data: bytes there and back, and which of a row's items count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.aggregate.rollup import roll_up
from amondawa.errors import Corrupt
from amondawa.model.points import Kind, Points
from amondawa.store import keys, rollup_items, rows
from amondawa.store.base import Item
from amondawa.store.rollup_items import COPIES, PARTS, RowItems, part_items, read_copies, read_stored
from tests.aggregate.test_rollup import shown, stream

ROW_KEY = keys.row_key(keys.metric_key("d", "m"), 86_400, keys.tags_key((("a", "b"),)))
SERIES_KEY = keys.series_key("d", "m", (("a", "b"),))
BASE_S = 86_400
BASE_MS = BASE_S * 1_000
VALUES = st.one_of(
    st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.floats(-100, 100).map(lambda x: round(x, 2))
)


def items_of(
    values: dict[int, float], prefix: bytes = PARTS, made_ms: int = 5, folded: tuple[bytes, ...] = ()
) -> list[Item]:
    rollup = roll_up(stream({BASE_MS + time: value for time, value in values.items()}), 1_000)
    return part_items(ROW_KEY, BASE_S, rollup, prefix=prefix, made_ms=made_ms, folded=folded, series_key=SERIES_KEY)


def chunk_of(values: dict[int, float], generation: int) -> list[Item]:
    points = stream({BASE_MS + time: value for time, value in values.items()})
    return rows.chunk_items(ROW_KEY, BASE_S, points, generation, SERIES_KEY)


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 80_000_000), VALUES, min_size=1, max_size=40))
def test_rolled_up_data_come_back_bit_for_bit(values: dict[int, float]) -> None:
    rollup = roll_up(stream({BASE_MS + time: value for time, value in values.items()}), 1_000)
    items = part_items(ROW_KEY, BASE_S, rollup, prefix=PARTS, made_ms=7, folded=[b"0" * 16])
    parts = [rollup_items.decode_part(item) for item in items]
    again = [row for part in parts for row in shown(part.rollup)]
    assert repr(again) == repr(shown(rollup))
    assert {(part.made_ms, part.parts, part.folded) for part in parts} == {(7, len(items), frozenset({b"0" * 16}))}
    for part in parts:
        assert part.start_ms <= int(part.rollup.firsts.times_ms[0]) <= int(part.rollup.lasts.times_ms[-1]) < part.end_ms


def test_items_sort_behind_all_chunks_of_their_row() -> None:
    chunks, parts, copies = chunk_of({86_399_999: 1}, 2**63), items_of({0: 1}), items_of({0: 1}, COPIES)
    assert max(item.range for item in chunks) < copies[0].range < parts[0].range


def test_a_bit_that_fell_over_is_noticed() -> None:
    item = items_of({0: 1, 1: 2, 5_000: 3})[0]
    for at in range(0, len(item.value), 3):
        broken = item.value[:at] + bytes((item.value[at] ^ 4,)) + item.value[at + 1 :]
        with pytest.raises(Corrupt, match=item.range.hex()):
            rollup_items.decode_part(item._replace(value=broken))
    with pytest.raises(Corrupt, match="not rolled-up data"):
        rollup_items.decode_part(item._replace(value=item.value[:10]))


def test_chunks_that_a_part_names_do_not_count_and_later_ones_do() -> None:
    old, late = chunk_of({0: 1, 500: 2}, 1), chunk_of({700: 9}, 2)
    parts = items_of({0: 1, 500: 2}, folded=(old[0].range,))
    row, whole = read_stored([*old, *late, *parts], BASE_MS, BASE_MS + 86_399_999)
    assert whole
    assert isinstance(row, rollup_items.StoredRow)
    assert row.points.times_ms.tolist() == [BASE_MS + 700]
    assert [rollup.points for rollup in row.rollups] == [2]


def test_a_chunk_counts_outside_of_the_parts_that_are_written_already() -> None:
    far = 1_000 * rollup_items.PART_INTERVALS
    values = {0: 1, far: 2}
    chunk = chunk_of(values, 1)
    both = items_of(values, folded=(chunk[0].range,))
    assert len(both) == 2
    for missing, left in ((0, [BASE_MS]), (1, [BASE_MS + far])):
        row = RowItems.of([*chunk, both[1 - missing]])
        assert row.points().times_ms.tolist() == left
        assert sum(rollup.points for rollup in row.rollups) == 1


def test_of_two_parts_over_one_stretch_the_younger_counts() -> None:
    wide = roll_up(stream({BASE_MS: 1, BASE_MS + 5_000_000: 4}), 5_000)
    young = part_items(ROW_KEY, BASE_S, wide, prefix=PARTS, made_ms=9)
    old = items_of({0: 1, 5_000_000: 4}, made_ms=5)
    assert [part.made_ms for part in RowItems.of([young[0], old[1]]).parts] == [9]
    assert [part.made_ms for part in RowItems.of(old).parts] == [5, 5]


def test_copies_stand_for_a_row_only_when_all_of_one_making_are_there() -> None:
    far = 1_000 * rollup_items.PART_INTERVALS
    copies = items_of({0: 1, far: 2}, COPIES)
    row = read_copies(copies)
    assert row is not None
    assert sum(rollup.points for rollup in row.rollups) == 2
    other = items_of({0: 1, far: 2}, COPIES, made_ms=6)
    for some in ([], copies[:1], copies[1:], [copies[0], other[1]], [*copies, *items_of({0: 1})]):
        assert read_copies(some) is None


def test_copies_beside_chunks_are_not_read() -> None:
    chunk = chunk_of({0: 1}, 1)
    row, whole = read_stored([*chunk, *items_of({0: 1}, COPIES)], BASE_MS, BASE_MS + 10)
    assert isinstance(row, Points)
    assert whole
    assert row.times_ms.tolist() == [BASE_MS]


def test_what_is_written_anew_never_takes_the_key_of_a_chunk_that_does_not_count() -> None:
    text = Points.of_texts(np.array([BASE_MS], np.int64), [b"x"])
    old = rows.chunk_items(ROW_KEY, BASE_S, text, 3, SERIES_KEY)
    row = RowItems.of([*old, *items_of({0: 1}, folded=(old[0].range,))])
    again = row.rewritten(ROW_KEY, BASE_S, text, SERIES_KEY)
    assert again[0].range != old[0].range
    assert rows.decode_item(again[0]).only(Kind.TEXT)


def test_only_chunks_that_count_may_be_joined_with_others() -> None:
    old, late = chunk_of({0: 1}, 1), chunk_of({700: 9}, 2)
    assert list(rollup_items.mergeable([*old, *late])) == [*old, *late]
    assert list(rollup_items.mergeable([*old, *late, *items_of({0: 1}, folded=(old[0].range,))])) == late


def test_a_dense_row_is_read_only_where_the_range_touches_it() -> None:
    count = rows.DENSE_POINTS + rows.CHUNK_POINTS
    points = Points.longs(BASE_MS + np.arange(count), np.arange(count))
    late = rows.chunk_items(ROW_KEY, BASE_S, points, 2, SERIES_KEY)
    row, whole = read_stored([*late, *items_of({0: 1})], BASE_MS, BASE_MS + 10)
    assert not whole
    assert isinstance(row, rollup_items.StoredRow)
    assert len(row.points) == rows.CHUNK_POINTS
