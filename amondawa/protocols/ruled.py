"""The gateway's door with the rules of each domain in force: hashed tags, series, points a second, retention; and counters.

Protocols see none of it but the refusals. What is translated here is translated for every protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TypeVar

import numpy as np
import structlog

from amondawa.auth.caller import current_caller
from amondawa.auth.hashing import TagHasher
from amondawa.auth.keyring import Keyring
from amondawa.auth.limits import Usage
from amondawa.errors import AmondawaError, LimitExceeded, TooOld
from amondawa.gateway import GatewayDoor
from amondawa.model.points import Int32s, WriteBatch
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Query, Selection
from amondawa.model.result import DeleteReport, Result
from amondawa.model.series import Series, Tags
from amondawa.protocols.lanes import Lanes
from amondawa.protocols.passing_door import PassingDoor

T = TypeVar("T")

LOOK_S = 1.0
"""how often it is looked whether series must be counted: a limit holds from the first count on"""
LABEL_MARK = "\0"
"""stands in a query's label before its metric, and before its text"""
NOT_SHOWN = "not shown: this domain keeps tags as hashes"
MOST_SENT = 10_000
"""clear values of one request that its answer shows; past it there are hashes"""
COUNTED_DOMAINS = 10_000
"""domains without rules that have counters of their own: more than anybody has, fewer than a key for any could make up"""

log = structlog.get_logger("amondawa.domains")


class RuledGateway(PassingDoor):
    """A GatewayDoor under the rules of domains.

    Args:
        door: does the work.
        keyring: knows the rules.
        lanes: give the worker threads to domains.
    """

    def __init__(self, door: GatewayDoor, keyring: Keyring, lanes: Lanes) -> None:
        super().__init__(door)
        self._keyring = keyring
        self._lanes = lanes
        self._usage: dict[str, Usage] = {}
        self._stored_refs: dict[TagHasher, Int32s] = {}

    # counters -----------------------------------------------------------------------------------------------------

    def usage_of(self, domain: str) -> Usage:
        """Return what is counted of a domain."""
        usage = self._usage.get(domain)
        if usage is None:
            usage = Usage(domain)
            if len(self._usage) < COUNTED_DOMAINS or domain in self._keyring.rules:
                self._usage[domain] = usage
        return usage

    def usage(self) -> Mapping[str, Mapping[str, float]]:
        """Return the counters of every domain by name."""
        return {domain: asdict(one.counters) for domain, one in self._usage.items()}

    def statistics(self) -> dict[str, float]:
        """See GatewayDoor; a caller that may not see everything is told of its own domain."""
        caller = current_caller()
        if caller is None or caller.operator:
            return self._door.statistics()
        return {name: float(value) for name, value in asdict(self.usage_of(caller.domain).counters).items()}

    # series and writes --------------------------------------------------------------------------------------------

    def stored_tags(self, domain: str, tags: Tags) -> Tags:
        """See GatewayDoor; what a request names clear, its answer may show clear."""
        hasher = self._keyring.hasher_of(domain)
        if hasher is None:
            return tags
        _note_sent(hasher, tags)
        return hasher.tags(tags)

    def hashes_tags(self, domain: str) -> bool:
        """See GatewayDoor."""
        return self._keyring.hasher_of(domain) is not None

    def resolve(self, domain: str, metric: str, tags: Tags) -> int:
        """See GatewayDoor; QuotaExceeded for a new series past the limit."""
        hasher = self._keyring.hasher_of(domain)
        stored = tags if hasher is None else hasher.tags(tags)
        rules = self._keyring.rules_of(domain)
        if rules.series and current_caller() is not None:
            self.usage_of(domain).take_series(metric, stored, rules)
        return self._door.resolve(domain, metric, stored)

    async def write(self, batch: WriteBatch) -> None:
        """See GatewayDoor; Overloaded past the points a second, TooOld past the domain's retention."""
        if not len(batch):
            await self._door.write(batch)
            return
        domain = self._door.domain_of(int(batch.refs[0]))
        rules = self._keyring.rules_of(domain)
        hasher = self._keyring.hasher_of(domain)
        if hasher is not None:
            batch = replace(batch, refs=self._hashed_refs(hasher, batch.refs))
        self.usage_of(domain).take_points(len(batch), rules)
        if not rules.retention_s:
            await self._door.write(batch)
            return
        kept, refusal = _without_old(batch, self._door.now_ms - rules.retention_s * 1000, domain)
        if len(kept):
            await self._door.write(kept)
        if refusal is not None:
            self.usage_of(domain).counters.points_too_old += len(batch) - len(kept)
            raise refusal

    def _hashed_refs(self, hasher: TagHasher, refs: Int32s) -> Int32s:
        """Return the refs of the series as they are stored: protocols may hold refs from before tags were hashed."""
        known = self._stored_refs.get(hasher, np.empty(0, np.int32))
        highest = int(refs.max())
        if highest >= len(known):
            known = np.concatenate((known, np.full(highest + 1 - len(known), -1, np.int32)))
        for ref in np.unique(refs[known[refs] < 0]).tolist():
            series = self._door.series_of(ref)
            known[ref] = self._door.resolve(series.domain, series.metric, hasher.tags(series.tags))
        self._stored_refs[hasher] = known
        return known[refs]

    # queries and deletes ------------------------------------------------------------------------------------------

    async def query(self, queries: Sequence[Query], finish: Callable[[list[Result]], T], label: str = "") -> T:
        """See GatewayDoor; domains take turns at the worker threads."""
        domain = queries[0].selection.domain if queries else ""
        counters = self.usage_of(domain).counters
        counters.queries += 1
        try:
            async with self._lane(domain):
                ruled = [self._ruled(one) for one in queries]
                return await self._door.query(ruled, finish, self._shown_label(domain, label))
        except LimitExceeded:
            counters.queries_refused += 1
            raise

    def _shown_label(self, domain: str, label: str) -> str:
        """Return what the list of running queries shows: not the text of a query, where it may name clear values."""
        if not self.hashes_tags(domain):
            return label
        owner, mark, rest = label.partition(LABEL_MARK)
        metric, text_mark, _ = rest.partition(LABEL_MARK)
        return owner + mark + metric + (text_mark and text_mark + NOT_SHOWN)

    def _lane(self, domain: str) -> contextlib.AbstractAsyncContextManager[None]:
        if not self._keyring.protected:
            return contextlib.nullcontext()
        return self._lanes.lane(domain)

    def _ruled(self, query: Query) -> Query:
        start_ms = max(query.start_ms, self._oldest_ms(query.selection.domain))
        return replace(query, selection=self._stored(query.selection), start_ms=start_ms)

    def _oldest_ms(self, domain: str) -> int:
        retention_s = self._keyring.rules_of(domain).retention_s
        return self._door.now_ms - retention_s * 1000 if retention_s else MIN_TIME_MS

    def _stored(self, selection: Selection) -> Selection:
        hasher = self._keyring.hasher_of(selection.domain)
        if hasher is None:
            return selection
        _note_sent(hasher, [(one.name, value) for one in selection.filters for value in one.values or ()])
        return hasher.selection(selection)

    async def find_series(self, selection: Selection, start_ms: int, end_ms: int) -> list[Series]:
        """See GatewayDoor; a worker thread's work, as queries are."""
        start_ms = max(start_ms, self._oldest_ms(selection.domain))
        async with self._lane(selection.domain):
            return await self._door.find_series(self._stored(selection), start_ms, end_ms)

    async def metric_names(self, domain: str, prefix: str = "") -> list[str]:
        """See GatewayDoor; a worker thread's work, as queries are."""
        async with self._lane(domain):
            return await self._door.metric_names(domain, prefix)

    async def tag_names(self, domain: str) -> list[str]:
        """See GatewayDoor; a worker thread's work, as queries are."""
        async with self._lane(domain):
            return await self._door.tag_names(domain)

    async def tag_values(self, domain: str, tag_name: str | None = None) -> list[str]:
        """See GatewayDoor; a worker thread's work, as queries are."""
        async with self._lane(domain):
            return await self._door.tag_values(domain, tag_name)

    async def delete(self, selection: Selection, start_ms: int, end_ms: int) -> DeleteReport:
        """See GatewayDoor."""
        self.usage_of(selection.domain).counters.deletes += 1
        return await self._door.delete(self._stored(selection), start_ms, end_ms)

    # what must be done now and then -------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def kept_up(self) -> AsyncIterator[None]:
        """Count series while inside."""
        await self.count_series()
        task = asyncio.create_task(self._keep_up(), name="domain rules")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep_up(self) -> None:
        while True:
            try:
                await self.count_series()
            except AmondawaError as error:
                log.warning("the rules of domains could not be kept up", problem=str(error))
            await asyncio.sleep(LOOK_S)

    async def count_series(self) -> None:
        """Count the series of domains that have a limit on them and were not counted, or are full for a while."""
        for domain, rules in self._keyring.rules.items():
            count = self.usage_of(domain).series
            if not rules.series:
                count.forget()
            elif count.stale(rules.series):
                count.begin()
                count.count(await self._door.find_series(Selection(domain, ""), MIN_TIME_MS, MAX_TIME_MS))


def _note_sent(hasher: TagHasher, tags: Iterable[tuple[str, str]]) -> None:
    """Note clear values that the request at hand names."""
    caller = current_caller()
    if caller is not None and caller.sent is not None and len(caller.sent) < MOST_SENT:
        caller.sent.update(hasher.clear_values(tags))


def _without_old(batch: WriteBatch, oldest_ms: int, domain: str) -> tuple[WriteBatch, TooOld | None]:
    """Return the points that are young enough, and what to say of the first one that is not."""
    old = batch.times_ms < oldest_ms
    if not old.any():
        return batch, None
    points = batch.points().take(~old)
    kept = WriteBatch(batch.refs[~old], points.times_ms, points.kinds, points.bits, points.texts, points.expires_ms)
    first = int(np.flatnonzero(old)[0])
    time_ms = int(batch.times_ms[first])
    text = f"timestamp {time_ms} is older than what domain {domain} keeps"
    return kept, TooOld(text, field="timestamp", index=first, value=time_ms)
