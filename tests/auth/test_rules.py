"""Rules of domains, on every protocol: hashed tags, limits, counters."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amondawa.auth.domains import DomainRules, parse_duration
from amondawa.auth.hashing import TagHasher
from amondawa.auth.limits import PointRate, SeriesCount
from amondawa.errors import BadRequest, Overloaded, QuotaExceeded
from amondawa.model.query import Selection, TagFilter
from amondawa.model.series import Series
from tests.auth.gateways import Guarded, Key, guarded

TIME_S = 1_356_998_400
CLEAR = "alice@example"
OTHER = "robert@example"


def set_rules(gateway: Guarded, domain: str, **rules: Any) -> DomainRules:
    made = gateway.process.access.domains.change(domain, lambda one: replace(one, **rules))
    gateway.reload()
    return made


# hashes ---------------------------------------------------------------------------------------------------------------


def test_hashes_are_equal_for_equal_values_of_one_tag_and_key_only():
    one, other = TagHasher(frozenset({"user"}), b"1" * 32), TagHasher(frozenset({"user"}), b"2" * 32)
    assert one.hashed("user", "a") == one.hashed("user", "a")
    assert (
        len({one.hashed("user", "a"), one.hashed("mail", "a"), one.hashed("user", "b"), other.hashed("user", "a")}) == 4
    )
    assert one.hashed("user", one.hashed("user", "a")) == one.hashed("user", "a")


def test_only_chosen_tags_are_hashed_or_all():
    tags = (("host", "a"), ("user", "b"))
    chosen = dict(TagHasher(frozenset({"user"}), b"k").tags(tags))
    assert chosen["host"] == "a"
    assert chosen["user"] != "b"
    assert not {"a", "b"} & set(dict(TagHasher(frozenset({"*"}), b"k").tags(tags)).values())


def test_patterns_on_a_hashed_tag_are_refused_and_lists_are_not():
    hasher = TagHasher(frozenset({"user"}), b"k")
    with pytest.raises(BadRequest, match="hash"):
        hasher.selection(Selection("d", "m", (TagFilter("user", test=lambda _: True),)))
    kept = hasher.selection(Selection("d", "m", (TagFilter("user", frozenset("ab"), negate=True), TagFilter("user"))))
    assert kept.filters[0].values == {hasher.hashed("user", "a"), hasher.hashed("user", "b")}
    assert kept.filters[0].negate
    assert kept.filters[1] == TagFilter("user")


async def write_everywhere(gateway: Guarded, key: Key) -> None:
    tags = {"user": CLEAR.replace("@", "-"), "host": "web1"}
    kairosdb = [{"name": "m.kairosdb", "tags": tags, "datapoints": [[TIME_S * 1000, 1]]}]
    native = [{"name": "m.native", "tags": tags, "timestamp": TIME_S * 1000, "value": 1}]
    opentsdb = [{"metric": "m.opentsdb", "timestamp": TIME_S, "value": 1, "tags": tags}]
    for port, path, body in (
        ("kairosdb_port", "/api/v1/datapoints", kairosdb),
        ("http_port", "/api/v1/shop/datapoints", native),
        ("opentsdb_port", "/api/put", opentsdb),
    ):
        assert (await gateway.ask(port, "POST", path, body, key.basic)).status == 204
    for port in ("opentsdb_port", "kairosdb_telnet_port"):
        reader, writer = await asyncio.open_connection("127.0.0.1", getattr(gateway.process.settings, port))
        line = f"put m.{port} {TIME_S} 1 user={tags['user']} host=web1\n"
        writer.write(f"auth {key.key} {key.secret}\n{line}version\n".encode())
        await reader.readline()
        await reader.readline()
        writer.close()
        await writer.wait_closed()
    for _ in range(100):
        names = (await gateway.ask("kairosdb_port", "GET", "/api/v1/metricnames", None, key.basic)).json()["results"]
        if len(names) == 5:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(names)


METRICS = ("m.kairosdb", "m.native", "m.opentsdb", "m.opentsdb_port", "m.kairosdb_telnet_port")


async def test_a_clear_value_finds_its_points_on_every_protocol_and_is_in_no_answer_and_no_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    value = CLEAR.replace("@", "-")
    answers = []
    async with guarded(store="sqlite", data=str(tmp_path / "data")) as gateway:
        key, operator = gateway.add_key("shop:rw"), gateway.add_key("*:r")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))
        await write_everywhere(gateway, key)
        for metric in METRICS:
            for wanted, found in ((value, 1), ("nobody", 0)):
                body = {"start_absolute": 0, "metrics": [{"name": metric, "tags": {"user": [wanted]}, "group_by": []}]}
                kairosdb = await gateway.ask("kairosdb_port", "POST", "/api/v1/datapoints/query", body, key.basic)
                body = {"start_absolute": 0, "metrics": [{"name": metric, "tags": {"user": wanted}}]}
                native = await gateway.ask("http_port", "POST", "/api/v1/shop/datapoints/query", body, key.basic)
                for answer in (kairosdb, native):
                    assert answer.json()["queries"][0]["sample_size"] == found, (metric, answer)
                    answers.append(answer.text)
            for wanted in (f"%7Buser={value}%7D", f"%7Buser=literal_or({value}|x)%7D", "%7Buser=*%7D"):
                path = f"/api/query?start={TIME_S - 60}&end={TIME_S + 60}&m=sum:{metric}{wanted}"
                answer = await gateway.ask("opentsdb_port", "GET", path, None, key.basic)
                if "literal_or" in wanted:
                    assert answer.status == 400  # `x` was never written
                else:
                    assert len(answer.json()) == 1, (metric, wanted, answer)
                    assert list(answer.json()[0]["dps"].values()) == [1]
                    assert answer.json()[0]["tags"]["user"].startswith("h_")
                    answers.append(answer.text)
            pattern = f"/api/query?start={TIME_S - 60}&m=sum:{metric}%7Buser=wildcard(al*)%7D"
            refused = await gateway.ask("opentsdb_port", "GET", pattern, None, key.basic)
            assert refused.status == 400
            assert "hash" in refused.json()["error"]["message"]
        for port, path in (
            ("opentsdb_port", "/api/suggest?type=tagv&max=100"),
            ("opentsdb_port", f"/api/search/lookup?m=m.opentsdb%7Buser={value}%7D"),
            (
                "opentsdb_port",
                f"/api/query/last?timeseries=m.opentsdb%7Buser={value},host=web1%7D&resolve=true&back_scan=1",
            ),
            ("kairosdb_port", "/api/v1/admin/runningqueries"),
            ("http_port", "/api/v1/shop/tagvalues"),
            ("http_port", "/metrics"),
        ):
            who = operator if path == "/metrics" else key
            answer = await gateway.ask(port, "GET", path, None, who.basic)
            assert answer.status == 200, (path, answer)
            if "lookup" not in path:  # which repeats the question
                answers.append(answer.text)
        group = {"name": "tag", "tags": ["user"]}
        body = {"start_absolute": 0, "metrics": [{"name": "m.kairosdb", "group_by": [group]}]}
        grouped = await gateway.ask("kairosdb_port", "POST", "/api/v1/datapoints/query", body, key.basic)
        assert grouped.json()["queries"][0]["results"][0]["tags"]["user"][0].startswith("h_")
        door = gateway.process._gateway
        assert door is not None
        journal = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
        assert value.encode() not in journal
        await door.flush()
        body = {"start_absolute": 0, "metrics": [{"name": "m.kairosdb", "tags": {"user": [value]}}]}
        assert (await gateway.ask("kairosdb_port", "POST", "/api/v1/datapoints/delete", body, key.basic)).status == 204
        names = await gateway.ask("kairosdb_port", "GET", "/api/v1/metricnames", None, key.basic)
        assert "m.kairosdb" not in names.json()["results"]
    files = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert b"web1" in files
    assert value.encode() not in files
    assert value not in caplog.text
    assert not any(value in text for text in answers)


async def test_hashing_that_is_turned_on_while_the_gateway_runs_holds_for_series_it_knows():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")

        async def put() -> list[str]:
            tags = {"user": "robert"}
            body = [{"name": "m", "tags": tags, "datapoints": [[TIME_S * 1000, 1]]}]
            assert (await gateway.ask("kairosdb_port", "POST", "/api/v1/datapoints", body, key.basic)).status == 204
            query = {"start_absolute": 0, "metrics": [{"name": "m"}]}
            answer = await gateway.ask("kairosdb_port", "POST", "/api/v1/datapoints/query", query, key.basic)
            return sorted(answer.json()["queries"][0]["results"][0]["tags"]["user"])

        assert await put() == ["robert"]
        set_rules(gateway, "shop", hashed_tags=frozenset({"*"}))
        assert [one[:2] for one in await put()] == ["h_", "ro"]


async def test_each_domain_has_hashes_of_its_own():
    async with guarded() as gateway:
        for domain in ("shop", "bank"):
            set_rules(gateway, domain, hashed_tags=frozenset({"*"}))
        ring = gateway.process.access.keyring
        shop, bank = ring.hasher_of("shop"), ring.hasher_of("bank")
        assert shop is not None
        assert bank is not None
        assert shop.hashed("user", "a") != bank.hashed("user", "a")


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
