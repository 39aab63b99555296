"""The access keys as a running gateway knows them: all in memory, read again every few seconds."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from amondawa.auth.credentials import Credential, CredentialTable
from amondawa.auth.domains import DomainRules, DomainTable
from amondawa.auth.hashing import TagHasher
from amondawa.auth.permissions import Permissions
from amondawa.auth.vault import Vault
from amondawa.errors import AmondawaError, ConfigError, Corrupt

REFRESH_S = 5.0
"""how often the store is asked; a change reaches every gateway within 30 s"""

_NOBODY_SECRET = b"the secret of no key: whoever names an unknown key is compared with it all the same"

log = structlog.get_logger("amondawa.access")


@dataclass(frozen=True, slots=True)
class OpenKey:
    """An access key that can be compared with."""

    key: str
    secret: bytes = field(repr=False)
    permissions: Permissions
    active: bool

    def matches(self, secret: bytes) -> bool:
        """Say whether a secret is the key's and the key may be used; as slow for a wrong one as for a right one."""
        same = hmac.compare_digest(hashlib.sha256(secret).digest(), hashlib.sha256(self.secret).digest())
        return same and self.active


NO_RULES = DomainRules()
NOBODY = OpenKey("", _NOBODY_SECRET, Permissions({}), active=False)
"""stands in for a key that does not exist, so that it takes as long as one that does"""


class Keyring:
    """The access keys of a store, and the rules of its domains.

    Args:
        table: where the keys are kept.
        domains: where the rules are kept; None = there are none.
    """

    def __init__(self, table: CredentialTable, domains: DomainTable | None = None) -> None:
        self._table = table
        self._domains = domains
        self._rules: Mapping[str, DomainRules] = {}
        self._hashers: Mapping[str, TagHasher] = {}
        self._vaults: Mapping[str, Vault] = {}
        self._keys: Mapping[str, OpenKey] = {}
        self._known: dict[bytes, OpenKey] = {}
        self.kept_s: Mapping[str, int] = {}
        """how long each domain with a retention keeps points, in seconds"""
        self.version = 0
        """changes whenever a key did: what was decided before must be decided again"""

    @property
    def protected(self) -> bool:
        """Whether there is any key at all, active or not: from the first one on everybody needs one."""
        return bool(self._keys)

    def find(self, key: str) -> OpenKey:
        """Return a key; NOBODY when it is unknown."""
        return self._keys.get(key, NOBODY)

    def rules_of(self, domain: str) -> DomainRules:
        """Return the rules of a domain."""
        return self._rules.get(domain, NO_RULES)

    @property
    def rules(self) -> Mapping[str, DomainRules]:
        """The rules of all domains that have any."""
        return self._rules

    def hasher_of(self, domain: str) -> TagHasher | None:
        """Return what hashes the tags of a domain; None = nothing is hashed there."""
        return self._hashers.get(domain)

    def vault_of(self, domain: str) -> Vault | None:
        """Return what encrypts the documents of a domain; None = nothing was ever hashed there."""
        return self._vaults.get(domain)

    def load(self) -> None:
        """Read all keys and rules, for the first time.

        Raises:
            ConfigError: there are keys, and the master key is missing or another one.
            StoreError: the store cannot be read.
        """
        self._read(self._opened)

    def reload(self) -> None:
        """Read all keys and rules again. A key that was made with another master key keeps no other from coming into force.

        Raises:
            ConfigError: a rule was made with another master key; the rules stay as they were, the keys do not.
            StoreError: the store cannot be read.
        """
        self._read(self._opened_or_closed)

    def _read(self, open_key: Callable[[Credential], OpenKey]) -> None:
        """Read the keys before the rules and take them after: a key never works before a rule that was made before it."""
        found = self._table.list()
        try:
            if self._domains is not None:
                self._load_rules(self._domains)
        finally:
            self._take(found, open_key)

    def _take(self, found: Sequence[Credential], open_key: Callable[[Credential], OpenKey]) -> None:
        known: dict[bytes, OpenKey] = {}
        for credential in found:
            known[_mark(credential)] = self._known.get(_mark(credential)) or open_key(credential)
        if known.keys() != self._known.keys():
            self.version += 1
        self._known = known
        self._keys = {one.key: one for one in known.values()}

    def _load_rules(self, domains: DomainTable) -> None:
        rules = domains.list()
        if rules == self._rules:
            return
        keys = {name: domains.hash_key(name, one) for name, one in rules.items() if one.sealed}
        self._hashers = {
            name: TagHasher(rules[name].hashed_tags, key) for name, key in keys.items() if rules[name].hashed_tags
        }
        self._vaults = {name: Vault(key) for name, key in keys.items()}
        self._rules = rules
        self.kept_s = {name: one.retention_s for name, one in rules.items() if one.retention_s}

    def _opened(self, credential: Credential) -> OpenKey:
        """Decrypt a key; one that does not decrypt counts as there, but nobody can use it."""
        try:
            secret = self._table.secret_of(credential)
        except Corrupt as error:
            return _closed(credential, error)
        return OpenKey(credential.key, secret, credential.permissions, credential.active)

    def _opened_or_closed(self, credential: Credential) -> OpenKey:
        """Decrypt a key; one of another master key is treated as one that does not decrypt."""
        try:
            return self._opened(credential)
        except ConfigError as error:
            return _closed(credential, error)

    @contextlib.asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """Read the keys again and again while inside."""
        task = asyncio.create_task(self._refresh(), name="access keys")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await asyncio.to_thread(self.reload)
            except (AmondawaError, ConfigError) as error:
                log.error("access keys or rules cannot be read; those known so far stay in force", problem=str(error))


def _closed(credential: Credential, error: Exception) -> OpenKey:
    """Return a key that counts as there, and that nobody can use."""
    log.error("an access key cannot be used", key=credential.key, problem=str(error))
    return OpenKey(credential.key, _NOBODY_SECRET, credential.permissions, active=False)


def _mark(credential: Credential) -> bytes:
    """Return what is the same as long as a key is."""
    item = credential.item()
    return item.range + b"\0" + item.value
