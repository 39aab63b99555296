from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.protocols.kairosdb.elements import (
    BadNumber,
    IllegalState,
    flag_of,
    int_of,
    items_of,
    json_of,
    members_of,
    read_double,
    read_elements,
    read_flag,
    read_items,
    read_members,
    read_text,
    read_whole,
    text_of,
)
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.tokens import JsonSyntaxError, Number


def of(text: str) -> Any:
    return read_elements(text.encode())


@pytest.mark.parametrize(
    "text", ['{"a":1.50,"b":[1e3,-0.10],"c":99999999999999999999,"d":7,"e":null,"f":"x"}', "[1,2]", "{}"]
)
def test_a_document_is_written_as_it_was_read(text: str) -> None:
    assert json_of(of(text)).decode() == text


def test_only_plain_integers_of_64_bits_become_int() -> None:
    assert [type(one) for one in of("[1, -5, 9223372036854775808, 1.0, 1e2]")] == [int, int, Number, Number, Number]


@given(
    st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text("ab1.e-", max_size=5), st.lists)
)
def test_documents_without_fractions_come_back(document: Any) -> None:
    assert read_elements(json_of(document)) == document


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(JsonSyntaxError):
        of("{1.5")


@pytest.mark.parametrize(
    ("sent", "text"), [('"a"', "a"), ("5", "5"), ("1.50", "1.50"), ("true", "true"), ('["a"]', "a"), ("[[1e3]]", "1e3")]
)
def test_an_element_has_a_text_and_so_has_an_array_of_one(sent: str, text: str) -> None:
    assert text_of(of(sent)) == text


@pytest.mark.parametrize("ask", [text_of, flag_of, int_of])
def test_longer_arrays_are_illegal_and_null_and_objects_break_off(ask: Callable[[Any], Any]) -> None:
    for several in ([], [1, 2]):
        with pytest.raises(IllegalState) as illegal:
            ask(several)
        assert illegal.value.text is None
    for one, text in ((None, "JsonNull"), ({}, "JsonObject"), ([None], "JsonNull")):
        with pytest.raises(InternalFailure) as broken:
            ask(one)
        assert broken.value.text == text


@pytest.mark.parametrize(
    ("sent", "number"), [("3", 3), ("2.9", 2), ("-2.9", -2), ('"4"', 4), ("[5]", 5), ("4294967298", 2), ("1e3", 1000)]
)
def test_an_element_is_cut_to_an_integer_of_32_bits(sent: str, number: int) -> None:
    assert int_of(of(sent)) == number


@pytest.mark.parametrize("sent", ['"x"', '"2.9"', '"4294967298"', "true", '""'])
def test_a_text_that_is_no_integer_is_a_bad_number(sent: str) -> None:
    with pytest.raises(BadNumber, match="For input string"):
        int_of(of(sent))


@pytest.mark.parametrize(
    ("sent", "flag"), [("true", True), ('"TRUE"', True), ('"yes"', False), ("1", False), ("[true]", True)]
)
def test_an_element_is_a_flag_when_its_text_says_true(sent: str, flag: bool) -> None:
    assert flag_of(of(sent)) is flag


@pytest.mark.parametrize(
    ("sent", "value"),
    [("5", 5), ("1.9", 1), ('"7"', 7), ("1e30", 10**30 % 2**64 - 2**64 if 10**30 % 2**64 >= 2**63 else 10**30 % 2**64)],
)
def test_a_reader_cuts_numbers_to_64_bits(sent: str, value: int) -> None:
    assert read_whole(of(sent), 63) == value


READERS: list[tuple[Callable[[Any], Any], str, str]] = [
    (read_text, "[1]", "Expected STRING but was BEGIN_ARRAY"),
    (read_text, "{}", "Expected STRING but was BEGIN_OBJECT"),
    (read_flag, "1", "Expected BOOLEAN but was NUMBER"),
    (lambda one: read_whole(one, 31), "true", "Expected NUMBER but was BOOLEAN"),
    (read_double, "null", "Expected NUMBER but was NULL"),
    (read_members, '"x"', "Expected BEGIN_OBJECT but was STRING"),
    (lambda one: read_items(one, read_text), "5", "Expected BEGIN_ARRAY but was NUMBER"),
    (members_of, "[]", "Not a JSON Object: []"),
    (members_of, "1.50", "Not a JSON Object: 1.50"),
    (items_of, "{}", "This is not a JSON Array."),
]


@pytest.mark.parametrize(("read", "sent", "text"), READERS)
def test_a_reader_says_what_it_wanted_and_what_it_found(read: Callable[[Any], Any], sent: str, text: str) -> None:
    with pytest.raises(IllegalState) as illegal:
        read(of(sent))
    assert illegal.value.text == text


def test_readers_take_texts_for_numbers_and_flags_and_the_other_way_round() -> None:
    assert (read_text(True), read_text(of("1.50")), read_flag("true"), read_double("1e2")) == (
        "true",
        "1.50",
        True,
        100.0,
    )


@pytest.mark.parametrize(
    ("sent", "text"), [("x", 'For input string: "x"'), (" ", "empty String"), ("", "empty String")]
)
def test_a_text_that_is_no_double_is_a_bad_number(sent: str, text: str) -> None:
    with pytest.raises(BadNumber, match=text):
        read_double(sent)
