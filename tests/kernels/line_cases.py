"""Lines for the tests of the line readers: good ones, their mutations, and arbitrary bytes."""

from __future__ import annotations

from hypothesis import strategies as st

METRICS = ("m", "cpu.load", "a/b-c_d", "Zähler", '"q', "x\ty")
TIMES = (
    "1",
    "0",
    "1356998400",
    "1356998400123",
    "2999999999",
    "3000000000",
    "4294967295",
    "4294967296",
    "12345678901234",
)
VALUES = (
    "0",
    "-0",
    "42",
    "-7",
    "+7",
    "1.5",
    "-0.0",
    "7.",
    ".5",
    ".",
    "-",
    "1e3",
    "1.5e3",
    "-1.25E-2",
    "1e",
    "1e+",
    "1.0e22",
    "1.0e23",
    "1.5e-330",
    "9007199254740993.0",
    "0.1234567890123456789",
    "999999999999999999",
    "9223372036854775807",
    "9223372036854775808",
    "1.2.3",
    "nan",
    "inf",
    "1_0",
    "0x1p3.",
    "1.5f",
    "",
)
TAGS = (
    "host=a",
    "host=a dc=x",
    "host=a  dc=x ",
    "dc=x host=a",
    "",
    "host=a host=b",
    "host",
    "a=b=c",
    "k=v\tl=w",
    'k="v w" 1',
)

_words = st.one_of(
    st.sampled_from(("put", "putm", "PUT", "version", "")),
    st.sampled_from(METRICS),
    st.sampled_from(TIMES),
    st.sampled_from(VALUES),
    st.sampled_from(TAGS),
)

good_lines = st.builds(
    lambda metric, time, value, tags, end: f"put {metric} {time} {value} {tags}{end}".encode(),
    st.sampled_from(METRICS),
    st.one_of(st.sampled_from(TIMES), st.integers(1, 10**13).map(str)),
    st.one_of(
        st.sampled_from(VALUES),
        st.integers(-(2**63), 2**63 - 1).map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.decimals(allow_nan=False, allow_infinity=False, places=6).map(str),
    ),
    st.sampled_from(TAGS),
    st.sampled_from(("\n", "\r\n")),
)
word_salads = st.lists(_words, max_size=7).map(lambda words: " ".join(words).encode() + b"\n")


@st.composite
def mutated_lines(draw: st.DrawFn) -> bytes:
    line = bytearray(draw(good_lines))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(line) - 1))
        change = draw(st.sampled_from(("set", "drop", "add", "twice")))
        if change == "set":
            line[at] = draw(st.integers(0, 255))
        elif change == "add":
            line.insert(at, draw(st.sampled_from(b' \t\r\n"=.-+e019\x00\xff')))
        elif change == "twice":
            line[at:at] = line[at : at + 8]
        elif len(line) > 1:
            del line[at]
    return bytes(line) + b"\n"


any_lines = st.one_of(
    good_lines, good_lines, word_salads, mutated_lines(), st.binary(max_size=40).map(lambda b: b + b"\n")
)
blocks = st.lists(any_lines, max_size=12).map(b"".join)
