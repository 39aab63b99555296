from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.ingest.generation import Generation
from amondawa.ingest.head import Head
from amondawa.ingest.head_view import member_of
from amondawa.ingest.run import PageCache, Run, Tombstone, ref_slices
from amondawa.model.points import Kind, Points, WriteBatch, same_kind

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 50), st.integers(-9, 9)), min_size=1, max_size=30)
STEPS = st.lists(
    st.one_of(
        POINTS.map(lambda points: ("append", points)),
        st.just(("group",)),
        st.just(("pack",)),
        st.just(("freeze",)),
        st.tuples(st.just("delete"), st.sets(st.integers(0, 6), min_size=1), st.integers(0, 50), st.integers(0, 50)),
    ),
    max_size=20,
)


def batch_of(points: list[tuple[int, int, int]]) -> WriteBatch:
    refs, times, values = (np.array(column) for column in zip(*points, strict=True))
    return WriteBatch(refs.astype(np.int32), times.astype(np.int64), same_kind(Kind.LONG, len(refs)), values)


@settings(deadline=None)
@given(STEPS)
def test_a_series_reads_as_its_points_in_order_of_arrival(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    head = Head(Generation(1, [1], 0))
    expected: dict[int, list[tuple[int, int]]] = {}
    for what, *rest in steps:
        if what == "append":
            head.active.append(batch_of(rest[0]))
            for ref, time, value in rest[0]:
                expected.setdefault(ref, []).append((time, value))
        elif what == "group":
            head.active.runs()
        elif what == "pack":
            head.active.runs()
            head.active.pack(head.cache)
        elif what == "freeze":
            head.freeze(Generation(2, [2], 0))
        else:
            refs, start, end = rest
            head.delete(Tombstone(np.array(sorted(refs), np.int32), start, end))
            for ref in refs & set(expected):
                expected[ref] = [p for p in expected[ref] if not start <= p[0] <= end]
    expected = {ref: points for ref, points in expected.items() if points}
    view = head.view()
    everything = np.arange(8, dtype=np.int32)
    found = {
        ref: [(int(t), int(v)) for part in parts for t, v in zip(part.times_ms, part.bits, strict=True)]
        for ref, parts in view.parts_of(everything).items()
    }
    assert found == expected
    assert view.refs().tolist() == sorted(expected)
    assert view.among(everything).tolist() == sorted(expected)


@given(POINTS, st.integers(1, 40))
def test_slices_cover_every_series_once(points: list[tuple[int, int, int]], size: int) -> None:
    batch = batch_of(points)
    run = Run.build(batch)
    cuts = list(ref_slices([run], size))
    refs = [ref for lowest, highest in cuts for ref in range(lowest, highest)]
    assert refs == list(range(int(batch.refs.max()) + 1))
    columns = [run.columns_of(lowest, highest, PageCache()) for lowest, highest in cuts]
    assert sum(len(part) for part in columns if part is not None) == len(points)


def test_many_small_batches_are_joined_to_few() -> None:
    generation = Generation(1, [1], 0)
    for number in range(5_000):
        generation.append(batch_of([(number % 5, number, 1)]))
    _, young = generation.snapshot()
    assert len(young) < 100
    assert sum(map(len, young)) == 5_000


def test_a_packed_run_costs_less_than_a_raw_one_and_says_so() -> None:
    generation = Generation(1, [1], 0)
    count = 300_000
    refs = np.arange(count, dtype=np.int32) % 100
    times = np.arange(count, dtype=np.int64) // 100 * 10_000
    values = (np.arange(count) % 977 / 100.0).view(np.int64)
    generation.append(WriteBatch(refs, times, same_kind(Kind.DOUBLE, count), values))
    raw = generation.memory_bytes
    assert generation.wants_packing
    assert generation.pack(PageCache())
    assert generation.memory_bytes < raw / 3
    assert not generation.wants_packing


def test_a_delete_during_packing_makes_packing_start_over() -> None:
    generation = Generation(1, [1], 0)
    generation.append(batch_of([(1, 5, 7)] * 20_000))
    generation.runs()
    tombstone = Tombstone(np.array([1], np.int32), 0, 10)

    class Meddler(PageCache):
        def unpack(self, page: bytes) -> Points:
            raise AssertionError("raw runs have no pages")

    original = Run.columns_of

    def columns_of(self: Run, lowest: int, highest: int, cache: PageCache) -> WriteBatch | None:
        columns = original(self, lowest, highest, cache)
        if not self.tombstones:
            generation.delete(tombstone)
        return columns

    Run.columns_of = columns_of  # type: ignore[method-assign]
    try:
        assert not generation.pack(Meddler())
    finally:
        Run.columns_of = original  # type: ignore[method-assign]
    assert all(run.points_of(1, PageCache()) is None for run in generation.runs())


@given(st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_member_of_is_the_intersection(one: set[int], other: set[int]) -> None:
    refs, among = (np.array(sorted(s), np.int32) for s in (one, other))
    assert member_of(refs, among).tolist() == sorted(one & other)
