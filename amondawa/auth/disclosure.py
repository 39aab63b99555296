"""Answers in domains that keep tags as hashes: who asked with a clear value gets it back where its hash would stand.

Hashes are 34 characters that nothing else looks like, so an answer is translated as it is, whatever its dialect, when it
is complete. Only what the request itself said is put in: a caller that sends hashes, or nothing, sees hashes.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping

import orjson

_GZIP_LEVEL = 1


def disclosed(body: bytes, sent: Mapping[str, str], *, packed: bool, as_json: bool) -> bytes:
    """Return an answer with the clear values that were sent.

    Args:
        body: complete.
        sent: clear values by their hashes.
        packed: whether the body is gzip's.
        as_json: whether values stand in JSON strings.
    """
    text = gzip.decompress(body) if packed else body
    found = {digest.encode(): value for digest, value in sent.items() if digest.encode() in text}
    if not found:
        return body
    for digest, value in found.items():
        text = text.replace(digest, orjson.dumps(value)[1:-1] if as_json else value.encode())
    return gzip.compress(text, _GZIP_LEVEL) if packed else text
