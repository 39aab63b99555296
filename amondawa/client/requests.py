"""What both clients share: bodies, signatures, answers. No socket here."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from amondawa.auth.signing import Request, sign
from amondawa.errors import AmondawaError

Value = int | float | str
Time = datetime | int | str

_SPAN = re.compile(r"(\d+)\s*(ms|[smhdwny])(?:-ago)?")
_UNITS = {
    "ms": "milliseconds",
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "d": "days",
    "w": "weeks",
    "n": "months",
    "y": "years",
}


_DAY_MS = 86_400_000
_UNIT_MS = {
    "milliseconds": 1,
    "seconds": 1_000,
    "minutes": 60_000,
    "hours": 3_600_000,
    "days": _DAY_MS,
    "weeks": 7 * _DAY_MS,
    "months": 30 * _DAY_MS,
    "years": 365 * _DAY_MS,
}


class ClientError(AmondawaError):
    """The gateway could not be reached, or said something that no gateway says."""


class Refused(ClientError):
    """The gateway refused a request.

    Args:
        status: the HTTP status.
        text: the body, which says why.
        retry_after_s: seconds after which to try again; None = trying again is of no use.
    """

    def __init__(self, status: int, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{status}: {words_of(text).removeprefix(f'{status}: ')}")
        self.status = status
        self.text = text
        self.retry_after_s = retry_after_s


def words_of(text: str) -> str:
    """Return what a refusal says, its addresses in words: `metrics.0.aggregate: must be one of …`; else the text itself."""
    try:
        errors = json.loads(text)["errors"]
    except (ValueError, TypeError, KeyError):
        return text
    return "; ".join(_worded("", errors)) or text


def _worded(address: str, found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        for name, inner in found.items():
            yield from _worded(f"{address}.{name}" if address else str(name), inner)
    elif isinstance(found, list):
        for inner in found:
            yield from _worded(address, inner)
    else:
        yield f"{address}: {found}" if address else str(found)


class TooLarge(ClientError):
    """An answer is larger than the caller takes."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where to ask, and as whom.

    Attributes:
        url: of the gateway's common port, such as `https://gateway:5000`.
        domain: that all requests work on.
        key, secret: the access key; empty = none, for a gateway that needs none.
        region: of the gateway, for signatures.
    """

    url: str
    domain: str = "default"
    key: str = ""
    secret: str = field(default="", repr=False)
    region: str = "us-west-2"


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one series to write: times in ms since 1970 UTC."""

    name: str
    tags: Mapping[str, str]
    points: Sequence[tuple[int, Value]]


@dataclass(frozen=True, slots=True)
class Query:
    """What to read of one metric.

    Attributes:
        name: the metric.
        start, end: a datetime, ms since 1970 UTC, or a span before now such as `1h`; no end = now.
        tags: a series matches when every named tag has one of the values.
        downsample: `avg:1m`, `max:1h` …: within each series.
        aggregate: `sum`, `avg` …: across all series.
        limit: the first points of every stream; 0 = all.
    """

    name: str
    start: Time
    end: Time | None = None
    tags: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    downsample: str = ""
    aggregate: str = ""
    limit: int = 0

    def body(self) -> dict[str, Any]:
        """Return the request's body. Raises ValueError for a time or a downsampling that is not well formed."""
        metric: dict[str, Any] = {"name": self.name, "tags": {k: _values(v) for k, v in self.tags.items()}}
        if self.downsample:
            function, _, span = self.downsample.partition(":")
            metric["downsample"] = {"name": function, "sampling": parse_span(span)}
        if self.aggregate:
            metric["aggregate"] = self.aggregate
        if self.limit:
            metric["limit"] = self.limit
        body: dict[str, Any] = {"metrics": [metric], **_time("start", self.start)}
        return body if self.end is None else {**body, **_time("end", self.end)}

    def range_ms(self, now_ms: int) -> tuple[int, int]:
        """Return start and end in ms since 1970 UTC. Raises ValueError for a time that is not well formed."""
        start, end = _moment(self.start), now_ms if self.end is None else _moment(self.end)
        return (
            start if isinstance(start, int) else _before(now_ms, start),
            end if isinstance(end, int) else _before(now_ms, end),
        )


def _values(value: str | Sequence[str]) -> str | list[str]:
    return value if isinstance(value, str) else list(value)


def parse_span(text: str) -> dict[str, Any]:
    """Return a span such as `20m` as the API takes it. Raises ValueError."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no span of time such as 30s, 1m, 2h, 1d, 1w, 1n (month) or 1y")
    return {"value": int(found[1]), "unit": _UNITS[found[2]]}


def _time(which: str, time: Time) -> dict[str, Any]:
    moment = _moment(time)
    if isinstance(moment, int):
        return {f"{which}_absolute": moment}
    return {f"{which}_relative": moment}


def _moment(time: Time) -> int | dict[str, Any]:
    """Return a time in ms since 1970 UTC, or as the span before now that it is. Raises ValueError."""
    if isinstance(time, int):
        return time
    if isinstance(time, datetime):
        return round(time.timestamp() * 1000)
    text = time.strip()
    if text == "now":
        return {"value": 0, "unit": "milliseconds"}
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return parse_span(text)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def _before(now_ms: int, span: dict[str, Any]) -> int:
    """Return the time a span before now; months and years have 30 and 365 days here."""
    return now_ms - int(span["value"] * _UNIT_MS[span["unit"]])


class Prepared(NamedTuple):
    """A request as it is sent; signed anew for every try."""

    method: str
    target: str
    body: bytes


def path_of(account: Account, *words: str) -> str:
    """Return the path of an endpoint of the account's domain."""
    base = urlsplit(account.url).path.rstrip("/")
    return "/".join((base + "/api/v1", quote(account.domain, safe=""), *(quote(word, safe="") for word in words)))


def write_request(account: Account, series: Sequence[Series]) -> Prepared:
    """Return the request that writes series."""
    body = [{"name": one.name, "tags": dict(one.tags), "datapoints": [list(p) for p in one.points]} for one in series]
    return Prepared("POST", path_of(account, "datapoints"), json.dumps(body, separators=(",", ":")).encode())


def query_request(account: Account, query: Query, *words: str) -> Prepared:
    """Return the request of a query; `words` name another endpoint that takes one."""
    return Prepared("POST", path_of(account, "datapoints", *(words or ("query",))), json.dumps(query.body()).encode())


def names_request(account: Account, kind: str, **parameters: str) -> Prepared:
    """Return the request for names: `metricnames`, `tagnames` or `tagvalues`."""
    given = {name: value for name, value in parameters.items() if value}
    target = path_of(account, kind) + (f"?{urlencode(given, quote_via=quote)}" if given else "")
    return Prepared("GET", target, b"")


def delete_metric_request(account: Account, name: str) -> Prepared:
    """Return the request that deletes a metric."""
    return Prepared("DELETE", path_of(account, "metric", name), b"")


def host_of(account: Account) -> str:
    """Return the Host header of the account's gateway, as HTTP clients send it."""
    parts = urlsplit(account.url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"


def sign_headers(account: Account, method: str, target: str, body: bytes = b"") -> dict[str, str]:
    """Return the headers of a request: its Host, its type, and its signature when the account has a key."""
    headers = {"Host": host_of(account)}
    if body:
        headers["Content-Type"] = "application/json"
    if not account.key:
        return headers
    # without it, two equal writes of one second had one signature, and the second would not be applied again
    headers["X-Amondawa-Request"] = secrets.token_hex(8)
    path, _, query = target.partition("?")
    request = Request(method, path, query, list(headers.items()))
    return {**headers, **sign(request, body, account.key, account.secret, account.region)}


def checked(status: int, headers: Mapping[str, str], body: bytes) -> Any:
    """Return the JSON of an answer, None when it has no body. Raises Refused, or ClientError for what is no JSON."""
    if status >= 400:
        after = headers.get("Retry-After", "")
        raise Refused(status, body.decode("utf-8", "replace"), float(after) if after.isdigit() else None)
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError as error:
        raise ClientError(f"the answer is no JSON: {body[:100]!r}") from error


class Stream(NamedTuple):
    """One result of a query."""

    name: str
    tags: Mapping[str, str | list[str]]
    values: list[tuple[int, Any]]

    @property
    def label(self) -> str:
        """The name with the tags, as people write it."""
        pairs = ((k, v if isinstance(v, str) else "|".join(v)) for k, v in sorted(self.tags.items()))
        text = ",".join(f"{name}={value}" for name, value in pairs)
        return f"{self.name}{{{text}}}" if text else self.name


def streams_of(answer: Any) -> list[Stream]:
    """Return the results of a query's answer. Raises ClientError when it is none."""
    try:
        results = [result for query in answer["queries"] for result in query["results"]]
        return [Stream(one["name"], one["tags"], [(t, v) for t, v in one["values"]]) for one in results]
    except (KeyError, TypeError, ValueError) as error:
        raise ClientError("the answer is not that of a query") from error
