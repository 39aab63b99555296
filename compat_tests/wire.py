"""What the tests say over sockets: single requests, raw bytes, and the questions that check what was stored."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from compat_tests.process import Address, ServerProcess

T = TypeVar("T")
FAR_MS = 4_102_444_800_000


class Answer(NamedTuple):
    """An HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


def call(
    address: Address,
    method: str,
    path: str,
    body: bytes | str | object | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
) -> Answer:
    """Send one request over a connection of its own; a body that is neither bytes nor str goes as JSON."""
    data = body if body is None or isinstance(body, bytes | str) else json.dumps(body)
    connection = http.client.HTTPConnection(*address, timeout=timeout_s)
    try:
        connection.request(method, path, data, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def talk(address: Address, *pieces: bytes, half_close: bool = True, timeout_s: float = 10.0) -> bytes:
    """Send pieces, half-close, return everything until the server closes.

    Raises:
        TimeoutError: the server did not close in time.
    """
    with socket.create_connection(address, timeout=timeout_s) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def request_head(connection: socket.socket, head: str) -> None:
    """Send the lines of a request's head, with the line ends of HTTP."""
    connection.sendall("\r\n".join([*head.strip().splitlines(), "", ""]).encode())


def read_answer(connection: socket.socket) -> Answer:
    """Read one HTTP answer from a raw connection."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def stored(server: ServerProcess, metric: str, **tags: str) -> list[list[Any]]:
    """Return [[time_ms, value], ...] of a metric, all series merged, as KairosDB's API tells it."""
    wanted = {"name": metric, "tags": {name: [value] for name, value in tags.items()}}
    body = {"start_absolute": 0, "end_absolute": FAR_MS, "metrics": [wanted]}
    answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query", body)
    assert answer.status == 200, answer
    return [pair for result in answer.json()["queries"][0]["results"] for pair in result["values"]]


def eventually(look: Callable[[], T], wanted: Callable[[T], bool], timeout_s: float = 10.0) -> T:
    """Look again and again until what is seen is wanted; return what was seen last."""
    deadline = time.monotonic() + timeout_s
    while True:
        seen = look()
        if wanted(seen) or time.monotonic() > deadline:
            return seen
        time.sleep(0.05)
