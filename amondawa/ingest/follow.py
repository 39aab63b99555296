"""Following another gateway's journal while it is written, so that this one answers with what that one acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from amondawa.index.registry import SeriesRegistry
from amondawa.ingest import entry
from amondawa.ingest.generation import Generation
from amondawa.ingest.head import Head
from amondawa.ingest.receipts import split_receipts
from amondawa.ingest.recovery import Translation
from amondawa.ingest.stamps import StampClock
from amondawa.store.shared import ALL_BYTES, Shard, SharedJournals


class News(Protocol):
    """What a tail tells of. Called in the thread that looks, in the order of the journal."""

    def deleted(self, record: entry.DeleteEntry) -> None:
        """Points go from every head; the gateway that wrote the entry removes them from the chunks."""

    def hidden(self, record: entry.DeleteEntry) -> object:
        """Points go from every head; somebody else sees to the rest."""

    def released(self, generation: Generation) -> None:
        """The points of a copy are in chunks."""

    def changed(self, metric_keys: Sequence[bytes]) -> None:
        """Stored rows of some metrics were cut or removed; no keys = nothing is known of what changed."""


class Tail:
    """One shard as far as it was read; safe in any thread.

    Attributes:
        session: of the process that held the shard when its segments were listed last.
        deletes: by segment, what its gateway may not have carried out in the chunks yet.
    """

    def __init__(
        self, journals: SharedJournals, name: str, registry: SeriesRegistry, head: Head, clock: StampClock, news: News
    ) -> None:
        self.name = name
        self.session = ""
        self.deletes: dict[int, list[entry.DeleteEntry]] = {}
        self._journals = journals
        self._registry = registry
        self._head = head
        self._clock = clock
        self._news = news
        self._lock = threading.RLock()
        self._waiting: list[int] = []
        self._known = 0
        self._copies: dict[int, Generation] = {}
        self._segment = 0
        self._sequence = 0
        self._translation = Translation(registry)

    @property
    def idle(self) -> bool:
        """Whether nothing of the shard is held, or waits to be read."""
        return not self._copies and not self._waiting

    @property
    def copies(self) -> list[Generation]:
        """What of the shard is not in chunks yet, oldest first."""
        return [self._copies[number] for number in sorted(self._copies)]

    @property
    def position(self) -> tuple[int, int]:
        """The segment that is read, and the sequence of the next entry."""
        return self._segment, self._sequence

    def attend(self, shard: Shard) -> None:
        """List the segments when another process holds the shard than before."""
        if shard.session == self.session:
            return
        before = self._known
        self.expect([one.number for one in self._journals.segments(self.name) if not one.dropped_ms])
        if self._known > before or not shard.session:  # else its first segment has yet to be listed
            self.session = shard.session

    def expect(self, segments: Sequence[int]) -> None:
        """Have segments read (numbers ascending); those that are known are left out."""
        with self._lock:
            new = [number for number in segments if number > self._known]
            self._waiting += new
            self._known = max([self._known, *new])

    def read_again(self, segments: Sequence[int]) -> None:
        """Read segments that were dropped (numbers ascending), no others, and treat them as what they are: in chunks."""
        for segment in segments:
            self._begin(segment)
            while self._segment == segment:
                entries = self._journals.follow(self.name, segment, self._sequence, sure=True)
                for sequence, payload in entries:
                    self._sequence = sequence + 1
                    record = entry.decode(split_receipts(payload)[0])
                    if isinstance(record, entry.PointsEntry):
                        self._keep(record)
                    elif isinstance(record, entry.DeleteEntry):
                        self._news.hidden(record)
                if not entries:
                    self._segment = 0
            self.released(segment)

    def look(self, *, sure: bool = False) -> bool:
        """Read what is new; say whether anything was. With `sure` everything that was acknowledged until now."""
        with self._lock:
            return self._look(sure=sure)

    def _look(self, *, sure: bool) -> bool:
        found = False
        while self._segment or self._waiting:
            if not self._segment:
                self._begin(self._waiting.pop(0))
            segment = self._segment
            entries = self._journals.follow(self.name, segment, self._sequence, sure=sure or bool(self._waiting))
            for sequence, payload in entries:
                self._sequence = sequence + 1
                self._take(payload)
            found = found or bool(entries)
            if self._segment != segment or (sure and sum(len(payload) for _, payload in entries) >= ALL_BYTES):
                continue
            if entries or not self._waiting:
                break
            self._segment = 0  # a later segment is listed: this one ended without a mark
        return found

    def _begin(self, segment: int) -> None:
        """Read a segment from its first entry on."""
        self._segment, self._sequence = segment, 0
        self._known = max(self._known, segment)
        self._waiting = [number for number in self._waiting if number > segment]
        self._translation = Translation(self._registry)
        self._copies[segment] = Generation(segment, [segment], segment)
        self._head.add_copy(self._copies[segment])

    def _take(self, payload: bytes) -> None:
        bare, _ = split_receipts(payload)
        record = entry.decode(bare)
        if isinstance(record, entry.MarkEntry):
            self._heed(record)
            return
        if isinstance(record, entry.PointsEntry):
            self._keep(record)
            return
        self._clock.observe(record.stamp)
        if record.followed:
            self._news.hidden(record)
        else:
            self.deletes.setdefault(self._segment, []).append(record)
            self._news.deleted(record)

    def _keep(self, record: entry.PointsEntry) -> None:
        self._clock.observe(record.stamp)
        copy = self._copies.get(self._segment)
        if copy is not None and len(record.batch):
            self._head.append(self._translation.translate(record), copy)
            if copy.wants_packing:
                copy.pack(self._head.cache)

    def _heed(self, mark: entry.MarkEntry) -> None:
        self._clock.observe(mark.stamp)
        if mark.changed:
            self._news.changed(mark.changed)
        for segment in mark.released:
            self.released(segment)
        if mark.next_segment:
            self._begin(mark.next_segment)

    def released(self, segment: int) -> None:
        """Note that the points of a segment are in chunks."""
        with self._lock:
            self._released(segment)

    def _released(self, segment: int) -> None:
        self.deletes.pop(segment, None)
        copy = self._copies.pop(segment, None)
        if copy is not None:
            self._news.released(copy)
        elif segment > self._known:
            self._news.changed(())
