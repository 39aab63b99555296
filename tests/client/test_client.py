"""The client against a gateway with keys."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from amondawa.client import AsyncClient, Client, ClientError, Query, Refused, Series
from amondawa.client.requests import Account, host_of, parse_span, path_of
from tests.auth.gateways import guarded

START_MS = 1_700_000_000_000
POINTS = [(START_MS + n * 1000, float(n)) for n in range(10)]
ROOMS = [Series("room temp/ü+%", {"room": room}, POINTS) for room in ("hall", "attic")]


async def test_the_awaiting_client_writes_reads_and_deletes_what_it_signs():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        async with AsyncClient(gateway.address("http_port"), "shop", *key) as client:
            await client.write(ROOMS)
            assert await client.metric_names("room") == ["room temp/ü+%"]
            assert await client.metric_names("nothing & more") == []
            assert await client.tag_names() == ["room"]
            assert await client.tag_values("room") == ["attic", "hall"]
            frame = await client.query(Query("room temp/ü+%", START_MS))
            assert sorted(frame.columns) == ["room temp/ü+%{room=attic}", "room temp/ü+%{room=hall}"]
            assert frame["room temp/ü+%{room=hall}"].tolist() == [float(n) for n in range(10)]
            assert frame.index[0] == pd.Timestamp(START_MS, unit="ms", tz="UTC")
            summed = await client.query(
                Query("room temp/ü+%", START_MS, tags={"room": ["hall", "attic"]}, aggregate="sum")
            )
            assert summed.iloc[3, 0] == 6.0
            coarse = await client.query(Query("room temp/ü+%", START_MS, tags={"room": "hall"}, downsample="max:1m"))
            assert coarse.iloc[0, 0] == 9.0
            await client.delete(Query("room temp/ü+%", START_MS, START_MS + 4_000, tags={"room": "hall"}))
            assert len((await client.streams(Query("room temp/ü+%", START_MS, tags={"room": "hall"})))[0].values) == 5
            await client.delete_metric("room temp/ü+%")
            assert (await client.query(Query("room temp/ü+%", START_MS))).empty


async def test_the_waiting_client_does_the_same():
    def work(url: str, key: Any) -> tuple[list[str], pd.DataFrame]:
        with Client(url, "shop", *key) as client:
            client.write(ROOMS)
            frame = client.query(Query("room temp/ü+%", datetime.fromtimestamp(START_MS / 1000, UTC)))
            client.delete(Query("room temp/ü+%", START_MS, tags={"room": "hall"}))
            names = client.metric_names() + client.tag_names() + client.tag_values("room")
            client.delete_metric("room temp/ü+%")
            return names, frame

    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        names, frame = await asyncio.to_thread(work, gateway.address("http_port"), key)
        assert names == ["room temp/ü+%", "room", "attic"]
        assert frame.shape == (10, 2)


async def test_a_wrong_secret_or_domain_is_refused_with_the_gateways_words():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        async with AsyncClient(gateway.address("http_port"), "bank", *key) as client:
            with pytest.raises(Refused, match="no permission in domain bank") as refusal:
                await client.metric_names()
            assert refusal.value.status == 403
        async with AsyncClient(gateway.address("http_port"), "shop", key.key, "wrong") as client:
            with pytest.raises(Refused, match="not valid"):
                await client.write(ROOMS)


async def test_what_may_come_back_is_tried_again():
    async with guarded() as gateway:
        from dataclasses import replace

        key = gateway.add_key("shop:rw")
        gateway.process.access.domains.change("shop", lambda one: replace(one, points_per_second=15))
        gateway.reload()
        async with AsyncClient(gateway.address("http_port"), "shop", *key) as client:
            await client.write(ROOMS)
            await client.write(ROOMS)
            assert len(await client.streams(Query("room temp/ü+%", START_MS))) == 2
        async with AsyncClient(gateway.address("http_port"), "shop", *key, tries=1) as client:
            with pytest.raises(Refused, match="15 points a second"):
                for _ in range(3):
                    await client.write(ROOMS)


def test_a_gateway_that_is_not_there_is_told():
    with pytest.raises(ClientError, match="cannot be reached"):
        Client("http://127.0.0.1:9", tries=1).metric_names()
    with pytest.raises(ClientError, match="http://"):
        Client("gateway:5000", tries=1).metric_names()


@pytest.mark.parametrize(
    ("time", "fields"),
    [
        (5, {"start_absolute": 5}),
        ("1700000000000", {"start_absolute": START_MS}),
        ("2023-11-14T22:13:20Z", {"start_absolute": START_MS}),
        ("2023-11-14 22:13:20", {"start_absolute": START_MS}),
        (datetime.fromtimestamp(START_MS / 1000, UTC), {"start_absolute": START_MS}),
        ("2h", {"start_relative": {"value": 2, "unit": "hours"}}),
        ("2h-ago", {"start_relative": {"value": 2, "unit": "hours"}}),
    ],
)
def test_times_are_taken_in_many_forms(time: Any, fields: dict[str, Any]):
    body = Query("m", time).body()
    assert {name: body[name] for name in fields} == fields


@pytest.mark.parametrize("text", ["", "h", "1x", "-1h", "1.5h"])
def test_what_is_no_span_is_told(text: str):
    with pytest.raises(ValueError, match="span"):
        parse_span(text)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://a:5000", "a:5000"),
        ("http://a:80", "a"),
        ("https://a:443", "a"),
        ("https://a", "a"),
        ("http://[::1]:1", "[::1]:1"),
    ],
)
def test_the_host_is_the_one_that_is_sent(url: str, host: str):
    assert host_of(Account(url)) == host


def test_a_path_in_front_is_kept_and_names_cannot_leave_theirs():
    assert path_of(Account("http://a/below/", "d"), "metric", "a/../b") == "/below/api/v1/d/metric/a%2F..%2Fb"
