"""Rules of domains, on every protocol: hashed tags, limits, counters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amondawa.auth.domains import DomainRules, parse_duration
from amondawa.auth.limits import PointRate, SeriesCount
from amondawa.errors import Overloaded, QuotaExceeded
from amondawa.model.series import Series
from tests.auth.gateways import Guarded, guarded

TIME_S = 1_356_998_400


def set_rules(gateway: Guarded, domain: str, **rules: Any) -> DomainRules:
    made = gateway.process.access.domains.change(domain, lambda one: replace(one, **rules))
    gateway.reload()
    return made


# limits ---------------------------------------------------------------------------------------------------------------


def test_points_past_the_rate_wait_until_they_are_paid_off():
    now = [100.0]
    rate = PointRate(lambda: now[0])
    rate.take(250, 100, "d")
    with pytest.raises(Overloaded, match="100 points a second") as refusal:
        rate.take(1, 100, "d")
    assert refusal.value.retry_after_s == 2
    now[0] += 1.6
    rate.take(1, 100, "d")


def test_a_known_series_is_taken_and_a_new_one_past_the_limit_is_not():
    count = SeriesCount()
    assert count.stale(2)
    count.count([Series("d", "m", ())])
    count.add("m", (), 2, "d")
    count.add("m", (("a", "b"),), 2, "d")
    with pytest.raises(QuotaExceeded, match="2 series"):
        count.add("n", (), 2, "d")
    assert len(count) == 2


def test_before_the_first_count_every_series_is_taken_and_a_count_forgets_none_that_came_meanwhile():
    count = SeriesCount()
    count.add("old", (), 1, "d")
    count.add("known", (), 1, "d")
    count.begin()
    count.add("meanwhile", (), 1, "d")
    count.count([Series("d", "known", ())])
    for name in ("known", "meanwhile"):
        count.add(name, (), 1, "d")
    with pytest.raises(QuotaExceeded):
        count.add("new", (), 1, "d")
    count.forget()
    assert count.stale(1)
    count.add("new", (), 1, "d")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2_592_000), ("90", 90), ("1h", 3_600), ("x", None), ("-1d", None)]
)
def test_durations_are_read(text: str, seconds: int | None):
    assert parse_duration(text) == seconds


def bodies(metric: str) -> tuple[tuple[str, str, Any], ...]:
    points = {"tags": {"a": "b"}, "value": 1}
    kairosdb = [{"name": metric, "timestamp": TIME_S * 1000, **points}]
    return (
        ("kairosdb_port", "/api/v1/datapoints", kairosdb),
        ("http_port", "/api/v1/shop/datapoints", kairosdb),
        ("opentsdb_port", "/api/put", [{"metric": metric, "timestamp": TIME_S, **points}]),
    )


async def test_a_new_series_past_the_limit_is_refused_by_every_protocol_and_known_ones_are_taken():
    async with guarded() as gateway:
        key, other = gateway.add_key("shop:rw"), gateway.add_key("bank:rw")
        set_rules(gateway, "shop", series=1)
        await gateway.count_series()
        for port, path, body in bodies("known"):
            assert (await gateway.ask(port, "POST", path, body, key.basic)).status == 204, path
        for number, (port, path, body) in enumerate(bodies("new")):
            answer = await gateway.ask(port, "POST", path, body, key.basic)
            assert 400 <= answer.status < 500, (path, answer)
            detailed = await gateway.ask(port, "POST", path + "?details", body, key.basic)
            assert "limited to 1 series" in detailed.text, (path, detailed)
            assert number < 3
        for port, path, body in bodies("known"):
            assert (await gateway.ask(port, "POST", path, body, key.basic)).status == 204, path
        assert (await gateway.ask(*("kairosdb_port", "POST"), *bodies("new")[0][1:], other.basic)).status == 204


async def test_points_past_the_rate_are_refused_by_every_protocol_with_a_time_to_come_back():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        set_rules(gateway, "shop", points_per_second=1)
        many = [{"name": "m", "tags": {"a": "b"}, "datapoints": [[TIME_S * 1000 + n, 1] for n in range(600)]}]
        assert (await gateway.ask("kairosdb_port", "POST", "/api/v1/datapoints", many, key.basic)).status == 204
        for port, path, body in bodies("m"):
            answer = await gateway.ask(port, "POST", path, body, key.basic)
            assert answer.status == 503, (path, answer)
            assert int(answer.headers["Retry-After"]) > 60
            assert "1 points a second" in answer.text


async def test_a_query_past_the_domains_budget_is_refused_by_every_protocol():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        many = [{"name": "m", "tags": {"a": "b"}, "datapoints": [[TIME_S * 1000 + n, 1] for n in range(600)]}]
        await gateway.ask("kairosdb_port", "POST", "/api/v1/datapoints", many, key.basic)
        set_rules(gateway, "shop", query_points=100)
        query = {"start_absolute": 0, "metrics": [{"name": "m"}]}
        for port, method, path, body in (
            ("kairosdb_port", "POST", "/api/v1/datapoints/query", query),
            ("http_port", "POST", "/api/v1/shop/datapoints/query", query),
            ("opentsdb_port", "GET", f"/api/query?start={TIME_S - 9}&end={TIME_S + 9}&ms&m=sum:m", None),
        ):
            answer = await gateway.ask(port, method, path, body, key.basic)
            assert 400 <= answer.status < 500, (path, answer)
            assert "100" in answer.text


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_points_past_the_retention_are_refused_hidden_and_swept(store: str, tmp_path: Path):
    async with guarded(store=store, data=str(tmp_path / "data")) as gateway:
        key = gateway.add_key("shop:rw")
        for port, path, body in bodies("old"):
            assert (await gateway.ask(port, "POST", path, body, key.basic)).status == 204
        set_rules(gateway, "shop", retention_s=3_600)
        for port, path, body in bodies("late"):
            assert (await gateway.ask(port, "POST", path, body, key.basic)).status == 400, path
        query = {"start_absolute": 0, "metrics": [{"name": "old"}]}
        answer = await gateway.ask("kairosdb_port", "POST", "/api/v1/datapoints/query", query, key.basic)
        assert answer.json()["queries"][0]["sample_size"] == 0
        door = gateway.process._gateway
        assert door is not None
        await door.flush()
        assert await door.sweep() == 1
        names = await gateway.ask("kairosdb_port", "GET", "/api/v1/metricnames", None, key.basic)
        assert names.json()["results"] == []


async def test_counters_by_domain_are_in_the_metrics_and_a_domain_sees_its_own():
    async with guarded() as gateway:
        shop, bank, operator = gateway.add_key("shop:rw"), gateway.add_key("bank:rw"), gateway.add_key("*:r")
        for port, path, body in bodies("m"):
            await gateway.ask(port, "POST", path, body, shop.basic)
        metrics = (await gateway.ask("http_port", "GET", "/metrics", None, operator.basic)).text
        assert 'amondawa_domain_points_written_total{domain="shop"} 3.0' in metrics
        for key, points in ((shop, "3"), (bank, "0")):
            stats = (await gateway.ask("opentsdb_port", "GET", "/api/stats", None, key.basic)).json()
            assert {"tsd.points_written": points}.items() <= {one["metric"]: one["value"] for one in stats}.items()
