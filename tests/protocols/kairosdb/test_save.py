from __future__ import annotations

from typing import Any

import numpy as np

from amondawa.model.points import Points, WriteBatch
from amondawa.protocols.kairosdb.lower import Saved
from amondawa.protocols.kairosdb.save import write_saved
from tests.naive import NaiveGateway


async def test_groups_cut_from_one_column_of_texts_are_written_with_their_own_texts(monkeypatch: Any) -> None:
    gateway, written = NaiveGateway(), list[WriteBatch]()

    async def take(batch: WriteBatch) -> None:
        written.append(batch)

    monkeypatch.setattr(gateway, "write", take)
    column = Points.of_texts(np.arange(100, dtype=np.int64), [b"text %d" % place for place in range(100)])
    saved = [Saved("out", (("part", str(at)),), column.take(slice(at, at + 1)), 0) for at in range(100)]
    assert await write_saved(gateway, "d", saved) == 100
    (batch,) = written
    points = batch.points()
    assert [points.value_at(at) for at in range(100)] == [f"text {at}" for at in range(100)]
    assert len(batch.texts) == 100
