from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.protocols.kairosdb.lenient import MAX_DEPTH, JsonReader, read_document
from amondawa.protocols.kairosdb.tokens import EndOfInput, JsonSyntaxError, Number, Token

ACCEPTED = [
    ("", None),
    ("  ", None),
    ("null", None),
    ("{'a':'b'}", {"a": "b"}),
    ("{a:b}", {"a": "b"}),
    ("{a=1,b=>2;c:3}", {"a": "1", "b": "2", "c": "3"}),
    ("[1,,2,]", ["1", None, "2", None]),
    ("/* x */ [1, # y\n2 // z\n]", ["1", "2"]),
    ("[TRUE,False,nUlL]", [True, False, None]),
    ("[trues, tru, NaN, -Infinity, 007, 3., .5, 1e]", ["trues", "tru", "NaN", "-Infinity", "007", "3.", ".5", "1e"]),
    ('["\\u00e9\\t\\/\\q\\\\"]', ["é\t/q\\"]),
    ('["\\ud83d\\ude00"]', ["😀"]),
    ('["\\ud83d"]', ["\ufffd"]),
    ("\ufeff[1]", ["1"]),
    ('{"a":1,"a":2}', {"a": "2"}),
    ("-0", "0"),
    ('"a\nb"', "a\nb"),
]

MALFORMED = "com.google.gson.stream.MalformedJsonException: "
REFUSED = [
    ("{", "java.io.EOFException: End of input at line 1 column 2"),
    ("[1", "java.io.EOFException: End of input at line 1 column 3"),
    ("[1 2]", MALFORMED + "Unterminated array at line 1 column 5"),
    ("{a:1 b:2}", MALFORMED + "Unterminated object at line 1 column 7"),
    ("{a 1}", MALFORMED + "Expected ':' at line 1 column 5"),
    ("{a:}", MALFORMED + "Expected value at line 1 column 4"),
    ("}", MALFORMED + "Expected value at line 1 column 1"),
    ("{a:,}", MALFORMED + "Unexpected value at line 1 column 5"),
    ("{a:1,}", MALFORMED + "Expected name at line 1 column 7"),
    ("{,}", MALFORMED + "Expected name at line 1 column 2"),
    ("[1] x", MALFORMED + "Use JsonReader.setLenient(true) to accept malformed JSON at line 1 column 6"),
    ("[1] // x", MALFORMED + "Use JsonReader.setLenient(true) to accept malformed JSON at line 1 column 6"),
    ("[1]\n #", MALFORMED + "Use JsonReader.setLenient(true) to accept malformed JSON at line 2 column 3"),
    ('["a', MALFORMED + "Unterminated string at line 1 column 4"),
    ('["a\\', MALFORMED + "Unterminated escape sequence at line 1 column 5"),
    ('["\\u12"]', 'java.lang.NumberFormatException: \\u12"]'),
    ("/* xyz", MALFORMED + "Unterminated comment at line 1 column 6"),
    ("{/*", MALFORMED + "Unterminated comment at line 1 column 4"),
    ("[\n [\n 1 2", MALFORMED + "Unterminated array at line 3 column 5"),
]


@pytest.mark.parametrize(("text", "value"), ACCEPTED)
def test_reads_what_gson_reads(text: str, value: object) -> None:
    assert read_document(text) == value


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refuses_with_the_place(text: str, message: str) -> None:
    with pytest.raises(JsonSyntaxError) as caught:
        read_document(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('["abc"]', "STRING at line 1 column 3"),
        ("[abc]", "STRING at line 1 column 2"),
        ("[15]", "NUMBER at line 1 column 4"),
        ("[1.5]", "NUMBER at line 1 column 2"),
        ("[9223372036854775807]", "NUMBER at line 1 column 21"),
        ("[9223372036854775808]", "NUMBER at line 1 column 2"),
        ("[true]", "BOOLEAN at line 1 column 6"),
        ("[[]]", "BEGIN_ARRAY at line 1 column 3"),
    ],
)
def test_what_stands_in_place_of_another_is_told_with_how_far_it_was_read(text: str, what: str) -> None:
    reader = JsonReader(text)
    reader.begin(Token.BEGIN_ARRAY)
    with pytest.raises(JsonSyntaxError) as caught:
        reader.begin(Token.BEGIN_OBJECT)
    assert str(caught.value) == f"java.lang.IllegalStateException: Expected BEGIN_OBJECT but was {what}"


@pytest.mark.parametrize("text", ["1", "-12.50", "1e5", "1.5E+3", "99999999999999999999"])
def test_numbers_keep_their_text(text: str) -> None:
    value = read_document(text)
    assert isinstance(value, Number)
    assert value == text


def test_quoted_digits_are_no_number() -> None:
    assert not isinstance(read_document('"12"'), Number)


@pytest.mark.parametrize("text", ["5", "null", '"a"', "[1;2]", "[a]", "{'a':1}", "{a:1}", '{"a"=1}', "[1,]", "[//\n1]"])
def test_strict_reading_grants_none_of_the_freedoms(text: str) -> None:
    with pytest.raises(JsonSyntaxError, match="setLenient"):
        _read_strictly(text)


def _read_strictly(text: str) -> object:
    return JsonReader(text, lenient=False).element()


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_plain_json_is_read_as_it_is(value: object) -> None:
    assert read_document(json.dumps(value, ensure_ascii=False)) == value
    assert read_document(json.dumps(value)) == value


@given(st.text(alphabet="{}[]:,;='\"\\/#*\n a1.eE-tn", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(JsonSyntaxError):
        read_document(text)


def test_every_cut_of_a_document_is_refused_or_a_value() -> None:
    text = '{"a": [1, "x\\u00e9", {\'b\': null}], c: /* k */ true}'
    for at in range(1, len(text)):
        with pytest.raises(JsonSyntaxError):
            read_document(text[:at])


def test_deep_nesting_is_refused_and_does_no_harm() -> None:
    with pytest.raises(JsonSyntaxError, match=f"deeper than {MAX_DEPTH}"):
        read_document("[" * 100_000)


def test_what_stood_before_a_fault_was_delivered() -> None:
    reader = JsonReader("[1, 2")
    reader.begin(Token.BEGIN_ARRAY)
    assert [reader.has_next(), reader.scalar(), reader.has_next(), reader.scalar()] == [True, "1", True, "2"]
    with pytest.raises(EndOfInput):
        reader.has_next()
