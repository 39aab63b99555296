from __future__ import annotations

import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.kernels.line_columns import LineTable, ScanRules
from amondawa.kernels.lines import Loader, Table
from amondawa.kernels.lines_compiled import CompiledTable, find_newline, read_value
from amondawa.kernels.lines_twin import TwinTable
from amondawa.model.points import Kind
from tests.kernels.line_cases import METRICS, TAGS, blocks

RULES = ScanRules(seconds_below=3_000_000_000, exponent_needs_point=True, longest=1024)
EXPONENTS = ScanRules(seconds_below=1 << 32, exponent_needs_point=False, longest=1 << 20)


@pytest.fixture(params=[CompiledTable, TwinTable], ids=["compiled", "twin"])
def table(request: pytest.FixtureRequest) -> LineTable:
    made: LineTable = request.param(RULES)
    made.add(b"m", b"host=a", 5)
    return made


def value_of(kind: int, bits: int) -> int | float:
    return bits if kind == Kind.LONG else struct.unpack("<d", struct.pack("<q", bits))[0]


def read_one(table: LineTable, line: bytes) -> tuple[int, int, int | float] | None:
    scanned = table.scan(line)
    assert len(scanned) == 1
    if scanned.refs[0] < 0:
        return None
    value = value_of(int(scanned.kinds[0]), int(scanned.bits[0]))
    return int(scanned.refs[0]), int(scanned.times_ms[0]), value


@pytest.mark.parametrize(
    "line",
    [
        b"put m 1356998400 1\n",
        b"put m 1356998400 1 \n",
        b"put n 1356998400 1 host=a\n",
        b"put m 1356998400 1 host=b\n",
        b"put m 1356998400 1 host=a \n",
        b"put  m 1356998400 1 host=a\n",
        b"put m 1356998400  1 host=a\n",
        b"put m 0 1 host=a\n",
        b"put m -5 1 host=a\n",
        b"put m 1.5 1 host=a\n",
        b"put m 12345678901234 1 host=a\n",
        b"put m 1356998400 1e3 host=a\n",
        b"put m 1356998400 abc host=a\n",
        b"put m 1356998400 +5 host=a\n",
        b"put m 1356998400 . host=a\n",
        b"put m 1356998400 1.5e host=a\n",
        b"put m 1356998400 1_0 host=a\n",
        b"put m 1356998400 9223372036854775808 host=a\n",
        b"putm m 1356998400 1 host=a\n",
        b"PUT m 1356998400 1 host=a\n",
        b"\n",
        b"\r\n",
        b"put\n",
        b"put m 1356998400 1 host=a\r\r\n",
        b"put m 1356998400 1 host=" + b"a" * 1024 + b"\n",
    ],
)
def test_a_line_that_is_not_certainly_good_is_left_over(table: LineTable, line: bytes) -> None:
    assert read_one(table, line) is None


@pytest.mark.parametrize(
    ("line", "time_ms", "value"),
    [
        (b"put m 1356998400 1 host=a\n", 1356998400000, 1),
        (b"put m 1356998400 1 host=a\r\n", 1356998400000, 1),
        (b"put m 2999999999 -12 host=a\n", 2999999999000, -12),
        (b"put m 3000000000 007 host=a\n", 3000000000, 7),
        (b"put m 1356998400123 1.5 host=a\n", 1356998400123, 1.5),
        (b"put m 1 -0.25 host=a\n", 1000, -0.25),
        (b"put m 1 1.5e3 host=a\n", 1000, 1500.0),
        (b"put m 1 -1.25E-2 host=a\n", 1000, -0.0125),
        (b"put m 1 7. host=a\n", 1000, 7.0),
        (b"put m 1 .5 host=a\n", 1000, 0.5),
        (b"put m 1 21.2500000 host=a\n", 1000, 21.25),
    ],
)
def test_a_known_series_in_the_common_spelling_is_read(
    table: LineTable, line: bytes, time_ms: int, value: int | float
) -> None:
    read = read_one(table, line)
    assert read == (5, time_ms, value)
    assert isinstance(value, type(read[2]))


def test_offsets_name_each_line_without_its_end(table: LineTable) -> None:
    data = b"a\n\nput m 1 2 host=a\r\nx\r\n\r\n"
    scanned = table.scan(data)
    lines = [data[start:end] for start, end in zip(scanned.starts, scanned.ends, strict=True)]
    assert lines == [b"a", b"", b"put m 1 2 host=a", b"x", b""]
    assert scanned.refs.tolist() == [-1, -1, 5, -1, -1]


def test_no_bytes_are_no_lines(table: LineTable) -> None:
    assert len(table.scan(b"")) == 0


def test_where_metric_ends_matters(table: LineTable) -> None:
    table.add(b"ab", b"c=d", 1)
    assert read_one(table, b"put a 1 2 bc=d\n") is None


def test_a_full_table_starts_anew() -> None:
    for made in (CompiledTable(RULES, entries=4), TwinTable(RULES, entries=4)):
        for ref in range(6):
            made.add(b"m%d" % ref, b"a=b", ref)
        assert len(made) == 2
        assert read_one(made, b"put m5 1 2 a=b\n") == (5, 1000, 2)
        assert read_one(made, b"put m0 1 2 a=b\n") is None


def test_a_series_learned_again_takes_the_new_ref(table: LineTable) -> None:
    table.add(b"m", b"host=a", 9)
    assert len(table) == 1
    assert read_one(table, b"put m 1 2 host=a\n") == (9, 1000, 2)


def test_a_table_grows_and_keeps_everything() -> None:
    table = CompiledTable(RULES)
    for ref in range(20_000):
        table.add(b"metric", b"host=h%d" % ref, ref)
    data = b"".join(b"put metric 1 %d host=h%d\n" % (ref, ref) for ref in range(20_000))
    scanned = table.scan(data)
    assert scanned.refs.tolist() == list(range(20_000))
    assert scanned.bits.tolist() == list(range(20_000))


def test_clear_forgets(table: LineTable) -> None:
    table.clear()
    assert len(table) == 0
    assert read_one(table, b"put m 1 2 host=a\n") is None


@given(blocks, st.sampled_from([RULES, EXPONENTS]))
@settings(max_examples=400, deadline=None)
def test_what_the_kernel_accepts_is_what_its_twin_reads(data: bytes, rules: ScanRules) -> None:
    compiled, twin = CompiledTable(rules), TwinTable(rules)
    for made in (compiled, twin):
        for ref, (metric, tags) in enumerate((m, t) for m in METRICS for t in TAGS):
            made.add(metric.encode(), tags.encode(), ref)
    ours, theirs = compiled.scan(data), twin.scan(data)
    assert ours.starts.tolist() == theirs.starts.tolist()
    assert ours.ends.tolist() == theirs.ends.tolist()
    accepted = ours.refs >= 0
    assert (theirs.refs[accepted] >= 0).all()
    for column in ("refs", "times_ms", "kinds", "bits"):
        assert np.array_equal(getattr(ours, column)[accepted], getattr(theirs, column)[accepted])


@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.decimals(-(10**9), 10**9, places=9)))
@settings(max_examples=500, deadline=None)
def test_an_accepted_decimal_is_exactly_the_nearest_double(number: object) -> None:
    text = str(number).encode()
    kind, whole, value = read_value(np.frombuffer(text, np.uint8), 0, len(text), False)
    if kind == Kind.DOUBLE:
        assert struct.pack("<d", value) == struct.pack("<d", float(text))
    elif kind == Kind.LONG:
        assert whole == int(text)


@given(st.binary(max_size=70), st.integers(0, 10))
def test_find_newline_is_bytes_find(data: bytes, at: int) -> None:
    at = min(at, len(data))
    if data:
        assert find_newline(np.frombuffer(data, np.uint8), at) == data.find(b"\n", at)


def test_without_a_compiled_reader_the_twin_serves() -> None:
    loader = Loader("amondawa.kernels.no_such_module")
    table = Table(RULES, loader)
    assert not loader.load()
    assert loader.settled
    table.current.add(b"m", b"a=b", 1)
    assert isinstance(table.current, TwinTable)
    assert not table.compiled
    assert len(table) == 1


def test_the_compiled_reader_takes_over_what_the_twin_learned() -> None:
    loader = Loader()
    table = Table(RULES, loader)
    if not table.compiled:
        table.current.add(b"m", b"host=a", 5)
    assert loader.load()
    current = table.current
    assert table.compiled
    current.add(b"m", b"host=a", 5)
    assert read_one(current, b"put m 1 2 host=a\n") == (5, 1000, 2)


def test_importing_the_package_imports_no_numba() -> None:
    code = (
        "import sys, amondawa.kernels.lines, amondawa.kernels.grouping, amondawa.kernels.warm\n"
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
