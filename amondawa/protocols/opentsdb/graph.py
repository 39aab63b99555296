"""`/q`: the graph endpoint, as text lines, as JSON about the graph, as a picture, or as a page with the picture.

Source: suite endpoints (q_ascii, q_errors). The picture is drawn with matplotlib; no parameter reaches a shell or a file.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np

from amondawa.errors import BadRequest
from amondawa.model.points import Points
from amondawa.model.result import Frame
from amondawa.protocols.opentsdb import pages
from amondawa.protocols.opentsdb.calls import Answer, Call, Params
from amondawa.protocols.opentsdb.data_query import CheckedQuery, CheckedSubQuery, check
from amondawa.protocols.opentsdb.errors import NoSuchName, TsdbError
from amondawa.protocols.opentsdb.evaluate import evaluate
from amondawa.protocols.opentsdb.javamap import java_order
from amondawa.protocols.opentsdb.numbers_text import java_double
from amondawa.protocols.opentsdb.paths import without_domain
from amondawa.protocols.opentsdb.render import Answered, tags_of
from amondawa.protocols.opentsdb.times import parse_time
from amondawa.protocols.opentsdb.uid import Uids
from amondawa.protocols.opentsdb.uri import parse_query

FORMS = ("ascii", "json", "png")
"""the parameters that name a form other than a page"""
DAY_MS = 86_400_000
"""the axis counts days since 1970"""
DOTS_PER_INCH = 100
WIDEST, HIGHEST = 4096, 4096
DEFAULT_SIZE = (1024, 768)
FORMS = ("ascii", "json", "png")
NO_HISTOGRAM: dict[str, Any] = {"percentiles": (), "show_buckets": False}
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_RANGE = re.compile(r"\[([^:\]]*):([^:\]]*)\]")


@dataclass(frozen=True, slots=True)
class Curve:
    """One result, ready to be shown.

    Attributes:
        metric, tags, aggregated: what it is, in names that clients know.
        points: within the asked range.
    """

    metric: str
    tags: dict[str, str]
    aggregated: list[str]
    points: Points

    @property
    def title(self) -> str:
        """How a legend calls it."""
        inside = ", ".join(f"{name}={self.tags[name]}" for name in java_order(self.tags))
        return f"{self.metric}{{{inside}}}"


async def graph(call: Call) -> Answer:
    """Answer `/q`, whatever the method.

    Raises:
        TsdbError: 400; 500 for a name that is not known (as in the original).
    """
    began = time.monotonic()
    params = call.params
    if not any(form in params for form in FORMS) and not _is_query(params):
        return _to_home(call.target)
    size = _size(params)
    query = _asked(params, call.scope.gateway.now_ms)

    def finish(answered: list[Answered], uids: Uids) -> Answer:
        curves = [_curve(answer.sub, frame, uids) for answer in answered for frame in answer.frames]
        if "ascii" in params:
            return Answer.text("".join(line for curve in curves for line in ascii_lines(curve)))
        if "json" in params:
            return Answer.json(_about(curves, began))
        if "png" in params:
            return Answer(draw(curves, params, size, (query.start_ms, query.end_ms)), content_type="image/png")
        return _page(call, curves)

    try:
        return await evaluate(call.scope, call.domain, query, finish, "opentsdb q")
    except NoSuchName as error:
        raise TsdbError(error.message, 500) from error


def _to_home(target: str) -> Answer:
    """Lead a browser that asks for no graph yet to the page with the form, with what it asks behind the `#`."""
    asked = without_domain(target)
    domain = target[: -len(asked)]
    location = f"{domain}/#{asked[3:]}" if len(asked) > len("/q?") else f"{domain}/"
    body = f'<html></head><meta http-equiv="refresh" content="0; url={escape(location)}"></head></html>'
    return replace(Answer.html(body), headers={"Location": location})


def _asked(params: Params, now_ms: int) -> CheckedQuery:
    """Read the query; as text it gives all points of the rows that are read, as the original does.

    The range is in whole seconds, its dates in the zone `tz`. Histograms are not drawn: what asks for them is passed over.

    Raises:
        TsdbError: 400, also for what the API answers with 500.
    """
    try:
        asked = parse_query(params, expressions=False)
        query = check(replace(asked, whole_rows="ascii" in params), now_ms)
        start_ms, end_ms = (
            parse_time(text, params.get("tz"), now_ms) // 1000 * 1000 if text else now_ms
            for text in (asked.start, asked.end)
        )
    except TsdbError as error:
        raise TsdbError(error.message, 400, error.details) from error
    if end_ms <= start_ms:
        raise TsdbError(
            f"end time: new end time ({end_ms // 1000}) is less than or equal to start time: {start_ms // 1000}"
        )
    _check_options(params, len(query.sub_queries))
    subs = tuple(replace(sub, asked=replace(sub.asked, **NO_HISTOGRAM)) for sub in query.sub_queries)
    return replace(query, start_ms=start_ms, end_ms=end_ms, sub_queries=subs)


def _is_query(params: Params) -> bool:
    return bool(params.get("start")) and ("m" in params or "tsuid" in params)


def _check_options(params: Params, curves: int) -> None:
    """Refuse options of curves that are not one for each, or hold what a shell would carry out.

    Raises:
        TsdbError: 400.
    """
    options = params.all("o")
    if options and len(options) != curves:
        raise TsdbError(f"{len(options)} `o' parameters, but {curves} `m' parameters.")
    if any(sign in option for option in options for sign in ("`", "%60", "&#96;")):
        raise TsdbError("Option contained a back-tick. That's a no-no.")


def _curve(sub: CheckedSubQuery, frame: Frame, uids: Uids) -> Curve:
    """Return a result as it is shown: one bucket for everything has no place in a graph."""
    whole = sub.downsample is not None and sub.downsample.grid.whole is not None
    points = Points.empty() if whole else frame.points
    tags, aggregated = tags_of(frame, uids)
    return Curve(uids.wire_name("metric", frame.metric), tags, aggregated, points)


def ascii_lines(curve: Curve) -> Iterator[str]:
    """Yield `metric seconds value tag=value …` for each point that is a number.

    Raises:
        BadRequest: a value is infinite.
    """
    tags = "".join(f" {name}={curve.tags[name]}" for name in java_order(curve.tags))
    points = curve.points
    for at in range(len(points)):
        value = points.value_at(at)
        if isinstance(value, float):
            if np.isnan(value):
                continue
            if np.isinf(value):
                raise BadRequest(f"NaN or Infinity found in {curve.title}")
            shown = java_double(value)
        else:
            shown = str(value)
        yield f"{curve.metric} {int(points.times_ms[at]) // 1000} {shown}{tags}\n"


def _about(curves: list[Curve], began: float) -> dict[str, Any]:
    count = sum(len(curve.points) for curve in curves)
    return {
        "plotted": count,
        "points": count,
        "etags": [curve.aggregated for curve in curves],
        "timing": int((time.monotonic() - began) * 1000),
    }


def _page(call: Call, curves: list[Curve]) -> Answer:
    count = sum(len(curve.points) for curve in curves)
    if not count:
        return pages.page("TSDB Query", "<h1>No results</h1><p>No data points match the query.</p>")
    source = escape(call.target + ("&" if "?" in call.target else "?") + "png", quote=True)
    return pages.page("TSDB Query", f'<img src="{source}" alt="graph"><br><small>({count} points plotted)</small>')


def _size(params: Params) -> tuple[int, int]:
    """Return width and height in dots.

    Raises:
        TsdbError: 400.
    """
    text = params.get("wxh")
    if text is None:
        return DEFAULT_SIZE
    found = _SIZE.fullmatch(text)
    if found is None:
        raise TsdbError(f"Invalid wxh parameter: {text}")
    width, height = int(found[1]), int(found[2])
    if not 1 < width <= WIDEST or not 1 < height <= HIGHEST:
        raise TsdbError(f"Invalid wxh parameter: {text}, at most {WIDEST}x{HIGHEST}")
    return width, height


def draw(curves: list[Curve], params: Params, size: tuple[int, int], range_ms: tuple[int, int]) -> bytes:
    """Draw curves as a PNG of a size in dots; the time axis spans the query's range in UTC."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # heavy, and most servers never draw
    from matplotlib.figure import Figure

    inches = size[0] / DOTS_PER_INCH, size[1] / DOTS_PER_INCH
    figure = Figure(figsize=inches, dpi=DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for curve in curves:
        times = curve.points.times_ms.astype("datetime64[ms]")
        axes.plot(times, curve.points.numbers(), label=_literal(curve.title), linewidth=1)
    axes.set_xlim(range_ms[0] / DAY_MS, range_ms[1] / DAY_MS)
    axes.set_title(_literal(params.get("title") or ""))
    axes.set_ylabel(_literal(params.get("ylabel") or ""))
    axes.grid(visible=True, alpha=0.3)
    if "ylog" in params:
        axes.set_yscale("log")
    low, high = _bounds(params.get("yrange"))
    axes.set_ylim(low, high)
    if curves and "nokey" not in params:
        axes.legend(fontsize="small")
    out = io.BytesIO()
    canvas.print_png(out)
    return out.getvalue()


def _literal(text: str) -> str:
    """Return a text such that matplotlib takes no part of it for a formula."""
    return text.replace("$", r"\$")


def _bounds(text: str | None) -> tuple[float | None, float | None]:
    """Read `[low:high]`, either of which may be missing."""
    found = _RANGE.fullmatch(text or "")
    if found is None:
        return None, None
    return _bound(found[1]), _bound(found[2])


def _bound(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
