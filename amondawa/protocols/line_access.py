"""Access over telnet: `auth KEY SECRET [DOMAIN]` before anything but `version`, on a gateway that has keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from amondawa.auth.caller import Caller, acting_for
from amondawa.auth.keyring import Keyring, OpenKey
from amondawa.auth.permissions import ANY_DOMAIN, Right, check_domain
from amondawa.auth.strangers import anonymous_domain, is_loopback
from amondawa.errors import BadRequest
from amondawa.protocols.base import LineSession, Scope
from amondawa.protocols.turns import Turns
from amondawa.settings import Settings

ACCEPTED = b"AUTH_SUCCESS\n"
REFUSED = b"AUTH_FAIL\n"
LINE_BYTES = 1_024
MOST_FAILURES = 3
MOST_REFUSED_LINES = 1_000

SessionMaker = Callable[[Scope], LineSession]
Unasked = Callable[[bytes], bytes]
"""words the answer to a command (its first word) that needs a key first; KairosDB's dialect says nothing"""


def opentsdb_refusal(command: bytes) -> bytes:
    """Answer as OpenTSDB answers bad lines."""
    return command[:32] + b": not authenticated: say `auth KEY SECRET' first\n"


def silent_refusal(command: bytes) -> bytes:
    """Say nothing, as KairosDB does of bad lines."""
    return b""


@dataclass(frozen=True, slots=True)
class _Admission:
    """Who a connection belongs to.

    Attributes:
        caller: in whose name its lines are carried out.
        key: None = without a key.
        version: of the keyring when this was found out.
    """

    caller: Caller
    key: OpenKey | None
    version: int


class LineAccess:
    """Decides about connections.

    Args:
        settings: default domain, what is allowed without keys.
        keyring: the access keys.
        turns: of the event loop; domains share it.
    """

    def __init__(self, settings: Settings, keyring: Keyring, turns: Turns) -> None:
        self._settings = settings
        self._keyring = keyring
        self.turns = turns

    def admit_stranger(self) -> _Admission | None:
        """Admit a connection without a key; None = it needs one."""
        domain = anonymous_domain(self._settings)
        if domain is None and is_loopback(self._settings.bind):
            domain = self._settings.default_domain
        if domain is None or self._keyring.protected:
            return None
        if domain == ANY_DOMAIN:
            domain = self._settings.default_domain
        return _Admission(Caller(domain, Right.BOTH, operator=True), None, self._keyring.version)

    def admit(self, words: list[bytes]) -> _Admission | None:
        """Admit by the words of an auth line; None = they are not good."""
        if not 2 <= len(words) <= 3:
            return None
        key = self._keyring.find(words[0].decode("latin-1"))
        if not key.matches(words[1]):
            return None
        named = words[2].decode("latin-1") if len(words) == 3 else ""
        try:
            domain = check_domain(named or key.permissions.only_domain or self._settings.default_domain)
        except BadRequest:
            return None
        return self._admission(key, domain)

    def _admission(self, key: OpenKey, domain: str) -> _Admission | None:
        rights = key.permissions.of(domain)
        operator = Right.READ in key.permissions.everywhere
        return _Admission(Caller(domain, rights, key.key, operator), key, self._keyring.version) if rights else None

    def still(self, admission: _Admission) -> _Admission | None:
        """Return an admission as it is now that keys may have changed; None = it is over."""
        if admission.version == self._keyring.version:
            return admission
        if admission.key is None:
            return self.admit_stranger()
        now = self._keyring.find(admission.key.key)
        return self._admission(now, admission.caller.domain) if now.matches(admission.key.secret) else None


class GuardedSession:
    """A connection's dialect behind a door that `auth` opens. See LineSession.

    Args:
        scope: what the dialect works on.
        access: decides.
        make: makes the dialect's session, for the connection's domain.
        unasked: words the answer to other commands before `auth`.
    """

    def __init__(self, scope: Scope, access: LineAccess, make: SessionMaker, unasked: Unasked) -> None:
        self._scope = scope
        self._access = access
        self._make = make
        self._unasked = unasked
        self._admission: _Admission | None = access.admit_stranger()
        self._session: LineSession | None = None
        self._versions: LineSession | None = None
        self._rest = b""
        self._failures = 0
        self._refused_lines = 0
        self._over = False

    @property
    def closing(self) -> bool:
        """Whether the connection must end; see LineSession."""
        return self._over or (self._session is not None and self._session.closing)

    async def receive(self, data: bytes) -> bytes:
        """Take bytes; see LineSession."""
        if self._admission is not None:
            had = self._admission.caller.rights
            self._admission = self._access.still(self._admission)
            if self._admission is None or had & ~self._admission.caller.rights:
                await self._leave()  # what a session has begun goes on with the rights of then
        if self._admission is not None:
            return await self._pass_on(data)
        return await self._before(data)

    async def end(self) -> None:
        """Take what is left; see LineSession."""
        if self._session is not None and self._admission is not None:
            with acting_for(self._admission.caller):
                await self._session.end()

    async def _leave(self) -> None:
        """Finish what was taken while it was permitted, and begin anew."""
        if self._session is not None:
            await self._session.end()
        self._session = None

    async def _pass_on(self, data: bytes) -> bytes:
        assert self._admission is not None  # both callers looked
        caller = self._admission.caller
        if caller.key:
            await self._access.turns.take(caller.domain, len(data))
        with acting_for(caller):
            if self._session is None:
                self._session = self._make(self._scope_of(caller.domain))
            return await self._session.receive(data)

    def _scope_of(self, domain: str) -> Scope:
        if domain == self._scope.settings.default_domain:
            return self._scope
        return replace(self._scope, settings=replace(self._scope.settings, default_domain=domain))

    async def _before(self, data: bytes) -> bytes:
        """Look for `auth` and `version`; what comes behind a good `auth` is the dialect's."""
        answers = b""
        rest = self._rest + data
        self._rest = b""
        while (end := rest.find(b"\n")) >= 0:
            line, rest = rest[:end], rest[end + 1 :]
            answers += await self._judge(line.split())
            if self._over:
                return answers
            if self._admission is not None:
                return answers + await self._pass_on(rest)
        if len(rest) > LINE_BYTES:
            self._over = True
            return answers + REFUSED
        self._rest = rest
        return answers

    async def _judge(self, words: list[bytes]) -> bytes:
        """Carry out one line before `auth`."""
        if not words:
            return b""
        if words[0] == b"auth":
            return self._authenticate(words[1:])
        if words[0] == b"version":
            if self._versions is None:
                self._versions = self._make(self._scope)
            return await self._versions.receive(b"version\n")
        self._refused_lines += 1
        self._over = words[0] == b"exit" or self._refused_lines >= MOST_REFUSED_LINES
        return b"" if words[0] == b"exit" else self._unasked(words[0])

    def _authenticate(self, words: list[bytes]) -> bytes:
        self._admission = self._access.admit(words)
        if self._admission is not None:
            return ACCEPTED
        self._failures += 1
        self._over = self._failures >= MOST_FAILURES
        return REFUSED
