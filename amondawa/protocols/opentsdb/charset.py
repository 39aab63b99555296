"""Bodies in another charset than UTF-8: the original reads them in the one that their content type names."""

from __future__ import annotations

import codecs

_KNOWN = frozenset({"ascii", "iso8859-1", "iso8859-15", "cp1252"})
"""as Python calls them"""
_MARK = "CHARSET="


def charset_of(content_type: str) -> str:
    """Return what stands behind `charset=` in a content type; empty when it names none."""
    at = content_type.upper().find(_MARK)
    return content_type[at + len(_MARK) :] if at > 1 else ""


def in_utf8(body: bytes, content_type: str) -> bytes:
    """Return a body in UTF-8; one whose charset is not named, or not known, is taken to be so."""
    name = charset_of(content_type)
    if not name:
        return body
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        return body
    return body.decode(codec, "replace").encode() if codec in _KNOWN and not body.isascii() else body
