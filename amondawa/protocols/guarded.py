"""The gateway's door with a guard: every operation is checked against the caller of the request at hand.

It is the one wall for all protocols: whatever a handler does, it reaches the gateway through here. See `auth.caller`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from amondawa.auth.caller import Caller, current_caller
from amondawa.auth.permissions import Right
from amondawa.auth.replay import AppliedSignatures
from amondawa.errors import BadRequest, Forbidden
from amondawa.gateway import GatewayDoor, Watcher
from amondawa.model.points import WriteBatch
from amondawa.model.query import Query, Selection
from amondawa.model.receipt import accompanied_by
from amondawa.model.result import DeleteReport, Result
from amondawa.model.series import Series, Tags

T = TypeVar("T")

LOOK_S = 0.02
"""how often it is looked whether writers may go on"""


class GuardedGateway:
    """A GatewayDoor that lets a caller do what it may in its own domain.

    Args:
        door: does the work.
        applied: signed writes that are not to be applied again.
    """

    def __init__(self, door: GatewayDoor, applied: AppliedSignatures) -> None:
        self._door = door
        self._applied = applied

    # series and writes --------------------------------------------------------------------------------------------

    def resolve(self, domain: str, metric: str, tags: Tags) -> int:
        """See GatewayDoor; Forbidden outside of the caller's domain."""
        caller = current_caller()
        if caller is not None and domain != caller.domain:
            raise Forbidden("this request may not leave its domain")
        return self._door.resolve(domain, metric, tags)

    def series_of(self, ref: int) -> Series:
        """See GatewayDoor; Forbidden outside of the caller's domain."""
        series = self._door.series_of(ref)
        caller = current_caller()
        if caller is not None and series.domain != caller.domain:
            raise Forbidden("this request may not leave its domain")
        return series

    def domain_of(self, ref: int) -> str:
        """See GatewayDoor."""
        return self._door.domain_of(ref)

    def stored_tags(self, domain: str, tags: Tags) -> Tags:
        """See GatewayDoor; Forbidden outside of the caller's domain."""
        _require_domain(domain)
        return self._door.stored_tags(domain, tags)

    def hashes_tags(self, domain: str) -> bool:
        """See GatewayDoor; Forbidden outside of the caller's domain."""
        _require_domain(domain)
        return self._door.hashes_tags(domain)

    async def write(self, batch: WriteBatch) -> None:
        """See GatewayDoor; Forbidden without the right to write."""
        caller = current_caller()
        if caller is None or not len(batch):
            await self._door.write(batch)
            return
        caller.require(Right.WRITE, self._door.domain_of(int(batch.refs[0])))
        if caller.signature is None:  # nothing to remember of it
            await self._door.write(batch)
            return
        await self._change(caller, lambda: self._door.write(batch), None, writes=True)

    async def _change(self, caller: Caller, change: Callable[[], Awaitable[T]], done: T, *, writes: bool = False) -> T:
        """Carry a change out unless the same signed request did before; `done` is what is answered then.

        A request has one write at most, which carries its receipt; what else it changes is noted when it is over.
        """
        if not await self._applied.begin(caller):
            return done
        try:
            with accompanied_by(caller.receipt if writes else None):
                return await change()
        except BadRequest:
            raise  # what could be applied was
        except BaseException:
            caller.failed = True
            raise

    def watch_writes(self, watcher: Watcher) -> Callable[[], None]:
        """See GatewayDoor."""
        return self._door.watch_writes(watcher)

    @property
    def outage(self) -> str:
        """See GatewayDoor."""
        return self._door.outage

    @property
    def congested(self) -> bool:
        """See GatewayDoor; for the caller's domain."""
        caller = current_caller()
        return self._door.congested if caller is None else self._door.congested_for(caller.domain)

    def congested_for(self, domain: str) -> bool:
        """See GatewayDoor."""
        return self._door.congested_for(domain)

    async def wait_until_clear(self) -> None:
        """See GatewayDoor; for the caller's domain."""
        while self.congested:  # noqa: ASYNC110 - it changes in several threads
            await asyncio.sleep(LOOK_S)

    # queries ------------------------------------------------------------------------------------------------------

    async def query(self, queries: Sequence[Query], finish: Callable[[list[Result]], T], label: str = "") -> T:
        """See GatewayDoor; Forbidden without the right to read."""
        for one in queries:
            _require(Right.READ, one.selection.domain)
        return await self._door.query(queries, finish, label)

    async def find_series(self, selection: Selection, start_ms: int, end_ms: int) -> list[Series]:
        """See GatewayDoor; Forbidden without the right to read."""
        _require(Right.READ, selection.domain)
        return await self._door.find_series(selection, start_ms, end_ms)

    async def metric_names(self, domain: str, prefix: str = "") -> list[str]:
        """See GatewayDoor; Forbidden without the right to read."""
        _require(Right.READ, domain)
        return await self._door.metric_names(domain, prefix)

    async def tag_names(self, domain: str) -> list[str]:
        """See GatewayDoor; Forbidden without the right to read."""
        _require(Right.READ, domain)
        return await self._door.tag_names(domain)

    async def tag_values(self, domain: str, tag_name: str | None = None) -> list[str]:
        """See GatewayDoor; Forbidden without the right to read."""
        _require(Right.READ, domain)
        return await self._door.tag_values(domain, tag_name)

    # deletes ------------------------------------------------------------------------------------------------------

    async def delete(self, selection: Selection, start_ms: int, end_ms: int) -> DeleteReport:
        """See GatewayDoor; Forbidden without the right to write."""
        caller = _require(Right.WRITE, selection.domain)
        if caller is None:
            return await self._door.delete(selection, start_ms, end_ms)
        return await self._change(
            caller, lambda: self._door.delete(selection, start_ms, end_ms), DeleteReport(points=0, series=0)
        )

    async def delete_metric(self, domain: str, metric: str) -> DeleteReport:
        """See GatewayDoor; Forbidden without the right to write."""
        caller = _require(Right.WRITE, domain)
        if caller is None:
            return await self._door.delete_metric(domain, metric)
        return await self._change(
            caller, lambda: self._door.delete_metric(domain, metric), DeleteReport(points=0, series=0)
        )

    # documents ----------------------------------------------------------------------------------------------------

    async def put_document(self, domain: str, collection: str, key: str, value: bytes) -> None:
        """See GatewayDoor; Forbidden without the right to write."""
        caller = _require(Right.WRITE, domain)
        if caller is None:
            await self._door.put_document(domain, collection, key, value)
            return
        await self._change(caller, lambda: self._door.put_document(domain, collection, key, value), None)

    async def put_document_if(
        self, domain: str, collection: str, key: str, value: bytes, expected: bytes | None
    ) -> bool:
        """See GatewayDoor; Forbidden without the right to write."""
        caller = _require(Right.WRITE, domain)
        if caller is None:
            return await self._door.put_document_if(domain, collection, key, value, expected)
        put = self._door.put_document_if
        return await self._change(caller, lambda: put(domain, collection, key, value, expected), True)

    async def get_document(self, domain: str, collection: str, key: str) -> bytes | None:
        """See GatewayDoor; Forbidden outside of the caller's domain."""
        _require_domain(domain)
        return await self._door.get_document(domain, collection, key)

    async def delete_document(self, domain: str, collection: str, key: str) -> bool:
        """See GatewayDoor; Forbidden without the right to write."""
        caller = _require(Right.WRITE, domain)
        if caller is None:
            return await self._door.delete_document(domain, collection, key)
        return await self._change(caller, lambda: self._door.delete_document(domain, collection, key), True)

    async def list_documents(self, domain: str, collection: str, prefix: str = "") -> list[tuple[str, bytes]]:
        """See GatewayDoor; Forbidden outside of the caller's domain."""
        _require_domain(domain)
        return await self._door.list_documents(domain, collection, prefix)

    async def take_lease(self, name: str, length_ms: int) -> bool:
        """See GatewayDoor; Forbidden to callers: leases are the gateways' own."""
        _require_own()
        return await self._door.take_lease(name, length_ms)

    async def release_lease(self, name: str) -> None:
        """See GatewayDoor; Forbidden to callers."""
        _require_own()
        await self._door.release_lease(name)

    # operations ---------------------------------------------------------------------------------------------------

    def running_queries(self) -> list[dict[str, object]]:
        """See GatewayDoor; those of the caller's domain only."""
        caller = current_caller()
        running = self._door.running_queries()
        return [one for one in running if caller is None or one.get("domain") == caller.domain]

    def end_query(self, query_id: int) -> bool:
        """See GatewayDoor; those of the caller's domain only, with the right to write."""
        caller = current_caller()
        if caller is not None:
            caller.require(Right.WRITE, caller.domain)
            if all(one.get("id") != query_id for one in self.running_queries()):
                return False
        return self._door.end_query(query_id)

    def statistics(self) -> dict[str, float]:
        """See GatewayDoor; the rules of domains decide what a caller is told."""
        return self._door.statistics()

    @property
    def now_ms(self) -> int:
        """See GatewayDoor."""
        return self._door.now_ms


def _require_own() -> None:
    """Let only the gateway's own work pass."""
    if current_caller() is not None:
        raise Forbidden("only the gateway itself may hold leases")


def _require(right: Right, domain: str) -> Caller | None:
    """Let only permitted work pass; return its caller, None when it is the gateway's own."""
    caller = current_caller()
    if caller is not None:
        caller.require(right, domain)
    return caller


def _require_domain(domain: str) -> None:
    """Let only work in the caller's domain pass; whether it may be shown to the caller was decided with its route."""
    caller = current_caller()
    if caller is not None and domain != caller.domain:
        raise Forbidden("this request may not leave its domain")
