"""Every HTTP protocol says when rolled-up data served an answer, and in no other way than by a header (the native one also in
its body).
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from amondawa.gateway import Gateway
from amondawa.store.rollup_rules import RollupRules
from tests.test_app import Running, serving

OLD_S = 1_500_000_000
HEADER = "X-Amondawa-Rollup"
SAMPLING = {"value": 5, "unit": "minutes"}


async def rolled(running: Running) -> None:
    """Write an hour of old points, one a second, and roll them up."""
    noise = random.Random(1)
    points = [[OLD_S * 1000 + at, noise.randrange(10_000)] for at in range(0, 3_600_000, 1_000)]
    body = [{"name": "m", "tags": {"host": "a"}, "datapoints": points}]
    status, _ = await running.ask("http_port", "POST", "/api/v1/default/datapoints", body)
    assert status == 204
    gateway = running.process._gateway
    assert isinstance(gateway, Gateway)
    report = await gateway.roll_up(RollupRules.parse("*=1d:1m:drop-raw"), lambda _: None)
    assert report.rolled == 1


async def asked(running: Running, port: str, method: str, path: str, body: Any = None) -> tuple[str | None, Any]:
    """Return the header and the body of an answer."""
    url = f"http://127.0.0.1:{getattr(running.process.settings, port)}{path}"
    async with running.session.request(method, url, json=body) as answer:
        assert answer.status == 200, await answer.text()
        return answer.headers.get(HEADER), await answer.json(content_type=None)


def kairosdb(aggregator: str | None, metric: str = "m") -> dict[str, Any]:
    sampled = {"name": aggregator, "sampling": SAMPLING, "align_sampling": True, "align_start_time": True}
    return {
        "start_absolute": (OLD_S - 3_600) * 1000,
        "end_absolute": (OLD_S + 7_200) * 1000,
        "metrics": [{"name": metric, "aggregators": [sampled] if aggregator else []}],
    }


def native(name: str | None) -> dict[str, Any]:
    asked = {"name": "m", **({"downsample": {"name": name, "sampling": SAMPLING}} if name else {})}
    return {"start_absolute": (OLD_S - 3_600) * 1000, "end_absolute": (OLD_S + 7_200) * 1000, "metrics": [asked]}


async def test_every_protocol_says_what_its_answer_stands_on() -> None:
    async with serving() as running:
        await rolled(running)
        span = f"start={OLD_S - 3_600}&end={OLD_S + 7_200}"
        for port in ("kairosdb_port", "http_port"):
            path = "/api/v1/datapoints/query"
            assert (await asked(running, port, "POST", path, kairosdb("avg")))[0] == "60s; exact"
            assert (await asked(running, port, "POST", path, kairosdb("dev")))[0] == "60s; approximated"
            assert (await asked(running, port, "POST", path, kairosdb("avg", "none")))[0] is None
        for port in ("opentsdb_port", "http_port"):
            exact, body = await asked(running, port, "GET", f"/api/query?{span}&m=sum:5m-avg:m")
            assert exact == "60s; exact"
            assert set(body[0]) == {"metric", "tags", "aggregateTags", "dps"}
            assert (await asked(running, port, "GET", f"/api/query?{span}&m=sum:m"))[0] == "60s; approximated"
        exact, body = await asked(running, "http_port", "POST", "/api/v1/default/datapoints/query", native("sum"))
        assert exact == "60s; exact"
        assert body["queries"][0]["rollup"] == {"intervals_ms": [60_000], "exact": True}


@pytest.mark.parametrize("headers", [{}, {"X-Anything": "at all"}])
async def test_the_bodies_of_kairosdb_tell_nothing(headers: dict[str, str]) -> None:
    async with serving() as running:
        await rolled(running)
        status, body = await running.ask(
            "kairosdb_port", "POST", "/api/v1/datapoints/query", kairosdb("sum"), headers=headers
        )
        assert status == 200
        assert set(body) == {"queries"}
        assert set(body["queries"][0]) == {"sample_size", "results"}
        assert body["queries"][0]["sample_size"] == 3_600
