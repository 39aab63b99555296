"""What roll-ups keep: tasks, how far each has come, and the ranges that late data touched. All as documents.

A mark (a range that late data touched) carries the generation of its task's runs in which it was made. A run first
opens the next generation and then works off the marks of former ones, so a mark made meanwhile is never taken for
one that was worked off.
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
        status: by query key, what the last run did; see `rollup_service`.
        last_run_ms: when it ran last; None = never.
    """

    next_run_ms: int
    generation: int = 0
    watermarks_ms: dict[str, int] = field(default_factory=dict)
    status: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_run_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A range of whole periods of one query that late data touched, end exclusive."""

    query_key: str
    generation: int
    start_ms: int
    end_ms: int

    def key(self, task_id: str) -> str:
        """Return the key of its document."""
        return f"{quote(task_id, safe='')}/{self.query_key}/{self.generation}/{self.start_ms}/{self.end_ms}"


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

    async def put_state(self, domain: str, task_id: str, state: TaskState) -> None:
        """Note how far a task has come."""
        await self._gateway.put_document(domain, STATES, quote(task_id, safe=""), orjson.dumps(state))

    async def marks(self, domain: str, task_id: str) -> list[Mark]:
        """Return the marks of a task."""
        found = await self._gateway.list_documents(domain, MARKS, quote(task_id, safe="") + "/")
        marks = []
        for key, _ in found:
            _, query_key, generation, start_ms, end_ms = key.split("/")
            marks.append(Mark(query_key, int(generation), int(start_ms), int(end_ms)))
        return marks

    async def put_mark(self, domain: str, task_id: str, mark: Mark) -> None:
        """Keep a mark."""
        await self._gateway.put_document(domain, MARKS, mark.key(task_id), b"{}")

    async def delete_mark(self, domain: str, task_id: str, mark: Mark) -> None:
        """Remove a mark that was worked off."""
        await self._gateway.delete_document(domain, MARKS, mark.key(task_id))
