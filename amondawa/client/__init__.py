"""A small client of the native API: `Client` waits, `AsyncClient` awaits; both write, query to a DataFrame, and sign.

client = Client("http://127.0.0.1:5000", domain="shop", key="…", secret="…")
client.write([Series("room.temperature", {"room": "hall"}, [(1700000000000, 20.5)])])
frame = client.query(Query("room.temperature", start="1h", downsample="avg:1m"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amondawa.client.requests import Account, ClientError, Query, Refused, Series, sign_headers
from amondawa.client.synchronous import Client

if TYPE_CHECKING:
    from amondawa.client.asynchronous import AsyncClient


def __getattr__(name: str) -> Any:
    """Import the awaiting client when it is asked for: those who wait need no event loop's library."""
    if name == "AsyncClient":
        from amondawa.client.asynchronous import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Account", "AsyncClient", "Client", "ClientError", "Query", "Refused", "Series", "sign_headers"]
