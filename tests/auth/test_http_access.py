"""Keys over HTTP: how they are sent, when they count, and what is tried against them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from amondawa.app import Process
from amondawa.auth.signing import Request, sign
from amondawa.errors import ConfigError
from amondawa.settings import Settings
from amondawa.store.open import open_store
from tests.auth.gateways import Answer, Guarded, Key, guarded
from tests.test_app import port_settings

NAMES = "/api/v1/metricnames"
POINTS = "/api/v1/shop/datapoints"


def points(value: int) -> bytes:
    return json.dumps([{"name": "m", "tags": {"a": "b"}, "timestamp": 1_356_998_400_000, "value": value}]).encode()


def signed(gateway: Guarded, key: Key, method: str, path: str, body: bytes = b"", **more: Any) -> dict[str, str]:
    """Return the headers of a signed request to the common port."""
    host = gateway.address("http_port").removeprefix("http://")
    bare, _, query = path.partition("?")
    given = {"Host": host, **more.pop("headers", {})}
    request = Request(method, bare, query, list(given.items()))
    return {**given, **sign(request, body, key.key, key.secret, more.pop("region", "us-west-2"), **more)}


async def value_of(gateway: Guarded, key: Key) -> Any:
    query = {"start_absolute": 0, "metrics": [{"name": "m"}]}
    answer = await gateway.ask("http_port", "POST", POINTS + "/query", query, key.basic)
    results = answer.json()["queries"][0]["results"]
    return results[0]["values"][0][1] if results else None


async def send(gateway: Guarded, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    return await gateway.ask("http_port", method, path, body, headers)


# how keys are sent ----------------------------------------------------------------------------------------------------


async def test_basic_and_bearer_carry_the_same_key():
    async with guarded() as gateway:
        key = gateway.add_key("shop:r")
        for headers in (key.basic, key.bearer, {"Authorization": key.basic["Authorization"].replace("Basic", "basic")}):
            assert (await gateway.ask("kairosdb_port", "GET", NAMES, None, headers)).status == 200


@pytest.mark.parametrize(
    "value",
    ["", "Basic", "Basic !!!", "Basic a2V5", "Bearer", "Bearer key", "Bearer :", "Digest x", "AWS4-HMAC-SHA256", "K:S"],
)
async def test_what_is_no_key_is_refused(value: str):
    async with guarded() as gateway:
        gateway.add_key("shop:r")
        answer = await gateway.ask("kairosdb_port", "GET", NAMES, None, {"Authorization": value})
        assert answer.status == 401


async def test_two_authorization_headers_are_refused():
    async with guarded() as gateway:
        key = gateway.add_key("shop:r")
        sent = [*key.basic.items(), *key.basic.items()]
        async with gateway.session.get(gateway.address("kairosdb_port") + NAMES, headers=sent) as answer:
            assert answer.status == 401


async def test_while_there_are_no_keys_an_authorization_header_is_not_looked_at():
    async with guarded() as gateway:
        answer = await gateway.ask("kairosdb_port", "GET", NAMES, None, {"Authorization": "Bearer whatever"})
        assert answer.status == 200


@pytest.mark.parametrize("how", ["basic", "bearer", "signed"])
async def test_an_inactive_key_is_as_good_as_none_and_told_as_little(how: str):
    async with guarded() as gateway:
        key, _ = gateway.add_key("shop:r"), gateway.add_key("shop:r")

        async def ask(one: Key) -> Answer:
            headers = {"basic": one.basic, "bearer": one.bearer}.get(how) or signed(gateway, one, "GET", NAMES)
            return await gateway.ask("http_port", "GET", NAMES, None, headers)

        assert (await ask(key)).status == 200
        gateway.process.access.table.set_active(key.key, False)
        gateway.reload()
        inactive = await ask(key)
        unknown, wrong = await ask(Key("A" * 20, key.secret)), await ask(Key(key.key, "wrong"))
        assert inactive.status == 401
        assert inactive.text == unknown.text == wrong.text


# when keys are needed -------------------------------------------------------------------------------------------------


async def test_without_keys_only_the_default_domain_is_open():
    async with guarded() as gateway:
        assert (await gateway.ask("http_port", "GET", "/api/v1/default/metricnames")).status == 200
        assert (await gateway.ask("http_port", "GET", "/api/v1/shop/metricnames")).status == 403
        assert (await gateway.ask("opentsdb_port", "GET", "/domains/shop/api/suggest?type=metrics")).status == 403


async def test_the_first_key_closes_the_gateway_even_when_it_is_inactive():
    async with guarded(allow_anonymous="default:rw") as gateway:
        assert (await gateway.ask("kairosdb_port", "GET", NAMES)).status == 200
        key = gateway.add_key("shop:r")
        gateway.process.access.table.set_active(key.key, False)
        gateway.reload()
        assert (await gateway.ask("kairosdb_port", "GET", NAMES)).status == 401


async def test_a_bind_beyond_this_machine_needs_a_key_or_a_word():
    for changes, fits in (({}, False), ({"allow_anonymous": "default:rw"}, True)):
        settings = Settings(**(port_settings() | {"store": "memory", "bind": "0.0.0.0"} | changes))
        process = Process(settings, open_store(settings))
        try:
            if fits:
                await process.bind()
            else:
                with pytest.raises(ConfigError, match="bin/ac add"):
                    await process.bind()
        finally:
            await process.stop()


async def test_with_a_key_in_the_store_a_gateway_may_be_reached_from_anywhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AMDW_MASTER_KEY", "0" * 64)
    async with guarded() as first:
        first.add_key("shop:rw")
        settings = Settings(**(port_settings() | {"store": "memory", "bind": "0.0.0.0"}))
        await Process(settings, first.process._store).access.load()


async def test_a_change_reaches_a_running_gateway_by_itself(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("amondawa.auth.keyring.REFRESH_S", 0.05)
    async with guarded() as gateway:
        key = gateway.add_key("shop:r")
        assert (await gateway.ask("kairosdb_port", "GET", NAMES, None, key.basic)).status == 200
        gateway.process.access.table.delete(key.key)
        gateway.process.access.table.create()
        for _ in range(100):
            if (await gateway.ask("kairosdb_port", "GET", NAMES, None, key.basic)).status != 200:
                break
            await asyncio.sleep(0.05)
        assert not gateway.process.access.keyring.find(key.key).active


# signed requests ------------------------------------------------------------------------------------------------------


async def test_a_signed_write_and_query_go_through():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        body = points(1)
        assert (await send(gateway, "POST", POINTS, body, signed(gateway, key, "POST", POINTS, body))).status == 204
        path = "/api/v1/shop/metricnames?prefix=m"
        assert (await send(gateway, "GET", path, b"", signed(gateway, key, "GET", path))).json() == {"results": ["m"]}


async def test_a_body_or_a_query_that_was_changed_is_refused_and_not_applied():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        headers = signed(gateway, key, "POST", POINTS, points(1))
        assert (await send(gateway, "POST", POINTS, points(2), headers)).status == 401
        no_hash = {name: value for name, value in headers.items() if name != "X-Amz-Content-SHA256"}
        assert (await send(gateway, "POST", POINTS, points(2), no_hash)).status == 401
        lying = {**headers, "X-Amz-Content-SHA256": hashlib.sha256(points(2)).hexdigest()}
        assert (await send(gateway, "POST", POINTS, points(2), lying)).status == 401
        path = "/api/v1/shop/metricnames?prefix=a"
        asked = signed(gateway, key, "GET", path)
        assert (await send(gateway, "GET", path.replace("=a", "=m"), b"", asked)).status == 401
        assert await value_of(gateway, key) is None


async def test_a_signature_is_good_on_its_own_region_day_and_key_only():
    async with guarded() as gateway:
        key, other = gateway.add_key("shop:rw"), gateway.add_key("shop:rw")
        for headers in (
            signed(gateway, key, "GET", NAMES, region="eu-west-1"),
            signed(gateway, key, "GET", NAMES, now_s=time.time() - 901),
            signed(gateway, key, "GET", NAMES, now_s=time.time() + 905),
            signed(gateway, Key(key.key, other.secret), "GET", NAMES),
        ):
            assert (await send(gateway, "GET", NAMES, b"", headers)).status == 401


async def test_a_domain_header_that_was_added_is_refused():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw", "bank:rw")
        headers = signed(gateway, key, "GET", NAMES)
        assert (await send(gateway, "GET", NAMES, b"", {**headers, "X-Amondawa-Domain": "bank"})).status == 401
        chosen = signed(gateway, key, "GET", NAMES, headers={"X-Amondawa-Domain": "bank"})
        assert (await send(gateway, "GET", NAMES, b"", chosen)).status == 200
        assert (await send(gateway, "GET", NAMES, b"", {**chosen, "X-Amondawa-Domain": "shop"})).status == 401


async def test_a_replayed_write_is_acknowledged_and_overwrites_nothing():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        first, second = (signed(gateway, key, "POST", POINTS, points(value)) for value in (1, 2))
        assert (await send(gateway, "POST", POINTS, points(1), first)).status == 204
        assert (await send(gateway, "POST", POINTS, points(2), second)).status == 204
        assert (await send(gateway, "POST", POINTS, points(1), first)).status == 204
        assert await value_of(gateway, key) == 2
        delete = "/api/v1/shop/metric/m"
        removal = signed(gateway, key, "DELETE", delete)
        assert (await send(gateway, "DELETE", delete, b"", removal)).status == 204
        third = signed(gateway, key, "POST", POINTS, points(3))
        assert (await send(gateway, "POST", POINTS, points(3), third)).status == 204
        assert (await send(gateway, "DELETE", delete, b"", removal)).status == 204
        assert await value_of(gateway, key) == 3


async def test_a_signed_query_may_come_as_often_as_it_likes():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        headers = signed(gateway, key, "GET", NAMES)
        await send(gateway, "POST", POINTS, points(1), key.basic)
        for _ in range(3):
            assert (await send(gateway, "GET", NAMES, b"", headers)).json() == {"results": ["m"]}


# attacks --------------------------------------------------------------------------------------------------------------


async def raw(gateway: Guarded, data: bytes, port: str = "kairosdb_port") -> bytes:
    """Send bytes, return what comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", getattr(gateway.process.settings, port))
    try:
        writer.write(data)
        await writer.drain()
        return await asyncio.wait_for(reader.read(65_536), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "header",
    [
        b"Authorization: AWS4-HMAC-SHA256 Credential=" + b"A" * 1_000_000,
        b"Authorization: Bearer " + b"A" * 1_000_000,
        b"Authorization: Basic " + b"QUFB" * 250_000,
        b"X-Padding: " + b"A" * 1_000_000,
        b"Authorization: Bearer \xff\xfe:\x80",
        b"Authorization: Basic \x80",
    ],
    ids=["signature", "bearer", "basic", "padding", "no text", "no ascii"],
)
async def test_a_megabyte_of_header_or_bytes_that_are_no_text_is_refused(header: bytes):
    async with guarded() as gateway:
        gateway.add_key("shop:r")
        answer = await raw(
            gateway, b"GET /api/v1/metricnames HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + b"\r\n\r\n"
        )
        assert answer == b"" or answer.split()[1] in (b"400", b"401")
        assert (await gateway.ask("kairosdb_port", "GET", NAMES)).status == 401


async def test_nobody_makes_the_gateway_read_a_body_without_a_key_or_a_signature():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        wrong = signed(gateway, Key(key.key, "wrong"), "POST", POINTS, b"x")
        for headers in ({}, Key(key.key, "wrong").basic, wrong):
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name != "Host")
            head = f"POST {POINTS} HTTP/1.1\r\nHost: {gateway.address('http_port')[7:]}\r\nContent-Length: 50000000\r\n"
            answer = await raw(gateway, (head + lines + "\r\n").encode(), "http_port")
            assert answer.split()[1] == b"401"


async def test_nobody_makes_the_gateway_keep_bodies_whose_hash_is_not_signed():
    async with guarded(body_limit_bytes=1_000_000) as gateway:
        key = gateway.add_key("shop:rw")
        forged = signed(gateway, Key("A" * 20, "wrong"), "POST", POINTS, b"x")
        scope = forged["Authorization"].partition("Credential=")[2].partition(",")[0]
        claim = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
        host, date = gateway.address("http_port")[7:], forged["X-Amz-Date"]
        head = f"POST {POINTS} HTTP/1.1\r\nHost: {host}\r\nX-Amz-Date: {date}\r\nAuthorization: {claim}\r\n"
        held = []
        for _ in range(2):
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.process.settings.http_port)
            writer.write(f"{head}Content-Length: 1000000\r\n\r\n".encode() + bytes(900_000))
            await writer.drain()
            held.append(writer)
        for more in ("Content-Length: 1000000", "Transfer-Encoding: chunked"):
            answer = await raw(gateway, f"{head}{more}\r\nConnection: close\r\n\r\n".encode(), "http_port")
            assert answer.split()[1] == b"503"
            assert b"X-Amz-Content-SHA256" in answer
        small = f"{head}Content-Length: 1\r\nConnection: close\r\n\r\nx".encode()
        assert (await raw(gateway, small, "http_port")).split()[1] == b"401"
        assert (await gateway.ask("kairosdb_port", "GET", NAMES, None, key.basic)).status == 200
        for writer in held:
            writer.close()


async def test_an_unknown_key_takes_as_much_work_as_a_known_one(monkeypatch: pytest.MonkeyPatch):
    """What is compared is counted, not timed: the same comparisons, with secrets of the same kind."""
    compared: list[int] = []
    from amondawa.auth import signing

    whole = signing.is_right

    def counted(*given: Any) -> bool:
        compared.append(1)
        return whole(*given)

    monkeypatch.setattr("amondawa.protocols.access.is_right", counted)
    async with guarded() as gateway:
        key = gateway.add_key("shop:r")
        for one in (key, Key("B" * 20, key.secret), Key(key.key, "wrong")):
            compared.clear()
            await send(gateway, "GET", NAMES, b"", signed(gateway, one, "GET", NAMES))
            assert len(compared) == 1


async def test_secrets_are_in_no_log_and_no_file(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with guarded(store="sqlite", data=str(tmp_path / "data")) as gateway:
        key = gateway.add_key("shop:rw")
        for headers in (key.basic, key.bearer, signed(gateway, key, "GET", NAMES)):
            await gateway.ask("http_port", "GET", NAMES, None, headers)
        await gateway.ask("http_port", "GET", "/api/v1/shop/nothing", None, key.bearer)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.process.settings.opentsdb_port)
        writer.write(f"auth {key.key} {key.secret}\nversion\n".encode())
        await reader.readline()
        writer.close()
        files = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert key.secret.encode() not in files
    assert key.key.encode() in files
    assert key.secret not in caplog.text


async def test_a_zip_bomb_behind_a_good_key_stays_within_the_body_limit():
    import gzip

    async with guarded(body_limit_bytes=1_000_000) as gateway:
        key = gateway.add_key("shop:rw")
        bomb = gzip.compress(b"[" + b" " * 50_000_000)
        headers = signed(gateway, key, "POST", POINTS, bomb)
        answer = await send(gateway, "POST", POINTS, bomb, {**headers, "Content-Encoding": "gzip"})
        assert answer.status == 413


async def test_a_request_line_in_absolute_form_is_judged_by_its_path():
    async with guarded() as gateway:
        shop, bank = gateway.add_key("shop:rw"), gateway.add_key("bank:rw")
        await send(gateway, "POST", POINTS, points(1), shop.basic)
        url = str(URL(gateway.address("http_port") + "/domains/shop/api/v1/metricnames"))
        head = f"GET {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {bank.basic['Authorization']}\r\n\r\n"
        answer = await raw(gateway, head.encode(), "http_port")
        assert b'"m"' not in answer


async def test_what_stands_behind_a_fragment_does_not_change_the_right_that_a_request_needs():
    async with guarded() as gateway:
        writer, feeder = gateway.add_key("shop:rw"), gateway.add_key("shop:w")
        note = b'{"startTime": 1356998400, "description": "told"}'
        assert (await gateway.ask("opentsdb_port", "POST", "/api/annotation", note, writer.basic)).status == 200
        for target in (
            "/api/annotation?start_time=1356998400&method_override=put#&method_override=get",
            "/api/annotation?start_time=1356998400&method_override=get#&method_override=put",
        ):
            head = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            secret = feeder.basic["Authorization"]
            answer = await raw(gateway, f"{head}Authorization: {secret}\r\n\r\n".encode(), "opentsdb_port")
            assert answer.startswith(b"HTTP/1.1 ")
            assert b"told" not in answer


async def test_a_path_in_capitals_needs_the_right_of_the_path_that_it_means():
    async with guarded() as gateway:
        reader, writer = gateway.add_key("shop:r"), gateway.add_key("shop:rw")
        for path in (
            "/API/UID/Assign?metric=m",
            "/API/Annotation?start_time=1356998400&description=d&method_override=put",
        ):
            assert (await gateway.ask("opentsdb_port", "GET", path, b"", reader.basic)).status == 403
            assert (await gateway.ask("opentsdb_port", "GET", path, b"", writer.basic)).status == 200
            assert (await gateway.ask("opentsdb_port", "GET", path, b"")).status == 401
