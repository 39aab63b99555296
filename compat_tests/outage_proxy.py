"""A TCP proxy between a gateway and its store: it can be shut (connections are refused) or deafened (no answer comes)."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.ports import HOST, free_port

_PIECE = 65_536


class OutageProxy:
    """Forwards connections on a port of its own.

    Args:
        target: port of the service.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._heard = threading.Event()
        self._heard.set()
        self.port = free_port()
        self.open()

    @property
    def url(self) -> str:
        """What a gateway is given as its endpoint."""
        return f"http://{HOST}:{self.port}"

    def open(self) -> None:
        """Forward from now on."""
        self._heard.set()
        if self._listener is None:
            self._listener = socket.create_server((HOST, self.port))
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Break all connections and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._heard.set()

    def deafen(self) -> None:
        """Take connections and requests, but let no answer through."""
        self._heard.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                service = socket.create_connection((HOST, self._target))
            except OSError:
                return  # shut
            with self._lock:
                self._sockets |= {client, service}
            threading.Thread(target=self._forward, args=(client, service, False), daemon=True).start()
            threading.Thread(target=self._forward, args=(service, client, True), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        """Pass bytes on until either side ends."""
        try:
            while piece := source.recv(_PIECE):
                if answers:
                    self._heard.wait()
                sink.sendall(piece)
        except OSError:
            pass  # broken, as is wanted
        with self._lock:
            self._sockets -= {source, sink}
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            if one is source:
                one.close()


@contextmanager
def outage_proxy(target: int) -> Iterator[OutageProxy]:
    """Run a proxy in front of a port of this machine."""
    proxy = OutageProxy(target)
    try:
        yield proxy
    finally:
        proxy.shut()
