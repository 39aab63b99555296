"""What a process needs to decide who may come in, put together: keys, signatures, doors for HTTP and lines."""

from __future__ import annotations

import asyncio
import os
import time

from amondawa.auth.credentials import CredentialTable
from amondawa.auth.domains import DomainTable
from amondawa.auth.keyring import Keyring
from amondawa.auth.master_key import VARIABLE, master_keys
from amondawa.auth.permissions import check_domain
from amondawa.auth.replay import AppliedSignatures
from amondawa.auth.strangers import anonymous_domain, is_loopback
from amondawa.errors import BadRequest, ConfigError
from amondawa.gateway import Gateway, GatewayDoor
from amondawa.protocols.access import HttpAccess
from amondawa.protocols.guarded import GuardedGateway
from amondawa.protocols.lanes import Lanes
from amondawa.protocols.line_access import LineAccess
from amondawa.protocols.ruled import RuledGateway
from amondawa.protocols.sealed_documents import SealedDocuments
from amondawa.protocols.turns import Turns
from amondawa.settings import Settings
from amondawa.store.base import BlockStore


class Access:
    """Access to one process.

    Args:
        settings: everything.
        store: holds the access keys; open.

    Raises:
        ConfigError: AMDW_MASTER_KEY or the key file cannot be used.
    """

    def __init__(self, settings: Settings, store: BlockStore) -> None:
        self._settings = settings
        self.table = CredentialTable(store, master_keys(settings, os.environ.get(VARIABLE, "")))
        self.domains = DomainTable(store, self.table)
        self.keyring = Keyring(self.table, self.domains)
        self._applied = AppliedSignatures()
        self.turns = Turns()
        self.http = HttpAccess(settings, self.keyring, self._applied, self.turns)
        self.lines = LineAccess(settings, self.keyring, self.turns)

    async def load(self) -> None:
        """Read the keys and see that nobody is let in by accident.

        Raises:
            ConfigError: reachable from other machines without keys; keys that cannot be decrypted; a default domain of a
                name that none may have.
        """
        _check_default_domain(self._settings)
        await asyncio.to_thread(self.keyring.load)
        settings = self._settings
        if self.keyring.protected or is_loopback(settings.bind) or anonymous_domain(settings) is not None:
            return
        raise ConfigError(
            f"--bind {settings.bind} is reachable from other machines and there are no access keys: make one with "
            "`bin/ac add --permission DOMAIN:rw`, or add --allow-anonymous DOMAIN:rw to let anyone read and write that "
            "domain, or bind to 127.0.0.1"
        )

    def remember(self, gateway: Gateway) -> None:
        """Know what signed requests a former process applied, and let the gateway's journal know this one's."""
        self._applied.recover(gateway.receipts.recovered, gateway.note, time.time())
        gateway.receipts.kept_by(self._applied.receipts)

    def rule(self, gateway: GatewayDoor) -> RuledGateway:
        """Return the gateway's door under the rules of domains."""
        return RuledGateway(
            SealedDocuments(gateway, self.keyring.vault_of), self.keyring, Lanes(self._settings.query_threads)
        )

    def guard(self, gateway: GatewayDoor) -> GuardedGateway:
        """Return the gateway's door as protocols get it."""
        return GuardedGateway(gateway, self._applied)


def _check_default_domain(settings: Settings) -> None:
    """Refuse what no request could name; it is the domain of --allow-anonymous, too."""
    try:
        check_domain(settings.default_domain)
    except BadRequest as error:
        raise ConfigError(f"AMDW_DEFAULT_DOMAIN, or --allow-anonymous: {error.message}") from error
