"""The only door for protocols: resolve, write, query, names, delete, documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from amondawa.model.points import WriteBatch
from amondawa.model.query import Query, Selection
from amondawa.model.result import DeleteReport, Result
from amondawa.model.series import Series, Tags

T = TypeVar("T")


class GatewayDoor(Protocol):
    """What a protocol may ask of the gateway. Event-loop side; the work itself runs in worker threads."""

    # series and writes --------------------------------------------------------------------------------------------

    def resolve(self, domain: str, metric: str, tags: Tags) -> int:
        """Return the ref of a series, registering it when it is new (about 10 us new, 1 us known).

        A ref is an int below 2**31, valid until the process ends, the same for every protocol; callers may cache it for ever.
        Tags must be sorted by name. Any UTF-8 is accepted: character rules belong to the protocols.
        """

    def series_of(self, ref: int) -> Series:
        """Return the series of a ref."""

    async def write(self, batch: WriteBatch) -> None:
        """Make a batch durable; return when it is (then it is also visible to queries).

        Raises:
            Overloaded, StorageFull: nothing of the batch was kept; try again later.
            TooOld: some points are older than the history (index = the first one); the others were written.
        """

    @property
    def congested(self) -> bool:
        """Whether writers without acknowledgement (telnet) should stop reading now."""

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
        """Return the series that match and have rows in the range, from the index alone (row granularity), in order of creation.

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
        """Delete the points of the inclusive range; index entries and names go with the last point. Durable on return."""

    async def delete_metric(self, domain: str, metric: str) -> DeleteReport:
        """Delete a metric with everything it holds."""

    # documents: small named values that protocols keep (rollup tasks, annotations, metadata, uids) -----------------------

    async def put_document(self, domain: str, collection: str, key: str, value: bytes) -> None:
        """Store a value under (domain, collection, key); durable on return."""

    async def get_document(self, domain: str, collection: str, key: str) -> bytes | None:
        """Return a value, or None."""

    async def delete_document(self, domain: str, collection: str, key: str) -> bool:
        """Remove a value; say whether there was one."""

    async def list_documents(self, domain: str, collection: str, prefix: str = "") -> list[tuple[str, bytes]]:
        """Return the (key, value) pairs of a collection whose key begins with `prefix`, sorted by key."""

    # operations ---------------------------------------------------------------------------------------------------

    def running_queries(self) -> list[dict[str, object]]:
        """Return the queries in flight: id, label, started_ms, points so far."""

    def end_query(self, query_id: int) -> bool:
        """End a running query; say whether it was found."""

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name (points written, head bytes, journal lag …)."""

    @property
    def now_ms(self) -> int:
        """The gateway's clock, ms since 1970 UTC."""
