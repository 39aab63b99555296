"""The place of this gateway among those that share its store; alone on a store that nobody shares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from amondawa.errors import Unavailable
from amondawa.ingest import entry
from amondawa.ingest.erase import Eraser
from amondawa.ingest.flush import Flusher
from amondawa.ingest.head import Head
from amondawa.ingest.journal import Journal
from amondawa.ingest.neighbours import Caches, Neighbours
from amondawa.ingest.numbers import Numbers
from amondawa.ingest.others import NOTICED_S, Others
from amondawa.ingest.recovery import Recovery
from amondawa.ingest.stamps import StampClock
from amondawa.store.base import BlockStore

HEARD_S = 10.0
"""How long is waited for a look at the journals of other gateways."""


class Fellowship:
    """Joins the other gateways, and leaves them.

    Args:
        worker, maintenance, hurry: see Neighbours.
        clock: gives stamps; None = the store is not shared.
    """

    def __init__(
        self,
        store: BlockStore,
        caches: Caches,
        head: Head,
        flusher: Flusher,
        eraser: Eraser,
        worker: ThreadPoolExecutor,
        maintenance: asyncio.Lock,
        numbers: Numbers,
        clock: StampClock | None,
        hurry: Callable[[], None],
    ) -> None:
        self._store = store
        self._caches = caches
        self._head = head
        self._flusher = flusher
        self._eraser = eraser
        self._worker = worker
        self._maintenance = maintenance
        self._numbers = numbers
        self._clock = clock
        self._hurry = hurry
        self._journal: Journal | None = None
        self._neighbours: Neighbours | None = None
        self._others: Others | None = None

    @property
    def others(self) -> int:
        """How many other gateways there are."""
        return self._others.count if self._others is not None else 0

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges: gateways that are followed now, that were succeeded, and looks that failed."""
        return {
            "gateways_followed": self.others,
            "gateways_succeeded": self._neighbours.adopted if self._neighbours is not None else 0,
            "follow_failures": self._others.failures if self._others is not None else 0,
        }

    async def join(self, recovery: Recovery, journal: Journal) -> None:
        """Learn what the others hold, and have them notice this gateway's journal before it acknowledges anything."""
        journals = self._store.shared
        if journals is None or self._clock is None:
            return
        self._journal = journal
        neighbours = Neighbours(
            journals,
            self._caches,
            self._head,
            self._flusher,
            self._eraser,
            self._worker,
            self._maintenance,
            self._numbers.next,
            lambda: journal,
            self._clock,
            self._hurry,
            lambda: self._following.wait_for_look(HEARD_S),
        )
        self._neighbours = neighbours
        self._others = Others(journals, self._caches.registry, self._head, self._clock, neighbours, neighbours)
        since_ms = self._head.oldest_ms
        company = await asyncio.get_running_loop().run_in_executor(self._worker, self._others.start, since_ms)
        for record in recovery.deletes:  # they were carried out before the others' points were here
            neighbours.hidden(record)
        await journal.mark(entry.MarkEntry(changed=sorted(recovery.changed)))
        if company:
            await asyncio.sleep(NOTICED_S)

    async def hear(self) -> None:
        """Return when everything is known that other gateways acknowledged before now. Raises Unavailable."""
        if self._others is not None:
            await asyncio.to_thread(self._others.wait_for_look, HEARD_S)

    @property
    def _following(self) -> Others:
        if self._others is None:
            raise Unavailable("the gateway is starting")
        return self._others

    def remember(self, record: entry.DeleteEntry) -> None:
        """Keep an own delete in mind, see Neighbours.remember."""
        if self._neighbours is not None:
            self._neighbours.remember(record)

    async def tell(self, mark: entry.MarkEntry) -> None:
        """Tell the others."""
        if self._journal is not None:
            await self._journal.mark(mark)

    async def frozen_number(self, number: int) -> int:
        """Return the number of the chunks of a generation that was frozen just now under a segment's number.

        Among several gateways it has to be above all stamps of the generation's points.
        """
        if self._others is None:
            return number
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._numbers.next, number)

    async def leave(self) -> None:
        """Stop following."""
        if self._others is not None and self._neighbours is not None:
            await asyncio.to_thread(self._others.stop)
            await self._neighbours.stop()
