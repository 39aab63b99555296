"""The list of running queries, as one domain may see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_TEXT_BYTES = 4096
_MARK = "\x00"


def label_of(domain: str, metric: str, body: bytes) -> str:
    """Return the label of a query: whose it is, its first metric, and its text, cut when it is long."""
    return _MARK.join((f"kairosdb/{domain}", metric, body[:_TEXT_BYTES].decode("utf-8", "replace")))


def listed(running: Iterable[Mapping[str, object]], domain: str) -> list[dict[str, Any]]:
    """Return the queries of a domain, as they are answered."""
    found = []
    for one in running:
        owner, _, rest = str(one.get("label", "")).partition(_MARK)
        if owner == f"kairosdb/{domain}":
            metric, _, text = rest.partition(_MARK)
            found.append(
                {
                    "query hash": str(one.get("id")),
                    "metric name": metric,
                    "query": text,
                    "started_ms": one.get("started_ms"),
                    "points": one.get("points"),
                }
            )
    return found
