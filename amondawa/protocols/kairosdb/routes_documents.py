"""Metadata over HTTP: small values that clients keep by service, service key and key.

Source: suite metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

from aiohttp import web

from amondawa.aggregate.group import utf16_order
from amondawa.protocols.base import Scope
from amondawa.protocols.http import domain_of, read_body
from amondawa.protocols.kairosdb.routes_answers import (
    JSON,
    JSON_UTF8,
    NO_CACHE,
    Resource,
    failed,
    nothing,
    preferred,
    value_answer,
)

COLLECTION = "kairosdb_metadata"
TEXT = "text/plain"
_PART = "[^/]+"


def document_key(*parts: str) -> str:
    """Join the parts of a key so that no part can reach into another."""
    return "/".join(quote(part, safe="") for part in parts)


class MetadataRoutes:
    """Handlers of /api/v1/metadata. Services that begin with _ are the server's own."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def resources(self) -> Mapping[str, Resource]:
        """Return the paths and what answers them."""
        service, key = f"{{service:{_PART}}}", f"{{service_key:{_PART}}}"
        value = {"GET": self.get, "POST": self.put, "DELETE": self.delete}
        return {
            f"/metadata/{service}": Resource({"GET": self.service_keys}),
            f"/metadata/{service}/{key}": Resource({"GET": self.keys}),
            f"/metadata/{service}/{key}/{{key:{_PART}}}": Resource(value, produces=(JSON, TEXT)),
        }

    async def service_keys(self, request: web.Request) -> web.Response:
        """List the service keys of a service, once a key as the original does."""
        service = request.match_info["service"]
        if service.startswith("_"):
            return nothing(401)
        found = await self._list(request, document_key(service) + "/")
        return value_answer({"results": [parts[1] for parts in found]})

    async def keys(self, request: web.Request) -> web.Response:
        """List the keys of a service key, or those that begin with `startsWith`."""
        service = request.match_info["service"]
        if service.startswith("_"):
            return nothing(401)
        start = request.query.get("startsWith", "")
        prefix = document_key(service, request.match_info["service_key"]) + "/"
        found = await self._list(request, prefix)
        return value_answer({"results": [parts[2] for parts in found if parts[2].startswith(start)]})

    async def get(self, request: web.Request) -> web.Response:
        """Return a value bare."""
        if request.match_info["service"].startswith("_"):
            return nothing(401)
        accept = request.headers.get("Accept", "")
        plain = bool(accept.strip()) and preferred(accept, (JSON, TEXT)) == TEXT
        value = await self._scope.gateway.get_document(*self._address(request))
        headers = {**NO_CACHE, "Content-Type": "text/plain;charset=utf-8" if plain else JSON_UTF8}
        if value is None:
            return web.Response(status=404, headers=headers) if plain else failed(["Key not found"], 404)
        return web.Response(body=value, headers=headers)

    async def put(self, request: web.Request) -> web.Response:
        """Set a value."""
        if request.match_info["service"].startswith("_"):
            return nothing(401)
        value = await read_body(request, self._scope.settings.text_limit_bytes)
        await self._scope.gateway.put_document(*self._address(request), value)
        return nothing()

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a value; one that is not there is no error."""
        if request.match_info["service"].startswith("_"):
            return nothing(401)
        await self._scope.gateway.delete_document(*self._address(request))
        return nothing()

    def _address(self, request: web.Request) -> tuple[str, str, str]:
        parts = (request.match_info[name] for name in ("service", "service_key", "key"))
        return domain_of(request, self._scope), COLLECTION, document_key(*parts)

    async def _list(self, request: web.Request, prefix: str) -> list[list[str]]:
        domain = domain_of(request, self._scope)
        found = await self._scope.gateway.list_documents(domain, COLLECTION, prefix)
        keys = [[unquote(part) for part in key.split("/")] for key, _ in found]
        return sorted(keys, key=lambda parts: [utf16_order(part) for part in parts])
