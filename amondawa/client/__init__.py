"""A small client of the native API: `Client` waits, `AsyncClient` awaits; both write, query to a DataFrame, and sign.

client = Client("http://127.0.0.1:5000", domain="shop", key="…", secret="…")
client.write([Series("room.temperature", {"room": "hall"}, [(1700000000000, 20.5)])])
frame = client.query(Query("room.temperature", start="1h", downsample="avg:1m"))
"""

from __future__ import annotations

from amondawa.client.asynchronous import AsyncClient
from amondawa.client.requests import Account, ClientError, Query, Refused, Series, sign_headers
from amondawa.client.synchronous import Client

__all__ = ["Account", "AsyncClient", "Client", "ClientError", "Query", "Refused", "Series", "sign_headers"]
