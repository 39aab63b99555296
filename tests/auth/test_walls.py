"""Domains are walls: every route of every protocol, as the applications list them."""

from __future__ import annotations

from typing import Any

import pytest

from amondawa.auth.permissions import Right
from amondawa.protocols.access import OPEN_ROUTES, OPERATOR_ROUTES
from tests.auth.gateways import METHODS, Answer, Guarded, Key, Route, guarded, is_open, routes

TIME_S = 1_356_998_400
TASK = {
    "name": "task",
    "execution_interval": {"value": 1, "unit": "hours"},
    "rollups": [
        {
            "save_as": "shop.rolled",
            "query": {
                "start_relative": {"value": 1, "unit": "hours"},
                "metrics": [
                    {
                        "name": "shop.metric",
                        "aggregators": [{"name": "sum", "sampling": {"value": 1, "unit": "minutes"}}],
                    }
                ],
            },
        }
    ],
}
KAIROSDB_POINTS = [{"name": "shop.metric", "tags": {"shoptag": "shopvalue"}, "datapoints": [[TIME_S * 1000, 1]]}]
OPENTSDB_POINT = {"metric": "shop.tsdb", "timestamp": TIME_S, "value": 1, "tags": {"shoptag": "shopother"}}
NATIVE_POINTS = [{"name": "shop.native", "tags": {"a": "b"}, "timestamp": TIME_S * 1000, "value": 1}]
WRITES: tuple[tuple[str, str, str, Any], ...] = (
    ("kairosdb_port", "POST", "/api/v1/datapoints", KAIROSDB_POINTS),
    ("kairosdb_port", "POST", "/api/v1/metadata/shopservice/shopkey/one", "shop.note"),
    ("kairosdb_port", "POST", "/api/v1/rollups", TASK),
    ("opentsdb_port", "POST", "/api/put", OPENTSDB_POINT),
    ("opentsdb_port", "POST", "/api/annotation", {"startTime": TIME_S, "description": "shop.note"}),
    ("opentsdb_port", "POST", "/api/uid/assign", {"metric": ["shop.assigned"]}),
    ("opentsdb_port", "POST", "/api/uid/uidmeta", {"uid": "000001", "type": "metric", "description": "shop.meta"}),
    ("opentsdb_port", "POST", "/api/tree", {"name": "shop.tree"}),
    ("http_port", "POST", "/api/v1/shop/datapoints", NATIVE_POINTS),
)  # fmt: skip
READS: tuple[tuple[str, str, str, Any], ...] = (
    ("kairosdb_port", "GET", "/api/v1/metricnames", None),
    ("kairosdb_port", "POST", "/api/v1/datapoints/query", {"start_absolute": 0, "metrics": [{"name": "shop.metric"}]}),
    ("kairosdb_port", "POST", "/api/v1/datapoints/query/tags", {"start_absolute": 0, "metrics": [{"name": "shop.metric"}]}),
    ("kairosdb_port", "GET", "/api/v1/metadata/shopservice", None),
    ("kairosdb_port", "GET", "/api/v1/metadata/shopservice/shopkey/one", None),
    ("kairosdb_port", "GET", "/api/v1/rollups", None),
    ("kairosdb_port", "GET", "/api/v1/admin/runningqueries", None),
    ("opentsdb_port", "GET", "/api/suggest?type=metrics&max=100", None),
    ("opentsdb_port", "GET", "/api/suggest?type=tagk&max=100", None),
    ("opentsdb_port", "GET", "/api/suggest?type=tagv&max=100", None),
    ("opentsdb_port", "GET", f"/api/query?start={TIME_S - 60}&end={TIME_S + 60}&m=sum:shop.tsdb", None),
    ("opentsdb_port", "GET", "/api/query/last?timeseries=shop.tsdb&back_scan=24&resolve=true", None),
    ("opentsdb_port", "GET", f"/api/annotation?start_time={TIME_S}", None),
    ("opentsdb_port", "GET", "/api/search/lookup?m=shop.tsdb", None),
    ("opentsdb_port", "GET", "/api/uid/uidmeta?uid=000001&type=metric", None),
    ("opentsdb_port", "GET", "/api/tree", None),
    ("opentsdb_port", "GET", "/api/stats", None),
    ("opentsdb_port", "GET", "/api/stats/query", None),
)  # fmt: skip

WORDS = ("shop.metric", "shoptag", "shopvalue", "shopother", "shop.note", "shop.meta", "shop.tree", "shopkey")


def refused(route: Route, answer: Answer, status: int) -> bool:
    """Say whether an answer is a refusal in the shape of the protocol that the route belongs to."""
    if answer.status != status:
        return False
    if not answer.text:  # the answer to HEAD
        return True
    if route.pattern.startswith("/api{version}") or (route.port == "opentsdb_port" and route.path.startswith("/api/")):
        return answer.json()["error"]["code"] == status
    if route.pattern.startswith("/api/v1/{domain}") or route.pattern in OPERATOR_ROUTES:
        return "" in answer.json()["errors"]
    if route.port == "kairosdb_port" or route.pattern.startswith("/api/v1"):
        return isinstance(answer.json()["errors"], list)
    return answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("method", METHODS)
async def test_no_route_lets_the_key_of_another_domain_in(method: str):
    async with guarded() as gateway:
        key = gateway.add_key("bank:rw")
        walked = 0
        for route in routes(gateway.process, "shop"):
            headers = key.basic if route.names_domain else {**key.basic, "X-Amondawa-Domain": "shop"}
            answer = await gateway.ask(route.port, method, route.path, b"{}", headers)
            if is_open(route):
                continue
            walked += 1
            if method in route.methods:
                assert refused(route, answer, 403), (method, route, answer)
            else:
                assert answer.status in (403, 405), (method, route, answer)
        assert walked > 150


@pytest.mark.parametrize("method", METHODS)
async def test_no_route_but_health_and_version_lets_a_client_without_a_key_in(method: str):
    async with guarded() as gateway:
        gateway.add_key("default:rw")
        seen = set()
        for route in routes(gateway.process, "default"):
            answer = await gateway.ask(route.port, method, route.path, b"{}")
            if is_open(route):
                seen.add(route.pattern)
                assert answer.status != 401 or method not in ("GET", "HEAD")
            else:
                assert refused(route, answer, 401), (method, route, answer)
                assert "Basic" in answer.headers["WWW-Authenticate"]
        assert seen == OPEN_ROUTES


async def write_all(gateway: Guarded, key: Key) -> None:
    for port, method, path, body in WRITES:
        answer = await gateway.ask(port, method, path, body, {**key.basic, "Content-Type": "application/json"})
        assert answer.status in (200, 204), (path, answer)


async def test_nothing_that_one_domain_keeps_is_in_any_answer_of_another():
    async with guarded() as gateway:
        shop, bank = gateway.add_key("shop:rw"), gateway.add_key("bank:rw")
        await write_all(gateway, shop)
        told = 0
        for port, method, path, body in READS:
            mine = await gateway.ask(port, method, path, body, shop.basic)
            theirs = await gateway.ask(port, method, path, body, bank.basic)
            asked = f"{path}{body}"
            for word in (
                "shop.metric",
                "shoptag",
                "shopvalue",
                "shopother",
                "shop.note",
                "shop.meta",
                "shop.tree",
                "shopkey",
            ):
                told += word in mine.text
                assert word in asked or word not in theirs.text, (path, theirs)
        assert told > 10
        stats = await gateway.ask("opentsdb_port", "GET", "/api/stats", None, bank.basic)
        told_of = {one["metric"]: one["value"] for one in stats.json()}
        assert told_of["tsd.points_written"] == "0"
        assert "tsd.series" not in told_of


async def test_what_one_domain_deletes_stays_in_another():
    async with guarded() as gateway:
        shop, bank = gateway.add_key("shop:rw"), gateway.add_key("bank:rw")
        await write_all(gateway, shop)
        query = {"start_absolute": 0, "metrics": [{"name": "shop.metric"}]}
        for port, method, path, body in (
            ("kairosdb_port", "DELETE", "/api/v1/metric/shop.metric", None),
            ("kairosdb_port", "POST", "/api/v1/datapoints/delete", query),
            ("kairosdb_port", "DELETE", "/api/v1/metadata/shopservice/shopkey/one", None),
            ("opentsdb_port", "DELETE", "/api/annotation", {"startTime": TIME_S}),
        ):
            await gateway.ask(port, method, path, body, bank.basic)
        names = await gateway.ask("kairosdb_port", "GET", "/api/v1/metricnames", None, shop.basic)
        assert "shop.metric" in names.json()["results"]
        note = await gateway.ask("kairosdb_port", "GET", "/api/v1/metadata/shopservice/shopkey/one", None, shop.basic)
        assert "shop.note" in note.text


async def contents(gateway: Guarded) -> tuple[Any, ...]:
    """Return what a domain holds, but for the ids that names get when they are read."""
    door = gateway.process._gateway
    assert door is not None
    collections = ("kairosdb_metadata", "kairosdb_rollups", "opentsdb.annotations", "opentsdb.trees")
    kept = [await door.list_documents("shop", one) for one in collections]
    return (await door.metric_names("shop"), kept, door.statistics()["points_written"])


async def test_a_key_that_may_only_read_changes_nothing():
    async with guarded() as gateway:
        writer, reader = gateway.add_key("shop:rw"), gateway.add_key("shop:r")
        await write_all(gateway, writer)
        before = await contents(gateway)
        for port, method, path, body in WRITES:
            assert (await gateway.ask(port, method, path, body, reader.basic)).status == 403, path
        for method in METHODS:
            for route in routes(gateway.process, "shop"):
                await gateway.ask(route.port, method, route.path, b"{}", reader.basic)
        saving = {"name": "save_as", "metric_name": "stolen"}
        query = {"start_absolute": 0, "metrics": [{"name": "shop.metric", "aggregators": [saving]}]}
        assert (
            await gateway.ask("kairosdb_port", "POST", "/api/v1/datapoints/query", query, reader.basic)
        ).status == 403
        for path in (
            "/api/uid/assign?metric=new.name",
            f"/api/annotation?start_time={TIME_S}&method_override=delete",
            f"/api/annotation?start_time={TIME_S}&description=x&method_override=post",
        ):
            assert (await gateway.ask("opentsdb_port", "GET", path, None, reader.basic)).status == 403, path
        assert await contents(gateway) == before


async def test_a_key_that_may_only_write_reads_nothing():
    async with guarded() as gateway:
        writer, feeder = gateway.add_key("shop:rw"), gateway.add_key("shop:w")
        await write_all(gateway, writer)
        for port, method, path, body in WRITES:
            assert (await gateway.ask(port, method, path, body, feeder.basic)).status in (200, 204, 400), path
        for port, method, path, body in READS:
            assert (await gateway.ask(port, method, path, body, feeder.basic)).status == 403, path
        query = {"start_absolute": 0, "metrics": [{"name": "shop.native"}]}
        answer = await gateway.ask("http_port", "POST", "/api/v1/shop/datapoints", query, feeder.basic)
        assert answer.status == 403


OVERRIDES = (
    "method_override=post",
    "method_override=delete",
    "method_override=other",
    "method_override=",
    "method_override=put&method_override=get",
    "method_override=get&method_override=put",
    "%6dethod_override=put&method%5foverride=get",
)


@pytest.mark.parametrize("override", OVERRIDES)
async def test_a_key_that_may_only_write_reads_nothing_by_another_name_of_the_method(override: str):
    async with guarded() as gateway:
        writer, feeder = gateway.add_key("shop:rw"), gateway.add_key("shop:w")
        await write_all(gateway, writer)
        reads = [(port, path) for port, method, path, _ in READS if method == "GET"]
        paths = (route for route in routes(gateway.process, "shop") if not is_open(route))
        for port, path in [*reads, *((route.port, route.path) for route in paths)]:
            answer = await gateway.ask(
                port, "GET", f"{path}{'&' if '?' in path else '?'}{override}", None, feeder.basic
            )
            assert answer.status != 200, (path, answer)
            assert not any(word in answer.text and word not in path for word in WORDS), (path, answer)


@pytest.mark.parametrize("override", ["method_override=get&method_override=delete", "method_override=Delete"])
async def test_a_key_that_may_only_read_removes_nothing_by_another_name_of_the_method(override: str):
    async with guarded(opentsdb_allow_delete=True) as gateway:
        writer, reader = gateway.add_key("shop:rw"), gateway.add_key("shop:r")
        await write_all(gateway, writer)
        before = await contents(gateway)
        asked = [path for port, method, path, _ in READS if port == "opentsdb_port" and method == "GET" and "?" in path]
        for path in asked:
            await gateway.ask("opentsdb_port", "GET", f"{path}&{override}", None, reader.basic)
        assert await contents(gateway) == before
        query = next(path for path in asked if path.startswith("/api/query?"))
        for path in (query, f"{query}&delete=true"):
            assert '"dps":{"' in (await gateway.ask("opentsdb_port", "GET", path, None, writer.basic)).text


@pytest.mark.parametrize(
    ("path", "first", "then"),
    [
        ("/api/annotation", {"startTime": TIME_S, "notes": "shop.note"}, {"startTime": TIME_S, "description": "x"}),
        ("/api/annotation/bulk", [{"startTime": TIME_S, "notes": "shop.note"}], [{"startTime": TIME_S, "description": "x"}]),
        (
            "/api/uid/uidmeta",
            {"uid": "000001", "type": "metric", "notes": "shop.note"},
            {"uid": "000001", "type": "metric", "description": "x"},
        ),
        ("/api/tree?treeid=1", {"treeId": 1, "notes": "shop.note"}, {"treeId": 1, "description": "x"}),
        (
            "/api/tree/test",
            {"treeId": 1, "tsuids": ["000001000001000001"]},
            {"treeId": 1, "tsuids": ["000001000001000001"]},
        ),
    ],
)  # fmt: skip
async def test_the_answer_to_a_write_tells_a_key_that_may_only_write_nothing_of_what_was_there(
    path: str, first: Any, then: Any
):
    async with guarded() as gateway:
        writer, feeder = gateway.add_key("shop:rw"), gateway.add_key("shop:w")
        await write_all(gateway, writer)
        assert (await gateway.ask("opentsdb_port", "POST", path, first, writer.basic)).text
        told = await gateway.ask("opentsdb_port", "POST", path, then, feeder.basic)
        assert (told.status, told.text) == (204, "")
        assert (await gateway.ask("opentsdb_port", "POST", path, first, writer.basic)).status in (200, 304)


async def test_the_guarded_door_lets_no_handler_out_of_its_domain():
    from amondawa.auth.caller import Caller, acting_for
    from amondawa.errors import Forbidden
    from amondawa.model.query import Query, Selection

    async with guarded() as gateway:
        scope = gateway.process._scope.result()
        assert scope is not None
        door = scope.gateway
        selection = Selection("shop", "m")
        ref = door.resolve("shop", "m", ())
        with acting_for(Caller("bank", Right.BOTH)):
            for stolen in (lambda: door.resolve("shop", "m", ()), lambda: door.series_of(ref)):
                with pytest.raises(Forbidden):
                    stolen()
            for work in (
                door.query([Query(selection, 0, 1)], len),
                door.find_series(selection, 0, 1),
                door.metric_names("shop"),
                door.tag_names("shop"),
                door.tag_values("shop"),
                door.delete(selection, 0, 1),
                door.delete_metric("shop", "m"),
                door.put_document("shop", "c", "k", b""),
                door.get_document("shop", "c", "k"),
                door.delete_document("shop", "c", "k"),
                door.list_documents("shop", "c"),
            ):
                with pytest.raises(Forbidden):
                    await work


# which domain ---------------------------------------------------------------------------------------------------------


async def test_path_then_header_then_only_domain_then_default_decide():
    async with guarded() as gateway:
        both, one = gateway.add_key("shop:rw", "default:r"), gateway.add_key("shop:r")
        await write_all(gateway, gateway.add_key("shop:rw"))

        async def names(key: Key, path: str, **headers: str) -> list[str]:
            sent = {**key.basic, **{name.replace("_", "-"): value for name, value in headers.items()}}
            return (await gateway.ask("http_port", "GET", path, None, sent)).json()["results"]

        assert await names(both, "/api/v1/metricnames") == []
        assert "shop.metric" in await names(one, "/api/v1/metricnames")
        assert "shop.metric" in await names(both, "/api/v1/metricnames", X_Amondawa_Domain="shop")
        assert "shop.metric" in await names(both, "/domains/shop/api/v1/metricnames", X_Amondawa_Domain="default")


@pytest.mark.parametrize("domain", ["a/b", "a%2Fb", "a:b", "a,b", "..", ".", "a b", "*", "shop\x00", "ä"])
async def test_a_domain_with_a_separator_is_refused(domain: str):
    async with guarded() as gateway:
        key = gateway.add_key("*:rw")
        if domain.isprintable():
            sent = {**key.basic, "X-Amondawa-Domain": domain}
            assert (await gateway.ask("kairosdb_port", "GET", "/api/v1/metricnames", None, sent)).status == 400
        if "/" not in domain and domain not in ("..", "."):
            from urllib.parse import quote

            path = f"/domains/{quote(domain, safe='%')}/api/v1/metricnames"
            assert (await gateway.ask("http_port", "GET", path, None, key.basic)).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "/domains/bank/%2e%2e/shop/api/v1/metricnames",
        "/domains/bank/../shop/api/v1/metricnames",
        "/domains//shop/api/v1/metricnames",
        "//domains/shop/api/v1/metricnames",
        "/domains/shop%2Fapi/api/v1/metricnames",
        "/domains/shop%2F..%2Fbank/api/v1/metricnames",
        "/domains%2Fshop/api/v1/metricnames",
        "/domains/bank%2F..%2Fshop/api/suggest?type=metrics",
        "/domains/shop/../bank/api/suggest?type=metrics",
        "/api/v1/shop%2F/metricnames",
        "/api/v1/bank/../shop/metricnames",
        "/api/v1/%2e%2e/shop/metricnames",
        "/api/v1/version/../metricnames",
        "/api/version/../suggest?type=metrics",
        "/api/version/%2e%2e/suggest?type=metrics",
        "/health/live/../../api/v1/shop/metricnames",
        "/health/ready%2F..%2F..%2Fapi/v1/metricnames",
    ],
)
@pytest.mark.parametrize("port", ["http_port", "kairosdb_port", "opentsdb_port"])
async def test_no_trick_in_the_path_gets_around_a_domain(port: str, path: str):
    async with guarded() as gateway:
        shop, bank = gateway.add_key("shop:rw"), gateway.add_key("bank:rw")
        await write_all(gateway, shop)
        for headers in (bank.basic, {}):
            answer = await gateway.ask(port, "GET", path, None, headers)
            assert "shop.metric" not in answer.text
            assert "shop.tsdb" not in answer.text


async def test_two_domain_headers_are_refused():
    async with guarded() as gateway:
        key = gateway.add_key("shop:r", "bank:r")
        sent = [*key.basic.items(), ("X-Amondawa-Domain", "shop"), ("X-Amondawa-Domain", "bank")]
        async with gateway.session.get(
            gateway.address("kairosdb_port") + "/api/v1/metricnames", headers=sent
        ) as answer:
            assert answer.status == 400


# who sees what concerns all -------------------------------------------------------------------------------------------


async def test_metrics_are_for_keys_that_read_everything():
    async with guarded() as gateway:
        shop, everything = gateway.add_key("shop:rw"), gateway.add_key("*:r")
        assert (await gateway.ask("http_port", "GET", "/metrics", None, shop.basic)).status == 403
        assert (await gateway.ask("http_port", "GET", "/metrics", None, everything.basic)).status == 200
        stats = await gateway.ask("opentsdb_port", "GET", "/api/stats", None, everything.basic)
        assert stats.json()
        for path in ("/api/stats/jvm", "/api/stats/threads"):
            assert (await gateway.ask("opentsdb_port", "GET", path, None, shop.basic)).status == 403
            assert (await gateway.ask("opentsdb_port", "GET", path, None, everything.basic)).json()


async def test_a_browser_may_ask_whether_it_may_ask():
    async with guarded(opentsdb_cors_domains="*") as gateway:
        gateway.add_key("shop:rw")
        asks = {"Origin": "http://grafana", "Access-Control-Request-Method": "POST"}
        answer = await gateway.ask("kairosdb_port", "OPTIONS", "/api/v1/datapoints/query", None, asks)
        assert answer.status == 200
        assert (await gateway.ask("kairosdb_port", "OPTIONS", "/api/v1/datapoints/query")).status == 401


async def test_no_route_tells_a_browser_that_asks_whether_it_may_ask_anything_of_a_domain():
    async with guarded(opentsdb_cors_domains="*") as gateway:
        await write_all(gateway, gateway.add_key("shop:rw"))
        asks = {"Origin": "http://grafana", "Access-Control-Request-Method": "GET", "X-Amondawa-Domain": "shop"}
        before = await contents(gateway)
        paths = [(port, path) for port, _, path, _ in READS]
        paths += [(route.port, route.path) for route in routes(gateway.process, "shop")]
        for port, path in paths:
            told = await gateway.ask(port, "OPTIONS", path, b"{}", asks)
            assert told.status != 500, (path, told)
            assert not any(word in told.text and word not in path for word in WORDS), (path, told)
        assert await contents(gateway) == before
