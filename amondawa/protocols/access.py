"""Access over HTTP, for every dialect: whose request it is, on which domain it works, and whether it may.

One middleware stands around all routes. What it lets through runs as its caller (`auth.caller`), so that the guarded door
(`protocols.guarded`) refuses whatever the route alone does not tell. A route that is not named here needs a key:
reading needs the right to read, everything else the right to write.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import unquote_plus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from amondawa.auth.caller import Caller, acting_for
from amondawa.auth.disclosure import disclosed, spelling_of
from amondawa.auth.keyring import Keyring, OpenKey
from amondawa.auth.permissions import ANY_DOMAIN, Permissions, Right, check_domain
from amondawa.auth.replay import AppliedSignatures
from amondawa.auth.signing import ALGORITHM, Claim, Request, is_right, read_claim
from amondawa.auth.strangers import anonymous_domain, is_loopback
from amondawa.auth.unproven import UnprovenBodies
from amondawa.errors import AmondawaError, BadRequest, Forbidden, Unauthorized
from amondawa.protocols.http import DOMAIN_HEADER, read_body
from amondawa.protocols.turns import Turns, request_bytes
from amondawa.settings import Settings

Refuse = Callable[[web.Request, AmondawaError], web.StreamResponse]
"""words a refusal in the shape of the protocol that a request speaks"""

CHALLENGE = 'Basic realm="amondawa", charset="UTF-8"'
_DOMAIN_PREFIX = "/domains/{domain}"
_THREAD_BYTES = 1 << 20

OPEN_ROUTES = frozenset(
    {
        "/health/live",
        "/health/ready",
        "/api/v1/health/check{slash}",
        "/api/v1/health/status{slash}",
        "/api/v1/version{slash}",
        "/api{version}/version{tail}",
        "/version{tail}",
    }
)
"""health and version: what anybody may ask, with or without a domain in front"""
OPERATOR_ROUTES = frozenset({"/metrics"})
"""what tells of all domains: for keys that may read them all"""
READING_POSTS = (
    "/datapoints/query{slash}",
    "/datapoints/query/tags{slash}",
    "/datapoints/query/indextags{slash}",
    "/query{tail}",
    "/query/exp{tail}",
    "/query/gexp{tail}",
    "/query/last{tail}",
    "/suggest{tail}",
    "/search{tail}",
    "/aggregators{tail}",
    "/config{tail}",
    "/stats{tail}",
    "/dropcaches{tail}",
)
"""how the routes end whose POST changes nothing by itself"""
EITHER_POSTS = ("/{domain}/datapoints{slash}",)
"""routes whose body decides: the guarded door looks at what is done"""
WRITING_GETS = ("/admin/killquery/{hash}{slash}", "/rollups/backfill/{id}{slash}")
"""routes that change something whatever the method is"""
OVERRIDDEN_ROUTES = (
    "/api{version}/annotation{tail}",
    "/api{version}/annotations{tail}",
    "/api{version}/query{tail}",
    "/api{version}/search{tail}",
    "/api{version}/tree{tail}",
    "/api{version}/uid{tail}",
)
"""routes whose GET may name another method, in the parameter `method_override`; the others do not look at it"""
_UID_ROUTE = "/api{version}/uid{tail}"
TELLING_ROUTES = ("/api{version}/annotation{tail}", "/api{version}/annotations{tail}", "/api{version}/tree{tail}")
"""routes whose answer to a write tells what was stored before it, too; and those of `_UID_ROUTE` but for the writing ones"""
_WRITING_UID_TAILS = ("/assign", "/rename")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from.

    Attributes:
        permissions: what it may do.
        key: access key; empty = none was needed.
        claim, body: of a signed request.
        operator: whether it may see what concerns all domains.
    """

    permissions: Permissions
    key: str = ""
    claim: Claim | None = None
    body: bytes | None = field(default=None, repr=False)
    operator: bool = False


class HttpAccess:
    """Decides about requests.

    Args:
        settings: region, default domain, what is allowed without keys.
        keyring: the access keys.
        applied: signed writes that are not to be applied again.
        turns: of the event loop; domains share it.
        now_s: the clock that signatures are judged by.
    """

    def __init__(
        self,
        settings: Settings,
        keyring: Keyring,
        applied: AppliedSignatures,
        turns: Turns,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._keyring = keyring
        self._applied = applied
        self._turns = turns
        self._now_s = now_s
        self._unproven = UnprovenBodies(settings.body_limit_bytes)
        self._anonymous = anonymous_domain(settings)
        self._all_are_local = is_loopback(settings.bind)

    def middleware(self, refuse: Refuse) -> Middleware:
        """Return what stands around every request of an application."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            if is_open(request):
                return await handler(request)
            try:
                caller = await self._admit(request)
            except AmondawaError as error:
                return _challenged(refuse(request, error), error)
            return await self._carry_out(request, handler, caller, refuse)

        return check

    async def _carry_out(
        self, request: web.Request, handler: Handler, caller: Caller, refuse: Refuse
    ) -> web.StreamResponse:
        """Handle a request in its caller's name; what a signed one changed is known for good before it is answered."""
        try:
            if caller.key:
                await self._turns.take(caller.domain, request_bytes(request.content_length or 0))
            caller.sent = {}
            with acting_for(caller):
                response = await handler(request)
            if Right.READ not in caller.rights and _tells_what_is_stored(request):
                _leave_out_body(response)
            if caller.sent and isinstance(response, web.Response):
                await _disclose(response, caller.sent)
            try:
                await self._applied.note(caller)
            except AmondawaError as error:
                return refuse(request, error)
            return response
        finally:
            self._applied.end(caller, self._now_s())

    async def _admit(self, request: web.Request) -> Caller:
        """Return the caller of a request that may come in.

        Raises:
            Unauthorized: it needs a key and brought none that is good.
            Forbidden: its key does not permit it.
            BadRequest, BodyTooLarge, Cancelled: it cannot be read.
        """
        identity = await self._identify(request)
        domain = self._domain(request, identity.permissions)
        rights = identity.permissions.of(domain)
        who = "access key" if identity.key else "a client without a key"
        if not rights:
            raise Forbidden(f"{who} has no permission in domain {domain}")
        signature = None if identity.claim is None else bytes.fromhex(identity.claim.signature)
        signed_s = 0 if identity.claim is None else identity.claim.signed_s
        caller = Caller(domain, rights, identity.key, identity.operator, signature, signed_s, identity.body)
        if route_of(request) in OPERATOR_ROUTES and not caller.operator:
            raise Forbidden(f"this needs a key with permission {ANY_DOMAIN}:r")
        needed = needed_right(request)
        if needed:
            caller.require(needed, domain)
        return caller

    async def _identify(self, request: web.Request) -> Identity:
        if not self._keyring.protected:
            return self._stranger(request.remote or "")
        given = request.headers.getall("Authorization", [])
        if len(given) > 1:
            raise Unauthorized("the request has more than one Authorization header")
        scheme, _, rest = (given[0] if given else "").strip().partition(" ")
        if scheme == ALGORITHM:
            return await self._signed(request)
        if scheme.lower() in ("basic", "bearer"):
            key, secret = _basic(rest) if scheme.lower() == "basic" else _pair(rest.strip())
            found = self._keyring.find(key)
            if not found.matches(secret):
                raise Unauthorized("the access key or its secret is not valid")
            return _identity(found)
        if _may_ask_for_cors(request):
            return Identity(Permissions({ANY_DOMAIN: Right.READ}))
        raise Unauthorized(
            "this gateway needs an access key: sign the request, or send it as Basic or Bearer KEY:SECRET"
        )

    @property
    def version(self) -> int:
        """Changes whenever a key did."""
        return self._keyring.version

    def plain_caller(self, remote: str) -> Caller | None:
        """Return who requests without any header about access are, coming from an address and naming no domain.

        None = such requests may not come in, or not do everything: the middleware decides about each of them.
        """
        if self._keyring.protected:
            return None
        try:
            identity = self._stranger(remote)
            domain = check_domain(identity.permissions.only_domain or self._settings.default_domain)
        except AmondawaError:
            return None
        rights = identity.permissions.of(domain)
        return Caller(domain, rights, operator=identity.operator) if rights == Right.BOTH else None

    def _stranger(self, remote: str) -> Identity:
        """Return what clients may do while there are no keys."""
        if self._anonymous is not None:
            return Identity(Permissions({self._anonymous: Right.BOTH}), operator=True)
        if self._all_are_local or is_loopback(remote):
            return Identity(Permissions({self._settings.default_domain: Right.BOTH}), operator=True)
        raise Unauthorized("this gateway has no access keys yet, and clients of other machines need one")

    async def _signed(self, request: web.Request) -> Identity:
        """Check a signature: all that needs no body first, so that nobody can make the gateway read for nothing."""
        signed = _request(request)
        claim = read_claim(signed, self._settings.region, self._now_s())
        key = self._keyring.find(claim.key)
        if claim.body_hash:
            if not self._is_right(claim, signed, claim.body_hash, key):
                raise _wrong_signature()
            body, body_hash = await self._read(request)
            if body_hash != claim.body_hash:
                raise Unauthorized("the body is not the one that was signed")
            return _identity(key, claim, body)
        with self._unproven.counted(request.content_length):
            body, body_hash = await self._read(request)
            if not self._is_right(claim, signed, body_hash, key):
                raise _wrong_signature()
        return _identity(key, claim, body)

    async def _read(self, request: web.Request) -> tuple[bytes, str]:
        """Return a body and its hash."""
        body = await read_body(request, self._settings.body_limit_bytes)
        if len(body) < _THREAD_BYTES:
            return body, hashlib.sha256(body).hexdigest()
        return body, (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()

    @staticmethod
    def _is_right(claim: Claim, signed: Request, body_hash: str, key: OpenKey) -> bool:
        right = is_right(claim, signed, body_hash, key.secret)
        return right and key.active

    def _domain(self, request: web.Request, permissions: Permissions) -> str:
        """Return the domain of a request: its path's, else its header's, else the key's only one, else the default one."""
        named = request.headers.getall(DOMAIN_HEADER, [])
        if len(named) > 1:
            raise BadRequest(f"the request has more than one header {DOMAIN_HEADER}", field="domain")
        domain = request.match_info.get("domain") or (named[0] if named else "")
        return check_domain(domain or permissions.only_domain or self._settings.default_domain)


async def _disclose(response: web.Response, sent: dict[str, str]) -> None:
    """Put the clear values of hashed tags that a request named into its answer."""
    body = response.body
    if isinstance(body, bytes):
        packed, spell = response.headers.get("Content-Encoding") == "gzip", spelling_of(response.content_type)
        work = partial(disclosed, body, sent, packed=packed, spell=spell)
        response.body = work() if len(body) < _THREAD_BYTES else await asyncio.to_thread(work)


def _leave_out_body(response: web.StreamResponse) -> None:
    """Have an answer say that it was done, and no more."""
    if isinstance(response, web.Response) and response.status == 200:
        response.set_status(204)
        response.body = None
        response.headers.popall("Content-Type", None)


def _identity(key: OpenKey, claim: Claim | None = None, body: bytes | None = None) -> Identity:
    return Identity(key.permissions, key.key, claim, body, Right.READ in key.permissions.everywhere)


def _wrong_signature() -> Unauthorized:
    return Unauthorized("the access key or the signature is not valid")


def _request(request: web.Request) -> Request:
    """Return what of a request is signed, as it came."""
    path, _, query = request.raw_path.partition("?")
    headers = [(n.decode("latin-1"), v.decode("utf-8", "surrogateescape")) for n, v in request.raw_headers]
    return Request(request.method, path, query, headers)


def _basic(text: str) -> tuple[str, bytes]:
    try:
        return _pair(base64.b64decode(text.strip(), validate=True).decode())
    except (binascii.Error, ValueError) as error:
        raise Unauthorized("the Authorization header is not well formed") from error


def _pair(text: str) -> tuple[str, bytes]:
    key, colon, secret = text.partition(":")
    if not colon:
        raise Unauthorized("the Authorization header does not hold KEY:SECRET")
    return key, secret.encode("utf-8", "surrogateescape")


def _may_ask_for_cors(request: web.Request) -> bool:
    """Say whether it is a browser's preflight, which never carries a key and is told nothing of any domain."""
    return request.method == "OPTIONS" and {"Origin", "Access-Control-Request-Method"} <= {*request.headers}


def _challenged(response: web.StreamResponse, error: AmondawaError) -> web.StreamResponse:
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = CHALLENGE
    return response


# routes ---------------------------------------------------------------------------------------------------------------


def route_of(request: web.Request) -> str:
    """Return the pattern of the route that a request was matched with, without a domain in front; empty = none."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical.removeprefix(_DOMAIN_PREFIX)


def is_open(request: web.Request) -> bool:
    """Say whether anybody may ask this."""
    return route_of(request) in OPEN_ROUTES


def needed_right(request: web.Request) -> Right:
    """Return the right that a request needs whatever its body says; NONE = its body decides.

    A route that is not known here reads when its method is GET, HEAD or OPTIONS, and writes with any other.
    """
    route = route_of(request)
    method = _method_of(request, route)
    writes_always = route.endswith(WRITING_GETS) or (route == _UID_ROUTE and _uid_tail(request) in _WRITING_UID_TAILS)
    if method in ("GET", "HEAD", "OPTIONS"):
        return Right.WRITE if writes_always else Right.READ
    if method == "POST" and route.endswith(EITHER_POSTS):
        return Right.NONE
    return Right.READ if method == "POST" and route.endswith(READING_POSTS) else Right.WRITE


def _method_of(request: web.Request, route: str) -> str:
    """Return the method that a request is handled by: the last override counts, as for the handlers, where any does."""
    if request.method != "GET" or route not in OVERRIDDEN_ROUTES:
        return request.method
    pairs = (part.partition("=") for part in request.raw_path.partition("?")[2].split("&"))
    named = [unquote_plus(value).upper() for name, _, value in pairs if unquote_plus(name) == "method_override"]
    return named[-1] if named and named[-1] in ("POST", "PUT", "DELETE") else "GET"


def _tells_what_is_stored(request: web.Request) -> bool:
    """Say whether the answer to a write repeats what others may have written."""
    route = route_of(request)
    return route in TELLING_ROUTES or (route == _UID_ROUTE and _uid_tail(request) not in _WRITING_UID_TAILS)


def _uid_tail(request: web.Request) -> str:
    return "/" + request.match_info.get("tail", "").strip("/").split("/")[0].lower()
