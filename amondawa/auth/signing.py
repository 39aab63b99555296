"""AWS Signature Version 4 (`AWS4-HMAC-SHA256`): what a request's signature says, and whether it is right.

The canonical request follows AWS's description for services other than S3. Where signers differ (the path once or twice
encoded, the query string as it stands or normalised), each of their spellings is accepted as long as no two requests
with different meanings share one. Paths are never normalised: a signature is good for the path that was sent, only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

from amondawa.errors import Unauthorized

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "amondawa"
TERMINATION = "aws4_request"
SKEW_S = 900
BODY_HASH_HEADER = "x-amz-content-sha256"
DATE_HEADER = "x-amz-date"
MOST_HEADER_BYTES = 8_192
MEANINGFUL_HEADERS = ("host", "x-amondawa-domain")
"""headers that decide what a request does: when they are there they must be signed, as every x-amz- header"""

_PARTS = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^,\s]+)\s*")
_SIGNED = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+(?:;[a-z0-9!#$%&'*+.^_`|~-]+)*")
_HEX = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"\d{8}T\d{6}Z")
_BLANKS = re.compile(r"[ \t]+")
_UNRESERVED = "-_.~"


class Request(NamedTuple):
    """What of a request is signed.

    Attributes:
        method: as sent.
        path, query: as sent, still encoded.
        headers: names and values in the order they came.
    """

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Claim:
    """What an Authorization header claims.

    Attributes:
        key: access key.
        date, region: of the credential's scope.
        signed: names of the signed headers.
        signature: 64 hexadecimal digits.
        timestamp: `20261123T231500Z`.
        signed_s: the same in seconds since 1970.
        body_hash: of the header x-amz-content-sha256; empty = it was not sent.
    """

    key: str
    date: str
    region: str
    signed: tuple[str, ...]
    signature: str
    timestamp: str
    signed_s: int
    body_hash: str

    @property
    def scope(self) -> str:
        """The credential's scope."""
        return f"{self.date}/{self.region}/{SERVICE}/{TERMINATION}"


def read_claim(request: Request, region: str, now_s: float) -> Claim:
    """Read a request's Authorization header and check all of it that needs no secret.

    Raises:
        Unauthorized: it is not well formed, of another region or service, too old or too new, or leaves out a header that
            must be signed.
    """
    if (
        "#" in request.path or "#" in request.query
    ):  # nothing reads on behind it: `#` would be as good as a signed `%23`
        raise Unauthorized("the target of a signed request has no fragment")
    values = _values(request.headers)
    header = _single(values, "authorization")
    if len(header) > MOST_HEADER_BYTES:
        raise Unauthorized(f"the Authorization header is longer than {MOST_HEADER_BYTES} bytes")
    parts = _parts(header)
    key, date = _check_scope(parts["Credential"], region)
    timestamp = _timestamp(values)
    signed = tuple(parts["SignedHeaders"].split(";"))
    _check_signed(signed, values)
    signed_s = _seconds(timestamp)
    if timestamp[:8] != date:
        raise Unauthorized("the date of the credential's scope is not the date of the request")
    if abs(now_s - signed_s) > SKEW_S:
        raise Unauthorized(f"the request was signed more than {SKEW_S // 60} minutes away from this server's clock")
    claimed = _single(values, BODY_HASH_HEADER) if BODY_HASH_HEADER in values else ""
    if claimed and not _HEX.fullmatch(claimed):
        raise Unauthorized(
            f"{BODY_HASH_HEADER} must be the SHA-256 of the body: unsigned and streamed bodies are refused"
        )
    return Claim(key, date, region, signed, parts["Signature"], timestamp, signed_s, claimed)


def is_right(claim: Claim, request: Request, body_hash: str, secret: bytes) -> bool:
    """Say, in constant time, whether a signature is the one that the secret gives.

    Args:
        claim: what the request claims.
        request: the same request.
        body_hash: SHA-256 of the body, hexadecimal.
        secret: of the access key.
    """
    values = _values(request.headers)
    headers = "".join(f"{name}:{','.join(values[name])}\n" for name in claim.signed)
    key = signing_key(secret, claim.date, claim.region)
    right = False
    for path, query in _spellings(request.path, request.query):
        text = "\n".join((request.method, path, query, headers, ";".join(claim.signed), body_hash))
        right |= hmac.compare_digest(_signature(key, claim.timestamp, claim.scope, text), claim.signature)
    return right


def sign(
    request: Request, body: bytes, key: str, secret: str, region: str, now_s: float | None = None
) -> dict[str, str]:
    """Return the headers that sign a request; its `Host` must be among the given headers, and all given ones are signed.

    Args:
        request: as it will be sent.
        body: as it will be sent.
        key: access key.
        secret: of the access key.
        region: of the gateway.
        now_s: when; None = now.
    """
    moment = datetime.now(UTC) if now_s is None else datetime.fromtimestamp(now_s, UTC)
    timestamp = moment.strftime("%Y%m%dT%H%M%SZ")
    body_hash = hashlib.sha256(body).hexdigest()
    added = {"X-Amz-Date": timestamp, "X-Amz-Content-SHA256": body_hash}
    values = _values([*request.headers, *added.items()])
    signed = ";".join(sorted(values))
    headers = "".join(f"{name}:{','.join(values[name])}\n" for name in sorted(values))
    path, query = _spellings(request.path, request.query)[0]
    text = "\n".join((request.method, path, query, headers, signed, body_hash))
    scope = f"{timestamp[:8]}/{region}/{SERVICE}/{TERMINATION}"
    signature = _signature(signing_key(secret.encode(), timestamp[:8], region), timestamp, scope, text)
    authorization = f"{ALGORITHM} Credential={key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    return {**added, "Authorization": authorization}


@lru_cache(maxsize=4096)
def signing_key(secret: bytes, date: str, region: str) -> bytes:
    """Return the key that signs in a scope."""
    key = b"AWS4" + secret
    for part in (date, region, SERVICE, TERMINATION):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _signature(key: bytes, timestamp: str, scope: str, text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return hmac.digest(key, "\n".join((ALGORITHM, timestamp, scope, digest)).encode(), "sha256").hex()


# the parts of a claim -------------------------------------------------------------------------------------------------


def _parts(header: str) -> dict[str, str]:
    algorithm, _, rest = header.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise Unauthorized(f"the Authorization header does not begin with {ALGORITHM}")
    parts: dict[str, str] = {}
    for text in rest.split(","):
        found = _PARTS.fullmatch(text)
        if found is None or found[1] in parts:
            raise Unauthorized("the Authorization header is not well formed")
        parts[found[1]] = found[2]
    if len(parts) != 3 or not _HEX.fullmatch(parts["Signature"]) or not _SIGNED.fullmatch(parts["SignedHeaders"]):
        raise Unauthorized(
            "the Authorization header is not complete: Credential, SignedHeaders and Signature are needed"
        )
    return parts


def _check_scope(credential: str, region: str) -> tuple[str, str]:
    """Return key and date of a credential."""
    words = credential.split("/")
    if len(words) != 5 or words[4] != TERMINATION or not re.fullmatch(r"\d{8}", words[1], re.ASCII):
        raise Unauthorized(f"the credential is not KEY/DATE/REGION/{SERVICE}/{TERMINATION}")
    if words[3] != SERVICE:
        raise Unauthorized(f"the request was signed for another service than {SERVICE}")
    if words[2] != region:
        raise Unauthorized(f"the request was signed for another region than {region}")
    return words[0], words[1]


def _timestamp(values: Mapping[str, list[str]]) -> str:
    timestamp = _single(values, DATE_HEADER)
    if not _DATE.fullmatch(timestamp):
        raise Unauthorized(f"{DATE_HEADER} is not of the form 20261123T231500Z")
    return timestamp


def _seconds(timestamp: str) -> int:
    try:
        return int(datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise Unauthorized(f"{DATE_HEADER} is no date") from error


def _check_signed(signed: tuple[str, ...], values: Mapping[str, list[str]]) -> None:
    """Check that the signed headers are there, in order, and none is left out that changes what the request does."""
    if list(signed) != sorted(set(signed)) or any(name not in values for name in signed):
        raise Unauthorized("SignedHeaders must list headers of the request, sorted, each once")
    needed = {name for name in values if name in MEANINGFUL_HEADERS or name.startswith("x-amz-")} | {
        "host",
        DATE_HEADER,
    }
    missing = sorted(needed - set(signed))
    if missing:
        raise Unauthorized(f"these headers must be signed: {', '.join(missing)[:200]}")


def _single(values: Mapping[str, list[str]], name: str) -> str:
    found = values.get(name, [])
    if len(found) != 1:
        raise Unauthorized(f"the request must have one header {name}")
    return found[0]


def _values(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return header values by lower-case name, blanks as in a canonical request."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(_BLANKS.sub(" ", value.strip(" \t")))
    return values


# spellings ------------------------------------------------------------------------------------------------------------


def _spellings(path: str, query: str) -> list[tuple[str, str]]:
    """Return the ways in which signers write path and query; the first one is AWS's own."""
    paths = [quote(path, safe="/" + _UNRESERVED)]
    if "%25" not in path.lower():
        paths.append(path)  # as it stands; a path that was encoded twice always has %25
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    plain = [(_encoded(name), _encoded(value)) for name, value in pairs]
    queries = [_joined(sorted(plain)), _joined(sorted(pairs)), query]
    return [(p, q) for p in dict.fromkeys(paths) for q in dict.fromkeys(queries)]


def _encoded(text: str) -> str:
    return quote(unquote_plus(text, errors="surrogateescape"), safe=_UNRESERVED, errors="surrogateescape")


def _joined(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in pairs)
