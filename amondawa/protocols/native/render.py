"""Results to bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson

from amondawa.model.points import Kind, Points
from amondawa.model.result import Frame, Result
from amondawa.model.series import Series


def render_results(results: Sequence[Result]) -> bytes:
    """Render the answer of a request: one entry a query, in the order of the queries.

    A stream of one series has its tags as texts; one that several series were brought together in has every value of
    each tag, sorted. Longs are integers, doubles numbers with a point, texts strings; NaN and the infinities, which
    JSON lacks, null. A query that rolled-up data served says so in `rollup`.
    """
    return orjson.dumps({"queries": [_query(one) for one in results]})


def _query(result: Result) -> dict[str, Any]:
    """Return the answer of one query."""
    answer: dict[str, Any] = {"sample_size": result.sample_size, "results": [*map(_stream, result.frames)]}
    if result.rollup is not None:
        answer["rollup"] = {"intervals_ms": list(result.rollup.steps_ms), "exact": result.rollup.exact}
    return answer


def _stream(frame: Frame) -> dict[str, Any]:
    points = frame.points
    tags: dict[str, Any] = dict(frame.members[0].tags) if _is_one_series(frame) else collect_tags(frame.members)
    return {
        "name": frame.metric,
        "tags": tags,
        "values": list(zip(points.times_ms.tolist(), _values(points), strict=True)),
    }


def _is_one_series(frame: Frame) -> bool:
    return len(frame.members) == 1 and not frame.groups


def collect_tags(series: Iterable[Series]) -> dict[str, list[str]]:
    """Return every tag name with all of its values, sorted."""
    found: dict[str, set[str]] = {}
    for one in series:
        for name, value in one.tags:
            found.setdefault(name, set()).add(value)
    return {name: sorted(found[name]) for name in sorted(found)}


def _values(points: Points) -> list[Any]:
    """Return the values as what orjson writes."""
    if points.only(Kind.DOUBLE):
        doubles: list[Any] = points.bits.view(np.float64).tolist()
        return doubles
    if points.only(Kind.LONG):
        longs: list[Any] = points.bits.tolist()
        return longs
    return [_plain(points.value_at(index)) for index in range(len(points))]


def _plain(value: int | float | str | bytes | None) -> int | float | str | None:
    """Return a value as JSON has it; opaque bytes as base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
