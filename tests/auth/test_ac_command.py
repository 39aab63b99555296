"""`bin/ac`: what it prints, and how what it does reaches gateways that run, on every engine that outlives a process."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from amondawa import cli_access
from amondawa.auth import keyring
from amondawa.auth.credentials import CredentialTable
from amondawa.auth.domains import DomainTable
from amondawa.auth.keyring import Keyring
from amondawa.auth.master_key import VARIABLE, MasterKeys, master_keys
from amondawa.auth.permissions import Permissions
from amondawa.cli_access import ac
from amondawa.settings import Settings, read_settings
from amondawa.store.base import BlockStore
from amondawa.store.dynamodb.store import DynamoStore, Options
from amondawa.store.sqlite import SqliteStore
from tests.store.engines import QUICK
from tests.store.strict_fake import StrictFake

ADDED = re.compile(r"Added access key ([A-Z0-9]{20})\nSecret access key: ([A-Za-z0-9]{40})\n")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return what runs the command on a directory."""
    monkeypatch.setenv("AMDW_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("AMDW_STORE", raising=False)

    def run(*arguments: str, typed: str = "") -> Result:
        return CliRunner().invoke(ac, list(arguments), input=typed, standalone_mode=False)

    return run


def test_a_new_key_is_printed_in_two_lines_and_its_secret_this_once(command: Callable[..., Result]):
    made = command("add", "--permission", "shop:rw")
    found = ADDED.fullmatch(made.output)
    assert found is not None, made.output
    listed = command("list").output
    assert listed == f"access key: {found[1]} permissions: shop:rw state: ACTIVE\n"
    assert found[2] not in listed


@pytest.mark.parametrize("typed", ["y\n", "yes\n", "\n", "", " Y\n", "N\n"])
def test_any_domain_is_not_granted_without_a_typed_capital_y(command: Callable[..., Result], typed: str):
    refused = command("add", "--permission", "*:r", typed=typed)
    assert "WARNING: granting access to '*'" in refused.output
    assert "Added" not in refused.output
    assert command("list").output == ""


def test_any_domain_is_granted_after_it_and_the_two_lines_come_last(command: Callable[..., Result]):
    made = command("add", "--permission", "*:r", typed="Y\n")
    assert ADDED.search(made.output) is not None
    assert made.output.index("WARNING") < made.output.index("Added access key")
    assert ADDED.fullmatch("".join(made.output.splitlines(keepends=True)[-2:])) is not None


def test_every_action_of_the_original_is_there(command: Callable[..., Result]):
    key = ADDED.fullmatch(command("add", "--permission", "shop:r").output)
    assert key is not None
    for action, options, wanted in (
        ("add_perms", ("--permission", "bank:rw"), "bank:rw shop:r state: ACTIVE"),
        ("delete_perms", ("--permission", "bank:w"), "bank:r shop:r state: ACTIVE"),
        ("set_perms", ("--permission", "mint:w"), "permissions: mint:w state: ACTIVE"),
        ("deactivate", (), "INACTIVE"),
        ("activate", (), "ACTIVE"),
        ("delete", (), "deleted"),
    ):
        assert wanted in command(action, "--key", key[1], *options).output, action
    assert command("create_table").output == "Credential table already exists\n"
    assert command("delete_table", typed="Y\n").output.endswith("Credential table deleted.\n")


def test_who_deletes_the_table_is_told_what_is_lost_with_it(command: Callable[..., Result]):
    command("set_domain", "bank", "--series", "5")
    assert command("delete_table").output.startswith("Delete the credential table with every access key in it? Y/[N]\n")
    command("set_domain", "shop", "--hash-tag", "user")
    asked = command("delete_table", typed="n\n").output
    assert "keys of the hashed tags of shop, too" in asked
    assert asked.endswith("Aborted.\n")
    assert "hashed tags: user" in command("list_domains").output


@pytest.fixture(params=["sqlite", "dynamodb"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the command work on one engine or the other."""
    if request.param == "dynamodb":
        fake = StrictFake()

        def opened(_settings: Settings) -> BlockStore:
            store = DynamoStore(fake.client, "amdw", "one", Options(4, 4, QUICK))
            store.open()
            return store

        monkeypatch.setattr(cli_access, "open_tables", opened)
    return str(request.param)


def test_after_a_rotation_of_the_variable_the_former_key_is_needed_for_nothing(
    engine: str, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
):
    former, new = "00" * 32, "ab" * 32
    options = ("--store", engine)
    monkeypatch.setenv(VARIABLE, former)
    assert ADDED.fullmatch(command("add", "--permission", "shop:rw", *options).output) is not None
    assert "hashed tags" in command("set_domain", "shop", "--hash-tag", "user", *options).output
    monkeypatch.setenv(VARIABLE, f"{new},{former}")
    assert command("rotate_master_key", *options).output.startswith("2 secrets were encrypted anew")
    assert command("rotate_master_key", *options).output.startswith("0 secrets were encrypted anew")
    monkeypatch.setenv(VARIABLE, new)
    settings = read_settings({"store": engine}, os.environ)
    store = cli_access.open_tables(settings)
    table = CredentialTable(store, master_keys(settings, new))
    ring = Keyring(table, DomainTable(store, table))
    ring.load()
    assert ring.protected
    assert ring.hasher_of("shop") is not None
    store.close()


# beside gateways that run ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "dynamodb"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[BlockStore, BlockStore]:
    """Return a gateway's store, and one as the command opens it, on the same data."""
    if request.param == "sqlite":
        gateway: BlockStore = SqliteStore(tmp_path / "data")
        gateway.open()
        beside: BlockStore = SqliteStore(tmp_path / "data", tables_only=True)
    else:
        fake = StrictFake()
        gateway = DynamoStore(fake.client, "amdw", "one", Options(4, 4, QUICK))
        gateway.open()
        beside = DynamoStore(fake.client, "amdw", "two", Options(4, 4, QUICK))
    beside.open()
    return gateway, beside


async def test_what_is_changed_beside_a_gateway_reaches_it_by_itself(
    stores: tuple[BlockStore, BlockStore], monkeypatch: pytest.MonkeyPatch
):
    assert keyring.REFRESH_S * 2 < 30  # one look may fail, and the next one is still in time
    monkeypatch.setattr(keyring, "REFRESH_S", 0.01)
    masters = MasterKeys([bytes(32)])
    known = CredentialTable(stores[0], masters)
    ring = Keyring(known, DomainTable(stores[0], known))
    table = CredentialTable(stores[1], masters)
    domains = DomainTable(stores[1], table)

    async def seen(look: Callable[[], bool]) -> None:
        for _ in range(500):
            if look():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the change did not arrive")

    async with ring.kept_fresh():
        made, secret = await asyncio.to_thread(table.add, Permissions.parse(["shop:r"]))
        await seen(lambda: ring.protected and ring.find(made.key).matches(secret.encode()))
        await asyncio.to_thread(table.set_permissions, made.key, lambda now: now.plus(Permissions.parse(["bank:w"])))
        await seen(lambda: "bank:w" in ring.find(made.key).permissions.texts())
        await asyncio.to_thread(domains.change, "shop", lambda now: replace(now, hashed_tags=frozenset({"user"})))
        await seen(lambda: ring.hasher_of("shop") is not None and ring.vault_of("shop") is not None)
        await asyncio.to_thread(table.set_active, made.key, False)
        await seen(lambda: not ring.find(made.key).matches(secret.encode()))
        await asyncio.to_thread(table.delete, made.key)
        await seen(lambda: not ring.protected)
    for store in stores:
        store.close()
