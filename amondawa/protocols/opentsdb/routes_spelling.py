"""Paths in another spelling than the routes': the original looks at leading words without regard to case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import web
from yarl import URL

from amondawa.protocols.opentsdb.paths import usual


class OtherSpellings(web.AbstractResource):
    """Matches a request like the route that its path means, so that whoever asks which route it is sees that one.

    Args:
        router: holds the routes; this resource is to be registered behind them and before what takes every path.
    """

    def __init__(self, router: web.UrlDispatcher) -> None:
        super().__init__()
        self._router = router

    @property
    def canonical(self) -> str:
        """See AbstractResource: looked at for every path."""
        return "/"

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        """Return how the path in its usual spelling is matched; nothing when it is spelled so already."""
        path = request.raw_path.partition("?")[0]
        meant = usual(path)
        if meant == path:
            return None, set()
        match = await self._router.resolve(request.clone(rel_url=URL(meant, encoded=True)))
        return (None, set()) if match.http_exception is not None else (match, set())

    def raw_match(self, path: str) -> bool:
        """See AbstractResource."""
        return False

    def add_prefix(self, prefix: str) -> None:
        """See AbstractResource: prefixed applications are not used."""

    def url_for(self, **kwargs: str) -> URL:
        """Refuse: what is spelled otherwise has no address of its own. Raises RuntimeError, as aiohttp's own resources do."""
        raise RuntimeError("another spelling of a path is no address to give out")

    def get_info(self) -> Any:
        """See AbstractResource."""
        return {}

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0
