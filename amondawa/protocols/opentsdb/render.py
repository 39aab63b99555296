"""Answers of /api/query as bytes.

Numbers look as Java prints them: integers plain, floats with a point (`3.0`), from 1e7 on and below 1e-3 with an exponent
(`1.6777217E7`), NaN as a text. Source: suites query_basic, query_numbers, put_http (values_kinds).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from amondawa.aggregate.fill import Fill
from amondawa.errors import LimitExceeded
from amondawa.model.points import Float64s, Int64s, Kind, Points
from amondawa.model.result import Frame
from amondawa.model.series import Series
from amondawa.protocols.opentsdb.data_query import CheckedQuery, CheckedSubQuery, SubQuery, read_range
from amondawa.protocols.opentsdb.javamap import java_copied_order
from amondawa.protocols.opentsdb.notes import Note
from amondawa.protocols.opentsdb.query_stats import Figures
from amondawa.protocols.opentsdb.uid import Uids

ANSWER_BYTES = 256 * 1024 * 1024
"""largest answer to a query"""
SLICE_POINTS = 50_000
"""points turned into text at once"""
PLAIN_FROM, PLAIN_BELOW = 1e-3, 1e7
"""magnitudes that Java writes without an exponent"""


@dataclass(frozen=True, slots=True)
class Answered:
    """What one sub query gave.

    Attributes:
        sub: what was asked.
        frames: one a result; their points lie in the query's range.
        figures: about its execution.
    """

    sub: CheckedSubQuery
    frames: Sequence[Frame]
    figures: Figures = Figures()


@dataclass(frozen=True, slots=True)
class Page:
    """What the rendering of a whole answer needs.

    Attributes:
        query: what was asked.
        uids: for wire names and TSUIDs.
        notes: annotations by TSUID.
        global_notes: annotations of no series, those of the hours of the range.
    """

    query: CheckedQuery
    uids: Uids
    notes: Mapping[str, Sequence[Note]] = field(default_factory=dict)
    global_notes: Sequence[Note] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One result as it is written.

    Attributes:
        sub: the sub query it stems from.
        metric: its name.
        tags: tags that all members share.
        aggregated: names of the tags they differ in.
        points: LONG and DOUBLE points in the query's range.
        members: stored series whose TSUIDs and annotations belong to it.
        bare_annotations: an empty list of annotations stands there whatever there is.
        figures: about its execution.
        computed, renamed: a graphite-like expression computed it from several series; gave it another name.
        unpaired: that expression could not: whoever reads the points is to refuse them.
        nameless: it has no metric's name, as one of those series was renamed: it cannot be shown.
    """

    sub: CheckedSubQuery
    metric: str
    tags: Mapping[str, str]
    aggregated: Sequence[str]
    points: Points
    members: Sequence[Series] = ()
    bare_annotations: bool = False
    figures: Figures = Figures()
    computed: bool = False
    renamed: bool = False
    unpaired: bool = False
    nameless: bool = False


def lines_of(answered: Answered, uids: Uids) -> list[Line]:
    """Return the results of a sub query as they are written."""
    return [_line_of(answered, frame, uids) for frame in answered.frames]


def _line_of(answered: Answered, frame: Frame, uids: Uids) -> Line:
    tags, aggregated = tags_of(frame, uids)
    suffix = "".join(str(group["suffix"]) for group in frame.groups)
    metric = uids.wire_name("metric", frame.metric) + suffix
    return Line(answered.sub, metric, tags, aggregated, frame.points, frame.members, figures=answered.figures)


class Pieces:
    """The pieces of an answer, up to a limit."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._room = ANSWER_BYTES

    def add(self, piece: bytes) -> None:
        """Add a piece.

        Raises:
            LimitExceeded: the answer would be larger than ANSWER_BYTES.
        """
        self._room -= len(piece)
        if self._room < 0:
            raise LimitExceeded(
                f"the answer is larger than the limit of {ANSWER_BYTES} bytes: use a downsampler, a shorter range or "
                "fewer series"
            )
        self._pieces.append(piece)

    def joined(self) -> bytes:
        """Return the whole."""
        return b"".join(self._pieces)


def render(page: Page, lines: Sequence[Line], summary: Mapping[str, Any] | None = None) -> bytes:
    """Return the body of an answer.

    Raises:
        LimitExceeded: it is larger than ANSWER_BYTES.
    """
    pieces = Pieces()
    pieces.add(b"[")
    for at, line in enumerate(lines):
        pieces.add(b"," if at else b"")
        _add_line(page, line, pieces)
    if page.query.asked.show_summary:
        pieces.add(b"," if lines else b"")
        pieces.add(b'{"statsSummary":%s}' % orjson.dumps(summary or {}))
    pieces.add(b"]")
    return pieces.joined()


def _add_line(page: Page, line: Line, pieces: Pieces) -> None:
    """Write one result."""
    asked = page.query.asked
    fields: dict[str, Any] = {"metric": line.metric, "tags": line.tags, "aggregateTags": line.aggregated}
    if asked.show_query:
        fields["query"] = described(line.sub, page.uids)
    if asked.show_tsuids:
        fields["tsuids"] = sorted(page.uids.tsuid(series) for series in line.members)
    if asked.annotations:
        fields.update(_annotations(page, line))
    null = line.sub.downsample is not None and line.sub.downsample.fill is Fill.NULL
    pieces.add(orjson.dumps(fields)[:-1] + b',"dps":')
    for piece in point_pieces(line.points, asked.ms, asked.arrays, b"null" if null else b'"NaN"'):
        pieces.add(piece)
    figures = line.figures.result(len(line.points))
    pieces.add(b',"stats":%s}' % orjson.dumps(figures) if asked.show_stats else b"}")


def common_tags(members: Sequence[Series]) -> tuple[dict[str, str], list[str]]:
    """Return the tags that the members agree on, and the names of those they differ in.

    A tag that only some members have counts as agreed when those agree.
    """
    if len(members) == 1:
        return dict(members[0].tags), []
    values: dict[str, set[str]] = {}
    for series in members:
        for name, value in series.tags:
            values.setdefault(name, set()).add(value)
    tags = {name: next(iter(found)) for name, found in values.items() if len(found) == 1}
    return tags, [name for name, found in values.items() if len(found) > 1]


def tags_of(frame: Frame, uids: Uids) -> tuple[dict[str, str], list[str]]:
    """Return the tags that the members of a frame agree on, in a Java map's order, and those they differ in, by their ids."""
    tags, aggregated = common_tags([uids.wire_series(series) for series in frame.members])
    names = java_copied_order(by_id(tags, uids))
    return {name: tags[name] for name in names}, by_id(aggregated, uids)


def by_id(names: Iterable[str], uids: Uids) -> list[str]:
    """Return names of tags in the order of their ids, which is that of the original's lists."""
    return sorted(names, key=lambda name: uids.id_of("tagk", name) or 0)


def _annotations(page: Page, line: Line) -> dict[str, Any]:
    """Return the fields for notes: a series' own as soon as its rows hold any, global ones when there are any."""
    fields: dict[str, Any] = {}
    if line.bare_annotations:
        fields["annotations"] = []
    elif page.notes:
        found = [note for series in line.members for note in page.notes.get(page.uids.tsuid(series), ())]
        rows = read_range(page.query, line.sub)
        if any(rows[0] <= note.start_ms < rows[1] for note in found):
            fields["annotations"] = _in_range(page.query, found)
    if page.global_notes:
        fields["globalAnnotations"] = _in_range(page.query, page.global_notes)
    return fields


def _in_range(query: CheckedQuery, notes: Sequence[Note]) -> list[dict[str, Any]]:
    ordered = sorted(notes, key=lambda note: note.start_ms)
    return [note.wire() for note in ordered if query.start_ms <= note.start_ms <= query.end_ms]


def described(sub: CheckedSubQuery, uids: Uids) -> dict[str, Any]:
    """Return a sub query as `show_query` shows it."""
    asked = sub.asked
    ids = sorted({uids.id_of("tagk", one.tag_name) or 0 for one in asked.filters if not asked.tsuids})
    return {
        "aggregator": asked.aggregator,
        "metric": asked.metric,
        "tsuids": list(asked.tsuids) or None,
        "downsample": asked.downsample,
        "rate": asked.rate,
        "filters": [
            {"tagk": one.tag_name, "filter": one.text, "group_by": one.group_by, "type": one.shown_kind}
            for one in asked.filters
        ],
        "percentiles": [float(str(np.float32(one))) for one in asked.percentiles] or None,
        "index": sub.index,
        "rateOptions": _rate_options(asked),
        "filterTagKs": [_base64_uid(uid) for uid in ids] if asked.filters else None,
        "explicitTags": asked.explicit_tags,
        "useFuzzyFilter": True,
        "preAggregate": asked.pre_aggregate,
        "rollupUsage": asked.rollup_usage,
        "rollupTable": "raw",
        "showHistogramBuckets": asked.show_buckets,
        "useMultiGets": True,
        "tags": {one.tag_name: f"{one.shown_kind}({one.text})" for one in asked.filters if one.group_by},
        "histogramQuery": asked.histogram,
    }


def _base64_uid(uid: int) -> str:
    return b64encode(uid.to_bytes(3 if uid < 1 << 24 else 7, "big")).decode()


def _rate_options(asked: SubQuery) -> dict[str, Any] | None:
    rules = asked.rate_rules
    if rules is None:
        return None
    return {
        "counter": rules.counter,
        "counterMax": rules.maximum,
        "resetValue": rules.reset,
        "dropResets": rules.drop_resets,
    }


# points ---------------------------------------------------------------------------------------------------------------


def render_points(points: Points, ms: bool, arrays: bool, nan: bytes = b'"NaN"') -> bytes:
    """Return points as an object keyed by time, or as an array of pairs; see `point_pieces`."""
    return b"".join(point_pieces(points, ms, arrays, nan))


def point_pieces(points: Points, ms: bool, arrays: bool, nan: bytes = b'"NaN"') -> Iterator[bytes]:
    """Yield points as an object keyed by time, or as an array of pairs, in pieces to be joined.

    Args:
        points: LONG and DOUBLE points, ascending.
        ms: times in milliseconds; else in seconds, of which an object keeps the last point.
        arrays: pairs.
        nan: what NaN is written as.
    """
    times = points.times_ms if ms else points.times_ms // 1000
    if len(times) and not ms and not arrays:
        last = np.append(times[1:] != times[:-1], True)
        if not last.all():
            times, points = times[last], points.take(last)
    yield b"[" if arrays else b"{"
    for start in range(0, len(times), SLICE_POINTS):
        # Slices bound the memory of what stands between columns and text.
        part = slice(start, start + SLICE_POINTS)
        stamps = long_texts(times[part])
        pairs = zip(stamps, number_texts(points.take(part), nan), strict=True)
        if start:
            yield b","
        yield b",".join([b"[%s,%s]" % pair for pair in pairs] if arrays else [b'"%s":%s' % pair for pair in pairs])
    yield b"]" if arrays else b"}"


def number_texts(points: Points, nan: bytes = b'"NaN"') -> list[bytes]:
    """Return the values of LONG and DOUBLE points as JSON numbers."""
    if points.only(Kind.LONG):
        return long_texts(points.bits)
    floats = float_texts(points.numbers(), nan)
    if points.only(Kind.DOUBLE):
        return floats
    longs = np.flatnonzero(points.kinds == Kind.LONG)
    for at, text in zip(longs.tolist(), long_texts(points.bits[longs]), strict=True):
        floats[at] = text
    return floats


def long_texts(values: Int64s) -> list[bytes]:
    """Return integers as JSON numbers."""
    return orjson.dumps(values.tolist())[1:-1].split(b",") if len(values) else []


def float_texts(values: Float64s, nan: bytes = b'"NaN"') -> list[bytes]:
    """Return doubles as Java prints them."""
    texts = orjson.dumps(values.tolist())[1:-1].split(b",") if len(values) else []
    size = np.abs(values)
    odd = np.flatnonzero(~((size >= PLAIN_FROM) & (size < PLAIN_BELOW)) & (size != 0))
    for at in odd.tolist():
        texts[at] = java_double(float(values[at]), nan)
    return texts


def java_double(value: float, nan: bytes = b'"NaN"') -> bytes:
    """Return one double as Java prints it; what JSON cannot say as a text."""
    if value != value:
        return nan
    if value in (float("inf"), float("-inf")):
        return b'"Infinity"' if value > 0 else b'"-Infinity"'
    if value == 0 or PLAIN_FROM <= abs(value) < PLAIN_BELOW:
        return repr(value).encode()
    digits, exponent = _significand(repr(value))
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}".encode()


def _significand(text: str) -> tuple[str, int]:
    """Split a number as Python prints it into its digits and the exponent of the first one."""
    mantissa, _, shown = text.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    exponent = int(shown or 0) + len(whole) - 1
    digits = whole + fraction
    leading = len(digits) - len(digits.lstrip("0"))
    return digits[leading:].rstrip("0") or "0", exponent - leading
