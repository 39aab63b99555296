"""Keys of stored items: bytes that sort as their parts do, that no two inputs share, and that can be read back.

A text becomes its UTF-8 with every 00 written as 00 FF, closed by 00. No byte of UTF-8 is FF, hence a 00 without FF
after it always closes a text, FF never opens one, and a text sorts before all texts that it begins. A key past its
limit keeps a SHA-256 digest in place of what is too long; the item's value then holds the whole (docs/format/keys.md).
"""

from __future__ import annotations

import re
import struct
from hashlib import sha256
from zlib import crc32

import numpy as np

from amondawa.errors import Corrupt
from amondawa.model.points import Int64s
from amondawa.model.series import Series, Tags
from amondawa.store.base import HASH_BYTES, RANGE_BYTES

EXPIRY_SHARDS = 4
"""hash keys over which the rows of a block that hold points with an expiry are spread"""
INDEX_SHARDS = 16
"""hash keys over which one metric's index entries are spread"""
SECOND_MS = 1_000

_DIGEST_MARK = b"\xff"
_LIST_MARK = b"\xfe"
_DIGEST_BYTES = 32
_TIME_BIAS = 1 << 63
_CLOSE = re.compile(rb"\x00(?!\xff)")
_pack_time = struct.Struct(">Q").pack
_unpack_time = struct.Struct(">Q").unpack_from
_chunk = struct.Struct(">HIQH")
_NAME_PREFIX = RANGE_BYTES - _DIGEST_BYTES


# texts ---------------------------------------------------------------------------------------------------------------


def _text(value: str) -> bytes:
    if "\0" in value:
        return value.encode("utf-8", "surrogatepass").replace(b"\0", b"\0\xff") + b"\0"
    return value.encode("utf-8", "surrogatepass") + b"\0"


def _texts(key: bytes, what: str) -> list[str]:
    """Read a run of closed texts back; raises Corrupt when `key` is not one."""
    escaped = b"\0\xff" in key
    parts = _CLOSE.split(key) if escaped else key.split(b"\0")
    if parts.pop():
        raise Corrupt(f"{what} {key[:64]!r} does not end with a closed text")
    if escaped:
        parts = [part.replace(b"\0\xff", b"\0") for part in parts]
    try:
        return [part.decode("utf-8", "surrogatepass") for part in parts]
    except UnicodeDecodeError as error:
        raise Corrupt(f"{what} {key[:64]!r} is not UTF-8") from error


# series --------------------------------------------------------------------------------------------------------------


def metric_key(domain: str, metric: str) -> bytes:
    """Return the key of a metric: its domain and its name."""
    return _text(domain) + _text(metric)


def tags_key(tags: Tags) -> bytes:
    """Return the key of tags (sorted by name), in the order of the tags as tuples."""
    if not tags:
        return b""
    joined = "\0".join([text for pair in tags for text in pair])
    if joined.count("\0") != 2 * len(tags) - 1:  # a text holds a NUL and must be escaped
        return b"".join([_text(name) + _text(value) for name, value in tags])
    return joined.encode("utf-8", "surrogatepass") + b"\0"


def series_key(domain: str, metric: str, tags: Tags) -> bytes:
    """Return `metric_key` followed by `tags_key`."""
    return metric_key(domain, metric) + tags_key(tags)


def parse_metric_key(key: bytes) -> tuple[str, str]:
    """Return (domain, metric). Raises Corrupt."""
    texts = _texts(key, "metric key")
    if len(texts) != 2:
        raise Corrupt(f"metric key {key[:64]!r} has {len(texts)} texts and not 2")
    return texts[0], texts[1]


def parse_tags_key(key: bytes) -> Tags:
    """Return the tags, in the order in which they were given. Raises Corrupt."""
    texts = _texts(key, "tags key")
    if len(texts) % 2:
        raise Corrupt(f"tags key {key[:64]!r} has a name without a value")
    return tuple(zip(texts[0::2], texts[1::2], strict=True))


def parse_series_key(key: bytes) -> Series:
    """Return the series of a `series_key`. Raises Corrupt."""
    texts = _texts(key, "series key")
    if len(texts) < 2 or len(texts) % 2:
        raise Corrupt(f"series key {key[:64]!r} has {len(texts)} texts")
    return Series(texts[0], texts[1], tuple(zip(texts[2::2], texts[3::2], strict=True)))


def split_series_key(key: bytes) -> tuple[bytes, bytes]:
    """Cut a series key into its metric key and its tags key. Raises Corrupt."""
    first = _CLOSE.search(key)
    second = _CLOSE.search(key, first.end()) if first else None
    if second is None:
        raise Corrupt(f"series key {key[:64]!r} has no metric")
    return key[: second.end()], key[second.end() :]


# rows ----------------------------------------------------------------------------------------------------------------


def base_time_s(time_ms: int, height_s: int) -> int:
    """Return the start, in seconds since 1970, of the row that holds a time; rows are `height_s` seconds wide."""
    return time_ms // (height_s * SECOND_MS) * height_s


def row_numbers(times_ms: Int64s, height_s: int) -> Int64s:
    """Return row numbers as int64[n]: `row * height_s` is the base time in seconds. Exact for every int64 time."""
    numbers: Int64s = np.floor_divide(times_ms, height_s * SECOND_MS)
    return numbers


def row_offsets_ms(times_ms: Int64s, height_s: int) -> Int64s:
    """Return the milliseconds from each row's start as int64[n], 0 <= offset < height. Exact for every int64 time."""
    offsets: Int64s = np.mod(times_ms, height_s * SECOND_MS)
    return offsets


def row_key(metric_key: bytes, base_time_s: int, tags_key: bytes) -> bytes:
    """Return the hash key of a row of data points.

    Past 2,048 bytes it is FF, the base time and the digest of the series key, see `row_is_hashed`.
    """
    time = _pack_time(base_time_s + _TIME_BIAS)
    if len(metric_key) + len(tags_key) > HASH_BYTES - 8:
        return _DIGEST_MARK + time + sha256(metric_key + tags_key).digest()
    return metric_key + time + tags_key


def row_is_hashed(row_key: bytes) -> bool:
    """Say whether the key holds a digest, so that the item's value must hold the series key."""
    return row_key.startswith(_DIGEST_MARK)


def parse_row_key(row_key: bytes) -> tuple[bytes, int, bytes] | None:
    """Return (metric key, base time in seconds, tags key), or None when the key is hashed. Raises Corrupt."""
    if row_is_hashed(row_key):
        return None
    metric, rest = split_series_key(row_key)
    if len(rest) < 8:
        raise Corrupt(f"row key {row_key[:64]!r} is too short")
    return metric, _unpack_time(rest)[0] - _TIME_BIAS, rest[8:]


def row_base_time_s(row_key: bytes) -> int:
    """Return the base time of a row key, hashed or not, in seconds since 1970. Raises Corrupt."""
    parsed = parse_row_key(row_key)
    if parsed is not None:
        return parsed[1]
    if len(row_key) != 1 + 8 + _DIGEST_BYTES:
        raise Corrupt(f"hashed row key {row_key[:64]!r} is {len(row_key)} bytes long")
    return int(_unpack_time(row_key, 1)[0]) - _TIME_BIAS


def chunk_range(offset_ms: int, generation: int, part: int = 0) -> bytes:
    """Return the range key of a chunk: 16 bytes that sort by offset, generation, part.

    Args:
        offset_ms: first point's distance from the row's start, 0 to 2**48-1.
        generation: which flush wrote it, 0 to 2**64-1.
        part: number of the piece, when a chunk was too large for one item, 0 to 65,535.
    """
    return _chunk.pack(offset_ms >> 32, offset_ms & 0xFFFFFFFF, generation, part)


def parse_chunk_range(key: bytes) -> tuple[int, int, int]:
    """Return (offset_ms, generation, part). Raises Corrupt."""
    if len(key) != _chunk.size:
        raise Corrupt(f"range key of a chunk is {len(key)} bytes long and not {_chunk.size}")
    high, low, generation, part = _chunk.unpack(key)
    return high << 32 | low, generation, part


# index ---------------------------------------------------------------------------------------------------------------


def index_shard(tags_key: bytes) -> int:
    """Return which of a metric's index hash keys holds these tags; the same in every process and version."""
    return crc32(tags_key) % INDEX_SHARDS


def index_key(metric_key: bytes, shard: int) -> bytes:
    """Return the hash key of one shard of a metric's index."""
    if len(metric_key) > HASH_BYTES - 1:
        return _DIGEST_MARK + sha256(metric_key).digest() + bytes((shard,))
    return metric_key + bytes((shard,))


def index_range(base_time_s: int, tags_key: bytes) -> bytes:
    """Return the range key of an index entry.

    Past 1,024 bytes a digest stands in place of the tags, see `index_range_is_hashed`.
    """
    time = _pack_time(base_time_s + _TIME_BIAS)
    if len(tags_key) > RANGE_BYTES - 8:
        return time + _DIGEST_MARK + sha256(tags_key).digest()
    return time + tags_key


def index_range_is_hashed(key: bytes) -> bool:
    """Say whether the key holds a digest, so that the item's value must hold the tags key."""
    return key[8:9] == _DIGEST_MARK


def parse_index_range(key: bytes) -> tuple[int, bytes | None]:
    """Return (base time in seconds, tags key), the tags key being None when the key is hashed. Raises Corrupt."""
    if len(key) < 8:
        raise Corrupt(f"range key of an index entry is {len(key)} bytes long")
    return _unpack_time(key)[0] - _TIME_BIAS, None if index_range_is_hashed(key) else key[8:]


# names ---------------------------------------------------------------------------------------------------------------


def names_key(domain: str) -> bytes:
    """Return the hash key of a domain's names."""
    return _text(domain)


def name_whole(metric: str, tag_name: str, tag_value: str) -> bytes:
    """Return a name entry as bytes that sort as the three texts do; the value of an entry whose range key is hashed."""
    return _text(metric) + _text(tag_name) + _text(tag_value)


def name_range(metric: str, tag_name: str, tag_value: str) -> bytes:
    """Return the range key of a name entry.

    From 1,024 bytes on it is the first 992 bytes and a digest, so that entries still sort and can be found by prefix.
    """
    whole = name_whole(metric, tag_name, tag_value)
    if len(whole) < RANGE_BYTES:
        return whole
    return whole[:_NAME_PREFIX] + sha256(whole).digest()


def name_range_is_hashed(key: bytes) -> bool:
    """Say whether the key holds a digest, so that the item's value must hold `name_whole`."""
    return len(key) == RANGE_BYTES


def parse_name_whole(whole: bytes) -> tuple[str, str, str]:
    """Return (metric, tag name, tag value). Raises Corrupt."""
    texts = _texts(whole, "name entry")
    if len(texts) != 3:
        raise Corrupt(f"name entry {whole[:64]!r} has {len(texts)} texts and not 3")
    return texts[0], texts[1], texts[2]


def parse_name_range(key: bytes) -> tuple[str, str, str] | None:
    """Return (metric, tag name, tag value), or None when the key is hashed. Raises Corrupt."""
    return None if name_range_is_hashed(key) else parse_name_whole(key)


# lists of a block ------------------------------------------------------------------------------------------------------

DOMAINS_KEY = _LIST_MARK + b"domains"
"""hash key of the list of domains that have names in a block; range key: text domain"""


def domain_range(domain: str) -> bytes:
    """Return the range key of a domain in the list of domains."""
    whole = _text(domain)
    return whole if len(whole) < RANGE_BYTES else _DIGEST_MARK + sha256(whole).digest()


def parse_domain(key: bytes, value: bytes) -> str:
    """Return the domain of an entry whose value is empty, or the domain's text where the key is a digest. Raises Corrupt."""
    return _texts(value or key, "domain")[0]


def domain_value(domain: str) -> bytes:
    """Return the value of a domain's entry."""
    whole = _text(domain)
    return b"" if len(whole) < RANGE_BYTES else whole


def expiry_keys() -> list[bytes]:
    """Return the hash keys of a block's list of rows with points that expire."""
    return [_LIST_MARK + b"expiry" + bytes((shard,)) for shard in range(EXPIRY_SHARDS)]


def expiry_entry(due_s: int, row_key: bytes) -> tuple[bytes, bytes]:
    """Return (hash key, range key) of the entry that has a row looked at from a time on, seconds since 1970."""
    digest = sha256(row_key).digest()
    return _LIST_MARK + b"expiry" + bytes((digest[0] % EXPIRY_SHARDS,)), expiry_until(due_s) + digest[:16]


def expiry_until(due_s: int) -> bytes:
    """Return what the range keys of entries due at a time begin with; those due earlier sort before it."""
    return _pack_time(due_s + _TIME_BIAS)


def expiry_value(base_s: int, series_key: bytes) -> bytes:
    """Return the value of an entry: the row's base time and its series."""
    return _pack_time(base_s + _TIME_BIAS) + series_key


def parse_expiry_value(value: bytes) -> tuple[int, bytes]:
    """Return (base time in seconds, series key). Raises Corrupt."""
    if len(value) < 8:
        raise Corrupt(f"entry of a row that expires is {len(value)} bytes long")
    return _unpack_time(value)[0] - _TIME_BIAS, value[8:]


def late_keys() -> list[bytes]:
    """Return the hash keys of a block's list of rows that changed since they were rolled up."""
    return [_LIST_MARK + b"late" + bytes((shard,)) for shard in range(EXPIRY_SHARDS)]


def late_entry(row_key: bytes, generation: int) -> tuple[bytes, bytes]:
    """Return (hash key, range key) of the entry of a row; its value is as `expiry_value` makes it.

    Each generation has an entry of its own, so that one that is being removed takes no younger one with it.
    """
    digest = sha256(row_key).digest()
    return _LIST_MARK + b"late" + bytes((digest[0] % EXPIRY_SHARDS,)), digest[:16] + struct.pack(">Q", generation)


def after_prefix(prefix: bytes) -> bytes:
    """Return the first key after all keys that begin with `prefix`, as the end of a range query over them.

    Raises:
        ValueError: no key sorts after (`prefix` is empty or all FF).
    """
    kept = prefix.rstrip(b"\xff")
    if not kept:
        raise ValueError("no key sorts after this prefix")
    return kept[:-1] + bytes((kept[-1] + 1,))
