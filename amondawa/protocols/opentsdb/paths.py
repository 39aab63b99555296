"""How a path leads to an endpoint: its first word, or its first two below /api, in capitals or not; versions; file endings.

Source: suite endpoints (paths_*, version_*).
"""

from __future__ import annotations

import re

from amondawa.protocols.opentsdb.errors import TsdbError

MAX_API_VERSION = 1
PLAIN_HTML = "text/html; charset=UTF-8"
PLAIN_JSON = "application/json"
PLAIN_TEXT = "text/plain"
_BY_ENDING = {
    ".png": "image/png",
    "html": PLAIN_HTML,
    ".css": "text/css",
    ".gif": "image/gif",
    ".ico": "image/x-icon",
}
_BY_FIRST_BYTE = {b"<": PLAIN_HTML, b"{": PLAIN_JSON, b"[": PLAIN_JSON, b"\x89": "image/png"}
_DOMAIN = re.compile(r"^/domains/[^/?]+(?=[/?]|$)")
_SHORTEST = 6
"""characters of the shortest path whose ending counts: `/a.css`"""


def is_version(word: str) -> bool:
    """Say whether the word behind /api names a version of the API."""
    return word[:1] in ("v", "V") and word[1:2].isdigit()


def check_version(words: list[str]) -> None:
    """Check the version that a path's words name, if they do.

    Raises:
        TsdbError: 400, it is no number; 501, it is greater than the one there is.
    """
    if len(words) < 2 or words[0].lower() != "api" or not is_version(words[1]):
        return
    text = words[1][1:]
    if not text.isdecimal() or int(text) >= 2**31:
        raise TsdbError(
            "Invalid API version format supplied", 400, f"API version [{text}] cannot be parsed to an integer"
        )
    if int(text) > MAX_API_VERSION:
        raise TsdbError(
            "Requested API version is greater than the max implemented",
            501,
            f"API version [{int(text)}] is greater than the max [{MAX_API_VERSION}]",
        )


def led_by(words: list[str]) -> str:
    """Return a path's words joined, without the version, those that lead to an endpoint in small letters."""
    if not words:
        return ""
    words = [words[0].lower(), *words[1:]]
    if words[0] == "api" and len(words) > 1:
        if is_version(words[1]):
            del words[1]
        words[1:2] = [word.lower() for word in words[1:2]]
    return "/".join(words)


def in_api(path: str) -> bool:
    """Say whether a path, led as above, is below /api: everything there answers in JSON."""
    return path.split("/", 1)[0] == "api"


def usual(path: str) -> str:
    """Return a path as the routes spell it: its leading words in small letters; one that begins with an empty word is `/`."""
    words = path.split("/")[1:]
    if words[0] == "":
        return "/"
    leading = 1 if words[0].lower() != "api" else 3 if is_version("".join(words[1:2])) else 2
    return "/" + "/".join([word.lower() for word in words[:leading]] + words[leading:])


def without_domain(target: str) -> str:
    """Return a path and query string without a domain in front."""
    return _DOMAIN.sub("", target, count=1)


def guessed_type(target: str, body: bytes) -> str:
    """Return the content type of an answer outside /api: by the ending of the path asked for, else by its first byte.

    Args:
        target: path and query string, as asked.
        body: of the answer.
    """
    path = target[:1] + target[1:].partition("?")[0]
    if len(path) >= _SHORTEST:
        if path.endswith(".js"):
            return "text/javascript"
        for ending, content_type in _BY_ENDING.items():
            if path.endswith(ending):
                return content_type
    return _BY_FIRST_BYTE.get(body[:1], PLAIN_TEXT)
