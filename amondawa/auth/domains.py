"""What holds in one domain: which tags are kept as hashes, and how much of everything it may use.

Kept beside the access keys: hash `domains`, range the domain's name, value JSON; the key of the hashes encrypted.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial

import orjson

from amondawa.auth.credentials import TABLE, CredentialTable
from amondawa.errors import Corrupt, Unavailable
from amondawa.store.base import BlockStore, Item

ALL_TAGS = "*"
KEY_BYTES = 32
_HASH = b"domains"
_ATTEMPTS = 20
_DURATION = re.compile(r"(\d+)([smhdwy]?)")
_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}


@dataclass(frozen=True, slots=True)
class DomainRules:
    """The rules of one domain; 0 = no limit of its own.

    Attributes:
        hashed_tags: names of the tags that are kept as hashes; `*` = all.
        sealed: key of the hashes, encrypted; empty = none was needed yet. It never changes: old hashes must stay right.
        series: how many series there may be.
        points_per_second: how fast points may be written, on average.
        query_points: points that one request may read.
        retention_s: how long points are kept.
    """

    hashed_tags: frozenset[str] = frozenset()
    sealed: bytes = field(default=b"", repr=False)
    series: int = 0
    points_per_second: int = 0
    query_points: int = 0
    retention_s: int = 0

    def value(self) -> bytes:
        """Return them as they are stored."""
        kept: dict[str, object] = {one.name: getattr(self, one.name) for one in fields(self)}
        kept["hashed_tags"] = sorted(self.hashed_tags)
        kept["sealed"] = base64.b64encode(self.sealed).decode()
        return orjson.dumps(kept)

    @classmethod
    def of_value(cls, domain: str, value: bytes) -> DomainRules:
        """Read stored ones. Raises Corrupt when they are damaged."""
        try:
            kept = orjson.loads(value)
            kept["hashed_tags"] = frozenset(kept["hashed_tags"])
            kept["sealed"] = base64.b64decode(kept["sealed"], validate=True)
            return cls(**kept)
        except (KeyError, TypeError, ValueError) as error:
            raise Corrupt(f"the rules of domain {domain} are stored in a way that cannot be read") from error

    def text(self) -> str:
        """Return them for people, without what is not limited."""
        words = [f"hashed tags: {' '.join(sorted(self.hashed_tags))}"] if self.hashed_tags else []
        limits = ("series", "points_per_second", "query_points", "retention_s")
        words += [f"{name}: {getattr(self, name)}" for name in limits if getattr(self, name)]
        return ", ".join(words) or "no rules"


class DomainTable:
    """The rules of all domains, in the table of access keys. Synchronous, safe beside other processes.

    Args:
        store: where the table is.
        credentials: the same table's other half; knows the master keys.
    """

    def __init__(self, store: BlockStore, credentials: CredentialTable) -> None:
        self._store = store
        self._credentials = credentials

    def list(self) -> dict[str, DomainRules]:
        """Return the rules by domain."""
        if not self._credentials.exists:
            return {}
        items = [item for page in self._store.query(TABLE, _HASH) for item in page]
        return {one.range.decode(): DomainRules.of_value(one.range.decode(), one.value) for one in items}

    def change(self, domain: str, change: Callable[[DomainRules], DomainRules]) -> DomainRules:
        """Change the rules of a domain; the first hashed tag makes the key of its hashes."""
        self._credentials.create()
        for _ in range(_ATTEMPTS):
            item = self._store.get(TABLE, [(_HASH, domain.encode())])[0]
            rules = change(DomainRules() if item is None else DomainRules.of_value(domain, item.value))
            if rules.hashed_tags and not rules.sealed:
                self._credentials.check_masters()
                key = secrets.token_bytes(KEY_BYTES)
                rules = replace(rules, sealed=self._credentials.masters.encrypt(key, _owner(domain)))
            made = Item(_HASH, domain.encode(), rules.value())
            if self._store.put_if(TABLE, made, None if item is None else item.value):
                return rules
        raise Unavailable(f"the rules of domain {domain} are being changed by somebody else")

    def hash_key(self, domain: str, rules: DomainRules) -> bytes:
        """Return the key of a domain's hashes; empty when it has none.

        Raises:
            ConfigError: the master key is missing or another one.
            Corrupt: it does not decrypt.
        """
        return self._credentials.masters.decrypt(rules.sealed, _owner(domain)) if rules.sealed else b""

    def seal_again(self) -> int:
        """Encrypt keys that are under a former master key with the first one; return how many that were."""
        masters = self._credentials.masters
        old = [name for name, one in self.list().items() if one.sealed and not masters.is_current(one.sealed)]
        for domain in old:
            self.change(domain, partial(self._sealed_again, domain))
        return len(old)

    def _sealed_again(self, domain: str, rules: DomainRules) -> DomainRules:
        masters, owner = self._credentials.masters, _owner(domain)
        return replace(rules, sealed=masters.encrypt(masters.decrypt(rules.sealed, owner), owner))


def _owner(domain: str) -> str:
    return f"domain {domain}"


def parse_duration(text: str) -> int | None:
    """Return the seconds of `30d`, `12h` or plain seconds; None when it is neither."""
    found = _DURATION.fullmatch(text.strip())
    return None if found is None else int(found[1]) * _UNIT_S[found[2]]
