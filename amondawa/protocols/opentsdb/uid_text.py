"""How ids are written: as digits in a TSUID, as bytes in the texts of errors."""

from __future__ import annotations

import re

from amondawa.protocols.opentsdb.errors import NoSuchId
from amondawa.protocols.opentsdb.uid_log import UidKind

KINDS: tuple[UidKind, ...] = ("metric", "tagk", "tagv")
ERROR_KINDS: dict[UidKind, str] = {"metric": "metrics", "tagk": "tagk", "tagv": "tagv"}
"""the words of the error texts"""

UID_HEX = 6
_ESCAPE = 0xFFFFFF
"""three bytes do not number everything for ever: from here on an id is FFFFFF and eight more digits"""
_ESCAPED_HEX = 8
_HEX = re.compile(r"[0-9A-Fa-f]*")


def uid_text(uid: int) -> str:
    """Return an id as hexadecimal digits, as it stands in a TSUID."""
    if uid < _ESCAPE:
        return f"{uid:06X}"
    return f"{_ESCAPE:06X}{uid:08X}"


def parse_uids(text: str) -> list[int] | None:
    """Cut hexadecimal digits into ids; None when they are not whole ids."""
    ids = []
    at = 0
    try:
        while at < len(text):
            uid = int(text[at : at + UID_HEX], 16)
            at += UID_HEX
            if uid == _ESCAPE and len(text) - at >= _ESCAPED_HEX:
                uid = int(text[at : at + _ESCAPED_HEX], 16)
                at += _ESCAPED_HEX
            ids.append(uid)
    except ValueError:
        return None
    return ids if at == len(text) else None


def hex_problem(text: str) -> str:
    """Return what is wrong with digits that should spell ids, empty when nothing is (an odd number gets a 0 in front)."""
    if not text:
        return "UID was empty"
    padded = _padded(text)
    return "" if _HEX.fullmatch(padded) else f"contains illegal character for hexBinary: {padded}"


def id_problem(kind: UidKind, text: str) -> str:
    """Return what is wrong with digits that should spell one id, empty when nothing is."""
    problem = hex_problem(text)
    if problem or len(parse_uids(_padded(text)) or ()) == 1:
        return problem
    return f"Wrong id.length = {len(_padded(text)) // 2} which is != 3 required for '{ERROR_KINDS[kind]}'"


def parse_uid(text: str) -> int:
    """Return the id that digits spell in which `id_problem` finds nothing wrong."""
    return (parse_uids(_padded(text)) or [])[0]


def _padded(text: str) -> str:
    return "0" * (len(text) % 2) + text


def uid_bytes(uid: int) -> bytes:
    """Return an id as its bytes in a TSUID."""
    return bytes.fromhex(uid_text(uid)) if uid != _ESCAPE else b"\xff\xff\xff"


def no_such_id(kind: UidKind, uid: int) -> NoSuchId:
    """Return the error of an id that no name has."""
    return NoSuchId(ERROR_KINDS[kind], uid_bytes(uid))
