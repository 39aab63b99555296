"""Formulas over aligned series: arithmetic, comparisons and logic on columns of doubles.

    or     := and   (("||" | "or")  and)*
    and    := equal (("&&" | "and") equal)*
    equal  := order (("==" | "!=" | "eq" | "ne") order)*
    order  := sum   (("<" | ">" | "<=" | ">=" | "lt" | "gt" | "le" | "ge") sum)*
    sum    := term  (("+" | "-") term)*
    term   := unary (("*" | "/" | "%" | "div" | "mod") unary)*
    unary  := ("-" | "!" | "not") unary | number | "true" | "false" | name | "(" choice ")"
    choice := or ["?" choice ":" choice]

Rules as in the Java expression language that OpenTSDB uses: a comparison is 1 or 0 in the end; two whole constants
divide without remainder; dividing by zero, or taking a remainder by it, gives 0. Source: suite query_exp.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from amondawa.errors import BadRequest
from amondawa.model.points import Float64s

MAX_CHARS = 4_096
MAX_DEPTH = 64
LONG = 2**63
LONG_DIGITS = 19
"""whole constants of that many digits are taken for doubles"""

Column = npt.NDArray[np.float64] | npt.NDArray[np.bool_]
Value = Column | float | int | bool
Columns = Mapping[str, Float64s]
Node = Callable[[Columns], Value]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_$@][\w$@]*)|(?P<sign>&&|\|\||[=!<>]=|[-+*/%<>!()?:]))"
)
_WORDS = {"and": "&&", "or": "||", "not": "!", "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=",
          "div": "/", "mod": "%"}  # fmt: skip


class BadFormula(BadRequest):
    """A formula that does not parse."""


@dataclass(frozen=True, slots=True, eq=False)
class Formula:
    """A parsed formula.

    Attributes:
        text: as written.
        names: the series it uses, in order of first use.
    """

    text: str
    names: tuple[str, ...]
    _root: Node

    def evaluate(self, columns: Columns, length: int) -> Float64s:
        """Return the formula's value at every time.

        Args:
            columns: a float64[length] for every name.
            length: number of times.
        """
        with np.errstate(all="ignore"):
            value = self._root(columns)
        return np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), length))


def parse_formula(text: str) -> Formula:
    """Parse a formula.

    Raises:
        BadFormula: it does not parse, is too long or too deeply nested.
    """
    if len(text) > MAX_CHARS:
        raise BadFormula(f"an expression may have {MAX_CHARS} characters, this one has {len(text)}")
    parser = _Parser(text)
    root = parser.choice(0)
    parser.expect_end()
    return Formula(text, tuple(parser.names), root)


# evaluation -----------------------------------------------------------------------------------------------------------


def _is_whole(value: Value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Value) -> Float64s:
    return np.asarray(value, dtype=np.float64)


def _truth(value: Value) -> npt.NDArray[np.bool_]:
    array = np.asarray(value)
    if array.dtype == np.bool_:
        return array
    numbers = _number(value)
    return np.asarray((numbers != 0) & ~np.isnan(numbers))


def _divide(left: Value, right: Value) -> Value:
    if _is_whole(left) and _is_whole(right):
        a, b = int(left), int(right)
        return 0.0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    divisor = _number(right)
    return np.where(divisor == 0, 0.0, _number(left) / divisor)


def _remainder(left: Value, right: Value) -> Value:
    if _is_whole(left) and _is_whole(right):
        a, b = int(left), int(right)
        return 0.0 if b == 0 else abs(a) % abs(b) * (1 if a >= 0 else -1)
    divisor = _number(right)
    return np.where(divisor == 0, 0.0, np.fmod(_number(left), divisor))


def _whole_or_number(
    operate: Callable[[int, int], int], on_numbers: Callable[[Float64s, Float64s], Float64s]
) -> _Binary:
    def apply(left: Value, right: Value) -> Value:
        if _is_whole(left) and _is_whole(right):
            whole = operate(int(left), int(right))
            return whole if abs(whole) < LONG else float(whole)
        return on_numbers(_number(left), _number(right))

    return apply


_Binary = Callable[[Value, Value], Value]

_BINARY: dict[str, _Binary] = {
    "||": lambda a, b: _truth(a) | _truth(b),
    "&&": lambda a, b: _truth(a) & _truth(b),
    "==": lambda a, b: np.asarray(_number(a) == _number(b)),
    "!=": lambda a, b: np.asarray(_number(a) != _number(b)),
    "<": lambda a, b: np.asarray(_number(a) < _number(b)),
    ">": lambda a, b: np.asarray(_number(a) > _number(b)),
    "<=": lambda a, b: np.asarray(_number(a) <= _number(b)),
    ">=": lambda a, b: np.asarray(_number(a) >= _number(b)),
    "+": _whole_or_number(lambda a, b: a + b, lambda a, b: a + b),
    "-": _whole_or_number(lambda a, b: a - b, lambda a, b: a - b),
    "*": _whole_or_number(lambda a, b: a * b, lambda a, b: a * b),
    "/": _divide,
    "%": _remainder,
}

_LEVELS = (("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"))
"""signs by how tightly they bind, loosest first"""


def _joined(sign: str, left: Node, right: Node) -> Node:
    operate = _BINARY[sign]
    return lambda columns: operate(left(columns), right(columns))


def _chosen(test: Node, then: Node, otherwise: Node) -> Node:
    return lambda columns: np.where(_truth(test(columns)), _number(then(columns)), _number(otherwise(columns)))


def _negated(inner: Node) -> Node:
    def apply(columns: Columns) -> Value:
        value = inner(columns)
        return -int(value) if _is_whole(value) else -_number(value)

    return apply


# parsing --------------------------------------------------------------------------------------------------------------


class _Parser:
    """A recursive descent over the tokens of one formula."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self.names: dict[str, None] = {}

    def choice(self, depth: int) -> Node:
        """Parse what may stand alone or in parentheses."""
        if depth > MAX_DEPTH:
            raise BadFormula(f"parentheses may be nested {MAX_DEPTH} deep")
        test = self._level(0, depth)
        if not self._take("?"):
            return test
        then = self.choice(depth + 1)
        self._expect(":")
        return _chosen(test, then, self.choice(depth + 1))

    def expect_end(self) -> None:
        """Refuse what follows a whole formula."""
        if self._at < len(self._tokens):
            raise self._unexpected()

    def _level(self, level: int, depth: int) -> Node:
        if level == len(_LEVELS):
            return self._unary(depth)
        left = self._level(level + 1, depth)
        while (sign := self._peek()) in _LEVELS[level]:
            self._at += 1
            left = _joined(sign, left, self._level(level + 1, depth))
        return left

    def _unary(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise BadFormula(f"signs may be nested {MAX_DEPTH} deep")
        if self._take("-"):
            return _negated(self._unary(depth + 1))
        if self._take("!"):
            inner = self._unary(depth + 1)
            return lambda columns: ~_truth(inner(columns))
        if self._take("("):
            inner = self.choice(depth + 1)
            self._expect(")")
            return inner
        return self._atom()

    def _atom(self) -> Node:
        if self._at >= len(self._tokens):
            raise self._unexpected()
        kind, text = self._tokens[self._at]
        if kind == "sign":
            raise self._unexpected()
        self._at += 1
        if kind == "number":
            constant: Value = int(text) if text.isdigit() and len(text) < LONG_DIGITS else float(text)
            return lambda columns: constant
        if text in ("true", "false"):
            return lambda columns: text == "true"
        self.names[text] = None
        return lambda columns: columns[text]

    def _peek(self) -> str:
        if self._at >= len(self._tokens):
            return ""
        kind, text = self._tokens[self._at]
        return text if kind == "sign" else ""

    def _take(self, sign: str) -> bool:
        found = self._peek() == sign
        self._at += found
        return found

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._unexpected()

    def _unexpected(self) -> BadFormula:
        shown = self._tokens[self._at][1] if self._at < len(self._tokens) else "the end"
        return BadFormula(f"parsing error near '{shown}' in expression: {self._text}")


def _tokens(text: str) -> list[tuple[str, str]]:
    """Cut a formula into (kind, text), words for signs replaced by the signs."""
    found = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadFormula(f"parsing error near '{text[at:].strip()[:20]}' in expression: {text}")
        at = match.end()
        kind = match.lastgroup or ""
        token = match[kind]
        found.append(("sign", _WORDS[token]) if token in _WORDS else (kind, token))
    return found
