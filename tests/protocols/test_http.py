import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from amondawa.errors import BadRequest, BodyTooLarge, LimitExceeded, Overloaded
from amondawa.listeners.http import HttpPort, make_runner
from amondawa.protocols.base import Scope
from amondawa.protocols.http import CUT_GZIP, NOT_GZIP, domain_of, gunzip, read_body, retry_after
from amondawa.settings import Settings
from tests.naive import NaiveGateway

LIMIT = 1_000


# gunzip ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\x1f", b"[1,2,3]", b"\x1f\x8bnot really a gzip header at all", b"\x78\x9c"]
)
def test_what_is_not_gzip_is_refused_in_javas_words(data: bytes):
    with pytest.raises(BadRequest, match=NOT_GZIP):
        gunzip(data, LIMIT)


@pytest.mark.parametrize("kept", [3, 11, 15, -9, -4, -1])
def test_gzip_that_was_cut_is_refused(kept: int):
    with pytest.raises(BadRequest, match=CUT_GZIP):
        gunzip(gzip.compress(b"some text, long enough to be cut")[:kept], LIMIT)


def test_a_wrong_checksum_is_refused():
    packed = bytearray(gzip.compress(b"text"))
    packed[-8] ^= 1
    with pytest.raises(BadRequest):
        gunzip(bytes(packed), LIMIT)


def test_the_limit_itself_is_allowed_and_one_byte_more_is_not():
    assert gunzip(gzip.compress(b"a" * LIMIT), LIMIT) == b"a" * LIMIT
    with pytest.raises(BodyTooLarge, match=str(LIMIT)):
        gunzip(gzip.compress(b"a" * (LIMIT + 1)), LIMIT)


def test_a_bomb_is_stopped_at_the_limit():
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    with pytest.raises(BodyTooLarge):
        gunzip(bomb, 1 << 20)


def test_members_are_joined_and_their_sum_counts():
    two = gzip.compress(b"a" * 600) + gzip.compress(b"b" * 400)
    assert gunzip(two, LIMIT) == b"a" * 600 + b"b" * 400
    with pytest.raises(BodyTooLarge):
        gunzip(two + gzip.compress(b"c"), LIMIT)


def test_bytes_after_the_last_member_are_left_alone():
    assert gunzip(gzip.compress(b"text") + b"\0\0junk", LIMIT) == b"text"


@given(st.binary(max_size=3_000))
def test_whatever_was_packed_comes_back(data: bytes):
    assert gunzip(gzip.compress(data), 3_000) == data


# read_body ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            body = await read_body(request, LIMIT)
        except BodyTooLarge as error:
            return web.Response(status=413, text=str(error))
        except BadRequest as error:
            return web.Response(status=400, text=str(error))
        return web.json_response({"body": body.decode("latin1"), "query": dict(request.query)})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    async with TestClient(TestServer(app), auto_decompress=False) as client:
        yield client


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


async def test_a_body_in_pieces_is_joined(client):
    answer = await client.post("/", data=in_pieces(b"one ", b"two ", b"three"))
    assert (await answer.json())["body"] == "one two three"


async def test_no_body_is_empty(client):
    assert (await (await client.get("/")).json())["body"] == ""


async def test_a_body_past_the_limit_is_refused_whether_announced_or_not(client):
    assert (await client.post("/", data=b"a" * (LIMIT + 1))).status == 413
    assert (await client.post("/", data=in_pieces(b"a" * LIMIT, b"b"))).status == 413
    assert (await client.post("/", data=b"a" * LIMIT)).status == 200


async def test_a_body_that_stops_arriving_is_given_up(client, monkeypatch):
    monkeypatch.setattr("amondawa.protocols.http.STALLED_S", 0.05)

    async def never_ending() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(60)

    answer = await client.post("/", data=never_ending())
    assert answer.status == 400
    assert "stopped arriving" in await answer.text()


# the server's own settings, seen by raw bytes ----------------------------------------------------------------------------


async def raw(head: bytes, body: bytes = b"") -> bytes:
    """Send bytes to an echo behind the listener's own limits; return the answer."""

    async def echo(request: web.Request) -> web.Response:
        body = await read_body(request, LIMIT)
        return web.Response(body=request.rel_url.raw_query_string.encode() + b"|" + body)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", echo)
    port = HttpPort()
    server = await asyncio.get_running_loop().create_server(port.connect, "127.0.0.1", 0)
    try:
        await port.show(await make_runner(app, 5.0))
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(head + b"\r\nHost: x\r\nConnection: close\r\n\r\n" + body)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer
    finally:
        server.close()
        await port.show(None)


async def test_braces_and_bars_in_a_query_need_no_escaping():
    assert (await raw(b'GET /q?m=sum:x{a=b|c,d=*}"[]^ HTTP/1.1')).endswith(b'm=sum:x{a=b|c,d=*}"[]^|')


async def test_a_query_may_be_as_long_as_a_document():
    assert (await raw(b"GET /q?m=" + b"x" * 300_000 + b" HTTP/1.1")).endswith(b"x" * 1_000 + b"|")


async def test_a_header_may_be_long():
    assert b"200 OK" in await raw(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 100_000)


async def test_packed_bodies_are_handed_over_packed():
    packed = gzip.compress(b"text")
    head = b"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d" % len(packed)
    assert (await raw(head, packed)).endswith(b"|" + packed)


async def test_a_bodiless_request_may_claim_to_be_packed():
    assert b"200 OK" in await raw(b"GET /api/version HTTP/1.1\r\nContent-Encoding: gzip")


# the rest ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path_domain", "header", "domain"),
    [(None, None, "home"), (None, "b", "b"), ("a", "b", "a"), ("a", None, "a"), (None, "", "home")],
)
def test_the_path_beats_the_header_beats_the_default(path_domain: str | None, header: str | None, domain: str):
    request = make_mocked_request("GET", "/", headers={} if header is None else {"X-Amondawa-Domain": header})
    if path_domain is not None:
        request.match_info["domain"] = path_domain
    assert domain_of(request, Scope(NaiveGateway(), Settings(default_domain="home"))) == domain


def test_only_errors_that_pass_say_when_to_come_back():
    assert retry_after(Overloaded("busy", retry_after_s=3)) == {"Retry-After": "3"}
    assert retry_after(LimitExceeded("too much")) == {}
