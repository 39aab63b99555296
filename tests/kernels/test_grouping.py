from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.kernels import grouping
from amondawa.kernels.grouping import group_by_ref, group_by_sorting
from amondawa.model.points import Int32s


def check(refs: Int32s) -> None:
    order, unique, offsets = group_by_ref(refs)
    assert order.dtype == np.intp and unique.dtype == np.int32 and offsets.dtype == np.int64
    assert offsets[0] == 0 and offsets[-1] == len(refs) == len(order)
    assert unique.tolist() == sorted(set(refs.tolist()))
    for i, ref in enumerate(unique):
        members = order[offsets[i] : offsets[i + 1]]
        assert members.tolist() == np.flatnonzero(refs == ref).tolist()


@given(st.lists(st.integers(0, 40), max_size=60))
def test_few_points_are_grouped_in_order_of_arrival(refs: list[int]) -> None:
    check(np.array(refs, np.int32))


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 30, 3_000, 2**31 - 1]))
@settings(max_examples=25, deadline=None)
def test_many_points_are_grouped_in_order_of_arrival(seed: int, top: int) -> None:
    check(np.random.default_rng(seed).integers(0, top, 700, endpoint=True).astype(np.int32))


def test_the_compiled_sort_and_numpy_agree() -> None:
    refs = np.random.default_rng(3).integers(0, 500, 5_000).astype(np.int32)
    for ours, theirs in zip(group_by_ref(refs), group_by_sorting(refs), strict=True):
        assert np.array_equal(ours, theirs)


def test_refs_that_are_not_contiguous_are_grouped_too() -> None:
    check(np.random.default_rng(4).integers(0, 50, 2_000).astype(np.int32)[::2])


def test_numpy_serves_where_nothing_can_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "_find_sorter", lambda: None)
    check(np.random.default_rng(5).integers(0, 50, 2_000).astype(np.int32))
