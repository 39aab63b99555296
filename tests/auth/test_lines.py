"""Telnet behind `auth`."""

from __future__ import annotations

import asyncio

import pytest

from amondawa.auth.permissions import Permissions
from amondawa.model.points import WriteBatch
from tests.auth.gateways import Guarded, Key, guarded

TIME_S = 1_356_998_400
PORTS = ("opentsdb_port", "kairosdb_telnet_port")


class Lines:
    """One telnet connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, gateway: Guarded, port: str) -> Lines:
        return cls(*await asyncio.open_connection("127.0.0.1", getattr(gateway.process.settings, port)))

    async def say(self, text: str) -> str:
        """Send text and return the first line of the answer; empty when the connection was closed."""
        self.writer.write(text.encode())
        return (await asyncio.wait_for(self.reader.readline(), 10)).decode()

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


def auth(key: Key, *more: str) -> str:
    return " ".join(("auth", key.key, key.secret, *more)) + "\n"


async def names(gateway: Guarded, key: Key, wanted: str = "") -> list[str]:
    for _ in range(100):
        answer = await gateway.ask("kairosdb_port", "GET", "/api/v1/metricnames", None, key.basic)
        found: list[str] = answer.json()["results"]
        if not wanted or wanted in found:
            break
        await asyncio.sleep(0.02)
    return found


@pytest.mark.parametrize("port", PORTS)
async def test_before_auth_only_version_is_answered(port: str):
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        lines = await Lines.to(gateway, port)
        assert await lines.say("version\n")
        lines.writer.write(f"put stolen {TIME_S} 1 a=b\nstats\nhelp\nauth {key.key} wrong\n".encode())
        said = await asyncio.wait_for(lines.reader.readuntil(b"AUTH_FAIL\n"), 10)
        assert b"tsd." not in said
        await lines.close()
        assert await names(gateway, key) == []


async def test_opentsdb_says_why_it_takes_no_line_before_auth():
    async with guarded() as gateway:
        gateway.add_key("shop:rw")
        lines = await Lines.to(gateway, "opentsdb_port")
        assert await lines.say("put m 1 1 a=b\n") == "put: not authenticated: say `auth KEY SECRET' first\n"
        assert (await lines.say("stats\n")).startswith("stats: not authenticated")
        await lines.close()


@pytest.mark.parametrize("port", PORTS)
async def test_after_auth_lines_go_to_the_domain_of_the_key(port: str):
    async with guarded() as gateway:
        shop, bank = gateway.add_key("shop:rw"), gateway.add_key("bank:rw")
        lines = await Lines.to(gateway, port)
        assert await lines.say(auth(shop)) == "AUTH_SUCCESS\n"
        assert await lines.say(f"put mine {TIME_S} 1 a=b\nversion\n")
        assert await names(gateway, shop, "mine") == ["mine"]
        assert await names(gateway, bank) == []
        await lines.close()


async def test_lines_right_behind_auth_are_taken():
    async with guarded() as gateway:
        shop = gateway.add_key("shop:rw")
        lines = await Lines.to(gateway, "opentsdb_port")
        assert await lines.say(auth(shop) + f"put mine {TIME_S} 1 a=b\n") == "AUTH_SUCCESS\n"
        assert await names(gateway, shop, "mine") == ["mine"]
        await lines.close()


async def test_a_third_word_chooses_among_the_domains_of_a_key():
    async with guarded() as gateway:
        both = gateway.add_key("shop:rw", "bank:rw")
        shop = gateway.add_key("shop:rw")
        lines = await Lines.to(gateway, "opentsdb_port")
        assert await lines.say(auth(both)) == "AUTH_FAIL\n"
        assert await lines.say(auth(both, "mint")) == "AUTH_FAIL\n"
        assert await lines.say(auth(both, "shop")) == "AUTH_SUCCESS\n"
        assert await lines.say(f"put mine {TIME_S} 1 a=b\nversion\n")
        assert await names(gateway, shop, "mine") == ["mine"]
        await lines.close()


async def test_after_three_failures_the_connection_ends():
    async with guarded() as gateway:
        gateway.add_key("shop:rw")
        lines = await Lines.to(gateway, "opentsdb_port")
        for _ in range(3):
            assert await lines.say("auth NOSUCHKEY nosecret\n") == "AUTH_FAIL\n"
        assert await lines.reader.read() == b""
        await lines.close()


async def test_an_endless_first_line_is_cut_off():
    async with guarded() as gateway:
        gateway.add_key("shop:rw")
        lines = await Lines.to(gateway, "opentsdb_port")
        assert await lines.say("a" * 5_000) == "AUTH_FAIL\n"
        assert await lines.reader.read() == b""
        await lines.close()


async def test_a_key_that_may_only_read_puts_nothing():
    async with guarded() as gateway:
        reader = gateway.add_key("shop:r")
        lines = await Lines.to(gateway, "opentsdb_port")
        assert await lines.say(auth(reader)) == "AUTH_SUCCESS\n"
        lines.writer.write(f"put mine {TIME_S} 1 a=b\n".encode())
        await asyncio.sleep(0.1)
        lines.writer.write(b"exit\n")
        assert b"no permission to write in domain shop" in await asyncio.wait_for(lines.reader.read(), 10)
        await lines.close()
        assert await names(gateway, reader) == []


async def test_a_key_that_was_turned_off_ends_what_an_open_connection_may_do():
    async with guarded() as gateway:
        shop, other = gateway.add_key("shop:rw"), gateway.add_key("shop:rw")
        lines = await Lines.to(gateway, "opentsdb_port")
        assert await lines.say(auth(shop)) == "AUTH_SUCCESS\n"
        gateway.process.access.table.set_active(shop.key, False)
        gateway.reload()
        assert "not authenticated" in await lines.say(f"put late {TIME_S} 1 a=b\n")
        assert await lines.say(auth(shop)) == "AUTH_FAIL\n"
        assert await lines.say(auth(other)) == "AUTH_SUCCESS\n"
        await lines.close()
        assert await names(gateway, other) == []


@pytest.mark.parametrize("port", PORTS)
async def test_a_right_that_was_taken_away_is_gone_for_a_connection_that_never_rests(
    port: str, monkeypatch: pytest.MonkeyPatch
):
    async with guarded() as gateway:
        shop, other = gateway.add_key("shop:rw"), gateway.add_key("shop:rw")
        store, go_on, begun = gateway.ruled.write, asyncio.Event(), asyncio.Event()

        async def write_slowly(batch: WriteBatch) -> None:
            begun.set()
            await go_on.wait()
            await store(batch)

        monkeypatch.setattr(gateway.ruled, "write", write_slowly)
        lines = await Lines.to(gateway, port)
        assert await lines.say(auth(shop)) == "AUTH_SUCCESS\n"
        lines.writer.write(f"put early {TIME_S} 1 a=b\n".encode())
        await asyncio.wait_for(begun.wait(), 10)
        gateway.process.access.table.set_permissions(shop.key, lambda _: Permissions.parse(["shop:r"]))
        gateway.reload()
        lines.writer.write(f"put late {TIME_S} 1 a=b\n".encode())
        await asyncio.sleep(0.1)
        go_on.set()
        await lines.say("version\n")
        await lines.close()
        assert await names(gateway, other, "early") == ["early"]


async def test_the_first_key_ends_what_connections_without_one_may_do():
    async with guarded() as gateway:
        lines = await Lines.to(gateway, "opentsdb_port")
        assert await lines.say("version\n")
        assert await lines.reader.readline()
        key = gateway.add_key("default:rw")
        assert "not authenticated" in await lines.say(f"put late {TIME_S} 1 a=b\n")
        await lines.close()
        assert await names(gateway, key) == []


async def test_stats_over_lines_tell_a_domain_nothing_of_others():
    async with guarded() as gateway:
        shop = gateway.add_key("shop:rw")
        lines = await Lines.to(gateway, "opentsdb_port")
        assert await lines.say(auth(shop)) == "AUTH_SUCCESS\n"
        await lines.say("stats\n")
        text = (await lines.reader.readuntil(b"tsd.datapoints.added")).decode()
        assert "points_written" not in text
        await lines.close()
