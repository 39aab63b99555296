"""Which tables are Amondawa's, told by their names: a region of DynamoDB also holds those of other spaces and programs."""

from __future__ import annotations

import re

_OWN = re.compile(r"config|credentials|master|metadata|(datapoints|index)_n?\d+-\d+")
"""tables outside of blocks, and the pair of a block (see `blocks.Block`)"""


def is_own_table(table: str) -> bool:
    """Say whether a table of a space is Amondawa's; `b_config` of the space `a` is not, it is the space `a_b`'s."""
    return _OWN.fullmatch(table) is not None
