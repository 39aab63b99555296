"""The composition root: settings → store → gateway → protocols → listeners, and the order of start and stop.

Start: the store is opened, every port is bound (so that a conflict shows at once), /health/live answers and everything
else is told to come back, the journal is read back, and then the ports are handed to the dialects. Telnet lines that
come early wait.

Anew: a gateway that was out of reach for so long that another took over its journal stops and starts again by itself.

Stop: no more connections, requests in flight finish, the gateway flushes; all within `settings.stop_s`, after which the
process ends as it is: whatever was acknowledged is in the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypedDict

import structlog
from aiohttp import web

from amondawa.allocator import settle_allocator
from amondawa.app_access import Access
from amondawa.app_http import common_application, dialect_application, quick_lane, starting_application
from amondawa.errors import ConfigError
from amondawa.gateway import Gateway
from amondawa.kernels.lines import LOADING_THREAD
from amondawa.listeners.http import HttpPort, make_runner
from amondawa.listeners.port_switch import serve_switched
from amondawa.listeners.quick_http import QuickLane
from amondawa.listeners.telnet import LineServer, serve_lines
from amondawa.listeners.tls import tls_context
from amondawa.protocols.base import LineSession, Scope
from amondawa.protocols.kairosdb import telnet as kairosdb_telnet
from amondawa.protocols.line_access import GuardedSession, SessionMaker, Unasked, opentsdb_refusal, silent_refusal
from amondawa.protocols.opentsdb import telnet as opentsdb_telnet
from amondawa.settings import Settings, unknown_variables, variable_of
from amondawa.store.base import BlockStore
from amondawa.store.open import open_store
from amondawa.telemetry import Metrics, Readiness

COLLECT_AFTER = 100_000
"""objects made before the collector looks at the young ones: batches make many, none of them in cycles"""

DRAIN_S = 3.0
"""how long lines that were read may take to be stored when the process stops"""

LOOK_S = 1.0
"""how often it is looked whether the store must be opened anew"""

log = structlog.get_logger("amondawa")


class LineOptions(TypedDict):
    """Limits of line connections, see listeners.telnet."""

    idle_s: float
    max_connections: int
    delay_s: float
    ssl: ssl.SSLContext | None


class Process:
    """One gateway process: everything that is made at start and ended at stop."""

    def __init__(self, settings: Settings, store: BlockStore) -> None:
        self.settings = settings
        self.readiness = Readiness()
        self.metrics = Metrics()
        self._store = store
        self._gateway: Gateway | None = None
        self._http: dict[str, HttpPort] = {}
        self._telnet: list[LineServer] = []
        self._tasks = contextlib.AsyncExitStack()
        self.access = Access(settings, store)
        self._tls = tls_context(settings)
        self._scope: asyncio.Future[Scope | None] = asyncio.get_running_loop().create_future()

    async def bind(self) -> None:
        """Listen on every port that is turned on, and answer that the process is starting.

        Raises:
            ConfigError: a port cannot be had (the text names it and its option), or may not be listened on without keys.
        """
        settings = self.settings
        await self.access.load()
        if settings.http_port:
            await self._bind("http_port", self._http_listener("common"))
        if settings.kairosdb_port:
            await self._bind("kairosdb_port", self._http_listener("kairosdb"))
        if settings.opentsdb_port:
            await self._bind("opentsdb_port", self._serve_opentsdb)
        if settings.kairosdb_telnet_port:
            await self._bind("kairosdb_telnet_port", self._serve_kairosdb_lines)
        for port in self._http.values():
            await self._show(port, starting_application(self.readiness, self.metrics, self.access.http))

    async def start(self) -> None:
        """Read the journal back and hand the ports to the dialects."""
        gateway = await Gateway.start(self.settings, self._store)
        self._gateway = gateway
        self.access.remember(gateway)
        ruled = self.access.rule(gateway)
        gateway.limit_queries(lambda domain: self.access.keyring.rules_of(domain).query_points)
        gateway.keep_by_domain(lambda: self.access.keyring.kept_s)
        scope = Scope(self.access.guard(ruled), self.settings)
        await self._tasks.enter_async_context(self.access.keyring.kept_fresh())
        await self._tasks.enter_async_context(self.access.turns.kept_short())
        await self._tasks.enter_async_context(ruled.kept_up())
        self.metrics.watch(gateway.statistics)
        self.metrics.watch_domains(ruled.usage)
        self.metrics.watch_units(self._units_by_domain)
        for name, port in self._http.items():
            lane = quick_lane(name, scope, self.metrics, self.access.http)
            await self._show(port, self._application(name, scope), lane)
        self._scope.set_result(scope)
        self.readiness.serving(gateway.statistics, lambda: gateway.outage)

    async def stop(self) -> None:
        """Stop accepting, let requests in flight finish, flush."""
        deadline = time.monotonic() + self.settings.stop_s
        self.readiness.draining()
        for port in self._http.values():
            port.stop_accepting()
        for server in self._telnet:
            server.close()
        if not self._scope.done():
            self._scope.set_result(None)
        requests = [port.show(None) for port in self._http.values()]
        await asyncio.gather(*requests, *(server.wait_closed(DRAIN_S) for server in self._telnet))
        await self._tasks.aclose()
        if self._gateway is not None:
            await self._gateway.stop(max(0.5, deadline - time.monotonic() - 1.0))
        else:
            self._store.close()

    def _units_by_domain(self) -> dict[str, tuple[float, float]]:
        used = self._store.consumed_by_domain()
        return {domain: (units.read_units, units.write_units) for domain, units in used.items()}

    def _http_listener(self, name: str) -> Callable[[str, int], Coroutine[Any, Any, None]]:
        http = self._http_port(name)
        return lambda address, port: http.bind(address, port, self._tls)

    def _http_port(self, name: str) -> HttpPort:
        return self._http.setdefault(name, HttpPort())

    def _application(self, name: str, scope: Scope) -> web.Application:
        if name == "common":
            return common_application(scope, self.readiness, self.metrics, self.access.http)
        return dialect_application(name, scope, self.metrics, self.access.http)

    async def _show(self, port: HttpPort, app: web.Application, lane: QuickLane | None = None) -> None:
        await port.show(await make_runner(app, self.settings.http_idle_s, lane))

    async def _bind(self, field: str, listen: Callable[[str, int], Coroutine[Any, Any, None]]) -> None:
        address, port = self.settings.bind, getattr(self.settings, field)
        try:
            await listen(address, port)
        except OSError as error:
            option = "--" + field.removesuffix("_port").replace("_", "-")
            raise ConfigError(
                f"cannot listen on {address}:{port} ({option} or {variable_of(field)}): {_reason(error)}"
            ) from error

    async def _serve_opentsdb(self, address: str, port: int) -> None:
        http = self._http_port("opentsdb")
        sessions = self._early_sessions(opentsdb_telnet.session, opentsdb_refusal)
        self._telnet.append(await serve_switched(address, port, http.connect, sessions, **self._line_limits()))

    async def _serve_kairosdb_lines(self, address: str, port: int) -> None:
        sessions = self._early_sessions(kairosdb_telnet.session, silent_refusal)
        self._telnet.append(await serve_lines(address, port, sessions, **self._line_limits()))

    def _early_sessions(self, make: SessionMaker, unasked: Unasked) -> Callable[[], EarlySession]:
        def guarded(scope: Scope) -> LineSession:
            return GuardedSession(scope, self.access.lines, make, unasked)

        return lambda: EarlySession(self._scope, guarded)

    def _line_limits(self) -> LineOptions:
        settings = self.settings
        return {
            "idle_s": settings.telnet_idle_s,
            "max_connections": settings.telnet_connections,
            "delay_s": settings.write_delay_ms / 1000,
            "ssl": self._tls,
        }


class EarlySession:
    """A telnet connection's dialect; what arrives before the gateway is up waits.

    Args:
        scope: resolved when the gateway is up; to None when it never will be.
        make: makes the dialect's own session.
    """

    def __init__(self, scope: asyncio.Future[Scope | None], make: Callable[[Scope], LineSession]) -> None:
        self._scope = scope
        self._make = make
        self._session: LineSession | None = None
        self._given_up = False

    async def receive(self, data: bytes) -> bytes:
        """Take bytes; see LineSession."""
        if self._session is None:
            scope = await asyncio.shield(self._scope)
            if scope is None:
                self._given_up = True
                return b""
            self._session = self._make(scope)
        return await self._session.receive(data)

    async def end(self) -> None:
        """Take what is left; see LineSession."""
        if self._session is not None:
            await self._session.end()

    @property
    def closing(self) -> bool:
        """Whether the connection must end; see LineSession."""
        return self._given_up or (self._session is not None and self._session.closing)


def run(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: everything.
        say: shows a line to the person who started the process.

    Raises:
        ConfigError: a setting cannot be carried out (port in use, unwritable directory …).
    """
    _check_ports(settings)
    settle_allocator()
    for name, nearest in unknown_variables(os.environ).items():
        log.warning("environment variable names no setting", variable=name, nearest=nearest or None)
    store, stopping = open_store(settings), asyncio.Event()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        while not runner.run(_serve(settings, store, say, stopping)):
            log.warning("another gateway took over this one's journal while it was out of reach: starting again")
            store = open_store(settings)
    _leave_compiling_behind()


def _leave_compiling_behind() -> None:
    """End at once when kernels are still being compiled: LLVM aborts when the interpreter is taken down around it."""
    if any(thread.name == LOADING_THREAD for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


async def _serve(settings: Settings, store: BlockStore, say: Callable[[str], None], stopping: asyncio.Event) -> bool:
    """Start, wait for a signal, stop; say whether it was one, and not that the store must be opened anew."""
    began = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    process = Process(settings, store)
    try:
        await process.bind()
        say(listening_text(settings))
        starting = asyncio.ensure_future(process.start())
        waiting = asyncio.ensure_future(_until_over(stopping, store))
        await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            _settle_memory()
            say(f"Ready after {time.monotonic() - began:.1f} s. Try: {curl_line(settings)}")
            await waiting
        else:
            starting.cancel()
    finally:
        timer = _end_whatever_happens(settings.stop_s, 0 if stopping.is_set() else 1)
        await process.stop()
        timer.cancel()
    log.info("stopped")
    return stopping.is_set()


async def _until_over(stopping: asyncio.Event, store: BlockStore) -> None:
    """Return when a signal came, or when the store must be opened anew."""
    while not (stopping.is_set() or store.is_replaced):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), LOOK_S)


def _settle_memory() -> None:
    """Keep the garbage collector away from what lives as long as the process, and from columns that hold no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 50, 100)


def _end_whatever_happens(after_s: float, status: int) -> threading.Timer:
    """End the process when stopping takes too long: what was acknowledged is durable already. Cancel it when it did not."""

    def end() -> None:
        log.warning("stopping took too long, ending as it is; the journal holds what was not flushed", limit_s=after_s)
        sys.stderr.flush()
        os._exit(status)

    timer = threading.Timer(after_s, end)
    timer.daemon = True
    timer.start()
    return timer


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop where it is installed; None = asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _check_ports(settings: Settings) -> None:
    """Refuse to serve nothing."""
    if not any((settings.http_port, settings.kairosdb_port, settings.opentsdb_port, settings.kairosdb_telnet_port)):
        raise ConfigError("every port is turned off (0): there is nothing to serve")


def _reason(error: OSError) -> str:
    """Return the system's words for an error without its number and our address."""
    text = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return text[:1].lower() + text[1:]


def _url_host(address: str) -> str:
    """Return how a client of this machine writes the address."""
    if address in ("0.0.0.0", "::"):  # noqa: S104  # recognised, not bound
        return "127.0.0.1" if address == "0.0.0.0" else "[::1]"  # noqa: S104
    return f"[{address}]" if ":" in address else address


def listening_text(settings: Settings) -> str:
    """Return a line for every port that is turned on."""
    host = _url_host(settings.bind)
    where = settings.data if settings.store == "sqlite" else settings.store
    http, telnet = ("https://", "telnets://") if settings.tls_cert else ("http://", "telnet://")
    ports = (
        (settings.http_port, http, "native API, KairosDB, OpenTSDB, /health, /metrics"),
        (settings.kairosdb_port, http, "KairosDB"),
        (settings.opentsdb_port, http, "OpenTSDB, HTTP and telnet"),
        (settings.kairosdb_telnet_port, telnet, "KairosDB telnet"),
    )
    lines = [f"  {scheme + host}:{port}  {speaks}" for port, scheme, speaks in ports if port]
    return "\n".join([f"Amondawa keeps its data in {where} and listens on", *lines])


def curl_line(settings: Settings) -> str:
    """Return a command that shows that the gateway answers."""
    host = _url_host(settings.bind)
    for port, path in (
        (settings.http_port, "/api/v1/version"),
        (settings.kairosdb_port, "/api/v1/version"),
        (settings.opentsdb_port, "/api/version"),
    ):
        if port:
            return f"curl {'https' if settings.tls_cert else 'http'}://{host}:{port}{path}"
    return (
        f"bash -c 'exec 3<>/dev/tcp/{host.strip('[]')}/{settings.kairosdb_telnet_port}; echo version >&3; head -n1 <&3'"
    )
