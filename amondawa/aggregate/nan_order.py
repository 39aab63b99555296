"""Comparisons in expressions: NaN is equal to itself and below every number, as in the language of the original.

Source: suite query_exp.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from amondawa.model.points import Float64s


def below(left: Float64s, right: Float64s) -> npt.NDArray[np.bool_]:
    """Say where the left values are smaller, bool[n]."""
    return np.asarray((left < right) | (np.isnan(left) & ~np.isnan(right)))


def same(left: Float64s, right: Float64s) -> npt.NDArray[np.bool_]:
    """Say where the values are equal, bool[n]."""
    return np.asarray((left == right) | (np.isnan(left) & np.isnan(right)))
