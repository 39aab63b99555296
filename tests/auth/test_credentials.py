from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from amondawa.auth.credentials import TABLE, Credential, CredentialTable
from amondawa.auth.domains import DomainTable
from amondawa.auth.keyring import NOBODY, Keyring
from amondawa.auth.master_key import MasterKeys
from amondawa.auth.permissions import Permissions, Right
from amondawa.errors import BadRequest, ConfigError, NotFound
from amondawa.store.base import BlockStore, Item
from amondawa.store.dynamodb.store import DynamoStore, Options
from amondawa.store.memory import MemoryStore
from amondawa.store.sqlite import SqliteStore
from tests.store.strict_fake import StrictFake

MASTER = bytes(range(32))
SHOP = Permissions.parse(["shop:rw"])


@pytest.fixture(params=["memory", "sqlite", "dynamodb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockStore]:
    one: BlockStore = {
        "memory": MemoryStore,
        "sqlite": lambda: SqliteStore(tmp_path / "data"),
        "dynamodb": lambda: DynamoStore(StrictFake().client, "amdw", "one", Options()),
    }[request.param]()
    one.open()
    yield one
    one.close()


@pytest.fixture
def table(store: BlockStore) -> CredentialTable:
    return CredentialTable(store, MasterKeys([MASTER]))


def test_a_key_has_twenty_capitals_and_digits_and_opens_with_its_secret(table: CredentialTable):
    made, secret = table.add(SHOP)
    assert len(made.key) == 20
    assert made.key.isascii() and made.key.isalnum() and made.key == made.key.upper()
    assert table.secret_of(table.find(made.key)) == secret.encode()
    assert table.find(made.key) == made


def test_no_stored_byte_tells_the_secret(store: BlockStore, table: CredentialTable):
    _, secret = table.add(SHOP)
    stored = b"".join(item.value for page in store.query(TABLE, b"keys") for item in page)
    assert secret.encode() not in stored
    assert "secret" not in repr(table.list()[0])


def test_keys_are_listed_changed_and_deleted(table: CredentialTable):
    first, _ = table.add(SHOP)
    second, _ = table.add(Permissions.parse(["bank:r"]))
    assert [one.key for one in table.list()] == sorted([first.key, second.key])
    assert not table.set_active(first.key, False).active
    changed = table.set_permissions(first.key, lambda now: now.plus(Permissions.parse(["bank:r"])))
    assert changed.permissions.texts() == ["bank:r", "shop:rw"]
    table.delete(second.key)
    assert table.list() == [changed]


def test_a_key_cannot_be_left_without_permissions(table: CredentialTable):
    made, _ = table.add(SHOP)
    with pytest.raises(BadRequest, match="empty"):
        table.set_permissions(made.key, lambda now: now.minus(SHOP))
    with pytest.raises(BadRequest):
        table.add(Permissions({}))


@pytest.mark.parametrize("key", ["", "NOSUCHKEY", "ä"])
def test_a_key_that_is_not_there_is_not_found(table: CredentialTable, key: str):
    for act in (table.find, table.delete, lambda one: table.set_active(one, True)):
        with pytest.raises(NotFound):
            act(key)


def test_the_table_is_made_and_dropped_once(table: CredentialTable):
    assert table.list() == []
    assert table.create()
    assert not table.create()
    table.add(SHOP)
    assert table.drop()
    assert not table.drop()
    assert table.list() == []


def test_secrets_are_encrypted_anew_under_the_first_master_key(store: BlockStore, table: CredentialTable):
    made, secret = table.add(SHOP)
    rotated = CredentialTable(store, MasterKeys([bytes(32), MASTER]))
    assert rotated.seal_again() == 1
    assert rotated.seal_again() == 0
    alone = CredentialTable(store, MasterKeys([bytes(32)]))
    assert alone.secret_of(alone.find(made.key)) == secret.encode()


def test_without_a_master_key_nothing_is_made(store: BlockStore):
    with pytest.raises(ConfigError, match="AMDW_MASTER_KEY"):
        CredentialTable(store, None).add(SHOP)


# the keyring ----------------------------------------------------------------------------------------------------------


def test_a_keyring_follows_what_is_done_to_the_table(table: CredentialTable):
    keyring = Keyring(table)
    keyring.load()
    assert not keyring.protected
    made, secret = table.add(SHOP)
    keyring.load()
    version = keyring.version
    assert keyring.protected
    assert keyring.find(made.key).matches(secret.encode())
    assert not keyring.find(made.key).matches(b"wrong")
    keyring.load()
    assert keyring.version == version
    table.set_active(made.key, False)
    keyring.load()
    assert keyring.version != version
    assert keyring.protected
    assert not keyring.find(made.key).matches(secret.encode())
    table.drop()
    keyring.load()
    assert keyring.find(made.key) is NOBODY


def test_nobody_matches_nothing():
    assert not NOBODY.matches(NOBODY.secret)
    assert NOBODY.permissions.of("default") == Right.NONE


def test_a_damaged_secret_protects_and_opens_nothing(store: BlockStore, table: CredentialTable):
    made, secret = table.add(SHOP)
    other, _ = table.add(SHOP)
    moved = table.find(other.key).item()
    store.put(TABLE, [Item(b"keys", made.key.encode(), moved.value)])
    keyring = Keyring(table)
    keyring.load()
    assert keyring.protected
    assert not keyring.find(made.key).matches(secret.encode())


def test_keys_under_another_master_key_keep_the_gateway_from_starting(store: BlockStore, table: CredentialTable):
    table.add(SHOP)
    with pytest.raises(ConfigError, match="master key"):
        Keyring(CredentialTable(store, MasterKeys([bytes(32)]))).load()


# beside a process that has the directory ------------------------------------------------------------------------------


def test_keys_made_beside_the_owner_of_the_directory_are_seen_by_it(tmp_path: Path):
    owner = SqliteStore(tmp_path)
    owner.open()
    beside = SqliteStore(tmp_path, tables_only=True)
    beside.open()
    masters = MasterKeys([MASTER])
    mine, theirs = CredentialTable(owner, masters), CredentialTable(beside, masters)
    assert mine.list() == []
    made, _ = theirs.add(SHOP)
    assert [one.key for one in mine.list()] == [made.key]
    assert theirs.drop()
    assert mine.list() == []
    owner.create_table("elsewhere")
    owner.put("elsewhere", [Item(b"keys", b"r", b"not a credential")])
    again, _ = theirs.add(SHOP)
    assert [one.key for one in mine.list()] == [again.key]
    with pytest.raises(ValueError, match="block"):
        beside.create_table("datapoints_0-86400")
    beside.close()
    owner.close()


def test_a_key_under_another_master_key_keeps_no_change_of_others_from_a_running_gateway(
    store: BlockStore, table: CredentialTable
):
    ring = Keyring(table, DomainTable(store, table))
    made, secret = table.add(Permissions.parse(["shop:r"]))
    ring.load()
    strange = Credential("S" * 20, MasterKeys([b"2" * 32]).encrypt(b"s", "S" * 20), Permissions.parse(["shop:rw"]))
    store.put_if(TABLE, strange.item(), None)
    table.set_active(made.key, False)
    ring.reload()
    assert not ring.find(strange.key).matches(b"s")
    assert not ring.find(made.key).matches(secret.encode())
    other = CredentialTable(store, MasterKeys([b"2" * 32]))
    table.set_active(made.key, True)
    DomainTable(store, other).change("shop", lambda one: replace(one, hashed_tags=frozenset({"user"})))
    with pytest.raises(ConfigError):
        ring.reload()
    assert ring.find(made.key).matches(secret.encode())


def test_nothing_is_made_with_a_master_key_that_opens_nothing_that_is_there(store: BlockStore, table: CredentialTable):
    table.add(Permissions.parse(["shop:r"]))
    other = CredentialTable(store, MasterKeys([b"2" * 32]))
    with pytest.raises(ConfigError, match="another master key"):
        other.add(Permissions.parse(["shop:r"]))
    with pytest.raises(ConfigError, match="another master key"):
        DomainTable(store, other).change("shop", lambda one: replace(one, hashed_tags=frozenset({"user"})))
    assert len(table.list()) == 1


def test_the_first_key_under_another_master_key_closes_a_running_gateway_to_all(
    store: BlockStore, table: CredentialTable
):
    ring = Keyring(table)
    ring.load()
    CredentialTable(store, MasterKeys([b"2" * 32])).add(Permissions.parse(["shop:r"]))
    ring.reload()
    assert ring.protected
