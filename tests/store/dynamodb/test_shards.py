"""Whose process is gone, as its lease tells it; what an outage does not tell."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from amondawa.store.base import Capacity, Item
from amondawa.store.dynamodb.capacity import Meter
from amondawa.store.dynamodb.journal import ShardJournal
from amondawa.store.dynamodb.lease import FREE, LEASES, Lease
from amondawa.store.dynamodb.reader import Reader
from amondawa.store.dynamodb.retry import Retrier, RetryPolicy
from amondawa.store.dynamodb.shards import DynamoShards
from amondawa.store.dynamodb.tables import Tables
from amondawa.store.dynamodb.writer import Writer
from tests.store.dynamodb.test_retry import Clock
from tests.store.strict_fake import StrictFake

LENGTH_S = 15.0


class World:
    """Leases in a table, looked at by gateway `own`."""

    def __init__(self) -> None:
        client = StrictFake().client()
        self.clock = Clock()
        retrier = Retrier(RetryPolicy())
        self.pool = ThreadPoolExecutor(1)
        self.writer = Writer(client, retrier, Meter(), self.pool)
        reader = Reader(client, retrier, Meter(), self.pool, statements=True)
        Tables(client, retrier, "amdw").create("journal", Capacity())
        writer = self.writer
        self.shards = DynamoShards(
            "amdw_journal",
            "own",
            reader,
            lambda shard: ShardJournal("amdw_journal", shard, reader, writer, 60),
            lambda shard: Lease("amdw_journal", shard, reader, writer, lambda: self.clock.now, LENGTH_S),
            lambda: self.clock.now,
            LENGTH_S,
        )

    def renew(self, count: int, token: bytes = b"t") -> None:
        """Write the lease of another gateway, on another machine."""
        value = b'{"host":"elsewhere","token":"%s","renewals":%d}' % (token, count)
        self.writer.put_one("amdw_journal", Item(LEASES, b"other", value))

    def look(self, after_s: float) -> bool:
        """Look after a while; say whether the other gateway is taken to be gone."""
        self.clock.now += after_s
        (shard,) = self.shards.shards(sure=True)
        return shard.gone


def test_who_is_silent_for_the_length_of_its_lease_is_gone() -> None:
    world = World()
    world.renew(1)
    assert [world.look(3.0) for _ in range(7)] == [False] * 6 + [True]
    world.renew(2)
    assert not world.look(3.0)


def test_who_could_not_be_looked_at_is_not_gone_until_it_has_been_silent_since() -> None:
    world = World()
    world.renew(1)
    assert not world.look(3.0)
    assert not world.look(10_000.0)
    assert [world.look(3.0) for _ in range(6)] == [False] * 5 + [True]


def test_a_shard_is_claimed_from_the_process_that_was_gone_and_not_from_its_heir() -> None:
    world = World()
    world.renew(1)
    assert [world.look(3.0) for _ in range(7)][-1] is True
    (gone,) = world.shards.shards(sure=True)
    world.renew(1, b"heir")
    assert not world.look(0.1)
    assert not world.shards.claim(gone)
    assert [world.look(3.0) for _ in range(7)][-1] is True
    (heir,) = world.shards.shards(sure=True)
    assert world.shards.claim(heir)
    world.shards.close()


def test_a_shard_lives_when_its_lease_is_renewed_and_not_because_it_is_there() -> None:
    world = World()
    assert world.shards.living(world.clock.sleep) == ""
    world.renew(1)
    assert world.shards.living(world.clock.sleep) == ""
    assert world.clock.now >= LENGTH_S

    def renewing(seconds: float) -> None:
        world.clock.sleep(seconds)
        world.renew(2 + len(world.clock.pauses))

    world.renew(2)
    assert world.shards.living(renewing) == "other"


def test_a_shard_that_is_freed_while_it_is_watched_does_not_live() -> None:
    world = World()
    world.renew(1)

    def freeing(seconds: float) -> None:
        world.clock.sleep(seconds)
        world.writer.put_one("amdw_journal", Item(LEASES, b"other", FREE))

    assert world.shards.living(freeing) == ""
    assert world.clock.now < LENGTH_S
