"""What a protocol may ask of the gateway: resolve, write, query, names, delete, documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from amondawa.model.points import WriteBatch
from amondawa.model.query import Query, Selection
from amondawa.model.result import DeleteReport, Result
from amondawa.model.series import Series, Tags

T = TypeVar("T")
Watcher = Callable[[WriteBatch], Awaitable[None]]
"""What is shown every batch of points."""


class GatewayDoor(Protocol):
    """What a protocol may ask of the gateway. Event-loop side; the work itself runs in worker threads."""

    # series and writes --------------------------------------------------------------------------------------------

    def resolve(self, domain: str, metric: str, tags: Tags) -> int:
        """Return the ref of a series, registering it when it is new (about 10 us new, 1 us known).

        A ref is an int below 2**31, valid until the process ends, the same for every protocol; callers may cache it
        for ever.
        Tags must be sorted by name. Any UTF-8 is accepted: character rules belong to the protocols.
        """

    def series_of(self, ref: int) -> Series:
        """Return the series of a ref."""

    def domain_of(self, ref: int) -> str:
        """Return the domain of a ref's series; cheaper than the whole series."""

    def stored_tags(self, domain: str, tags: Tags) -> Tags:
        """Return tags as they are stored: as given, but for those that a domain keeps as hashes."""

    def hashes_tags(self, domain: str) -> bool:
        """Say whether a domain keeps the values of some tags as hashes only."""

    async def write(self, batch: WriteBatch) -> None:
        """Make a batch durable; return when it is (then it is also visible to queries).

        Raises:
            Overloaded, StorageFull: nothing of the batch was kept; try again later.
            TooOld: some points are older than the history (index = the first one); the others were written.
        """

    def watch_writes(self, watcher: Watcher) -> Callable[[], None]:
        """Have every batch shown to `watcher` once it is durable and before it is acknowledged; return what ends that.

        The watcher must be quick and must not raise.
        """

    @property
    def outage(self) -> str:
        """Why the store cannot be asked at present, so that writes are spooled or refused; empty = it can."""

    @property
    def congested(self) -> bool:
        """Whether writers without acknowledgement (telnet) should stop reading now."""

    def congested_for(self, domain: str) -> bool:
        """Whether such writers of one domain should: those who take more than their share stop first."""

    async def wait_until_clear(self) -> None:
        """Return when `congested` is false again."""

    # queries ------------------------------------------------------------------------------------------------------

    async def query(self, queries: Sequence[Query], finish: Callable[[list[Result]], T], label: str = "") -> T:
        """Run queries in one worker thread, hand the results to `finish` there, return what it returns.

        `finish` renders to bytes off the event loop. Cancelling the awaiting task ends the query.
        `label` is shown in the list of running queries.

        Raises:
            LimitExceeded, Cancelled, Unavailable; whatever a stage or `finish` raises.
        """

    async def find_series(self, selection: Selection, start_ms: int, end_ms: int) -> list[Series]:
        """Return the series that match and have rows in the range, from the index alone, in order of creation.

        An empty metric name in the selection means every metric of the domain.
        """

    async def metric_names(self, domain: str, prefix: str = "") -> list[str]:
        """Return the names of metrics that have data, sorted."""

    async def tag_names(self, domain: str) -> list[str]:
        """Return all tag names in use, sorted."""

    async def tag_values(self, domain: str, tag_name: str | None = None) -> list[str]:
        """Return all tag values in use (of one tag name), sorted."""

    # deletes ------------------------------------------------------------------------------------------------------

    async def delete(self, selection: Selection, start_ms: int, end_ms: int) -> DeleteReport:
        """Delete the points of the inclusive range; index entries and names go with the last point. Durable."""

    async def delete_metric(self, domain: str, metric: str) -> DeleteReport:
        """Delete a metric with everything it holds."""

    # documents: small named values that protocols keep (rollup tasks, annotations, metadata, uids) ----------------

    async def put_document(self, domain: str, collection: str, key: str, value: bytes) -> None:
        """Store a value under (domain, collection, key); durable on return."""

    async def put_document_if(
        self, domain: str, collection: str, key: str, value: bytes, expected: bytes | None
    ) -> bool:
        """Store a value only when the stored one equals `expected` (None: when there is none); say whether it was.

        It holds among all gateways of a store: of two that try at once one succeeds.
        """

    async def get_document(self, domain: str, collection: str, key: str) -> bytes | None:
        """Return a value, or None."""

    async def delete_document(self, domain: str, collection: str, key: str) -> bool:
        """Remove a value; say whether there was one."""

    async def list_documents(self, domain: str, collection: str, prefix: str = "") -> list[tuple[str, bytes]]:
        """Return the (key, value) pairs of a collection whose key begins with `prefix`, sorted by key."""

    async def take_lease(self, name: str, length_ms: int) -> bool:
        """Take or renew a lease, so that one gateway of the store at a time does some work; say whether it is ours.

        It runs out by itself. Clocks are compared, so what is done under it must be harmless when done twice.
        """

    async def release_lease(self, name: str) -> None:
        """Let another gateway take a lease at once; nothing happens when it is not ours."""

    # operations ---------------------------------------------------------------------------------------------------

    def running_queries(self) -> list[dict[str, object]]:
        """Return the queries in flight: id, domain, label, started_ms, points so far."""

    def end_query(self, query_id: int) -> bool:
        """End a running query; say whether it was found."""

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name (points written, head bytes, journal lag …)."""

    @property
    def now_ms(self) -> int:
        """The gateway's clock, ms since 1970 UTC."""
