"""A gateway over the memory store with access keys, and ways to ask it."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

from aiohttp import ClientSession, web
from multidict import CIMultiDictProxy
from yarl import URL

from amondawa.app import Process
from amondawa.app_http import common_application, dialect_application
from amondawa.auth.permissions import Permissions
from amondawa.protocols.access import OPEN_ROUTES
from amondawa.protocols.guarded import GuardedGateway
from amondawa.protocols.ruled import RuledGateway
from amondawa.settings import Settings
from amondawa.store.base import BlockStore
from amondawa.store.open import open_store
from tests.test_app import port_settings

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")


class Key(NamedTuple):
    """An access key with its secret."""

    key: str
    secret: str

    @property
    def basic(self) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{self.key}:{self.secret}".encode()).decode()}

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}:{self.secret}"}


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: CIMultiDictProxy[str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Guarded:
    """A process and a client of it."""

    def __init__(self, process: Process, session: ClientSession) -> None:
        self.process = process
        self.session = session

    def add_key(self, *permissions: str) -> Key:
        made, secret = self.process.access.table.add(Permissions.parse(permissions))
        self.reload()
        return Key(made.key, secret)

    def reload(self) -> None:
        self.process.access.keyring.load()

    async def count_series(self) -> None:
        """Have limits on series in force at once."""
        await self.ruled.count_series()

    @property
    def ruled(self) -> RuledGateway:
        """The rules of domains."""
        scope = self.process._scope.result()
        assert scope is not None
        assert isinstance(scope.gateway, GuardedGateway)
        assert isinstance(scope.gateway._door, RuledGateway)
        return scope.gateway._door

    def address(self, port: str) -> str:
        return f"http://127.0.0.1:{getattr(self.process.settings, port)}"

    async def ask(
        self, port: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        url = URL(self.address(port) + path, encoded=True)
        async with self.session.request(method, url, data=data, headers=headers or {}) as answer:
            return Answer(answer.status, answer.headers, (await answer.read()).decode("utf-8", "replace"))


@contextlib.asynccontextmanager
async def guarded(opened: BlockStore | None = None, **changes: Any) -> AsyncIterator[Guarded]:
    """Run a process over a store (or the one that its settings name)."""
    settings = Settings(**(port_settings() | {"store": "memory"} | changes))
    process = Process(settings, opened or open_store(settings))
    async with ClientSession() as session:
        try:
            await process.bind()
            await process.start()
            yield Guarded(process, session)
        finally:
            await process.stop()


class Route(NamedTuple):
    """One route of a port: a path of it, its pattern without a domain in front, and the methods that it takes."""

    port: str
    path: str
    pattern: str
    names_domain: bool
    methods: frozenset[str]


def routes(process: Process, domain: str) -> Iterator[Route]:
    """Yield every route that the applications of a process have, with a path that leads to it."""
    for port, app in _applications(process):
        methods: dict[str, set[str]] = {}
        for route in app.router.routes():
            if route.resource is not None:
                taken = METHODS if route.method == "*" else (route.method,)
                methods.setdefault(route.resource.canonical, set()).update(taken)
        for pattern in sorted(methods):
            path = pattern.replace("{domain}", domain)
            for name in ("slash", "tail", "version"):
                path = path.replace("{" + name + "}", "")
            path = re.sub(r"\{[^}]*\}", "x1", path)
            bare = pattern.removeprefix("/domains/{domain}")
            yield Route(port, path, bare, "{domain}" in pattern, frozenset(methods[pattern]))


def _applications(process: Process) -> Iterator[tuple[str, web.Application]]:
    """Compose the applications anew, as the process does."""
    scope = process._scope.result()
    assert scope is not None
    rest = (process.metrics, process.access.http)
    yield "http_port", common_application(scope, process.readiness, *rest)
    yield "kairosdb_port", dialect_application("kairosdb", scope, *rest)
    yield "opentsdb_port", dialect_application("opentsdb", scope, *rest)


def is_open(route: Route) -> bool:
    return route.pattern in OPEN_ROUTES
