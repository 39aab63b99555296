"""Keys and rules that are changed through one gateway's store reach another gateway, well within 30 seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from amondawa.auth import keyring
from amondawa.auth.credentials import CredentialTable
from amondawa.auth.domains import DomainTable
from amondawa.auth.keyring import NOBODY, Keyring
from amondawa.auth.master_key import MasterKeys
from amondawa.auth.permissions import Permissions
from amondawa.store.dynamodb.store import DynamoStore, Options
from tests.store.engines import QUICK
from tests.store.strict_fake import StrictFake

MASTER = b"m" * 32


class Half:
    """What one gateway has of the access tables of a table space."""

    def __init__(self, fake: StrictFake, shard: str) -> None:
        self.store = DynamoStore(fake.client, "amdw", shard, Options(4, 4, QUICK))
        self.store.open()
        self.keys = CredentialTable(self.store, MasterKeys([MASTER]))
        self.domains = DomainTable(self.store, self.keys)
        self.keyring = Keyring(self.keys, self.domains)
        self.keyring.load()


@pytest.fixture
def halves() -> Iterator[tuple[Half, Half]]:
    fake = StrictFake()
    made = Half(fake, "one"), Half(fake, "two")
    yield made
    for half in made:
        half.store.close()


async def test_keys_and_rules_reach_another_gateway_by_themselves(
    halves: tuple[Half, Half], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keyring.REFRESH_S <= 15  # twice that, should one look fail, is still within 30 s
    monkeypatch.setattr(keyring, "REFRESH_S", 0.01)
    first, second = halves
    async with second.keyring.kept_fresh():
        made, secret = first.keys.add(Permissions.parse(["shop:rw"]))
        first.domains.change("shop", lambda one: replace(one, points_per_second=15))
        for _ in range(500):
            if second.keyring.find(made.key) is not NOBODY and second.keyring.rules_of("shop").points_per_second:
                break
            await asyncio.sleep(0.01)
        assert second.keyring.find(made.key).matches(secret.encode())
        assert second.keyring.rules_of("shop").points_per_second == 15
        first.keys.delete(made.key)
        for _ in range(500):
            if second.keyring.find(made.key) is NOBODY:
                break
            await asyncio.sleep(0.01)
        assert second.keyring.find(made.key) is NOBODY
