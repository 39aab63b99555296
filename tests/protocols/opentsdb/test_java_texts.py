"""Maps and numbers as Java prints and reads them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.protocols.opentsdb.java_digits import SINGLE, java_digits
from amondawa.protocols.opentsdb.javamap import java_copied_order, java_hash, java_map_text, java_order, java_ordered
from amondawa.protocols.opentsdb.numbers_text import NotANumber, java_bytes, java_double, parse_double, stored_bytes


def test_the_order_of_a_map_is_that_of_its_keys_hashes():
    assert java_order(["dc", "host", "rack"]) == ["rack", "host", "dc"]
    assert java_order([f"t{n}" for n in range(9)]) == ["t4", "t5", "t6", "t7", "t8", "t0", "t1", "t2", "t3"]


def test_a_map_grows_when_it_is_three_quarters_full():
    names = [f"t{n}" for n in range(13)]
    assert java_order(names) == sorted(names, key=lambda name: java_hash(name) & 31)


def test_a_copy_of_a_map_begins_with_room_to_spare():
    assert java_copied_order(["host", "owner", "app", "zone"]) == ["host", "owner", "app", "zone"]
    assert java_copied_order(["host", "dc", "owner", "app", "zone", "rack"]) == [
        "owner", "app", "rack", "zone", "host", "dc"
    ]  # fmt: skip
    assert java_copied_order([]) == []


def test_a_map_prints_null_values_and_keeps_its_values():
    assert java_map_text({"dc": "x", "host": None}) == "{host=null, dc=x}"
    assert java_map_text({}) == "{}"
    assert list(java_ordered({"dc": 1, "host": 2}).items()) == [("host", 2), ("dc", 1)]


def test_hashes_are_over_utf_16_units():
    assert java_hash("") == 0
    assert java_hash("a") == 97
    assert java_hash("\U0001f600") == (0xD83D * 31 + 0xDE00) ^ ((0xD83D * 31 + 0xDE00) >> 16)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1.0), (" 5.0\t", 5.0), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("1.5f", 1.5), ("2D", 2.0),
        ("0x1.8p1", 3.0), ("0x1p1d", 2.0), ("-0x1p9999", -math.inf), ("1e999", math.inf), ("-Infinity", -math.inf),
    ],
)  # fmt: skip
def test_doubles_are_read_as_java_reads_them(text: str, number: float):
    assert parse_double(text) == number


@pytest.mark.parametrize("text", ["", " ", "f", "1_000", "1e", "e5", "0x10", "0x.p1", "nan", "inf", "1.2.3", "١"])
def test_what_java_does_not_read_is_no_double(text: str):
    with pytest.raises(NotANumber):
        parse_double(text)


@given(st.floats())
def test_a_printed_double_reads_back_as_itself(number: float):
    back = parse_double(java_double(number))
    assert back == number or (math.isnan(back) and math.isnan(number))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1.0"), (-0.0, "-0.0"), (9999999.0, "9999999.0"), (1e7, "1.0E7"), (16777217.0, "1.6777217E7"),
        (0.001, "0.001"), (0.00099, "9.9E-4"), (1e-10, "1.0E-10"), (math.nan, "NaN"), (-math.inf, "-Infinity"),
        (2**63 / 60, "1.53722867280912928E17"), (2.0**62, "4.6116860184273879E18"), (2.0**63, "9.223372036854776E18"),
        (5e-324, "4.9E-324"), (2e-5, "2.0E-5"), (1e23, "9.999999999999999E22"), (2.0**-44, "5.6843418860808015E-14"),
        (5.056231875966999e197, "5.056231875966999E197"), (0.30000000000000004, "0.30000000000000004"),
    ],
)  # fmt: skip
def test_doubles_are_printed_as_java_prints_them(number: float, text: str):
    assert java_double(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (3.10293, "3.10293"), (2.0**40, "1.09951163E12"), (1e10, "1.0E10"), (1.4e-45, "1.4E-45"), (0.0625, "0.0625"),
        (1.3375857e37, "1.3375857E37"), (6.342002e-4, "6.342002E-4"),
    ],
)  # fmt: skip
def test_floats_of_32_bits_are_printed_as_such(number: float, text: str):
    assert java_double(float(np.float32(number)), SINGLE) == text


@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False))
def test_digits_are_developed_to_the_number_that_they_stand_for(number: float):
    digits, point = java_digits(number)
    assert float(f"0.{digits}e{point}") == number


@pytest.mark.parametrize(
    ("value", "shown", "flags"),
    [
        (1, "[1]", 0), (-129, "[-1, 127]", 1), (2**31, "[0, 0, 0, 0, -128, 0, 0, 0]", 7), (70000, "[0, 1, 17, 112]", 3),
        (2.5, "[64, 32, 0, 0]", 11), (0.1, "[63, -71, -103, -103, -103, -103, -103, -102]", 15), (1e300, None, 15),
    ],
)  # fmt: skip
def test_values_are_stored_in_the_fewest_bytes(value: float, shown: str | None, flags: int):
    data, got = stored_bytes(value)
    assert got == flags
    assert shown is None or java_bytes(data) == shown
