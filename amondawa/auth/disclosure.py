"""Answers in domains that keep tags as hashes: who asked with a clear value gets it back where its hash would stand.

Hashes are 34 characters that nothing else looks like, so an answer is translated as it is, whatever its dialect, when it
is complete. Only what the request itself said is put in: a caller that sends hashes, or nothing, sees hashes.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from html import escape

import orjson

_GZIP_LEVEL = 1


Spell = Callable[[str], bytes]
"""spells a value as it stands in an answer"""


def spelling_of(content_type: str) -> Spell:
    """Return how values are spelled in an answer of a content type: in JSON strings, but for text and pages."""
    return _SPELLINGS.get(content_type, _in_json)


def _as_it_is(value: str) -> bytes:
    return value.encode()


def _in_html(value: str) -> bytes:
    return escape(value).encode()


def _in_json(value: str) -> bytes:
    return orjson.dumps(value)[1:-1]


_SPELLINGS: Mapping[str, Spell] = {"text/plain": _as_it_is, "text/html": _in_html}


def disclosed(body: bytes, sent: Mapping[str, str], *, packed: bool, spell: Spell) -> bytes:
    """Return an answer with the clear values that were sent.

    Args:
        body: complete.
        sent: clear values by their hashes.
        packed: whether the body is gzip's.
        spell: of its content type.
    """
    text = gzip.decompress(body) if packed else body
    found = {digest.encode(): value for digest, value in sent.items() if digest.encode() in text}
    if not found:
        return body
    for digest, value in found.items():
        text = text.replace(digest, spell(value))
    return gzip.compress(text, _GZIP_LEVEL) if packed else text
