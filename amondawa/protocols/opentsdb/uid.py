"""The UIDs of each domain, one object for all callers of a gateway, kept fresh; and the names of the modules beside it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import structlog

from amondawa.errors import AmondawaError
from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.rollup_names import Rollups
from amondawa.protocols.opentsdb.uid_log import UidKind
from amondawa.protocols.opentsdb.uid_names import Uids
from amondawa.protocols.opentsdb.uid_text import (
    ERROR_KINDS,
    KINDS,
    UID_HEX,
    no_such_id,
    parse_uids,
    uid_bytes,
    uid_text,
)

if TYPE_CHECKING:
    from amondawa.gateway import GatewayDoor

__all__ = [
    "ERROR_KINDS",
    "KINDS",
    "UID_HEX",
    "UidKind",
    "Uids",
    "loaded_uids",
    "no_such_id",
    "parse_uids",
    "uid_bytes",
    "uid_text",
    "uids_of",
]

FRESH_SECONDS = 1.0
"""how long what was read of the log may be used; another gateway of the same store may have written since"""

log = structlog.get_logger(__name__)


class _Registry:
    """The UIDs of every domain of one gateway."""

    def __init__(self, scope: Scope) -> None:
        self._gateway = scope.gateway
        self._rollups = Rollups(scope.settings.opentsdb_rollups)
        self._loaded: dict[str, Uids] = {}
        self._loading = asyncio.Lock()
        self._refreshing: dict[str, asyncio.Task[None]] = {}
        self._behind: set[str] = set()

    async def of(self, domain: str) -> Uids:
        known = self._loaded.get(domain)
        if known is None:
            return await self._load(domain)
        if known.age_s > FRESH_SECONDS:
            await self._freshen(known)
        return known

    def loaded(self, domain: str) -> Uids | None:
        """Return what `of` would, without waiting for what other gateways have done to it: that is looked at meanwhile."""
        known = self._loaded.get(domain)
        if known is not None and known.age_s > FRESH_SECONDS:
            self._refreshed(known)
        return known

    async def _load(self, domain: str) -> Uids:
        async with self._loading:
            if domain not in self._loaded:
                uids = Uids(self._gateway, domain, self._rollups)
                await uids.load()
                self._loaded[domain] = uids
        return self._loaded[domain]

    async def _freshen(self, uids: Uids) -> None:
        """Have the log read on, once for all who ask; while the store does not answer nobody waits for it twice."""
        task = self._refreshed(uids)
        if uids.domain not in self._behind:
            done, _ = await asyncio.wait({task}, timeout=FRESH_SECONDS)
            if not done:
                self._behind.add(uids.domain)

    def _refreshed(self, uids: Uids) -> asyncio.Task[None]:
        """Return what reads the log on; begun unless it runs."""
        task = self._refreshing.get(uids.domain)
        if task is None:
            task = self._refreshing[uids.domain] = asyncio.create_task(self._refresh(uids))
        return task

    async def _refresh(self, uids: Uids) -> None:
        try:
            await uids.refresh()
            self._behind.discard(uids.domain)
        except AmondawaError as error:
            self._behind.add(uids.domain)
            log.warning("names that other gateways gave cannot be read", domain=uids.domain, problem=str(error))
        finally:
            del self._refreshing[uids.domain]


_REGISTRIES: WeakKeyDictionary[GatewayDoor, _Registry] = WeakKeyDictionary()


def loaded_uids(scope: Scope, domain: str) -> Uids | None:
    """Return what `uids_of` does, a second older perhaps; None when it was never read from the store."""
    registry = _REGISTRIES.get(scope.gateway)
    return None if registry is None else registry.loaded(domain)


async def uids_of(scope: Scope, domain: str) -> Uids:
    """Return the UIDs of a domain, one object for all callers of a gateway; read from the store at first use."""
    registry = _REGISTRIES.get(scope.gateway)
    if registry is None:
        registry = _REGISTRIES.setdefault(scope.gateway, _Registry(scope))
    return await registry.of(domain)
