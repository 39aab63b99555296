"""Points as files: every form holds every type and any name, reads what it wrote, and says where a file is wrong."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amondawa.client.files import Input, Output
from amondawa.client.forms import LINE_FORMS, STRETCH_POINTS, Unwritable, parse_value, read_lines, write_lines
from amondawa.client.parquet import ParquetSink, read_parquet
from amondawa.client.requests import ClientError, Query, Refused, Stream, TooLarge
from amondawa.client.sweep import Sweep

LONGS = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
NAME = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
VALUES = LONGS | st.floats(allow_nan=False, allow_infinity=False) | TEXT
STREAMS = st.builds(
    Stream, NAME, st.dictionaries(NAME, TEXT, max_size=3), st.lists(st.tuples(LONGS, VALUES), min_size=1, max_size=5)
)
EDGES = [
    (1, 2**63 - 1),
    (2, -(2**63)),
    (3, 0.1),
    (4, 5.0),
    (5, 1.7976931348623157e308),
    (6, 5e-324),
    (7, -0.0),
    (8, ""),
    (9, 'a "quoted", \\ text\r\nof two\u2028 lines \x00 ☃ 𝄞'),
]


def typed(points: Any) -> list[tuple[int, str, str]]:
    """Return points so that 5 and 5.0, 0.0 and -0.0 differ."""
    return [(time, type(value).__name__, repr(value)) for time, value in points]


def again(form: str, stream: Stream) -> list[tuple[int, str, str]]:
    """Write a series, read the lines, check its names, and return its points."""
    text = b"".join(write_lines(form, stream))
    records = list(read_lines(form, io.BytesIO(text)))
    assert [record.problem for record in records if record.problem] == []
    series = [one for record in records for one in record.series]
    assert {(one.name, tuple(sorted(one.tags.items()))) for one in series} == {
        (stream.name, tuple(sorted((name, str(value)) for name, value in stream.tags.items())))
    }
    return typed(point for one in series for point in one.points)


@pytest.mark.parametrize("form", ["json", "kairosdb", "csv"])
@given(stream=STREAMS)
@settings(max_examples=80, deadline=None)
def test_a_form_reads_what_it_wrote_whatever_it_is_called(form: str, stream: Stream) -> None:
    assert again(form, stream) == typed(stream.values)


@given(stream=STREAMS)
@settings(max_examples=150, deadline=None)
def test_opentsdbs_form_reads_what_it_wrote_or_says_that_it_cannot_write_it(stream: Stream) -> None:
    seconds = any(abs(time) < 10_000_000_000 for time, _ in stream.values)
    words = (stream.name, *stream.tags, *stream.tags.values())
    blank = any(not word or set(str(word)) & set(" \r\n") for word in words) or any("=" in tag for tag in stream.tags)
    if blank:
        with pytest.raises(Unwritable):
            list(write_lines("opentsdb", stream))
    elif not seconds:
        assert again("opentsdb", stream) == typed(stream.values)


@pytest.mark.parametrize("form", LINE_FORMS)
def test_the_edges_of_every_type_are_kept_exactly(form: str) -> None:
    stream = Stream("m", {"host": "ü=1"}, [(time + 1_700_000_000_000, value) for time, value in EDGES])
    assert again(form, stream) == typed(stream.values)


def test_parquet_keeps_the_edges_of_every_type_and_any_name(tmp_path: Path) -> None:
    streams = [Stream("m ☃\n", {"a b": "", "z": "="}, EDGES), Stream("other", {}, [(-5, 1), (2**60, 2)])]
    with open(tmp_path / "points.parquet", "wb") as out, ParquetSink(out) as sink:
        for stream in streams:
            sink.write(stream)
    records = list(read_parquet(tmp_path / "points.parquet"))
    assert [record.line for record in records] == list(range(1, 12))
    found = [(one.name, dict(one.tags), *typed(one.points)) for record in records for one in record.series]
    assert found == [(one.name, one.tags, point) for one in streams for point in typed(one.values)]


def test_without_pyarrow_parquet_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ClientError, match=r"pip install 'amondawa\[parquet\]'") as refused:
        ParquetSink(io.BytesIO())
    assert "\n" not in str(refused.value)
    with pytest.raises(ClientError, match="pyarrow"):
        next(read_parquet(tmp_path / "none"))


def test_a_parquet_file_of_something_else_is_told(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "other.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), path)
    with pytest.raises(ClientError, match="cannot be read as Parquet with points"):
        list(read_parquet(path))
    path.write_bytes(b"no parquet")
    with pytest.raises(ClientError, match="cannot be read as Parquet with points"):
        list(read_parquet(path))


# what other systems write ---------------------------------------------------------------------------------------------


def one(form: str, line: str) -> list[tuple[str, dict[str, str], list[tuple[int, Any]]]]:
    (record,) = read_lines(form, [line.encode()])
    assert record.problem == ""
    return [(series.name, dict(series.tags), list(series.points)) for series in record.series]


def test_a_line_of_kairosdbs_export_has_a_type_behind_each_value() -> None:
    stream = Stream("m", {"host": "a"}, [(1, 5), (2, 5.0), (3, "five")])
    (line,) = write_lines("kairosdb", stream)
    points = [[1, 5, "long"], [2, 5.0, "double"], [3, "five", "string"]]
    assert json.loads(line) == {"name": "m", "tags": {"host": "a"}, "datapoints": points}
    assert line.endswith(b"\n")


def test_a_double_that_kairosdb_writes_without_a_point_stays_a_double() -> None:
    ((_, _, points),) = one("kairosdb", '{"name":"m","tags":{"a":"b"},"datapoints":[[1,5,"double"],[2,5,"long"]]}')
    assert typed(points) == typed([(1, 5.0), (2, 5)])


def test_kairosdbs_import_takes_bodies_of_its_rest_api() -> None:
    line = '[{"name":"m","tags":{"a":"b"},"timestamp":1,"value":"7","type":"long"},{"name":"n","datapoints":[[2,"x"]]}]'
    assert one("kairosdb", line) == [("m", {"a": "b"}, [(1, 7)]), ("n", {}, [(2, "x")])]


@pytest.mark.parametrize(
    ("line", "time_ms", "value"),
    [
        ("m 1700000000 1 a=b", 1_700_000_000_000, 1),
        ("put m 1700000000123 1.50 a=b\r\n", 1_700_000_000_123, 1.5),
        ("  m  1700000000   -1e3  a=b ", 1_700_000_000_000, -1000.0),
    ],
)
def test_opentsdbs_lines_are_read_with_or_without_put_in_seconds_or_milliseconds(
    line: str, time_ms: int, value: float
) -> None:
    ((name, tags, points),) = one("opentsdb", line)
    assert (name, tags, typed(points)) == ("m", {"a": "b"}, typed([(time_ms, value)]))


BAD = [
    ("json", '{"name":"m"', "delimiter"),
    ("json", '{"tags":{},"datapoints":[]}', "'name' is missing"),
    ("json", '{"name":"m","tags":{"a":1},"datapoints":[]}', "are no tags"),
    ("json", '{"name":"","tags":{},"datapoints":[]}', "is no name"),
    ("json", '{"name":"m","tags":{},"datapoints":[[1.5,1]]}', "no time"),
    ("json", '{"name":"m","tags":{},"datapoints":[[1,9223372036854775808]]}', "does not fit a long"),
    ("json", '{"name":"m","tags":{},"datapoints":[[1,NaN]]}', "no finite number"),
    ("json", '{"name":"m","tags":{},"datapoints":[[1,1e999]]}', "no finite number"),
    ("json", '{"name":"m","tags":{},"datapoints":[[1,true]]}', "neither a number nor a text"),
    ("json", "7", "no object"),
    ("kairosdb", '{"name":"m","tags":{},"datapoints":[[1,{},"complex"]]}', "'complex' cannot be imported"),
    ("kairosdb", '{"name":"m","tags":{},"datapoints":[[1,"x","long"]]}', "invalid literal"),
    ("csv", "m,1,2", "3 columns"),
    ("csv", "m,x,2,{}", "'x' is no time"),
    ("csv", "m,1,,{}", "Expecting value"),
    ("opentsdb", "m 1", "METRIC TIME VALUE"),
    ("opentsdb", "m 1 x a=b", "'x' is no number"),
    ("opentsdb", "m 1 1_0 a=b", "'1_0' is no number"),
    ("opentsdb", "m 1 1 a", "'a' is not TAG=VALUE"),
    ("opentsdb", "m 1 99999999999999999999 a=b", "does not fit a long"),
]


@pytest.mark.parametrize(("form", "line", "why"), BAD)
def test_a_line_that_is_wrong_is_told_with_its_number_and_the_next_is_read(form: str, line: str, why: str) -> None:
    (good,) = write_lines(form, Stream("m", {"a": "b"}, [(1_700_000_000_000, 1)]))
    records = list(read_lines(form, [good, line.encode() + b"\n", b"\n", good]))
    assert [(record.line, bool(record.series)) for record in records] == [(1, True), (2, False), (4, True)]
    assert why in records[1].problem


@pytest.mark.parametrize("form", LINE_FORMS)
def test_bytes_that_are_no_utf_8_are_told(form: str) -> None:
    records = list(read_lines(form, [b"\xff 1 1 a=b\n"]))
    assert [record.line for record in records] == [1]
    assert "utf-8" in records[0].problem


def test_long_series_are_cut_into_lines_of_limited_size() -> None:
    stream = Stream("m", {}, [(n, n) for n in range(STRETCH_POINTS + 1)])
    assert [len(json.loads(line)["datapoints"]) for line in write_lines("json", stream)] == [STRETCH_POINTS, 1]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("-1", -1), ("1.0", 1.0), ("1e3", 1000.0), (".5", 0.5), ("nan", "nan"), ("1_0", "1_0"), ("١", "١")],
)
def test_a_word_is_a_long_a_double_or_a_text(text: str, value: Any) -> None:
    assert typed([(0, parse_value(text))]) == typed([(0, value)])


# files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lines", "lines.gz"])
def test_a_file_is_cut_back_to_where_it_was_whole(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    with Output(path) as out:
        out.write([b"one\n"])
        size = out.whole()
        out.write([b"half"])
    with Output(path, size) as out:
        out.write([b"two\n"])
    with Input(path) as source:
        assert list(source.lines()) == [b"one\n", b"two\n"]
        assert source.position == source.size


def test_a_packed_file_that_ends_early_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.gz"
    whole = gzip.compress(b"".join(b"%d\n" % (n * 7_919) for n in range(50_000)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ClientError, match=r"lines\.gz:\d+: cannot be read"), Input(str(path)) as source:
        list(source.lines())


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="No such file"):
        Input(str(tmp_path / "none"))
    with pytest.raises(ClientError, match="cannot be opened"):
        Output(str(tmp_path / "none" / "file"))


# reading everything ---------------------------------------------------------------------------------------------------


class Metric:
    """A gateway that holds one metric and gives at most so many points an answer."""

    def __init__(self, times_ms: list[int], most: int, budget: int) -> None:
        self.times_ms = times_ms
        self.most = most
        self.budget = budget
        self.asked = 0

    def streams(self, query: Query, limit_bytes: int = 0) -> list[Stream]:
        self.asked += 1
        assert limit_bytes > 0
        assert isinstance(query.start, int) and isinstance(query.end, int)
        found = [(time, time) for time in self.times_ms if query.start <= time <= query.end]
        if len(found) > self.budget:
            raise Refused(422, "budget")
        if len(found) > self.most:
            raise TooLarge("too large")
        return [Stream(query.name, {}, list(found))] if found else []


@given(
    times_ms=st.lists(st.integers(0, 10**7), max_size=60, unique=True).map(sorted),
    most=st.integers(1, 20),
    budget=st.integers(1, 40),
)
@settings(max_examples=100, deadline=None)
def test_every_point_is_read_once_in_order_whatever_an_answer_may_hold(
    times_ms: list[int], most: int, budget: int
) -> None:
    sweep = Sweep(Metric(times_ms, most, budget), 0, 10**7)  # type: ignore[arg-type]
    for _ in range(2):
        windows = list(sweep.read("m"))
        assert [point[0] for streams, _ in windows for one in streams for point in one.values] == times_ms
        assert windows[-1][1] == 1


def test_a_millisecond_that_is_too_large_and_other_refusals_are_told() -> None:
    class Refusing(Metric):
        def streams(self, query: Query, limit_bytes: int = 0) -> list[Stream]:
            raise Refused(403, "no")

    class Full(Metric):
        def streams(self, query: Query, limit_bytes: int = 0) -> list[Stream]:
            raise TooLarge("too large")

    for kind, error in ((Refusing, Refused), (Full, TooLarge)):
        with pytest.raises(error):
            list(Sweep(kind([], 1, 1), 0, 1000).read("m"))  # type: ignore[arg-type]
