"""What roll-ups keep: tasks, how far each has come, and the ranges that late data touched. All as documents.

A mark (a range that late data touched) carries the second in which it was made. Marks are made by every gateway that takes
such data, once a second and range; the one that runs the task works them off when they are some seconds old, so that it
reads what they stand for wherever that was written, and never removes one that another point counts on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import orjson

from amondawa.auth.caller import acting_as_gateway
from amondawa.gateway import GatewayDoor

TASKS = "kairosdb_rollups"
STATES = "kairosdb_rollup_states"
MARKS = "kairosdb_rollup_marks"
DOMAINS = "kairosdb_rollup_domains"


@dataclass(slots=True)
class TaskState:
    """How far a task has come.

    Attributes:
        next_run_ms: when it runs next.
        generation: counts runs.
        watermarks_ms: by query key, the end of the last period that was computed.
        status: by query key, what the last run did; see `rollup_status`.
        last_run_ms: when it ran last; None = never.
        server: the host that ran it last.
        computes: fingerprint of what the watermarks are of; "" = of whatever the task computes.
        since_ms: when the task was made or changed.
    """

    next_run_ms: int
    generation: int = 0
    watermarks_ms: dict[str, int] = field(default_factory=dict)
    status: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_run_ms: int | None = None
    server: str = ""
    computes: str = ""
    since_ms: int = 0

    def of(self, computes: str) -> TaskState:
        """Return the state for a task that computes this: what was noted of another definition does not count."""
        if self.computes not in ("", computes):
            self.watermarks_ms = {}
        self.computes = computes
        return self


@dataclass(frozen=True, slots=True)
class Mark:
    """A range of whole periods of one query that late data touched, end exclusive; made in the second `at_ms` begins."""

    query_key: str
    at_ms: int
    start_ms: int
    end_ms: int

    def key(self, task_id: str) -> str:
        """Return the key of its document."""
        return f"{quote(task_id, safe='')}/{self.query_key}/{self.at_ms}/{self.start_ms}/{self.end_ms}"


class RollupStore:
    """Documents of roll-ups.

    Args:
        gateway: where they are kept.
        home_domain: the domain that holds the list of domains with tasks.
    """

    def __init__(self, gateway: GatewayDoor, home_domain: str) -> None:
        self._gateway = gateway
        self._home = home_domain

    async def domains(self) -> list[str]:
        """Return the domains that have or had tasks."""
        found = await self._gateway.list_documents(self._home, DOMAINS)
        return [unquote(key) for key, _ in found]

    async def tasks(self, domain: str) -> list[tuple[str, bytes]]:
        """Return id and JSON of the tasks of a domain."""
        found = await self._gateway.list_documents(domain, TASKS)
        return [(unquote(key), value) for key, value in found]

    async def task(self, domain: str, task_id: str) -> bytes | None:
        """Return the JSON of a task."""
        return await self._gateway.get_document(domain, TASKS, quote(task_id, safe=""))

    async def put_task(self, domain: str, task_id: str, json: bytes) -> None:
        """Keep a task."""
        with acting_as_gateway():  # the list of domains is no domain's own
            await self._gateway.put_document(self._home, DOMAINS, quote(domain, safe=""), b"{}")
        await self._gateway.put_document(domain, TASKS, quote(task_id, safe=""), json)

    async def delete_task(self, domain: str, task_id: str) -> bool:
        """Remove a task with all that belongs to it; say whether there was one."""
        found = await self._gateway.delete_document(domain, TASKS, quote(task_id, safe=""))
        await self._gateway.delete_document(domain, STATES, quote(task_id, safe=""))
        for mark in await self.marks(domain, task_id):
            await self.delete_mark(domain, task_id, mark)
        return found

    async def state(self, domain: str, task_id: str) -> TaskState | None:
        """Return how far a task has come; None when it was never noted."""
        value = await self._gateway.get_document(domain, STATES, quote(task_id, safe=""))
        return None if value is None else TaskState(**orjson.loads(value))

    async def states(self, domain: str) -> dict[str, TaskState]:
        """Return how far the tasks of a domain have come, by id."""
        found = await self._gateway.list_documents(domain, STATES)
        return {unquote(key): TaskState(**orjson.loads(value)) for key, value in found}

    async def put_state(self, domain: str, task_id: str, state: TaskState) -> None:
        """Note how far a task has come."""
        await self._gateway.put_document(domain, STATES, quote(task_id, safe=""), orjson.dumps(state))

    async def marks(self, domain: str, task_id: str, until_ms: int = 2**63) -> list[Mark]:
        """Return the marks of a task, or those made up to a time."""
        found = await self._gateway.list_documents(domain, MARKS, quote(task_id, safe="") + "/")
        marks = []
        for key, _ in found:
            _, query_key, at_ms, start_ms, end_ms = key.split("/")
            if int(at_ms) <= until_ms:
                marks.append(Mark(query_key, int(at_ms), int(start_ms), int(end_ms)))
        return marks

    async def put_mark(self, domain: str, task_id: str, mark: Mark) -> None:
        """Keep a mark."""
        await self._gateway.put_document(domain, MARKS, mark.key(task_id), b"{}")

    async def delete_mark(self, domain: str, task_id: str, mark: Mark) -> None:
        """Remove a mark that was worked off."""
        await self._gateway.delete_document(domain, MARKS, mark.key(task_id))
