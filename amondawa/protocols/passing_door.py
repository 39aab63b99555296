"""A GatewayDoor that passes everything on: what changes a few operations derives from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from amondawa.gateway import GatewayDoor, Watcher
from amondawa.model.points import WriteBatch
from amondawa.model.query import Query, Selection
from amondawa.model.result import DeleteReport, Result
from amondawa.model.series import Series, Tags

T = TypeVar("T")


class PassingDoor:
    """See GatewayDoor for what each operation does.

    Args:
        door: does the work.
    """

    def __init__(self, door: GatewayDoor) -> None:
        self._door = door

    def resolve(self, domain: str, metric: str, tags: Tags) -> int:
        """Pass on."""
        return self._door.resolve(domain, metric, tags)

    def series_of(self, ref: int) -> Series:
        """Pass on."""
        return self._door.series_of(ref)

    def domain_of(self, ref: int) -> str:
        """Pass on."""
        return self._door.domain_of(ref)

    def stored_tags(self, domain: str, tags: Tags) -> Tags:
        """Pass on."""
        return self._door.stored_tags(domain, tags)

    def hashes_tags(self, domain: str) -> bool:
        """Pass on."""
        return self._door.hashes_tags(domain)

    async def write(self, batch: WriteBatch) -> None:
        """Pass on."""
        await self._door.write(batch)

    def watch_writes(self, watcher: Watcher) -> Callable[[], None]:
        """Pass on."""
        return self._door.watch_writes(watcher)

    @property
    def outage(self) -> str:
        """Pass on."""
        return self._door.outage

    @property
    def congested(self) -> bool:
        """Pass on."""
        return self._door.congested

    def congested_for(self, domain: str) -> bool:
        """Pass on."""
        return self._door.congested_for(domain)

    async def wait_until_clear(self) -> None:
        """Pass on."""
        await self._door.wait_until_clear()

    async def query(self, queries: Sequence[Query], finish: Callable[[list[Result]], T], label: str = "") -> T:
        """Pass on."""
        return await self._door.query(queries, finish, label)

    async def find_series(self, selection: Selection, start_ms: int, end_ms: int) -> list[Series]:
        """Pass on."""
        return await self._door.find_series(selection, start_ms, end_ms)

    async def metric_names(self, domain: str, prefix: str = "") -> list[str]:
        """Pass on."""
        return await self._door.metric_names(domain, prefix)

    async def tag_names(self, domain: str) -> list[str]:
        """Pass on."""
        return await self._door.tag_names(domain)

    async def tag_values(self, domain: str, tag_name: str | None = None) -> list[str]:
        """Pass on."""
        return await self._door.tag_values(domain, tag_name)

    async def delete(self, selection: Selection, start_ms: int, end_ms: int) -> DeleteReport:
        """Pass on."""
        return await self._door.delete(selection, start_ms, end_ms)

    async def delete_metric(self, domain: str, metric: str) -> DeleteReport:
        """Pass on."""
        return await self._door.delete_metric(domain, metric)

    async def put_document(self, domain: str, collection: str, key: str, value: bytes) -> None:
        """Pass on."""
        await self._door.put_document(domain, collection, key, value)

    async def put_document_if(
        self, domain: str, collection: str, key: str, value: bytes, expected: bytes | None
    ) -> bool:
        """Pass on."""
        return await self._door.put_document_if(domain, collection, key, value, expected)

    async def get_document(self, domain: str, collection: str, key: str) -> bytes | None:
        """Pass on."""
        return await self._door.get_document(domain, collection, key)

    async def delete_document(self, domain: str, collection: str, key: str) -> bool:
        """Pass on."""
        return await self._door.delete_document(domain, collection, key)

    async def list_documents(self, domain: str, collection: str, prefix: str = "") -> list[tuple[str, bytes]]:
        """Pass on."""
        return await self._door.list_documents(domain, collection, prefix)

    async def take_lease(self, name: str, length_ms: int) -> bool:
        """Pass on."""
        return await self._door.take_lease(name, length_ms)

    async def release_lease(self, name: str) -> None:
        """Pass on."""
        await self._door.release_lease(name)

    def running_queries(self) -> list[dict[str, object]]:
        """Pass on."""
        return self._door.running_queries()

    def end_query(self, query_id: int) -> bool:
        """Pass on."""
        return self._door.end_query(query_id)

    def statistics(self) -> dict[str, float]:
        """Pass on."""
        return self._door.statistics()

    @property
    def now_ms(self) -> int:
        """Pass on."""
        return self._door.now_ms
