"""The decimal digits that Java up to version 18 gives a double: not always the fewest that read back as the same number.

Whole numbers below 2^63 keep all digits that their magnitude makes significant (`1.53722867280896256E17`). All others are
developed digit by digit until what is left is less than half the distance to the neighbouring double; numbers that are
written with an exponent get two digits at least. The original prints so; Java 19 and Python print the fewest digits.
"""

from __future__ import annotations

import math

DOUBLE, SINGLE = (53, -1074), (24, -149)
"""number formats: binary digits, exponent of two of the last one of the least number"""
FEWEST_FROM, FEWEST_TO, ALWAYS_FEWEST = 1e-5, 1e15, 15
"""in this range, and up to so many digits, the fewest are those of Java too: no neighbouring double is near"""
WHOLE_BITS = 63
PLAIN_FROM, PLAIN_TO = -3, 8
"""exponents of ten that are written without an exponent, and may do with one digit"""
_BITS_OF_FIVES = [0, *((5**power).bit_length() for power in range(1, 27))]


def java_digits(value: float, form: tuple[int, int] = DOUBLE) -> tuple[str, int]:
    """Return the digits of a positive finite number, and the place of its point: 0.d1d2d3… times ten to that power.

    Args:
        value: the number.
        form: DOUBLE or SINGLE; the format that it is a number of.
    """
    if form is DOUBLE and FEWEST_FROM <= value < FEWEST_TO:
        digits, point = _fewest(value)
        if len(digits) <= ALWAYS_FEWEST:
            return digits, point
    mantissa, exponent = math.frexp(value)
    binary = exponent - 1
    width, least = form
    significant = width - max(0, least + width - 1 - binary)
    whole = int(mantissa * 2**width)
    zeros = (whole & -whole).bit_length() - 1
    bits = width - zeros
    if 0 <= binary < WHOLE_BITS and bits <= binary + 1:
        return _whole_digits(int(value), binary - width)
    return _Development(whole >> zeros, bits, binary, significant, _estimate(mantissa, binary)).run()


def _fewest(value: float) -> tuple[str, int]:
    """Return the fewest digits that read back as the same double, and the place of the point."""
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    leading = len(whole + fraction) - len(digits)
    return digits.rstrip("0"), len(whole) - leading + int(exponent or 0)


def _whole_digits(value: int, excess: int) -> tuple[str, int]:
    """Round a whole number to the digits that its magnitude, so many binary digits beyond its format's, makes significant."""
    surplus = len(str(2 ** (excess - 1))) - 1 if excess > 0 else 0
    unit = 10**surplus
    rounded = value // unit + (surplus > 0 and value % unit >= unit // 2)
    text = str(rounded)
    return text.rstrip("0"), len(text) + surplus


def _estimate(mantissa: float, binary: int) -> int:
    """Return the exponent of ten of a number, or one more than that."""
    return math.floor((mantissa * 2 - 1.5) * 0.289529654 + 0.176091259 + binary * 0.301029995663981)


class _Development:
    """Develops the digits of a fraction.

    Args:
        fraction: the number's binary digits, odd.
        bits: how many there are.
        binary: exponent of two of the first one.
        significant: binary digits that a number of this magnitude has.
        decimal: exponent of ten, or one more.
    """

    def __init__(self, fraction: int, bits: int, binary: int, significant: int, decimal: int) -> None:
        tiny = max(0, bits - binary - 1)
        fives, fives_below = max(0, -decimal), max(0, decimal)
        twos, twos_below = fives + tiny + binary, fives_below + tiny
        half = twos - significant
        twos -= bits - 1
        common = min(twos, twos_below)
        twos, twos_below, half = twos - common, twos_below - common, half - common
        if bits == 1:
            half -= 1
        if half < 0:
            twos, twos_below, half = twos - half, twos_below - half, 0
        self._rest = fraction * 5**fives << twos
        self._unit = 5**fives_below << twos_below
        self._margin = 5**fives << half
        self._decimal = decimal
        self._width = self._register(bits + twos, fives, twos_below + 1, fives_below + 1)

    @staticmethod
    def _register(bits: int, fives: int, unit_bits: int, unit_fives: int) -> int:
        """Return the width of the machine's integers that hold everything; 0 = none does."""

        def of_fives(count: int) -> int:
            return _BITS_OF_FIVES[count] if count < len(_BITS_OF_FIVES) else count * 3

        needed = max(bits + of_fives(fives), unit_bits + of_fives(unit_fives))
        return 32 if needed < 32 else 64 if needed < 64 else 0

    def run(self) -> tuple[str, int]:
        """Return digits and the place of the point."""
        digits = []
        digit, low, high = self._step()
        if digit == 0 and not high:
            self._decimal -= 1
        else:
            digits.append(digit)
        if not PLAIN_FROM <= self._decimal < PLAIN_TO:
            low = high = False
        while not low and not high:
            digit, low, high = self._step()
            digits.append(digit)
        if high and self._rounds_up(digits[-1], low):
            return self._rounded(digits)
        return "".join(map(str, digits)).rstrip("0") or "0", self._decimal + 1

    def _step(self) -> tuple[int, bool, bool]:
        """Return the next digit, and whether the number lies close enough above it, and below the next greater one."""
        digit, rest = divmod(self._rest, self._unit)
        self._rest = rest * 10
        self._margin = self._wrapped(self._margin * 10)
        ten = self._unit * 10
        if self._width == 0:
            return digit, self._rest < self._margin, self._rest + self._margin >= ten
        if self._margin <= 0:
            return digit, True, True
        return digit, self._rest < self._margin, self._wrapped(self._rest + self._margin) > ten

    def _wrapped(self, number: int) -> int:
        """Return a number as the machine's integers hold it."""
        if self._width == 0:
            return number
        span = 1 << self._width
        return (number + span // 2) % span - span // 2

    def _rounds_up(self, last: int, low: bool) -> bool:
        if not low:
            return True
        twice, ten = self._rest * 2, self._unit * 10
        return twice > ten or (twice == ten and last % 2 == 1)

    def _rounded(self, digits: list[int]) -> tuple[str, int]:
        number = int("".join(map(str, digits))) + 1
        text = str(number).zfill(len(digits))
        return text.rstrip("0"), self._decimal + 1 + len(text) - len(digits)
