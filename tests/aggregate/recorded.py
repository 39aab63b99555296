"""Recorded KairosDB conversations, brought down to frames and stages without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from amondawa.aggregate.aggregators import AGGREGATORS
from amondawa.aggregate.deviation import DeviationKind
from amondawa.aggregate.filter import Comparison
from amondawa.aggregate.group import BinGrouping, GroupPoints, GroupSeries, Limit, TimeGrouping, ValueGrouping
from amondawa.aggregate.merge import Merge, merge_points
from amondawa.aggregate.transform import Boundary, Ends, Threshold
from amondawa.model.query import MAX_TIME_MS, Stage
from amondawa.model.result import Frame
from amondawa.model.series import Series
from amondawa.model.timespan import Span, Unit, Zone, find_zone
from tests.aggregate.frames import Clock, Pairs, pairs_of, points_of

FOLDER = Path(__file__).parents[2] / "compat_tests" / "conformance" / "kairosdb"
Stored = dict[str, dict[tuple[tuple[str, str], ...], dict[tuple[int, str], Any]]]


@dataclass
class Asked:
    name: str
    stored: Stored
    query: dict[str, Any]
    metric: dict[str, Any]
    answer: dict[str, Any]


def conversations(suite: str) -> Iterator[Asked]:
    for case in json.loads((FOLDER / f"{suite}.json").read_text())["cases"]:
        stored: Stored = {}
        for number, step in enumerate(case["steps"]):
            request = step.get("http", {})
            if request.get("path") == "/api/v1/datapoints" and "json" in request:
                keep(stored, request["json"])
            elif request.get("path") == "/api/v1/datapoints/query" and "queries" in step["expect"].get("json", {}):
                yield from asked(f"{case['name']}-{number}", stored, request.get("json"), step["expect"]["json"])


def keep(stored: Stored, body: Any) -> None:
    for metric in body if isinstance(body, list) else [body]:
        series = stored.setdefault(metric["name"], {}).setdefault(tuple(sorted(metric["tags"].items())), {})
        for time, value, *_ in metric.get("datapoints", []):
            series[time, type(value).__name__] = value


def asked(name: str, stored: Stored, query: Any, answer: Any) -> Iterator[Asked]:
    if not isinstance(query, dict) or not isinstance(query.get("start_absolute"), int) or "end_relative" in query:
        return
    for at, metric in enumerate(query["metrics"]):
        if metric["name"] in stored and not any("regex:" in str(v) for v in metric.get("tags", {}).values()):
            yield Asked(f"{name}-{at}", stored, query, metric, answer["queries"][at])


def run(case: Asked) -> list[Frame]:
    clock = Clock(case.query["start_absolute"], int(case.query.get("end_absolute", MAX_TIME_MS)), 1_800_000_000_000)
    descending = case.metric.get("order", "asc").lower() == "desc"
    frames = []
    for tags, points in sorted(case.stored[case.metric["name"]].items()):
        if matches(dict(tags), case.metric.get("tags", {})):
            kept = [(t, v) for (t, _), v in points.items() if clock.start_ms <= t <= clock.end_ms]
            frames.extend(read(case.metric["name"], tags, kept, descending, case.metric.get("limit", 0)))
    for stage in stages(case, descending):
        frames = stage.apply(frames, clock)
    return frames


def read(metric: str, tags: tuple[tuple[str, str], ...], kept: Pairs, descending: bool, limit: int) -> list[Frame]:
    """Read one series; the limit counts each kind of value by itself, as each kind is stored by itself."""
    kinds = {type(value) for _, value in kept}
    rows = [sorted((p for p in kept if type(p[1]) is kind), key=lambda p: p[0], reverse=descending) for kind in kinds]
    points = merge_points([points_of(row[: limit or None]) for row in rows], descending)
    return [Frame(metric, (Series("default", metric, tags),), (points,))] if len(points) else []


def matches(tags: dict[str, str], wanted: dict[str, Any]) -> bool:
    for name, values in wanted.items():
        texts = [str(value) for value in (values if isinstance(values, list) else [values])]
        if texts and tags.get(name) not in texts:
            return False
    return True


def stages(case: Asked, descending: bool) -> list[Stage]:
    groupings = case.metric.get("group_by", [])
    tags = next((tuple(g["tags"]) for g in groupings if g["name"] == "tag"), None)
    out: list[Stage] = [GroupSeries(case.metric["name"], tags, descending)]
    rules = tuple(point_grouping(g) for g in groupings if g["name"] != "tag")
    if rules:
        out.append(GroupPoints(rules))
    out.append(Limit(case.metric.get("limit", 0)))
    zone = find_zone(case.query.get("time_zone"))
    out += [lower(a, zone) for a in case.metric.get("aggregators", []) if a["name"] != "save_as"]
    return [*out, Merge()]


def point_grouping(g: dict[str, Any]) -> ValueGrouping | BinGrouping | TimeGrouping:
    if g["name"] == "value":
        return ValueGrouping(int(g["range_size"]))
    if g["name"] == "bin":
        return BinGrouping(tuple(float(b) for b in g["bins"]))
    return TimeGrouping(span(g["range_size"]), int(g["group_count"]))


def span(value: dict[str, Any]) -> Span:
    return Span(int(float(value["value"])), Unit.parse(value["unit"]))


def lower(aggregator: dict[str, Any], zone: Zone) -> Stage:
    made = AGGREGATORS.find(aggregator["name"])
    assert made is not None
    known = {f.name for f in fields(made)}  # type: ignore[arg-type]
    given = {"zone": zone} if "zone" in known else {}
    for key, value in aggregator.items():
        if key == "unit" and "unit" not in known:
            given["sampling"] = Span(1, Unit.parse(value))
        elif key != "name":
            given["descending" if key == "order" else key] = typed(aggregator["name"], key, value)
    return made(**given)


def typed(name: str, key: str, value: Any) -> Any:
    readers = {
        "sampling": span,
        "unit": Unit.parse,
        "percentile": float,
        "filter_op": lambda v: Comparison[v.upper()],
        "return_type": DeviationKind,
        "order": lambda v: v == "descending",
        "thresholds": lambda v: tuple(Threshold(t["value"], Boundary(t.get("boundary", "superior"))) for t in v),
        "trim": lambda v: Ends(v.lower()) if name == "trim" else v is True,
    }
    if key.startswith("align_"):
        return value is True
    return readers[key](value) if key in readers else value


def results(frames: list[Frame]) -> list[dict[str, Any]]:
    out = []
    for frame in frames:
        result: dict[str, Any] = {"values": [list(pair) for pair in pairs_of(frame.points)]}
        if frame.groups:
            result["group_by"] = list(frame.groups)
        out.append(result)
    return out
