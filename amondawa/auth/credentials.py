"""Access keys in the store's table of credentials: made, listed, changed, removed; secrets only ever encrypted.

One item a key: hash `keys`, range the key's name, value JSON. Changes are conditional on what was read, so that two people
at work on one key cannot undo each other.
"""

from __future__ import annotations

import base64
import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import orjson

from amondawa.auth.master_key import MasterKeys
from amondawa.auth.permissions import Permissions
from amondawa.errors import BadRequest, ConfigError, Corrupt, NotFound, Unavailable
from amondawa.store.base import BlockStore, Item

TABLE = "credentials"
KEY_CHARACTERS = string.ascii_uppercase + string.digits
KEY_LENGTH = 20
SECRET_CHARACTERS = string.ascii_letters + string.digits
SECRET_LENGTH = 40
_HASH = b"keys"
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Credential:
    """One access key.

    Attributes:
        key: 20 characters A-Z 0-9.
        sealed: the secret, encrypted.
        permissions: what it may do.
        active: whether it may do it now.
        created_s: when it was made, seconds since 1970.
    """

    key: str
    sealed: bytes = field(repr=False)
    permissions: Permissions
    active: bool = True
    created_s: int = 0

    def item(self) -> Item:
        """Return it as it is stored."""
        value = {
            "secret": base64.b64encode(self.sealed).decode(),
            "permissions": self.permissions.texts(),
            "active": self.active,
            "created_s": self.created_s,
        }
        return Item(_HASH, self.key.encode(), orjson.dumps(value))

    @classmethod
    def of_item(cls, item: Item) -> Credential:
        """Read a stored one. Raises Corrupt when it is damaged."""
        key = item.range.decode("ascii", "replace")
        try:
            value = orjson.loads(item.value)
            permissions = Permissions.parse(value["permissions"])
            sealed = base64.b64decode(value["secret"], validate=True)
            return cls(key, sealed, permissions, bool(value["active"]), int(value["created_s"]))
        except (KeyError, TypeError, ValueError, BadRequest) as error:
            raise Corrupt(f"access key {key} is stored in a way that cannot be read") from error


class CredentialTable:
    """The table of access keys. Synchronous, safe in any thread and beside other processes.

    Args:
        store: where the table is.
        masters: encrypts and decrypts; None = nothing can be made or opened.
    """

    def __init__(self, store: BlockStore, masters: MasterKeys | None) -> None:
        self._store = store
        self._masters = masters

    @property
    def exists(self) -> bool:
        """Whether the table is there."""
        self._store.refresh()
        return TABLE in self._store.tables()

    def create(self) -> bool:
        """Make the table; say whether it was missing."""
        missing = not self.exists
        self._store.create_table(TABLE)
        return missing

    def drop(self) -> bool:
        """Remove the table with every key in it; say whether there was one."""
        there = self.exists
        self._store.delete_table(TABLE)
        return there

    def list(self) -> list[Credential]:
        """Return all keys, sorted by name; none when there is no table."""
        if not self.exists:
            return []
        return [Credential.of_item(item) for page in self._store.query(TABLE, _HASH) for item in page]

    def find(self, key: str) -> Credential:
        """Return a key. Raises NotFound."""
        item = self._item(key)
        if item is None:
            raise NotFound(f"there is no access key {key}")
        return Credential.of_item(item)

    def _item(self, key: str) -> Item | None:
        if not key or not key.isascii() or not self.exists:
            return None
        return self._store.get(TABLE, [(_HASH, key.encode())])[0]

    def add(self, permissions: Permissions) -> tuple[Credential, str]:
        """Make a key; return it and its secret, which can never be shown again.

        Raises:
            BadRequest: no permissions.
            ConfigError: no master key, or one that opens none of the keys that are there.
        """
        if not permissions.rights:
            raise BadRequest("an access key needs at least one permission", field="permission")
        self.check_masters()
        self.create()
        secret = "".join(secrets.choice(SECRET_CHARACTERS) for _ in range(SECRET_LENGTH))
        while True:
            key = "".join(secrets.choice(KEY_CHARACTERS) for _ in range(KEY_LENGTH))
            made = Credential(key, self.masters.encrypt(secret.encode(), key), permissions, True, int(time.time()))
            if self._store.put_if(TABLE, made.item(), None):
                return made, secret

    def check_masters(self) -> None:
        """See that the master keys are those that gateways have, as far as that can be told.

        Raises:
            ConfigError: they open none of the keys that are there: gateways could not open what is made with them.
        """
        problem: ConfigError | None = None
        for one in self.list():
            try:
                self.secret_of(one)
                return
            except ConfigError as error:
                problem = error
            except Corrupt:
                continue
        if problem is not None:
            raise problem

    def delete(self, key: str) -> None:
        """Remove a key. Raises NotFound."""
        self.find(key)
        self._store.delete(TABLE, [(_HASH, key.encode())])

    def set_active(self, key: str, active: bool) -> Credential:
        """Turn a key on or off. Raises NotFound."""
        return self._change(key, lambda one: replace(one, active=active))

    def set_permissions(self, key: str, change: Callable[[Permissions], Permissions]) -> Credential:
        """Change a key's permissions.

        Raises:
            NotFound: no such key.
            BadRequest: nothing would be left; delete the key, or deactivate it.
        """

        def changed(one: Credential) -> Credential:
            permissions = change(one.permissions)
            if not permissions.rights:
                raise BadRequest("permissions cannot be empty: delete or deactivate the key", field="permission")
            return replace(one, permissions=permissions)

        return self._change(key, changed)

    def seal_again(self) -> int:
        """Encrypt what is under a former master key with the first one; return how many keys that were."""
        old = [one for one in self.list() if not self.masters.is_current(one.sealed)]
        for one in old:
            self._change(one.key, self._sealed_again)
        return len(old)

    def _sealed_again(self, one: Credential) -> Credential:
        return replace(one, sealed=self.masters.encrypt(self.masters.decrypt(one.sealed, one.key), one.key))

    def secret_of(self, credential: Credential) -> bytes:
        """Return the secret of a key.

        Raises:
            ConfigError: the master key is missing or another one.
            Corrupt: it does not decrypt.
        """
        return self.masters.decrypt(credential.sealed, credential.key)

    @property
    def masters(self) -> MasterKeys:
        """The master keys. Raises ConfigError when there are none."""
        if self._masters is None:
            raise ConfigError(
                "AMDW_MASTER_KEY is not set, and secrets of access keys are kept encrypted with it: "
                "set it to 32 random bytes in base64, as `openssl rand -base64 32` prints"
            )
        return self._masters

    def _change(self, key: str, change: Callable[[Credential], Credential]) -> Credential:
        for _ in range(_ATTEMPTS):
            item = self._item(key)
            if item is None:
                raise NotFound(f"there is no access key {key}")
            changed = change(Credential.of_item(item))
            if self._store.put_if(TABLE, changed.item(), item.value):
                return changed
        raise Unavailable(f"access key {key} is being changed by somebody else")
