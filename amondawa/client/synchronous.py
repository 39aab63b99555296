"""The client that waits. One connection, kept open; not for several threads at once."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from amondawa.client.requests import (
    Account,
    ClientError,
    Prepared,
    Query,
    Refused,
    Series,
    Stream,
    TooLarge,
    checked,
    delete_metric_request,
    names_request,
    query_request,
    sign_headers,
    streams_of,
    write_request,
)

if TYPE_CHECKING:
    import pandas as pd


class Client:
    """A client of one domain.

    Args:
        url: of the gateway's common port.
        domain: to work on.
        key: access key; empty = none.
        secret: of the key.
        region: of the gateway.
        timeout_s: for each request.
        tries: of a request that the gateway or the network could not take; each is signed anew.
        tls: how to trust the gateway's certificate; None = as the system does.
    """

    def __init__(
        self,
        url: str,
        domain: str = "default",
        key: str = "",
        secret: str = "",
        region: str = "us-west-2",
        *,
        timeout_s: float = 60.0,
        tries: int = 4,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.account = Account(url, domain, key, secret, region)
        self._timeout_s = timeout_s
        self._tries = tries
        self._tls = tls
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def write(self, series: Sequence[Series]) -> None:
        """Write points; when it returns they are durable and visible. Raises ClientError, Refused."""
        self._send(write_request(self.account, series))

    def query(self, query: Query) -> pd.DataFrame:
        """Run a query; see `frames.frame_of` for the shape. Raises ClientError, Refused, ValueError."""
        from amondawa.client.frames import frame_of

        return frame_of(self.streams(query))

    def streams(self, query: Query, limit_bytes: int = 0) -> list[Stream]:
        """Run a query; return its results as they come.

        Args:
            query: what to read.
            limit_bytes: largest answer that is taken; 0 = any.

        Raises:
            ClientError, Refused, ValueError; TooLarge: the answer is larger than that.
        """
        return streams_of(self._send(query_request(self.account, query), limit_bytes))

    def metric_names(self, prefix: str = "") -> list[str]:
        """Return the domain's metrics. Raises ClientError, Refused."""
        return _names(self._send(names_request(self.account, "metricnames", prefix=prefix)))

    def tag_names(self) -> list[str]:
        """Return the domain's tag names. Raises ClientError, Refused."""
        return _names(self._send(names_request(self.account, "tagnames")))

    def tag_values(self, tag: str = "") -> list[str]:
        """Return the domain's tag values, of one tag or of all. Raises ClientError, Refused."""
        return _names(self._send(names_request(self.account, "tagvalues", tag=tag)))

    def delete(self, query: Query) -> None:
        """Delete the points that a query would read. Raises ClientError, Refused, ValueError."""
        self._send(query_request(self.account, query, "delete"))

    def delete_metric(self, name: str) -> None:
        """Delete a metric. Raises ClientError, Refused."""
        self._send(delete_metric_request(self.account, name))

    def _send(self, prepared: Prepared, limit_bytes: int = 0) -> Any:
        """Send a request, and again while the gateway says that it may come back or the network fails."""
        for left in reversed(range(self._tries)):
            try:
                return self._try(prepared, limit_bytes)
            except Refused as error:
                if error.retry_after_s is None or not left:
                    raise
                time.sleep(error.retry_after_s)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if not left:
                    raise ClientError(f"{self.account.url} cannot be reached: {error}") from error
                time.sleep(0.1 * (self._tries - left))
        raise ClientError("no try was allowed")

    def _try(self, prepared: Prepared, limit_bytes: int) -> Any:
        connection = self._connected()
        headers = sign_headers(self.account, *prepared)
        connection.request(prepared.method, prepared.target, prepared.body, headers)
        answer = connection.getresponse()
        body = answer.read(limit_bytes + 1) if limit_bytes else answer.read()
        if limit_bytes and len(body) > limit_bytes:
            self.close()
            raise TooLarge(f"the answer is larger than {limit_bytes} bytes")
        return checked(answer.status, dict(answer.getheaders()), body)

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            parts = urlsplit(self.account.url)
            if parts.scheme == "https":
                context = self._tls or ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(parts.netloc, timeout=self._timeout_s, context=context)
            elif parts.scheme == "http":
                self._connection = http.client.HTTPConnection(parts.netloc, timeout=self._timeout_s)
            else:
                raise ClientError(f"{self.account.url!r} does not begin with http:// or https://")
        return self._connection


def _names(answer: Any) -> list[str]:
    try:
        return list(answer["results"])
    except (KeyError, TypeError) as error:
        raise ClientError("the answer is not a list of names") from error
