from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.errors import Corrupt
from amondawa.ingest import entry
from amondawa.model.points import Kind, WriteBatch

INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def batches(draw: st.DrawFn) -> WriteBatch:
    count = draw(st.integers(1, 20))

    def column(strategy: st.SearchStrategy[int]) -> list[int]:
        return draw(st.lists(strategy, min_size=count, max_size=count))

    texts = draw(st.lists(st.binary(max_size=9), min_size=1, max_size=4))
    kinds = np.array(column(st.sampled_from([Kind.LONG, Kind.DOUBLE, Kind.TEXT])), np.uint8)
    bits = np.array(column(INT64), np.int64)
    bits[kinds == Kind.TEXT] %= len(texts)
    expires = np.array(column(INT64), np.int64) if draw(st.booleans()) else None
    refs = np.array(column(st.integers(0, 3)), np.int32)
    return WriteBatch(refs, np.array(column(INT64), np.int64), kinds, bits, texts, expires)


def same(one: WriteBatch, other: WriteBatch) -> bool:
    columns = ("refs", "times_ms", "kinds", "bits")
    if any(not np.array_equal(getattr(one, name), getattr(other, name)) for name in columns):
        return False
    if (one.expires_ms is None) != (other.expires_ms is None):
        return False
    expires = one.expires_ms is None or np.array_equal(one.expires_ms, other.expires_ms)
    return bool(expires and list(one.texts) == list(other.texts))


@given(batches(), st.lists(st.binary(max_size=40), max_size=3))
def test_points_read_back_as_they_were(batch: WriteBatch, keys: list[bytes]) -> None:
    refs = np.arange(len(keys), dtype=np.int32)
    back = entry.decode(entry.encode_points(batch, refs, keys))
    assert isinstance(back, entry.PointsEntry)
    assert same(back.batch, batch)
    assert back.new_keys == keys
    assert back.new_refs.tolist() == refs.tolist()


@given(INT64, INT64, st.lists(st.binary(max_size=40), max_size=3), st.booleans())
def test_a_delete_reads_back_as_it_was(start: int, end: int, keys: list[bytes], whole: bool) -> None:
    record = entry.DeleteEntry(start, end, keys, whole)
    back = entry.decode(entry.encode_delete(record))
    assert isinstance(back, entry.DeleteEntry)
    assert (back.start_ms, back.end_ms, back.keys, back.whole_metric) == (start, end, keys, whole)


@given(batches(), st.data())
def test_a_flipped_bit_anywhere_is_found(batch: WriteBatch, data: st.DataObject) -> None:
    raw = bytearray(entry.encode_points(batch, np.zeros(0, np.int32), []))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Corrupt):
        entry.decode(bytes(raw))


@pytest.mark.parametrize("data", [b"", b"AMJ1", b"x" * 40])
def test_what_is_no_entry_is_called_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        entry.decode(data)
