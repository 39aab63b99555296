"""Roll-up tasks: what a task is, how it is read, and the messages for what is wrong with it.

A task has roll-ups, a roll-up has one query whose every metric is computed over periods (the sampling of its last range
aggregator) and written as another metric.

Source: suite rollups.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

import orjson
from marshmallow import Schema, fields, post_load, validate

from amondawa.model.timespan import Span, Unit, Zone
from amondawa.protocols.kairosdb.aggregators import AGGREGATORS
from amondawa.protocols.kairosdb.elements import json_of, shown
from amondawa.protocols.kairosdb.fields import (
    NULL,
    Members,
    span_of,
    text_field,
    unit_field,
    whole_field,
    zone_field,
)
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.problems import PlacedRefused, RequestRefused, SyntaxRefused, load
from amondawa.protocols.kairosdb.queries import MetricRequest, QueryRequest, parse_query, read_json

_NO_SUCH = "is not a valid "
"""Begins, behind the word, what is said of a unit or time zone that there is not."""
_PRESENT = validate.Length(min=1, error="may not be empty")


@dataclass(frozen=True, slots=True)
class RollupQuery:
    """One metric of a roll-up.

    Attributes:
        key: names it within its task.
        save_as: metric to write.
        metric: what is read and how it is aggregated.
        period: length of the periods.
        zone: whose calendar the periods follow.
        lookback_ms: how far back the first run reaches.
    """

    key: str
    save_as: str
    metric: MetricRequest
    period: Span
    zone: Zone
    lookback_ms: int


@dataclass(frozen=True, slots=True)
class RollupTask:
    """A task as it was sent, and what follows from it.

    Attributes:
        id, name: of the task.
        json: what is stored and given back: the sent object with the id first.
        interval: time between two runs.
        queries: everything that is computed.
    """

    id: str
    name: str
    json: bytes
    interval: Span
    queries: tuple[RollupQuery, ...]

    @property
    def computes(self) -> str:
        """A fingerprint of what the task computes: its name and interval do not matter."""
        computed = orjson.dumps(orjson.loads(self.json).get("rollups"), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(computed).hexdigest()[:32]


class IntervalSchema(Members):
    """How often a task runs; neither value nor unit is asked for."""

    unit = unit_field(load_default=Unit.MILLISECONDS)
    value = whole_field(load_default=0)

    @post_load
    def span(self, data: dict[str, Any], **options: Any) -> Span:
        """Return the span that was read."""
        return span_of(data["value"], data["unit"])


class TaskSchema(Members):
    """The fields of a task itself; unknown ones are kept as they are."""

    execution_interval = fields.Nested(
        IntervalSchema,
        required=True,
        error_messages={"required": "may not be null"},
        metadata={"inner": "executionInterval"},
    )
    name = text_field(required=True, validate=_PRESENT)
    id = text_field(load_default=None)


class RollupSchema(Members):
    """The fields of one roll-up, its query apart; unknown ones are kept as they are."""

    save_as = text_field(required=True, validate=_PRESENT, metadata={"inner": "saveAs"})
    time_zone = zone_field(load_default=None)


_TASK = TaskSchema()
_ROLLUP = RollupSchema()


def read_task(body: bytes, now_ms: int, task_id: str | None = None) -> RollupTask:
    """Read a task that a client sent.

    Args:
        body: JSON.
        now_ms: what relative times count from.
        task_id: the id of the task that is replaced, whatever it says; None = what it says, or a new one. Only a task that
            is replaced must have roll-ups.

    Raises:
        RequestRefused: it is wrong.
        InternalFailure: it is wrong in a way that KairosDB answers with 500.
    """
    try:
        document = read_json(body)
        if not isinstance(document, dict):
            raise InternalFailure(f"Not a JSON Object: {shown(document)}")
        task = _load(_TASK, document, "")
        queries = _read_rollups(document, now_ms)
        if task_id is not None and not document.get("rollups"):
            raise InternalFailure(None)
    except SyntaxRefused as refused:
        raise InternalFailure(str(refused)) from refused
    found = task_id or task["id"] or str(uuid.uuid4())
    sent = {**document, "id": found} if "id" in document else {"id": found, **document}
    return RollupTask(found, task["name"], json_of(sent), task["execution_interval"], queries)


def _load(schema: Schema, raw: dict[str, Any], context: str) -> Any:
    """Load with a schema; a bad unit or time zone is an internal failure, without its word.

    Raises:
        RequestRefused, InternalFailure: it is wrong.
    """
    try:
        return load(schema, raw, context, of_object="")
    except PlacedRefused as refused:
        raise InternalFailure(_NO_SUCH + str(refused).rpartition(_NO_SUCH)[2]) from refused


def stored_task(json: bytes, now_ms: int) -> RollupTask:
    """Read a task as it was stored."""
    return read_task(json, now_ms)


def _read_rollups(task: dict[str, Any], now_ms: int) -> tuple[RollupQuery, ...]:
    if "rollups" not in task:
        return ()
    if not isinstance(task["rollups"], list):
        raise InternalFailure("rollups cannot be cast to an array")
    found: list[RollupQuery] = []
    context = ""
    for at, rollup in enumerate(task["rollups"]):
        if not isinstance(rollup, dict):
            raise InternalFailure(f"Not a JSON Object: {shown(rollup)}")
        # The original keeps adding to one context, so that a later roll-up's message begins with the former ones.
        context += f"rollup[{at}]"
        target = _load(_ROLLUP, rollup, context)
        asked = parse_query(_query_of(rollup), now_ms, context)
        for position, metric in enumerate(asked.metrics):
            context += f".query[{position}]"
            found.append(_rollup_query(asked, metric, f"{at}.{position}", target, now_ms, context))
    return tuple(found)


def _query_of(rollup: dict[str, Any]) -> dict[str, Any]:
    if "query" not in rollup:
        raise InternalFailure(NULL)
    if not isinstance(rollup["query"], dict):
        raise InternalFailure("query cannot be cast to an object")
    return rollup["query"]


def _rollup_query(
    asked: QueryRequest, metric: MetricRequest, key: str, target: dict[str, Any], now_ms: int, context: str
) -> RollupQuery:
    ranges = [piece for piece in metric.aggregators if _is_range(piece.name)]
    if not ranges:
        raise RequestRefused(f"{context}.aggregator At least one aggregator must be a range aggregator")
    last = ranges[-1].properties
    zone = target["time_zone"] or last["time_zone"] or asked.zone
    return RollupQuery(key, target["save_as"], metric, last["sampling"], zone, max(0, now_ms - asked.start_ms))


def _is_range(name: str) -> bool:
    kind = AGGREGATORS.find(name)
    return kind is not None and kind.is_range
