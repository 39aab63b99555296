"""The text of formulas: the words and signs that it is cut into, and errors that show where it goes wrong."""

from __future__ import annotations

import re

from amondawa.errors import BadRequest

SHOWN_WHOLE, AROUND = 10, 5
"""texts shorter than that stand whole in errors, of others so many characters on both sides of a column"""
AMBIGUOUS = "Ambiguous statement, missing ';' between expressions"
"""shown in place of a formula when another one follows it"""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]+|\d+\.\d+(?:[eE][+-]?\d+)?|[1-9]\d*|0[0-7]*)[lLhHfFbB]?"
    r"|(?P<name>[A-Za-z_$@][\w$@]*)|(?P<sign>&&|\|\||[=!<>]=|\?:|[-+*/%<>!()?:,&|^~]))"
)
_WORDS = {"and": "&&", "or": "||", "not": "!", "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=",
          "div": "/", "mod": "%"}  # fmt: skip


class BadFormula(BadRequest):
    """A formula that does not parse."""


def wrong_at(column: int, text: str) -> BadFormula:
    """Return the error of a text that goes wrong at a column, counted from 1."""
    return wrong("net.opentsdb.query.pojo.Expression.validate", column, text)


def wrong(where: str, column: int, text: str) -> BadFormula:
    """Return an error that shows a text, of a longer one what is around the column."""
    if len(text) < SHOWN_WHOLE:
        return BadFormula(f"{where}@1:{column} parsing error in '{text}'")
    start, end = column - AROUND, column + AROUND
    if start < 0:
        start, end = 0, end + AROUND
    return BadFormula(f"{where}@1:{column} parsing error near '... {text[start:end]} ...'")


def cut(text: str) -> tuple[list[tuple[str, str]], list[int]]:
    """Cut a formula into (kind, text), words for signs replaced by the signs, and the columns they stand at."""
    found = []
    places = []
    at = 0
    end = len(text.rstrip("; \t\r\n"))
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise wrong_at(at + 1 + len(text[at:]) - len(text[at:].lstrip()), text)
        at = match.end()
        kind = match.lastgroup or ""
        token = match[kind]
        places.append(match.start(kind) + 1)
        found.append(("sign", _WORDS[token]) if token in _WORDS else (kind, token))
    return found, places
