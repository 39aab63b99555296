"""Roll-up tasks: what a task is, how it is read, and the messages for what is wrong with it.

A task has roll-ups, a roll-up has one query whose every metric is computed over periods (the sampling of its last range
aggregator) and written as another metric.

Source: suite rollups.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from marshmallow import EXCLUDE, Schema, fields, validate

from amondawa.model.timespan import Span, Unit, Zone
from amondawa.protocols.kairosdb.aggregators import AGGREGATORS
from amondawa.protocols.kairosdb.fields import LooseNumber, Text, bad_unit
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.problems import Place, RequestRefused, load
from amondawa.protocols.kairosdb.queries import MetricRequest, QueryRequest, parse_query, read_json

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


class IntervalSchema(Schema):
    """How often a task runs; the value is not checked."""

    class Meta:
        """What else is in the object is not looked at."""

        unknown = EXCLUDE

    unit = Text(required=True)
    value = LooseNumber(whole=True, place=Place.NOWHERE, load_default=0)


class TaskSchema(Schema):
    """The fields of a task itself."""

    class Meta:
        """Unknown fields are kept as they are."""

        unknown = EXCLUDE

    execution_interval = fields.Nested(
        IntervalSchema,
        required=True,
        error_messages={"required": "may not be null", "null": "may not be null"},
        metadata={"inner": "executionInterval", "place": "executionInterval"},
    )
    name = Text(required=True, validate=_PRESENT)
    id = Text(load_default=None, allow_none=True)


class RollupSchema(Schema):
    """The fields of one roll-up, its query apart."""

    class Meta:
        """Unknown fields are kept as they are."""

        unknown = EXCLUDE

    save_as = Text(required=True, validate=_PRESENT, metadata={"inner": "saveAs"})


_TASK = TaskSchema()
_ROLLUP = RollupSchema()


def read_task(body: bytes, now_ms: int, task_id: str | None = None) -> RollupTask:
    """Read a task that a client sent.

    Args:
        body: JSON.
        now_ms: what relative times count from.
        task_id: the id the task has when it says none; None = make one.

    Raises:
        RequestRefused: it is wrong.
        InternalFailure: it is wrong in a way that KairosDB answers with 500.
    """
    try:
        document = read_json(body)
    except RequestRefused as refused:
        raise InternalFailure(str(refused)) from refused
    if not isinstance(document, dict):
        raise InternalFailure(f"Not a JSON Object: {orjson.dumps(document).decode()}")
    interval = _interval(document.get("execution_interval"))
    task = load(_TASK, document, "")
    queries = _read_rollups(document.get("rollups"), now_ms)
    found = task["id"] or task_id or str(uuid.uuid4())
    sent = {key: value for key, value in document.items() if key != "id"}
    return RollupTask(found, task["name"], orjson.dumps({"id": found, **sent}), interval, queries)


def stored_task(json: bytes, now_ms: int) -> RollupTask:
    """Read a task as it was stored."""
    return read_task(json, now_ms)


def _interval(raw: Any) -> Span:
    """Return the interval; a unit that there is not is an internal failure, without its word."""
    unit = raw.get("unit") if isinstance(raw, Mapping) else None
    if unit is None:
        return Span(0, Unit.MILLISECONDS)
    found = Unit.__members__.get(str(unit).upper())
    if found is None:
        raise InternalFailure(bad_unit("").strip())
    return Span(load(_TASK.fields["execution_interval"].schema, raw, "")["value"], found)  # type: ignore[attr-defined]


def _read_rollups(raw: Any, now_ms: int) -> tuple[RollupQuery, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise InternalFailure("rollups is not an array")
    found: list[RollupQuery] = []
    context = ""
    for at, rollup in enumerate(raw):
        if not isinstance(rollup, dict):
            raise InternalFailure(f"Not a JSON Object: {orjson.dumps(rollup).decode()}")
        # The original keeps adding to one context, so that a later roll-up's message begins with the former ones.
        context += f"rollup[{at}]"
        save_as = load(_ROLLUP, rollup, context)["save_as"]
        query = rollup.get("query")
        if not isinstance(query, dict):
            raise InternalFailure("cannot validate null: the roll-up has no query")
        asked = parse_query(query, now_ms, context)
        for position, metric in enumerate(asked.metrics):
            context += f".query[{position}]"
            found.append(_rollup_query(asked, metric, f"{at}.{position}", save_as, now_ms, context))
    return tuple(found)


def _rollup_query(
    asked: QueryRequest, metric: MetricRequest, key: str, save_as: str, now_ms: int, context: str
) -> RollupQuery:
    ranges = [piece for piece in metric.aggregators if _is_range(piece.name)]
    if not ranges:
        raise RequestRefused(f"{context}.aggregator At least one aggregator must be a range aggregator")
    last = ranges[-1].properties
    zone = last["time_zone"] or asked.zone
    return RollupQuery(key, save_as, metric, last["sampling"], zone, max(0, now_ms - asked.start_ms))


def _is_range(name: str) -> bool:
    kind = AGGREGATORS.find(name)
    return kind is not None and kind.is_range
