"""Cheap clients: raw sockets that send bytes made before the clock started, and few, large reads."""

from __future__ import annotations

import http.client
import json
import selectors
import socket
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

Address = tuple[str, int]
END_OF_HEAD = b"\r\n\r\n"
PIECE_BYTES = 1 << 18


class UnexpectedAnswer(RuntimeError):
    """The server said something else than the measurement needs."""


def connect(address: Address) -> socket.socket:
    """Open a connection that sends at once."""
    connection = socket.create_connection(address, timeout=120.0)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def send_lines(address: Address, buffers: Iterable[bytes]) -> bytes:
    """Send buffers over one telnet connection, half-close it, return all that was answered until the server closed."""
    with connect(address) as connection:
        for buffer in buffers:
            connection.sendall(buffer)
        connection.shutdown(socket.SHUT_WR)
        answer = bytearray()
        while received := connection.recv(PIECE_BYTES):
            answer += received
        return bytes(answer)


def send_streams(address: Address, streams: Sequence[Iterable[bytes]]) -> None:
    """Send every stream over a telnet connection of its own, at the same time; return when the server closed them all.

    Raises:
        UnexpectedAnswer: a line was refused.
    """
    with ThreadPoolExecutor(len(streams)) as pool:
        for answer in pool.map(lambda stream: send_lines(address, stream), streams):
            if answer:
                raise UnexpectedAnswer(f"telnet answered {answer[:300]!r}")


def request_bytes(path: str, body: bytes, method: str = "POST") -> bytes:
    """Return an HTTP/1.1 request with a JSON body."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: bench",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer_end(data: bytes | bytearray) -> int:
    """Return where an HTTP answer with a Content-Length ends, or -1 when more has to be read."""
    head = data.find(END_OF_HEAD)
    if head < 0:
        return -1
    body_at = head + len(END_OF_HEAD)
    for line in bytes(data[:head]).split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            body_at += int(value)
    return body_at if len(data) >= body_at else -1


def check_accepted(answer: bytes | bytearray) -> None:
    """Raise UnexpectedAnswer unless the answer's status is 2xx."""
    if not answer.startswith(b"HTTP/1.1 2"):
        raise UnexpectedAnswer(f"HTTP answered {bytes(answer[:300])!r}")


def send_requests(address: Address, requests: Sequence[bytes]) -> None:
    """Send requests one after the other over one connection; each must be answered with 2xx."""
    with connect(address) as connection:
        for request in requests:
            connection.sendall(request)
            answer = bytearray()
            while answer_end(answer) < 0:
                received = connection.recv(PIECE_BYTES)
                if not received:
                    raise UnexpectedAnswer(f"connection closed after {bytes(answer[:300])!r}")
                answer += received
            check_accepted(answer)


def post_batches(address: Address, requests: Sequence[bytes], connections: int = 4) -> None:
    """Send large requests over a few connections, each with one request in flight."""
    with ThreadPoolExecutor(connections) as pool:
        shares = [requests[share::connections] for share in range(connections)]
        for _ in pool.map(lambda share: send_requests(address, share), shares):
            pass


@dataclass
class _InFlight:
    """A connection of `post_singles` and when its request was sent."""

    connection: socket.socket
    sent_s: float = 0.0


def post_singles(address: Address, requests: Sequence[bytes], connections: int = 64) -> list[float]:
    """Send small requests over many connections, one in flight on each; return the seconds that each answer took."""
    left = iter(requests)
    latencies: list[float] = []
    with selectors.EpollSelector() as selector:
        for request in (next(left, None) for _ in range(connections)):
            if request is not None:
                flight = _InFlight(connect(address), time.perf_counter())
                flight.connection.sendall(request)
                selector.register(flight.connection, selectors.EVENT_READ, flight)
        while selector.get_map():
            for key, _ in selector.select(60.0):
                flight = key.data
                check_accepted(flight.connection.recv(65_536))
                now = time.perf_counter()
                latencies.append(now - flight.sent_s)
                request = next(left, None)
                if request is None:
                    selector.unregister(flight.connection)
                    flight.connection.close()
                else:
                    flight.sent_s = now
                    flight.connection.sendall(request)
    return latencies


class JsonClient:
    """One kept connection that asks and reads JSON."""

    def __init__(self, address: Address):
        self._connection = http.client.HTTPConnection(*address, timeout=120.0)

    def raw(self, method: str, path: str, body: object = None) -> bytes:
        """Send a request, return the body of the answer. Raises UnexpectedAnswer when its status is not 2xx."""
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, path, body=data, headers={"Content-Type": "application/json"})
        response = self._connection.getresponse()
        answer = response.read()
        if response.status // 100 != 2:
            raise UnexpectedAnswer(f"{method} {path} answered {response.status}: {answer[:300]!r}")
        return answer

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request, return the answer's JSON (None for an empty body)."""
        answer = self.raw(method, path, body)
        return json.loads(answer) if answer else None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> JsonClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
