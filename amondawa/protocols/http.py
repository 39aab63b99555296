"""What every HTTP dialect needs of a request: its body within a limit, unpacked, and its domain.

The server runs with `auto_decompress=False` and never calls `request.read()`: the limits are ours, and each dialect
answers a body that is too large or badly packed in its own shape.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from amondawa.auth.caller import current_caller
from amondawa.errors import AmondawaError, BadRequest, BodyTooLarge, Cancelled, Unavailable

if TYPE_CHECKING:
    from aiohttp import web

    from amondawa.protocols.base import Scope

DOMAIN_HEADER = "X-Amondawa-Domain"

NOT_GZIP = "Not in GZIP format"
CUT_GZIP = "Unexpected end of ZLIB input stream"

STALLED_S = 60.0
"""a body of which nothing arrives for so long is given up"""

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_STEP_BYTES = 1 << 20


async def read_body(request: web.BaseRequest, limit_bytes: int) -> bytes:
    """Read a request's body as it came over the wire (still packed, when the client packed it).

    Raises:
        BodyTooLarge: past the limit; what follows is not read.
        BadRequest: nothing came for STALLED_S.
        Cancelled: the client went away.
    """
    caller = current_caller()
    if caller is not None and caller.body is not None:  # read before, to check its signature
        if len(caller.body) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        return caller.body
    announced = request.content_length
    if announced is not None and announced > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    if not request.can_read_body:
        return b""
    if request.content.is_eof() and request.content.exception() is not None:
        # The client sent everything and closed at once; aiohttp marks what it sent as broken, but all of it is there.
        request.content.set_exception(None)  # type: ignore[arg-type]
    if request.content.is_eof() and request.content.exception() is None:
        body: bytes = request.content.read_nowait()  # small bodies are here already: no need to wait under a timer
        if len(body) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        return body
    pieces: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(STALLED_S) as stalled:
            async for piece in request.content.iter_any():
                size += len(piece)
                if size > limit_bytes:
                    raise BodyTooLarge(limit_bytes)
                pieces.append(piece)
                stalled.reschedule(loop.time() + STALLED_S)
    except TimeoutError as error:
        raise BadRequest(f"the request body stopped arriving for {STALLED_S:.0f} s") from error
    except ConnectionError as error:
        raise Cancelled("the client went away while it sent its request") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def gunzip(data: bytes, limit_bytes: int) -> bytes:
    """Unpack gzip data of one or more members; bytes after the last member are left alone, as Java's reader does.

    Memory stays within the limit whatever the data claims to unpack to.

    Raises:
        BodyTooLarge: it unpacks to more than the limit.
        BadRequest: not gzip, damaged, or cut short.
    """
    if not data.startswith(_GZIP_MAGIC):
        raise BadRequest(NOT_GZIP)
    out = bytearray()
    rest = data
    while rest.startswith(_GZIP_MAGIC):
        rest = _unpack_member(rest, out, limit_bytes)
    return bytes(out)


def _unpack_member(data: bytes, out: bytearray, limit_bytes: int) -> bytes:
    """Unpack one gzip member onto `out`; return what follows it."""
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    pending = data
    while not unpacker.eof:
        room = limit_bytes - len(out)
        try:
            # One byte more than there is room for: zlib takes a length of 0 for "no limit".
            piece = unpacker.decompress(pending, min(_STEP_BYTES, room + 1))
        except zlib.error as error:
            raise BadRequest(NOT_GZIP) from error
        if len(piece) > room:
            raise BodyTooLarge(limit_bytes)
        out += piece
        pending = unpacker.unconsumed_tail
        if not piece and not pending and not unpacker.eof:
            raise BadRequest(CUT_GZIP)
    return unpacker.unused_data


def domain_of(request: web.Request, scope: Scope) -> str:
    """Return the domain a request works on: as `protocols.access` decided, else its path's, header's, or the default one."""
    caller = current_caller()
    if caller is not None:
        return caller.domain
    return request.match_info.get("domain") or request.headers.get(DOMAIN_HEADER) or scope.settings.default_domain


def retry_after(error: AmondawaError) -> dict[str, str]:
    """Return the headers that tell a client when to try again; none when trying again is of no use."""
    return {"Retry-After": str(error.retry_after_s)} if isinstance(error, Unavailable) else {}
