"""Limits of domains over every way in: what is refused, in whose words, and what the counters say of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.auth.gateways import Answer, Guarded, Key, guarded
from tests.auth.test_lines import PORTS, Lines, auth
from tests.auth.test_rules import set_rules

NOW_S = int(time.time())
OLD_S = NOW_S - 10 * 86_400

Write = Callable[[Guarded, Key, str, int, int], Awaitable[Answer]]


async def write_kairosdb(gateway: Guarded, key: Key, metric: str, at_s: int, count: int = 1) -> Answer:
    points = [[at_s * 1000 + n, 1] for n in range(count)]
    body = [{"name": metric, "tags": {"a": "b"}, "datapoints": points}]
    return await gateway.ask("kairosdb_port", "POST", "/api/v1/datapoints", body, key.basic)


async def write_native(gateway: Guarded, key: Key, metric: str, at_s: int, count: int = 1) -> Answer:
    points = [[at_s * 1000 + n, 1] for n in range(count)]
    body = [{"name": metric, "tags": {"a": "b"}, "datapoints": points}]
    return await gateway.ask("http_port", "POST", "/api/v1/shop/datapoints", body, key.basic)


async def write_opentsdb(gateway: Guarded, key: Key, metric: str, at_s: int, count: int = 1) -> Answer:
    body = [{"metric": metric, "timestamp": at_s * 1000 + n, "value": 1, "tags": {"a": "b"}} for n in range(count)]
    return await gateway.ask("opentsdb_port", "POST", "/api/put?details", body, key.basic)


WRITES: dict[str, Write] = {"kairosdb": write_kairosdb, "native": write_native, "opentsdb": write_opentsdb}


def told(dialect: str, answer: Answer) -> str:
    """Return what an answer tells, taken from where its dialect tells such things."""
    body = answer.json()
    if dialect == "kairosdb":
        return " ".join(body["errors"])
    if dialect == "native":
        return json.dumps(body)
    return str(body["error"]["message"]) if "error" in body else " ".join(one["error"] for one in body["errors"])


async def counters(gateway: Guarded, operator: Key) -> dict[str, float]:
    """Return the counters of domain shop, by name."""
    text = (await gateway.ask("http_port", "GET", "/metrics", None, operator.basic)).text
    rows = [line.split("{domain=") for line in text.splitlines() if '{domain="shop"}' in line]
    return {name.removeprefix("amondawa_domain_"): float(rest.split()[-1]) for name, rest in rows}


async def eventually(look: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    for _ in range(300):
        if (seen := await look()) == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{seen} is not {wanted}")


async def metrics_of(gateway: Guarded, key: Key) -> list[str]:
    answer = await gateway.ask("kairosdb_port", "GET", "/api/v1/metricnames", None, key.basic)
    return list(answer.json()["results"])


# series ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", WRITES)
async def test_a_new_series_past_the_limit_is_refused_in_the_dialects_words_and_counted(dialect: str):
    async with guarded() as gateway:
        key, operator = gateway.add_key("shop:rw"), gateway.add_key("*:r")
        set_rules(gateway, "shop", series=1)
        await gateway.count_series()
        assert (await WRITES[dialect](gateway, key, "known", NOW_S, 1)).status < 300
        refused = await WRITES[dialect](gateway, key, "new", NOW_S, 1)
        assert 400 <= refused.status < 500
        assert "domain shop is limited to 1 series" in told(dialect, refused)
        assert (await WRITES[dialect](gateway, key, "known", NOW_S + 1, 1)).status < 300
        assert (await counters(gateway, operator))["series_refused_total"] >= 1
        assert await metrics_of(gateway, key) == ["known"]


@pytest.mark.parametrize("port", PORTS)
async def test_a_new_series_past_the_limit_is_refused_over_lines_and_known_ones_go_on(port: str):
    async with guarded() as gateway:
        key, operator = gateway.add_key("shop:rw"), gateway.add_key("*:r")
        set_rules(gateway, "shop", series=1)
        await gateway.count_series()
        lines = await Lines.to(gateway, port)
        assert await lines.say(auth(key)) == "AUTH_SUCCESS\n"
        lines.writer.write(f"put known {NOW_S} 1 a=b\nput new {NOW_S} 1 a=b\nput known {NOW_S + 1} 1 a=b\n".encode())
        if port == "opentsdb_port":
            answer = (await asyncio.wait_for(lines.reader.readline(), 10)).decode()
            assert answer.startswith("put: ")
            assert "limited to 1 series" in answer
        await eventually(lambda: metrics_of(gateway, key), ["known"])

        async def written() -> float:
            return (await counters(gateway, operator))["points_written_total"]

        await eventually(written, 2.0)
        assert (await counters(gateway, operator))["series_refused_total"] == 1
        await lines.close()


@pytest.mark.parametrize("dialect", WRITES)
async def test_a_limit_that_is_set_on_a_domain_that_has_more_refuses_none_of_those(dialect: str):
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        for metric in ("first", "second", "third"):
            assert (await WRITES[dialect](gateway, key, metric, NOW_S, 1)).status < 300
        for limit in (2, 0, 1):
            set_rules(gateway, "shop", series=limit)
            for metric in ("third", "second", "first"):
                assert (await WRITES[dialect](gateway, key, metric, NOW_S, 1)).status < 300
            await gateway.count_series()
            for metric in ("first", "second", "third"):
                assert (await WRITES[dialect](gateway, key, metric, NOW_S, 1)).status < 300
        assert 400 <= (await WRITES[dialect](gateway, key, "new", NOW_S, 1)).status < 500


async def test_a_domain_with_rules_is_counted_however_many_without_there_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("amondawa.protocols.ruled.COUNTED_DOMAINS", 0)
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        set_rules(gateway, "shop", series=1)
        await gateway.count_series()
        assert (await write_kairosdb(gateway, key, "first", NOW_S)).status == 204
        assert (await write_kairosdb(gateway, key, "second", NOW_S)).status == 400


# points a second ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", WRITES)
async def test_points_past_the_rate_are_sent_away_with_a_time_to_come_back_and_counted(dialect: str):
    async with guarded() as gateway:
        key, operator = gateway.add_key("shop:rw"), gateway.add_key("*:r")
        set_rules(gateway, "shop", points_per_second=10)
        assert (await WRITES[dialect](gateway, key, "m", NOW_S, 200)).status < 300
        refused = await WRITES[dialect](gateway, key, "m", NOW_S + 1, 7)
        assert refused.status == 503
        assert 15 <= int(refused.headers["Retry-After"]) <= 20
        assert "domain shop is limited to 10 points a second" in refused.text
        found = await counters(gateway, operator)
        assert (found["points_written_total"], found["points_refused_total"]) == (200, 7)


@pytest.mark.parametrize("port", PORTS)
async def test_lines_past_the_rate_are_read_more_slowly_and_none_is_lost(port: str):
    async with guarded() as gateway:
        key, operator = gateway.add_key("shop:rw"), gateway.add_key("*:r")
        set_rules(gateway, "shop", points_per_second=500)
        lines = await Lines.to(gateway, port)
        assert await lines.say(auth(key)) == "AUTH_SUCCESS\n"
        for first in (0, 600):
            block = "".join(f"put m {NOW_S + first + n} 1 a=b\n" for n in range(600))
            lines.writer.write(block.encode())
            await asyncio.sleep(0.1)

        async def found() -> int:
            body = {"start_absolute": 0, "metrics": [{"name": "m"}]}
            answer = await gateway.ask("kairosdb_port", "POST", "/api/v1/datapoints/query", body, key.basic)
            return int(answer.json()["queries"][0]["sample_size"])

        await eventually(found, 1_200)
        assert (await counters(gateway, operator))["points_refused_total"] >= 600
        await lines.close()


# query budget ---------------------------------------------------------------------------------------------------------

QUERY = {"start_absolute": 0, "metrics": [{"name": "m"}]}
QUERIES: dict[str, tuple[str, str, str, Any]] = {
    "kairosdb": ("kairosdb_port", "POST", "/api/v1/datapoints/query", QUERY),
    "native": ("http_port", "POST", "/api/v1/shop/datapoints/query", QUERY),
    "opentsdb": ("opentsdb_port", "GET", f"/api/query?start={NOW_S - 9}&end={NOW_S + 9}&ms&m=sum:m", None),
    "opentsdb exp": (
        "opentsdb_port",
        "GET",
        f"/api/query/gexp?start={NOW_S - 9}&end={NOW_S + 9}&exp=scale(sum:m,2)",
        None,
    ),
}


@pytest.mark.parametrize("dialect", QUERIES)
async def test_a_query_past_the_budget_is_refused_with_what_was_exceeded_and_counted(dialect: str):
    async with guarded() as gateway:
        key, operator = gateway.add_key("shop:rw"), gateway.add_key("*:r")
        await write_kairosdb(gateway, key, "m", NOW_S, 600)
        port, method, path, body = QUERIES[dialect]
        assert (await gateway.ask(port, method, path, body, key.basic)).status == 200
        set_rules(gateway, "shop", query_points=100)
        refused = await gateway.ask(port, method, path, body, key.basic)
        assert 400 <= refused.status < 500
        assert "more than the limit of 100 data points" in told(dialect.split()[0], refused)
        found = await counters(gateway, operator)
        assert (found["queries_total"], found["queries_refused_total"]) == (2, 1)


# retention ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", WRITES)
async def test_points_past_the_retention_are_refused_with_what_was_exceeded_and_counted(dialect: str):
    async with guarded() as gateway:
        key, operator = gateway.add_key("shop:rw"), gateway.add_key("*:r")
        set_rules(gateway, "shop", retention_s=86_400)
        refused = await WRITES[dialect](gateway, key, "m", OLD_S, 3)
        assert refused.status == 400
        assert "older than what domain shop keeps" in told(dialect, refused)
        assert (await counters(gateway, operator))["points_too_old_total"] == 3
        assert (await WRITES[dialect](gateway, key, "m", NOW_S, 1)).status < 300


@pytest.mark.parametrize("port", PORTS)
async def test_lines_past_the_retention_are_not_stored_and_young_ones_are(port: str):
    async with guarded() as gateway:
        key, operator = gateway.add_key("shop:rw"), gateway.add_key("*:r")
        set_rules(gateway, "shop", retention_s=86_400)
        lines = await Lines.to(gateway, port)
        assert await lines.say(auth(key)) == "AUTH_SUCCESS\n"
        lines.writer.write(f"put old {OLD_S} 1 a=b\nput young {NOW_S} 1 a=b\n".encode())
        await eventually(lambda: metrics_of(gateway, key), ["young"])
        assert (await counters(gateway, operator))["points_too_old_total"] == 1
        await lines.close()


# walls ----------------------------------------------------------------------------------------------------------------


async def test_one_domains_limits_are_no_other_domains():
    async with guarded() as gateway:
        key, other, operator = gateway.add_key("shop:rw"), gateway.add_key("bank:rw"), gateway.add_key("*:r")
        set_rules(gateway, "shop", series=1, points_per_second=1, query_points=1, retention_s=60)
        await gateway.count_series()
        await write_kairosdb(gateway, key, "m", NOW_S, 500)
        assert (await write_kairosdb(gateway, key, "m", NOW_S, 1)).status == 503
        for metric in ("m", "n"):
            assert (await write_kairosdb(gateway, other, metric, OLD_S, 500)).status == 204
        answer = await gateway.ask("kairosdb_port", "POST", "/api/v1/datapoints/query", QUERY, other.basic)
        assert answer.json()["queries"][0]["sample_size"] == 500
        text = (await gateway.ask("http_port", "GET", "/metrics", None, operator.basic)).text
        assert 'amondawa_domain_points_written_total{domain="bank"} 1000.0' in text
