"""The client that awaits. Many requests at once are fine."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from amondawa.client.requests import (
    Account,
    ClientError,
    Prepared,
    Query,
    Refused,
    Series,
    Stream,
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


class AsyncClient:
    """A client of one domain; use it as a context manager.

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
        self._timeout = aiohttp.ClientTimeout(timeout_s)
        self._tries = tries
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the next request opens others."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def write(self, series: Sequence[Series]) -> None:
        """Write points; when it returns they are durable and visible. Raises ClientError, Refused."""
        await self._send(write_request(self.account, series))

    async def query(self, query: Query) -> pd.DataFrame:
        """Run a query; see `frames.frame_of` for the shape. Raises ClientError, Refused, ValueError."""
        from amondawa.client.frames import frame_of

        return frame_of(await self.streams(query))

    async def streams(self, query: Query) -> list[Stream]:
        """Run a query; return its results as they come. Raises ClientError, Refused, ValueError."""
        return streams_of(await self._send(query_request(self.account, query)))

    async def metric_names(self, prefix: str = "") -> list[str]:
        """Return the domain's metrics. Raises ClientError, Refused."""
        return _names(await self._send(names_request(self.account, "metricnames", prefix=prefix)))

    async def tag_names(self) -> list[str]:
        """Return the domain's tag names. Raises ClientError, Refused."""
        return _names(await self._send(names_request(self.account, "tagnames")))

    async def tag_values(self, tag: str = "") -> list[str]:
        """Return the domain's tag values, of one tag or of all. Raises ClientError, Refused."""
        return _names(await self._send(names_request(self.account, "tagvalues", tag=tag)))

    async def delete(self, query: Query) -> None:
        """Delete the points that a query would read. Raises ClientError, Refused, ValueError."""
        await self._send(query_request(self.account, query, "delete"))

    async def delete_metric(self, name: str) -> None:
        """Delete a metric. Raises ClientError, Refused."""
        await self._send(delete_metric_request(self.account, name))

    async def _send(self, prepared: Prepared) -> Any:
        """Send a request, and again while the gateway says that it may come back or the network fails."""
        for left in reversed(range(self._tries)):
            try:
                return await self._try(prepared)
            except Refused as error:
                if error.retry_after_s is None or not left:
                    raise
                await asyncio.sleep(error.retry_after_s)
            except (aiohttp.ClientError, TimeoutError) as error:
                if not left:
                    raise ClientError(f"{self.account.url} cannot be reached: {error}") from error
                await asyncio.sleep(0.1 * (self._tries - left))
        raise ClientError("no try was allowed")

    async def _try(self, prepared: Prepared) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        parts = urlsplit(self.account.url)
        url = URL(f"{parts.scheme}://{parts.netloc}{prepared.target}", encoded=True)
        headers = sign_headers(self.account, *prepared)
        sent = self._session.request(
            prepared.method, url, data=prepared.body or None, headers=headers, ssl=self._tls or True
        )
        async with sent as answer:
            return checked(answer.status, answer.headers, await answer.read())


def _names(answer: Any) -> list[str]:
    try:
        return list(answer["results"])
    except (KeyError, TypeError) as error:
        raise ClientError("the answer is not a list of names") from error
