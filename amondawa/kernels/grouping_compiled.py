"""The compiled counting sort by series. Importing this module compiles it, or loads it from numba's cache."""

from __future__ import annotations

import numpy as np
from numba.types import Tuple, int32, int64

from amondawa.kernels.compile import kernel
from amondawa.model.points import Int32s, Int64s


@kernel(Tuple((int64[::1], int32[::1], int64[::1]))(int32[::1], int64))
def counting_sort(refs: Int32s, top: int) -> tuple[Int64s, Int32s, Int64s]:
    """Return a stable order by ref, the refs that occur, ascending, and where each one's run begins (and the last ends).

    `top` is the largest ref; none may be negative.
    """
    cursors = np.zeros(top + 1, np.int64)
    for i in range(len(refs)):
        cursors[refs[i]] += 1
    found = 0
    for ref in range(top + 1):
        found += cursors[ref] > 0
    unique = np.empty(found, np.int32)
    offsets = np.empty(found + 1, np.int64)
    total = 0
    at = 0
    for ref in range(top + 1):
        count = cursors[ref]
        cursors[ref] = total
        if count > 0:
            unique[at] = ref
            offsets[at] = total
            at += 1
            total += count
    offsets[found] = total
    order = np.empty(len(refs), np.int64)
    for i in range(len(refs)):
        order[cursors[refs[i]]] = i
        cursors[refs[i]] += 1
    return order, unique, offsets
