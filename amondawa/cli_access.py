"""`amondawa ac` (`bin/ac`): access keys and what they may do, beside gateways that may be running."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import click

from amondawa.auth.credentials import Credential, CredentialTable
from amondawa.auth.domains import DomainTable, parse_duration
from amondawa.auth.master_key import (
    KEY_BYTES,
    VARIABLE,
    MasterKeys,
    file_keys,
    key_file,
    master_keys,
    replace_file_keys,
)
from amondawa.auth.permissions import ANY_DOMAIN, Permissions, check_domain
from amondawa.errors import BadRequest
from amondawa.settings import Settings, read_settings
from amondawa.store.base import BlockStore
from amondawa.store.open import open_tables

T = TypeVar("T")

FAILED = 1


@dataclass(frozen=True, slots=True)
class Call:
    """What an action works on.

    Attributes:
        settings: which store.
        store: its tables, open.
        table: the access keys.
        key: the key that was named; empty = none.
        permissions: those that were given.
        sure: whether to go ahead without asking.
        rules: what was given of a domain's rules, by the name of the rule.
    """

    settings: Settings
    store: BlockStore
    table: CredentialTable
    key: str
    permissions: Permissions
    sure: bool
    rules: Mapping[str, object]

    @property
    def domains(self) -> DomainTable:
        """The rules of domains."""
        return DomainTable(self.store, self.table)

    def named_key(self) -> str:
        """Return the key. Raises click.UsageError when none was named."""
        if not self.key:
            raise click.UsageError("name the access key: --key KEY")
        return self.key

    def given_permissions(self) -> Permissions:
        """Return the permissions. Raises click.UsageError when none were given."""
        if not self.permissions.rights:
            raise click.UsageError("give at least one permission: --permission DOMAIN:r, DOMAIN:w or DOMAIN:rw")
        return self.permissions


def create_table(call: Call) -> int:
    """Make the table of access keys."""
    if not call.table.create():
        click.echo("Credential table already exists")
        return FAILED
    click.echo("Credential table created.")
    return 0


def delete_table(call: Call) -> int:
    """Delete the table with every key."""
    if not call.sure:
        _confirm("Delete the credential table with every access key in it?" + _lost_with_the_table(call))
    if not call.table.drop():
        click.echo("There is no credential table")
        return FAILED
    click.echo("Credential table deleted.")
    return 0


def _lost_with_the_table(call: Call) -> str:
    """Return what else is deleted with it and never comes back."""
    hashed = [domain for domain, rules in sorted(call.domains.list().items()) if rules.sealed]
    if not hashed:
        return ""
    return (
        f" It holds the keys of the hashed tags of {', '.join(hashed)}, too: without them nothing finds their clear values "
        "again, and their annotations, meta data, trees and roll-up tasks cannot be read."
    )


def add(call: Call) -> int:
    """Make a key and print it with its secret, which is never shown again."""
    permissions = call.given_permissions()
    _warn_of_any(permissions, call.sure)
    made, secret = call.table.add(permissions)
    click.echo(f"Added access key {made.key}")
    click.echo(f"Secret access key: {secret}")
    return 0


def delete(call: Call) -> int:
    """Delete a key."""
    call.table.delete(call.named_key())
    click.echo(f"Key {call.key} deleted.")
    return 0


def list_keys(call: Call) -> int:
    """List all keys; never a secret."""
    for one in call.table.list():
        click.echo(_line(one))
    return 0


def activate(call: Call) -> int:
    """Let a key be used."""
    return _set_active(call, True)


def deactivate(call: Call) -> int:
    """Let a key be used no more, for now."""
    return _set_active(call, False)


def _set_active(call: Call, active: bool) -> int:
    word = "ACTIVE" if active else "INACTIVE"
    if call.table.find(call.named_key()).active == active:
        click.echo(f"Key {call.key} state already {word}")
        return 0
    call.table.set_active(call.key, active)
    click.echo(f"Set {call.key} key state to {word}")
    return 0


def add_perms(call: Call) -> int:
    """Give a key more permissions."""
    given = call.given_permissions()
    _warn_of_any(given, call.sure)
    return _set_permissions(call, lambda now: now.plus(given))


def delete_perms(call: Call) -> int:
    """Take permissions from a key."""
    given = call.given_permissions()
    return _set_permissions(call, lambda now: now.minus(given))


def set_perms(call: Call) -> int:
    """Replace a key's permissions."""
    given = call.given_permissions()
    _warn_of_any(given, call.sure)
    return _set_permissions(call, lambda _: given)


def _set_permissions(call: Call, change: Callable[[Permissions], Permissions]) -> int:
    click.echo(_line(call.table.set_permissions(call.named_key(), change)))
    click.echo("Permissions set.")
    return 0


def set_domain(call: Call) -> int:
    """Set rules of a domain; those not given stay as they are."""
    if not call.key:
        raise click.UsageError("name the domain: set_domain DOMAIN")
    domain = _checked(lambda: check_domain(call.key))
    rules = call.domains.change(domain, lambda one: replace(one, **dict(call.rules)))  # type: ignore[arg-type]
    click.echo(f"domain: {domain} {rules.text()}")
    return 0


def list_domains(call: Call) -> int:
    """List the rules of all domains that have any."""
    for domain, rules in sorted(call.domains.list().items()):
        click.echo(f"domain: {domain} {rules.text()}")
    return 0


def rotate_master_key(call: Call) -> int:
    """Encrypt every secret anew: under a new key of the key file, or under the first of those in AMDW_MASTER_KEY."""
    if os.environ.get(VARIABLE, "").strip():
        count = _seal_again(call.store, call.table)
        click.echo(
            f"{count} secrets were encrypted anew with the first key of {VARIABLE}; the others are needed no more."
        )
        return 0
    if call.settings.store != "sqlite":
        call.table.masters  # noqa: B018 - raises what to do without a master key
    path = key_file(call.settings)
    keys = [secrets.token_bytes(KEY_BYTES), *file_keys(path)]
    replace_file_keys(path, keys)  # from now on both decrypt, whatever happens in between
    count = _seal_again(call.store, CredentialTable(call.store, MasterKeys(keys, path)))
    replace_file_keys(path, keys[:1])
    click.echo(f"{count} secrets were encrypted anew with a new key in {path}.")
    return 0


def _seal_again(store: BlockStore, table: CredentialTable) -> int:
    """Encrypt with the first master key whatever is under another: access keys' secrets, domains' keys of hashes."""
    return table.seal_again() + DomainTable(store, table).seal_again()


ACTIONS: dict[str, Callable[[Call], int]] = {
    "create_table": create_table,
    "delete_table": delete_table,
    "add": add,
    "delete": delete,
    "list": list_keys,
    "activate": activate,
    "deactivate": deactivate,
    "add_perms": add_perms,
    "delete_perms": delete_perms,
    "set_perms": set_perms,
    "set_domain": set_domain,
    "list_domains": list_domains,
    "rotate_master_key": rotate_master_key,
}


@click.command(epilog="Running gateways follow a change within seconds.")
@click.argument("action", type=click.Choice(list(ACTIONS)))
@click.argument("key_argument", metavar="[KEY|DOMAIN]", required=False)
@click.option("--key", metavar="KEY", help="The access key.")
@click.option(
    "--permission", "permissions", multiple=True, metavar="DOMAIN:r|w|rw", help="As often as needed; * = any."
)
@click.option("--hash-tag", multiple=True, metavar="TAG", help="Keep this tag as hashes (* = all); as often as needed.")
@click.option("--no-hash-tags", is_flag=True, help="Keep new points' tags as they are again.")
@click.option("--series", type=click.IntRange(0), metavar="N", help="Series of the domain; 0 = no limit.")
@click.option("--points-per-second", type=click.IntRange(0), metavar="N", help="Points written a second; 0 = no limit.")
@click.option("--query-points", type=click.IntRange(0), metavar="N", help="Points one request reads; 0 = no own limit.")
@click.option("--retention", metavar="30d", help="How long points are kept: s, m, h, d, w, y; 0 = for ever.")
@click.option("--yes", is_flag=True, help="Go ahead without asking.")
@click.option("--store", metavar="NAME", help="sqlite or dynamodb.  [sqlite; AMDW_STORE]")
@click.option("--data", metavar="DIR", help="Directory of the embedded store.  [./data; AMDW_DATA]")
def ac(
    action: str,
    key_argument: str | None,
    key: str | None,
    permissions: Sequence[str],
    yes: bool,
    store: str | None,
    data: str | None,
    **rules: object,
) -> int:
    """Make, list and change access keys and the rules of domains: ACTION is one of those above.

    add and *_perms take --permission; delete, activate, deactivate and *_perms take the key; set_domain takes the domain
    and the options from --hash-tag to --retention.
    """
    parsed = _checked(lambda: Permissions.parse(permissions))
    given = _rules(rules)
    settings = read_settings({"store": store, "data": data}, os.environ)
    with _tables(settings) as opened:
        table = CredentialTable(opened, master_keys(settings, os.environ.get(VARIABLE, "")))
        return ACTIONS[action](Call(settings, opened, table, key or key_argument or "", parsed, yes, given))


def _checked(check: Callable[[], T]) -> T:
    """Return what a check returns; what it refuses is wrong use."""
    try:
        return check()
    except BadRequest as error:
        raise click.UsageError(error.message) from error


def _rules(options: Mapping[str, object]) -> dict[str, object]:
    """Return the rules that were given, by name."""
    given: dict[str, object] = {
        name: options[name] for name in ("series", "points_per_second", "query_points") if options[name] is not None
    }
    tags = cast(tuple[str, ...], options["hash_tag"])
    if tags or options["no_hash_tags"]:
        given["hashed_tags"] = frozenset(tags)
    if options["retention"] is not None:
        retention_s = parse_duration(str(options["retention"]))
        if retention_s is None:
            raise click.UsageError("--retention is a number with s, m, h, d, w or y behind it, such as 30d")
        given["retention_s"] = retention_s
    return given


@contextmanager
def _tables(settings: Settings) -> Iterator[BlockStore]:
    store = open_tables(settings)
    try:
        yield store
    finally:
        store.close()


def _line(one: Credential) -> str:
    state = "ACTIVE" if one.active else "INACTIVE"
    return f"access key: {one.key} permissions: {' '.join(one.permissions.texts())} state: {state}"


def _warn_of_any(permissions: Permissions, sure: bool) -> None:
    if ANY_DOMAIN in permissions.rights and not sure:
        _confirm(f"WARNING: granting access to '{ANY_DOMAIN}' will allow access to any domain. Continue?")


def _confirm(question: str) -> None:
    """Ask; only a capital Y goes ahead."""
    click.echo(f"{question} Y/[N]")
    if sys.stdin.readline().rstrip("\r\n") != "Y":
        click.echo("Aborted.")
        raise click.exceptions.Exit(FAILED)
