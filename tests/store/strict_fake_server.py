"""The strict fake as a process of its own, over sockets, so that a gateway process can stand on it and be killed.

    python -m tests.store.strict_fake_server PORT

It speaks DynamoDB's JSON protocol. Two more paths are for tests: `GET /figures` returns units and requests so far, `POST
/faults` takes fields of `Faults` as JSON, and `down` makes it refuse every request with status 503.
"""

from __future__ import annotations

import asyncio
import base64
import re
import sys
from collections.abc import Callable
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from tests.store.strict_fake import StrictFake

PREFIX = "DynamoDB_20120810."
_HEADER = re.compile(rb"(?im)^(x-amz-target|content-length): *(\S+)\r?$")
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
Answer = tuple[int, bytes]


def decoded(value: Any) -> Any:
    """Return JSON with every {"B": text} as bytes."""
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get("B"), str):
            return {"B": base64.b64decode(value["B"])}
        return {name: decoded(one) for name, one in value.items()}
    return [decoded(one) for one in value] if isinstance(value, list) else value


def encoded(value: Any) -> Any:
    """Return a value with all bytes as base64 text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: encoded(one) for name, one in value.items()}
    return [encoded(one) for one in value] if isinstance(value, list) else value


class FakeServer:
    """Requests of the wire to calls of the fake."""

    def __init__(self, service: StrictFake) -> None:
        self._service = service
        self._client = service.client()

    def answer(self, path: str, target: str, body: bytes) -> Answer | None:
        """Return status and body; None to close the connection without an answer."""
        if path == "/figures":
            return 200, orjson.dumps(self._figures())
        if path == "/faults":
            for name, value in orjson.loads(body).items():
                setattr(self._service.faults, name, value)
            return 200, b"{}"
        return self._call(target, body)

    def _call(self, target: str, body: bytes) -> Answer | None:
        if not target.startswith(PREFIX):
            return 400, b'{"__type": "com.amazon.coral.service#MissingAuthenticationTokenException"}'
        name = _CAPITAL.sub("_", target.removeprefix(PREFIX)).lower()
        method: Callable[..., dict[str, Any]] = getattr(self._client, name)
        try:
            return 200, orjson.dumps(encoded(method(**decoded(orjson.loads(body)))))
        except ClientError as error:
            details = error.response["Error"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            more = {"Item": error.response["Item"]} if "Item" in error.response else {}
            kind = f"com.amazonaws.dynamodb.v20120810#{details['Code']}"
            return status, orjson.dumps(encoded({"__type": kind, "message": details["Message"], **more}))
        except BotoCoreError:
            return None

    def _figures(self) -> dict[str, Any]:
        read: dict[str, float] = {}
        written: dict[str, float] = {}
        for (table, _), units in self._service.read_units.items():
            read[table] = read.get(table, 0.0) + units
        for (table, _), units in self._service.write_units.items():
            written[table] = written.get(table, 0.0) + units
        return {"read_units": read, "write_units": written, "requests": self._service.requests}


async def converse(server: FakeServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            headers = {name.lower(): value for name, value in _HEADER.findall(head)}
            body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
            path = head.split(b" ", 2)[1].decode()
            answer = server.answer(path, headers.get(b"x-amz-target", b"").decode(), body)
            if answer is None:
                return
            status, content = answer
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n"
                % (status, len(content))
                + content
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        return  # the client has gone
    finally:
        writer.close()


async def serve(port: int) -> None:
    """Listen until the process is ended."""
    server = FakeServer(StrictFake())
    listener = await asyncio.start_server(lambda r, w: converse(server, r, w), "127.0.0.1", port, limit=2**26)
    async with listener:
        await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
