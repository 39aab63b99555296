"""Formulas over aligned series: arithmetic, comparisons and logic on columns of doubles.

    or     := and   (("||" | "or")  and)*
    and    := bits  (("&&" | "and") bits)*
    bits   := equal (("|" | "^" | "&") equal)*, binding tighter in this order
    equal  := order [("==" | "!=" | "eq" | "ne") order]
    order  := sum   [("<" | ">" | "<=" | ">=" | "lt" | "gt" | "le" | "ge") sum]
    sum    := term  (("+" | "-") term)*
    term   := unary (("*" | "/" | "%" | "div" | "mod") unary)*
    unary  := ("-" | "!" | "not" | "~") unary | number | "true" | "false" | "null" | name | call | "(" choice ")"
    call   := name [":" name] "(" [choice ("," choice)*] ")"
    choice := or ["?" choice ":" choice | "?:" choice]

Rules as in the Java expression language that OpenTSDB uses: a comparison is 1 or 0 in the end; two whole constants
divide without remainder; dividing by zero, or taking a remainder by it, gives 0. Constants with a point are 32-bit floats.
A result that is a bare constant or bits is refused, and so is every call: there are no functions. Of names in doubled
parentheses, as in `((a))`, that language knows nothing: unless they stand elsewhere too they are null, which counts as 0.
Source: suite query_exp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from amondawa.aggregate.formula_text import AMBIGUOUS, BadFormula, cut, wrong, wrong_at
from amondawa.aggregate.nan_order import below, same
from amondawa.errors import BadRequest
from amondawa.model.points import Float64s

MAX_CHARS = 4_096
MAX_DEPTH = 64
LONG = 2**63
LARGEST = 2**1023
LONG_DIGITS = 19
"""whole constants of that many digits are taken for doubles"""
NO_DOUBLE = "Expression returned a result of type: java.lang.{}"

Column = npt.NDArray[np.float64] | npt.NDArray[np.bool_] | npt.NDArray[np.int64]
Value = Column | float | int | bool
Columns = Mapping[str, Float64s]
Node = Callable[[Columns], Value]


class NoNumber(BadRequest):
    """A formula whose result is no double."""


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

        Raises:
            NoNumber: the result is a bare constant or bits at some time, or a function is called.
        """
        with np.errstate(all="ignore"):
            _check_result(self._root, columns, np.ones(length, bool))
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


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """`test ? then : otherwise`."""

    test: Node
    then: Node
    otherwise: Node

    def __call__(self, columns: Columns) -> Value:
        then, otherwise = self.then(columns), self.otherwise(columns)
        return np.where(_truth(self.test(columns)), _number(then), _number(otherwise))


@dataclass(frozen=True, slots=True, eq=False)
class _Constant:
    """A number as written."""

    value: Value

    def __call__(self, columns: Columns) -> Value:
        return self.value


def _check_result(node: Node, columns: Columns, at: npt.NDArray[np.bool_]) -> None:
    """Refuse a result that is no double.

    Args:
        node: what gives it.
        columns: as for `Formula.evaluate`.
        at: at which times it is the result (bool[length]).

    Raises:
        NoNumber: so it is, at one of the times.
    """
    if isinstance(node, _Choice):
        test = np.broadcast_to(_truth(node.test(columns)), at.shape)
        _check_result(node.then, columns, at & test)
        _check_result(node.otherwise, columns, at & ~test)
    elif at.any():
        value = node(columns)
        if _is_bits(value):
            raise NoNumber(NO_DOUBLE.format("Long"))
        if _is_whole(value):
            raise NoNumber(NO_DOUBLE.format("Integer"))
        if isinstance(node, _Constant) and isinstance(value, float):
            raise NoNumber(NO_DOUBLE.format("Float"))


def _is_bits(value: Value) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.int64


def _whole_numbers(value: Value) -> npt.NDArray[np.int64]:
    return np.asarray(np.nan_to_num(_number(value)).astype(np.int64))


def _call(name: str) -> Node:
    def refuse(columns: Columns) -> Value:
        raise NoNumber(f"there is no function {name}")

    return refuse


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


def _equal(left: Value, right: Value) -> Column:
    truths = bool in (np.asarray(left).dtype, np.asarray(right).dtype)
    return _truth(left) == _truth(right) if truths else same(_number(left), _number(right))


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
    "|": lambda a, b: _whole_numbers(a) | _whole_numbers(b),
    "^": lambda a, b: _whole_numbers(a) ^ _whole_numbers(b),
    "&": lambda a, b: _whole_numbers(a) & _whole_numbers(b),
    "==": _equal,
    "!=": lambda a, b: np.logical_not(_equal(a, b)),
    "<": lambda a, b: below(_number(a), _number(b)),
    ">": lambda a, b: below(_number(b), _number(a)),
    "<=": lambda a, b: ~below(_number(b), _number(a)),
    ">=": lambda a, b: ~below(_number(a), _number(b)),
    "+": _whole_or_number(lambda a, b: a + b, lambda a, b: a + b),
    "-": _whole_or_number(lambda a, b: a - b, lambda a, b: a - b),
    "*": _whole_or_number(lambda a, b: a * b, lambda a, b: a * b),
    "/": _divide,
    "%": _remainder,
}

_LEVELS = (("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"))
"""signs by how tightly they bind, loosest first"""
_ALONE = (("==", "!="), ("<", ">", "<=", ">="))
"""levels whose signs do not follow one another"""


def _joined(sign: str, left: Node, right: Node) -> Node:
    operate = _BINARY[sign]
    return lambda columns: operate(left(columns), right(columns))


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
        self._tokens, self._places = cut(text)
        self._at = 0
        self._closings: dict[int, int] = {}
        self.names: dict[str, None] = {}

    def choice(self, depth: int) -> Node:
        """Parse what may stand alone or in parentheses."""
        if depth > MAX_DEPTH:
            raise BadFormula(f"parentheses may be nested {MAX_DEPTH} deep")
        test = self._level(0, depth)
        if self._take("?:"):
            return _Choice(test, test, self.choice(depth + 1))
        if not self._take("?"):
            return test
        then = self.choice(depth + 1)
        self._expect(":")
        return _Choice(test, then, self.choice(depth + 1))

    def expect_end(self) -> None:
        """Refuse what follows a whole formula."""
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind != "sign":
                raise wrong(text, self._places[self._at], AMBIGUOUS)
            raise self._unexpected()

    def _level(self, level: int, depth: int) -> Node:
        if level == len(_LEVELS):
            return self._unary(depth)
        left = self._level(level + 1, depth)
        while (sign := self._peek()) in _LEVELS[level]:
            self._at += 1
            left = _joined(sign, left, self._level(level + 1, depth))
            if _LEVELS[level] in _ALONE:
                break
        return left

    def _unary(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise BadFormula(f"signs may be nested {MAX_DEPTH} deep")
        if self._take("-"):
            return _negated(self._unary(depth + 1))
        if self._take("!"):
            inner = self._unary(depth + 1)
            return lambda columns: ~_truth(inner(columns))
        if self._take("~"):
            inner = self._unary(depth + 1)
            return lambda columns: ~_whole_numbers(inner(columns))
        if self._take("("):
            return self._parenthesis(depth)
        return self._atom(depth)

    def _parenthesis(self, depth: int) -> Node:
        """Parse on behind an opening parenthesis; names in a doubled one stay hidden."""
        opened, known = self._at, dict(self.names)
        inner = self.choice(depth + 1)
        self._expect(")")
        if self._closings.get(opened) == self._at - 2:
            self.names = known
        self._closings[opened - 1] = self._at - 1
        return inner

    def _arguments(self, depth: int) -> None:
        """Parse the arguments of a call, up to its closing parenthesis."""
        self._expect("(")
        if not self._take(")"):
            self.choice(depth + 1)
            while self._take(","):
                self.choice(depth + 1)
            self._expect(")")

    def _atom(self, depth: int) -> Node:
        if self._at >= len(self._tokens):
            raise self._unexpected()
        kind, text = self._tokens[self._at]
        if kind == "sign":
            raise self._unexpected()
        self._at += 1
        if kind == "number":
            return _Constant(_constant(text))
        if text in ("true", "false"):
            return _Constant(text == "true")
        if text == "null":
            return lambda columns: 0.0
        if self._peek() == "(":
            self._arguments(depth)
            return _call(text)
        self.names[text] = None
        return lambda columns: columns.get(text, 0.0)

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
        return wrong_at(self._places[min(self._at, len(self._places) - 1)] if self._places else 1, self._text)


def _constant(text: str) -> Value:
    """Return a constant: hexadecimal, octal, decimal, or with a point and then of 32 bits."""
    if "." in text:
        with np.errstate(over="ignore"):
            return float(str(np.float32(text)))
    base = 16 if text[:2].lower() == "0x" else 8 if text[0] == "0" and len(text) > 1 else 10
    if len(text) >= LONG_DIGITS:
        return float(min(int(text, base), LARGEST))
    return int(text, base)
