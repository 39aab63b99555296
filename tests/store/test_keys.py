from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.errors import Corrupt
from amondawa.model.series import Series, Tags, sorted_tags
from amondawa.store import keys
from amondawa.store.base import HASH_BYTES, RANGE_BYTES

TEXT = st.text(st.one_of(st.sampled_from("\0\x01ab\x7f\xff\ud800\udfff\uffff\U0010ffff"), st.characters()), max_size=6)
TAGS = st.dictionaries(TEXT, TEXT, max_size=4).map(sorted_tags)
LONG_TEXT = st.one_of(TEXT, st.integers(500, 2_100).map(lambda n: "x" * n))
LONG_TAGS = st.dictionaries(LONG_TEXT, LONG_TEXT, max_size=3).map(sorted_tags)
TIMES_MS = st.integers(-(2**63), 2**63 - 1)
HEIGHTS_S = st.sampled_from([1, 60, 3_600, 86_400, 7 * 86_400, 400 * 86_400])


# series ---------------------------------------------------------------------------------------------------------------


@given(TEXT, TEXT, TAGS)
def test_a_series_key_is_read_back(domain: str, metric: str, tags: Tags) -> None:
    key = keys.series_key(domain, metric, tags)
    assert keys.parse_series_key(key) == Series(domain, metric, tags)
    metric_key, tags_key = keys.split_series_key(key)
    assert keys.parse_metric_key(metric_key) == (domain, metric)
    assert keys.parse_tags_key(tags_key) == tags


@given(st.lists(TEXT, min_size=2, max_size=2), st.lists(TEXT, min_size=2, max_size=2))
def test_metric_keys_sort_as_domain_and_metric_do(one: list[str], other: list[str]) -> None:
    assert (keys.metric_key(*one) < keys.metric_key(*other)) == (one < other)


@given(TAGS, TAGS)
def test_tags_keys_sort_as_tags_do_and_differ_when_they_differ(one: Tags, other: Tags) -> None:
    assert (keys.tags_key(one) < keys.tags_key(other)) == (one < other)
    assert (keys.tags_key(one) == keys.tags_key(other)) == (one == other)


@given(st.binary(max_size=24))
def test_bytes_that_are_no_key_are_corrupt_or_make_the_same_key_again(data: bytes) -> None:
    try:
        series = keys.parse_series_key(data)
    except Corrupt:
        return
    assert keys.series_key(series.domain, series.metric, series.tags) == data


@pytest.mark.parametrize("data", [b"", b"a", b"a\0", b"a\0b", b"a\0b\0c\0", b"a\0b\xff\0", b"a\0\xfe\0"])
def test_a_damaged_series_key_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt, match="series key"):
        keys.parse_series_key(data)


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        (keys.parse_metric_key, b"a\0"),
        (keys.parse_tags_key, b"a\0"),
        (keys.split_series_key, b"a\0b"),
        (keys.parse_row_key, b"a\0b\0short"),
        (keys.row_base_time_s, b"\xffshort"),
        (keys.parse_chunk_range, b"short"),
        (keys.parse_index_range, b"short"),
        (keys.parse_name_whole, b"a\0b\0"),
        (keys.parse_name_range, b"a\0b\0"),
        (keys.parse_expiry_value, b"short"),
    ],
)
def test_damaged_keys_are_corrupt(parse: object, data: bytes) -> None:
    with pytest.raises(Corrupt):
        parse(data)  # type: ignore[operator]


# rows -----------------------------------------------------------------------------------------------------------------


@given(TIMES_MS, HEIGHTS_S)
def test_a_time_lies_in_its_row_and_arrays_agree_with_integers(time_ms: int, height_s: int) -> None:
    base = keys.base_time_s(time_ms, height_s)
    assert base % height_s == 0
    assert base * 1_000 <= time_ms < (base + height_s) * 1_000
    times = np.array([time_ms, -(2**63), 2**63 - 1, 0, -1], np.int64)
    bases = [int(number) * height_s for number in keys.row_numbers(times, height_s)]
    assert bases == [keys.base_time_s(int(t), height_s) for t in times]
    offsets = keys.row_offsets_ms(times, height_s).tolist()
    assert offsets == [int(t) - b * 1_000 for t, b in zip(times, bases, strict=True)]


@given(TEXT, LONG_TEXT, TIMES_MS, HEIGHTS_S, LONG_TAGS)
def test_a_row_key_fits_and_is_read_back_unless_hashed(
    domain: str, metric: str, time_ms: int, height_s: int, tags: Tags
) -> None:
    metric_key, tags_key = keys.metric_key(domain, metric), keys.tags_key(tags)
    base = keys.base_time_s(time_ms, height_s)
    key = keys.row_key(metric_key, base, tags_key)
    assert 0 < len(key) <= HASH_BYTES
    assert keys.row_is_hashed(key) == (len(metric_key) + 8 + len(tags_key) > HASH_BYTES)
    assert keys.parse_row_key(key) == (None if keys.row_is_hashed(key) else (metric_key, base, tags_key))
    assert keys.row_base_time_s(key) == base
    assert keys.row_key(metric_key, base + height_s, tags_key) != key
    assert keys.row_key(metric_key, base, tags_key + b"a\0b\0") != key


def test_rows_of_a_metric_sort_by_time_before_1970_too() -> None:
    bases = [-(2**63) // 1_000 // 86_400 * 86_400, -86_400, 0, 86_400, 2**63 // 1_000 // 86_400 * 86_400]
    made = [keys.row_key(b"d\0m\0", base, b"") for base in bases]
    assert made == sorted(made)


CHUNKS = st.tuples(st.integers(0, 2**48 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**16 - 1))


@given(CHUNKS, CHUNKS)
def test_chunk_ranges_sort_by_offset_generation_and_part(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    assert keys.parse_chunk_range(keys.chunk_range(*one)) == one
    assert (keys.chunk_range(*one) < keys.chunk_range(*other)) == (one < other)


# index and names ------------------------------------------------------------------------------------------------------


@given(LONG_TAGS, st.integers(-(2**53), 2**53))
def test_an_index_entry_fits_and_is_read_back_unless_hashed(tags: Tags, base: int) -> None:
    tags_key = keys.tags_key(tags)
    key = keys.index_range(base, tags_key)
    assert len(key) <= RANGE_BYTES
    assert keys.index_range_is_hashed(key) == (len(tags_key) > RANGE_BYTES - 8)
    assert keys.parse_index_range(key) == (base, None if keys.index_range_is_hashed(key) else tags_key)
    assert 0 <= keys.index_shard(tags_key) < keys.INDEX_SHARDS


@given(TAGS, st.integers(-(2**53), 2**53), st.integers(-(2**53), 2**53))
def test_index_entries_of_a_time_lie_between_its_bounds(tags: Tags, base: int, other: int) -> None:
    key = keys.index_range(base, keys.tags_key(tags))
    assert (keys.index_range(other, b"") <= key) == (other <= base)


def test_shards_are_the_same_in_every_process() -> None:
    assert [keys.index_shard(b"host\0%d\0" % n) for n in range(6)] == [4, 5, 6, 7, 0, 1]


@pytest.mark.parametrize("length", [1, 2_040, 2_041, 2_047, 2_048, 5_000])
def test_an_index_key_fits_and_differs_by_shard(length: int) -> None:
    made = {keys.index_key(b"m" * length + b"\0", shard) for shard in range(keys.INDEX_SHARDS)}
    assert len(made) == keys.INDEX_SHARDS
    assert max(map(len, made)) <= HASH_BYTES


@given(LONG_TEXT, LONG_TEXT, LONG_TEXT)
def test_a_name_entry_fits_and_is_read_back_unless_hashed(metric: str, tag_name: str, tag_value: str) -> None:
    key = keys.name_range(metric, tag_name, tag_value)
    whole = keys.name_whole(metric, tag_name, tag_value)
    assert 0 < len(key) <= RANGE_BYTES
    assert keys.parse_name_whole(whole) == (metric, tag_name, tag_value)
    assert keys.parse_name_range(key) == (None if keys.name_range_is_hashed(key) else (metric, tag_name, tag_value))


def test_long_names_differ_and_still_sort_by_their_beginning() -> None:
    one, other = keys.name_range("a" * 3_000, "", "x"), keys.name_range("a" * 3_000, "", "y")
    assert one != other
    assert keys.name_range("a", "", "") < one < keys.name_range("b", "", "")


@given(st.binary(min_size=1, max_size=4), st.binary(max_size=3))
def test_the_end_of_a_prefix_is_past_all_that_begin_with_it(prefix: bytes, rest: bytes) -> None:
    if prefix.strip(b"\xff"):
        end = keys.after_prefix(prefix)
        assert prefix + rest < end
        assert not end.startswith(prefix)


@pytest.mark.parametrize("prefix", [b"", b"\xff\xff"])
def test_a_prefix_without_an_end_is_refused(prefix: bytes) -> None:
    with pytest.raises(ValueError, match="prefix"):
        keys.after_prefix(prefix)


# lists of a block -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["", "default", "é\0x", "d" * 1_022, "d" * 1_023, "d" * 5_000])
def test_a_domain_of_the_list_fits_and_is_read_back(domain: str) -> None:
    key, value = keys.domain_range(domain), keys.domain_value(domain)
    assert 0 < len(key) <= RANGE_BYTES
    assert keys.parse_domain(key, value) == domain


@given(st.integers(-(2**40), 2**40), st.binary(max_size=64), st.integers(-(2**40), 2**40))
def test_an_entry_of_a_row_that_expires_lies_before_the_time_after_its_own(due_s: int, row: bytes, base: int) -> None:
    hash_key, range_key = keys.expiry_entry(due_s, row)
    assert hash_key in keys.expiry_keys()
    assert keys.expiry_until(due_s) < range_key < keys.expiry_until(due_s + 1)
    assert keys.parse_expiry_value(keys.expiry_value(base, row)) == (base, row)


@given(st.text(max_size=20), st.text(max_size=20))
def test_lists_share_no_hash_key_with_names_and_index(domain: str, metric: str) -> None:
    lists = {keys.DOMAINS_KEY, *keys.expiry_keys()}
    metric_key = keys.metric_key(domain, metric)
    assert not lists & {keys.names_key(domain), *(keys.index_key(metric_key, n) for n in range(keys.INDEX_SHARDS))}
    assert not lists & {keys.index_key(metric_key * 2_000, n) for n in range(keys.INDEX_SHARDS)}
