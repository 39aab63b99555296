"""Points that another gateway has overwritten: they must not be flushed over what is newer."""

from __future__ import annotations

import numpy as np

from amondawa.model.points import WriteBatch


def without_overwritten(own: WriteBatch, others: WriteBatch | None) -> WriteBatch:
    """Leave out the points of which the others hold one of the same series, time and kind that was committed later.

    The order of what is kept does not change.
    """
    if own.stamps is None or others is None or others.stamps is None:
        return own
    near = np.isin(others.refs, np.unique(own.refs)) & np.isin(others.times_ms, np.unique(own.times_ms))
    if not near.any():
        return own
    rival = WriteBatch.of(others.refs[near], others.points().take(near))
    assert rival.stamps is not None
    count = len(own)
    refs = np.concatenate([own.refs, rival.refs])
    times = np.concatenate([own.times_ms, rival.times_ms])
    kinds = np.concatenate([own.kinds, rival.kinds])
    order = np.lexsort((np.concatenate([own.stamps, rival.stamps]), kinds, times, refs))
    refs, times, kinds = refs[order], times[order], kinds[order]
    last = np.append((refs[1:] != refs[:-1]) | (times[1:] != times[:-1]) | (kinds[1:] != kinds[:-1]), True)
    winner = order[last][np.concatenate([[0], np.cumsum(last)[:-1]])]  # of the group of each sorted point
    lost = np.zeros(len(order), np.bool_)
    lost[order] = winner >= count
    kept = ~lost[:count]
    return own if kept.all() else WriteBatch.of(own.refs[kept], own.points().take(kept))
