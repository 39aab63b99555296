"""Which metric names, tags and tag counts OpenTSDB accepts, with its texts where it does not.

Source: suites put_http (bad_*, empty_*, nine_tags, allowed_characters) and telnet (error_*).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from amondawa.errors import BadRequest
from amondawa.protocols.opentsdb.javamap import K, java_map_text, java_order

_PLAIN = re.compile(r"[a-zA-Z0-9\-_./]+", re.ASCII)
_ALLOWED = frozenset("-_./0123456789")
LONGEST = 4_096
"""characters of one name; the real server takes no line beyond 1,024 bytes, but it would take such a name by HTTP"""


class BadName(BadRequest, ValueError):
    """A name, or a number of tags, that OpenTSDB refuses."""


def check_metric(name: str) -> None:
    """Check a metric name.

    Raises:
        BadName: it is empty or holds a character that is not allowed.
    """
    _check("metric name", name)


def check_tag(name: str, value: str) -> None:
    """Check one tag, its name first.

    Raises:
        BadName: the name or the value is empty or holds a character that is not allowed.
    """
    _check(f"tag name with value [{value}]", name)
    _check(f"tag value with key [{name}]", value)


def check_tag_count(metric: str, tags: Mapping[K, str], limit: int) -> None:
    """Check how many tags a point has.

    Raises:
        BadName: none, or more than the limit.
    """
    if not tags:
        raise BadName(f"Need at least one tag (metric={metric}, tags={{}})", field="tags")
    if len(tags) > limit:
        text = f"Too many tags: {len(tags)} maximum allowed: {limit}, tags: {java_map_text(tags)}"
        raise BadName(text, field="tags", value=dict(tags))


def check_series(metric: str, tags: Mapping[str, str], limit: int) -> None:
    """Check a whole series in the order of the real server: tag count, metric, then each tag.

    Raises:
        BadName: with the text of the first thing that is wrong.
    """
    check_tag_count(metric, tags, limit)
    whole = metric + "".join(tags) + "".join(tags.values())
    if metric and len(whole) <= LONGEST and all(tags) and all(tags.values()) and _PLAIN.fullmatch(whole):
        return
    check_metric(metric)
    for name in java_order(tags):
        check_tag(name, tags[name])


def allowed(char: str) -> bool:
    """Say whether a character may stand in a name: ASCII digits, `-_./`, and letters of every script."""
    return char in _ALLOWED or (ord(char) < 0x10000 and unicodedata.category(char)[0] == "L")


def _check(what: str, name: str) -> None:
    if len(name) > LONGEST:
        raise BadName(f'Invalid {what[:64]} ("{name[:64]}..."): longer than {LONGEST} characters', field=what[:64])
    if _PLAIN.fullmatch(name):
        return
    if not name:
        raise BadName(f"Invalid {what}: empty string", field=what, value=name)
    for char in name:
        if not allowed(char):
            raise BadName(f'Invalid {what} ("{name}"): illegal character: {char}', field=what, value=name)
