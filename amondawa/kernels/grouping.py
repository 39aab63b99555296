"""Grouping of points by series: a stable counting sort, compiled where that can be had."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module

import numpy as np
import numpy.typing as npt

from amondawa.model.points import Int32s, Int64s

Intps = npt.NDArray[np.intp]
Sorter = Callable[[Int32s, int], tuple[Int64s, Int32s, Int64s]]

FEW_POINTS = 512
"""below this numpy's sort is as fast"""
SPARSE = 16
"""a largest ref above this many times the points: counting would cost more than sorting"""

_lock = threading.Lock()
_sorter: Sorter | None = None
_tried = False


def group_by_ref(refs: Int32s) -> tuple[Intps, Int32s, Int64s]:
    """Order points by series, keeping the order of arrival within each.

    Args:
        refs: int32[n], none negative.

    Returns:
        order intp[n]; unique_refs int32[m], ascending; offsets int64[m + 1]: the points of unique_refs[i] are
        order[offsets[i]:offsets[i + 1]].
    """
    count = len(refs)
    if count >= FEW_POINTS:
        top = int(refs.max())
        sorter = _find_sorter() if top <= SPARSE * count else None
        if sorter is not None:
            order, unique, offsets = sorter(np.ascontiguousarray(refs, np.int32), top)
            return order.astype(np.intp, copy=False), unique, offsets
    return group_by_sorting(refs)


def group_by_sorting(refs: Int32s) -> tuple[Intps, Int32s, Int64s]:
    """Do the same with numpy alone."""
    order = np.argsort(refs, kind="stable")
    ordered = refs[order]
    begins = np.flatnonzero(np.diff(ordered)) + 1
    runs = np.concatenate(([0], begins)) if len(refs) else np.zeros(0, np.int64)
    return order, ordered[runs].astype(np.int32, copy=False), np.append(runs, len(refs)).astype(np.int64)


def _find_sorter() -> Sorter | None:
    """Import the compiled sort at its first use; None when there is none (numba missing, no place for its cache)."""
    global _sorter, _tried  # noqa: PLW0603 - one import for the whole process
    with _lock:
        if not _tried:
            _tried = True
            try:
                _sorter = import_module("amondawa.kernels.grouping_compiled").counting_sort
            except (ImportError, RuntimeError, OSError):
                _sorter = None
    return _sorter
