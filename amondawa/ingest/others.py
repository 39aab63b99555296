"""The other gateways on one store: followed, so that each answers with all data, and succeeded when they are gone.

docs/architecture.md, "Several gateways on one table space", says why each step is where it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog

from amondawa.errors import AmondawaError, Unavailable
from amondawa.index.registry import SeriesRegistry
from amondawa.ingest.follow import News, Tail
from amondawa.ingest.head import Head
from amondawa.ingest.stamps import StampClock
from amondawa.store.shared import Shard, SharedJournals

LOOK_S = 0.6
BUSY_LOOK_S = 0.25
"""Between two looks at the journals of others: what they acknowledge is to be seen within a second."""
SHARDS_S = 3.0
"""Between two looks at which gateways there are."""
NOTICED_S = SHARDS_S + LOOK_S
"""A new gateway is known to all others after this long."""
LATE_US = 10_000_000
"""An entry may be heard of this much after it was stamped: its append took long, or the clocks of gateways differ."""
RETRY_S = 2.0
LOOKERS = 4

log = structlog.get_logger()


class Heir(Protocol):
    """Who brings home what a gateway that is gone had not stored."""

    def adopt(self, tail: Tail, shard: Shard) -> None:
        """Begin to take the shard, flush its points and drop its segments, unless that was begun already.

        Returns at once: who waits for a flush may be waiting for the next look.
        """


class Others:
    """Looks at the journals of the other gateways in a thread of its own.

    Args:
        news: is told what the journals say.
        heir: is asked to adopt the shards of gateways that are gone.
    """

    def __init__(
        self,
        journals: SharedJournals,
        registry: SeriesRegistry,
        head: Head,
        clock: StampClock,
        news: News,
        heir: Heir,
    ) -> None:
        self._journals = journals
        self._new_tail: Callable[[str], Tail] = lambda name: Tail(journals, name, registry, head, clock, news)
        self._head = head
        self._heir = heir
        self._tails: dict[str, Tail] = {}
        self._pool = ThreadPoolExecutor(LOOKERS, "follow")
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._asked_at = 0.0
        self._looked = threading.Condition()
        self._heard_at = 0.0
        self._shards_at = 0.0
        self._thread: threading.Thread | None = None
        self.failures = 0

    @property
    def count(self) -> int:
        """How many other gateways hold points that are not in chunks, or may come to."""
        return len(self._tails)

    def start(self, since_ms: int) -> bool:
        """Read everything that the others have acknowledged, then go on in the background (worker thread).

        Args:
            since_ms: when the oldest point of the own head was committed, or earlier (ms since 1970 UTC).

        Returns:
            whether any other gateway is alive: it has to notice this one's journal before this one acknowledges anything.

        Raises:
            AmondawaError: the store failed.
        """
        self._head.in_company = True
        shards = self._journals.shards(sure=True)
        listed = {shard.name: self._journals.segments(shard.name) for shard in shards}
        # a dropped segment may have overwritten, or deleted, what an older one holds that is not dropped yet
        still_open = [one.number for segments in listed.values() for one in segments if not one.dropped_ms]
        since_ms = min([since_ms, *still_open])
        own = self._journals.segments(self._journals.own)
        self._new_tail(self._journals.own).read_again([one.number for one in own if one.dropped_ms >= since_ms])
        for shard in shards:
            tail = self._tails[shard.name] = self._new_tail(shard.name)
            wanted = [one.number for one in listed[shard.name] if not one.dropped_ms or one.dropped_ms >= since_ms]
            tail.expect(wanted)
            tail.attend(shard)
            tail.look(sure=True)
        self._drop_idle(shards)
        self._head.in_company = bool(self._tails)
        self._heard_at = self._shards_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="follow", daemon=True)
        self._thread.start()
        return any(not shard.gone for shard in shards)

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._pool.shutdown(wait=True)

    def wait_for_look(self, timeout_s: float) -> None:
        """Return once everything is known that any other gateway acknowledged before now.

        Raises:
            Unavailable: that took too long.
        """
        since = self._asked_at = time.monotonic()
        self._wake.set()
        with self._looked:
            if not self._looked.wait_for(lambda: self._heard_at > since or self._stop.is_set(), timeout_s):
                raise Unavailable("the journals of other gateways cannot be read; try again later", retry_after_s=2)

    # follow thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = LOOK_S
        while not self._stop.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            try:
                started = time.monotonic()
                asked = self._asked_at >= self._heard_at
                if asked or started - self._shards_at >= SHARDS_S:
                    self._attend(sure=asked)
                pause = BUSY_LOOK_S if self._look(sure=asked) else LOOK_S
                if asked:
                    self._note_heard(started)
            except Exception as error:  # noqa: BLE001 - without this thread the gateway would answer with its own points alone
                self._failed(error)
                pause = RETRY_S

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        text = str(error) if isinstance(error, AmondawaError) else repr(error)
        log.warning("the journals of other gateways could not be read, will be tried again", error=text)

    def _note_heard(self, started: float) -> None:
        """Note that everything is known that was acknowledged until `started` (monotonic seconds)."""
        with self._looked:
            self._heard_at = started
            self._looked.notify_all()

    def _look(self, *, sure: bool) -> bool:
        """Look at all tails; say whether there was anything new. One that cannot be read keeps no other from being read."""
        started_us = time.time_ns() // 1000
        looks = [self._pool.submit(tail.look, sure=sure) for tail in list(self._tails.values())]
        errors = [error for look in looks if (error := look.exception()) is not None]
        found = any(look.result() for look in looks if look.exception() is None)
        if errors:
            raise errors[0]
        self._head.in_company = bool(self._tails)
        self._head.forget_kept(started_us - (LATE_US if self._tails else 0))
        return found

    def _attend(self, *, sure: bool) -> None:
        """Notice gateways that came, came back or went."""
        shards = self._journals.shards(sure=sure)
        for shard in shards:
            tail = self._tails.get(shard.name)
            if tail is None:
                if not shard.session:
                    continue
                tail = self._tails[shard.name] = self._new_tail(shard.name)
            tail.attend(shard)
            if shard.gone:
                tail.look(sure=True)
                if not tail.idle:
                    self._heir.adopt(tail, shard)
        self._drop_idle(shards)
        self._shards_at = time.monotonic()

    def _drop_idle(self, shards: Sequence[Shard]) -> None:
        """Stop looking at shards that nobody holds and of which nothing is left."""
        held = {shard.name for shard in shards if shard.session and not shard.gone}
        self._tails = {name: tail for name, tail in self._tails.items() if name in held or not tail.idle}
