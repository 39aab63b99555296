"""All aggregators: importing this module fills the registry with every class of the package that has a name in queries."""

from amondawa.aggregate import (
    deviation,
    downsample,
    gaps,
    least_squares,
    percentile,
    rate,
    transform,
)
from amondawa.aggregate import filter as value_filter
from amondawa.aggregate.stages import AGGREGATORS

__all__ = [
    "AGGREGATORS",
    "deviation",
    "downsample",
    "gaps",
    "least_squares",
    "percentile",
    "rate",
    "transform",
    "value_filter",
]
