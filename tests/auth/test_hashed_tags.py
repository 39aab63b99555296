"""Hashed tags: clear values find their points on every protocol, come back to those who sent them, and are kept nowhere."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amondawa.auth.disclosure import disclosed, spelling_of
from amondawa.auth.hashing import is_hash
from amondawa.errors import StoreError
from amondawa.model.query import Query, Selection
from amondawa.protocols.kairosdb.running import label_of
from amondawa.store.base import BlockStore
from amondawa.store.dynamodb.store import DynamoStore, Options
from amondawa.store.memory import MemoryStore
from amondawa.store.sqlite import SqliteStore
from tests.auth.gateways import Answer, Guarded, Key, guarded
from tests.auth.test_rules import TIME_S, set_rules
from tests.store.engines import QUICK
from tests.store.strict_fake import StrictFake

CLEAR = "alice-example"
METRICS = ("m.kairosdb", "m.native", "m.opentsdb", "m.opentsdb_port", "m.kairosdb_telnet_port")
KAIROSDB_QUERY = "/api/v1/datapoints/query"
RUNNING = "/api/v1/admin/runningqueries"

# on every protocol ----------------------------------------------------------------------------------------------------


async def write_everywhere(gateway: Guarded, key: Key) -> None:
    """Write one point with the clear value by every protocol."""
    tags = {"user": CLEAR, "host": "web1"}
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
        line = f"put m.{port} {TIME_S} 1 user={CLEAR} host=web1\n"
        writer.write(f"auth {key.key} {key.secret}\n{line}version\n".encode())
        await reader.readline()
        await reader.readline()
        writer.close()
        await writer.wait_closed()
    for _ in range(200):
        names = (await gateway.ask("kairosdb_port", "GET", "/api/v1/metricnames", None, key.basic)).json()["results"]
        if len(names) == 5:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(names)


def kairosdb_query(metric: str, **more: Any) -> dict[str, Any]:
    return {"start_absolute": 0, "metrics": [{"name": metric, **more}]}


async def ask_kairosdb(gateway: Guarded, key: Key, body: Any, path: str = KAIROSDB_QUERY) -> Answer:
    return await gateway.ask("kairosdb_port", "POST", path, body, key.basic)


async def ask_opentsdb(gateway: Guarded, key: Key, path: str, method: str = "GET", body: Any = None) -> Answer:
    return await gateway.ask("opentsdb_port", method, path, body, key.basic)


def opentsdb_query(metric: str, filters: str) -> str:
    return f"/api/query?start={TIME_S - 60}&end={TIME_S + 60}&m=sum:{metric}%7B{filters}%7D"


@pytest.mark.parametrize("metric", METRICS)
async def test_a_clear_value_finds_its_points_whoever_wrote_them(metric: str):
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))
        await write_everywhere(gateway, key)
        for wanted, found in ((CLEAR, 1), ("nobody", 0)):
            body = kairosdb_query(metric, tags={"user": [wanted, "x"]})
            native = kairosdb_query(metric, tags={"user": wanted})
            answers = (
                await ask_kairosdb(gateway, key, body),
                await gateway.ask("http_port", "POST", "/api/v1/shop/datapoints/query", native, key.basic),
            )
            assert [one.json()["queries"][0]["sample_size"] for one in answers] == [found, found]
        for wanted in (CLEAR, "*", f"literal_or({CLEAR})", "not_literal_or(x)"):
            answer = await ask_opentsdb(gateway, key, opentsdb_query(metric, f"user={wanted}"))
            assert [list(one["dps"].values()) for one in answer.json()] == [[1]], (wanted, answer)
        deleted = await ask_kairosdb(
            gateway, key, kairosdb_query(metric, tags={"user": [CLEAR]}), "/api/v1/datapoints/delete"
        )
        assert deleted.status == 204
        names = await gateway.ask("kairosdb_port", "GET", "/api/v1/metricnames", None, key.basic)
        assert metric not in names.json()["results"]


@pytest.mark.parametrize("wanted", ["wildcard(al*)", "regexp(al.*)", "iliteral_or(Alice-Example)", "al*"])
async def test_patterns_are_refused_with_the_reason(wanted: str):
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))
        await write_everywhere(gateway, key)
        refused = await ask_opentsdb(gateway, key, opentsdb_query("m.opentsdb", f"user={wanted}"))
        assert refused.status == 400
        assert "tag user is kept as a hash" in refused.json()["error"]["message"]
        fine = await ask_opentsdb(gateway, key, opentsdb_query("m.opentsdb", "host=wildcard(we*)"))
        assert fine.status == 200


async def test_a_value_is_looked_up_without_its_tags_name():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))
        await write_everywhere(gateway, key)
        for wanted in (f"*={CLEAR}", f"={CLEAR}", f"user={CLEAR}", "*=web1"):
            answer = await ask_opentsdb(gateway, key, f"/api/search/lookup?m=%7B{wanted}%7D")
            assert answer.json()["totalResults"] == 5, (wanted, answer)
        assert (await ask_opentsdb(gateway, key, "/api/search/lookup?m=%7B*=nobody%7D")).status == 404


# what answers show ----------------------------------------------------------------------------------------------------


async def test_who_asks_with_the_clear_value_is_answered_with_it_and_nobody_else():
    async with guarded() as gateway:
        key, other = gateway.add_key("shop:rw"), gateway.add_key("shop:r")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))
        await write_everywhere(gateway, key)
        group = {"group_by": [{"name": "tag", "tags": ["user"]}]}
        shown = await ask_kairosdb(gateway, key, kairosdb_query("m.kairosdb", tags={"user": [CLEAR]}, **group))
        result = shown.json()["queries"][0]["results"][0]
        assert result["tags"]["user"] == [CLEAR]
        assert result["group_by"][0]["group"] == {"user": CLEAR}
        native = kairosdb_query("m.native", tags={"user": CLEAR})
        answer = await gateway.ask("http_port", "POST", "/api/v1/shop/datapoints/query", native, key.basic)
        assert answer.json()["queries"][0]["results"][0]["tags"]["user"] in (CLEAR, [CLEAR])
        answer = await ask_opentsdb(gateway, key, opentsdb_query("m.opentsdb", f"user={CLEAR}"))
        assert answer.json()[0]["tags"]["user"] == CLEAR
        for hidden in (
            await ask_kairosdb(gateway, other, kairosdb_query("m.kairosdb", **group)),
            await ask_kairosdb(gateway, other, kairosdb_query("m.kairosdb", tags={"host": ["web1"]})),
            await ask_opentsdb(gateway, other, opentsdb_query("m.opentsdb", "user=*")),
            await ask_opentsdb(gateway, other, "/api/suggest?type=tagv&max=100"),
            await gateway.ask("http_port", "GET", "/api/v1/shop/tagvalues", None, other.basic),
        ):
            assert hidden.status == 200
            assert "h_" in hidden.text
            assert CLEAR not in hidden.text


async def test_a_hash_from_an_answer_may_be_asked_about():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))
        await write_everywhere(gateway, key)
        shown = await ask_kairosdb(gateway, key, kairosdb_query("m.kairosdb"))
        digest = shown.json()["queries"][0]["results"][0]["tags"]["user"][0]
        assert is_hash(digest)
        again = await ask_kairosdb(gateway, key, kairosdb_query("m.kairosdb", tags={"user": [digest]}))
        assert again.json()["queries"][0]["results"][0]["tags"]["user"] == [digest]


async def test_a_packed_answer_and_a_value_with_quotes_are_translated_too():
    value = 'al"ice\\ü'
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))
        body = [{"name": "m", "tags": {"user": value}, "datapoints": [[TIME_S * 1000, 1]]}]
        assert (await ask_kairosdb(gateway, key, body, "/api/v1/datapoints")).status == 204
        packed = {**key.basic, "Accept-Encoding": "gzip"}
        asked = kairosdb_query("m", tags={"user": [value]})
        answer = await gateway.ask("kairosdb_port", "POST", KAIROSDB_QUERY, asked, packed)
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.json()["queries"][0]["results"][0]["tags"]["user"] == [value]


def test_only_what_was_sent_is_put_into_an_answer():
    digest, other = "h_" + "a" * 32, "h_" + "b" * 32
    body = json.dumps([digest, other]).encode()
    as_json, as_text, as_page = (spelling_of(name) for name in ("application/json", "text/plain", "text/html"))
    assert json.loads(disclosed(body, {digest: 'x"'}, packed=False, spell=as_json)) == ['x"', other]
    assert disclosed(digest.encode(), {digest: 'x"'}, packed=False, spell=as_text) == b'x"'
    assert disclosed(digest.encode(), {digest: "<b>"}, packed=False, spell=as_page) == b"&lt;b&gt;"
    assert disclosed(body, {"h_" + "c" * 32: "x"}, packed=False, spell=as_json) is body
    assert gzip.decompress(disclosed(gzip.compress(body), {digest: "x"}, packed=True, spell=as_json)).count(b"x") == 1


async def test_the_list_of_running_queries_shows_no_text_of_them():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))
        await write_everywhere(gateway, key)
        scope = gateway.process._scope.result()
        assert scope is not None
        go_on = threading.Event()
        label = label_of("shop", "m.kairosdb", json.dumps({"tags": {"user": CLEAR}}).encode())
        asked = [Query(Selection("shop", "m.kairosdb"), 0, TIME_S * 2000)]
        running = asyncio.create_task(scope.gateway.query(asked, lambda _: go_on.wait(10), label))
        try:
            for _ in range(100):
                listed = await gateway.ask("kairosdb_port", "GET", RUNNING, None, key.basic)
                if "m.kairosdb" in listed.text:
                    break
                await asyncio.sleep(0.02)
            stats = await ask_opentsdb(gateway, key, "/api/stats/query")
            assert "m.kairosdb" in listed.text
            assert "m.kairosdb" in stats.text
            assert CLEAR not in listed.text + stats.text
        finally:
            go_on.set()
            await running


# what is kept ---------------------------------------------------------------------------------------------------------


class Recorded:
    """Everything that was ever handed to a store to keep."""

    def __init__(self, store: BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.text = ""
        for name in ("put", "put_if", "change", "journal_append"):
            monkeypatch.setattr(store, name, self._recording(getattr(store, name)))

    def _recording(self, keep: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*given: Any) -> Any:
            self.text += repr(given)
            return keep(*given)

        return recorded


@pytest.fixture(params=["memory", "sqlite", "dynamodb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockStore]:
    one: BlockStore = {
        "memory": MemoryStore,
        "sqlite": lambda: SqliteStore(tmp_path / "data"),
        "dynamodb": lambda: DynamoStore(StrictFake().client, "amdw", "one", Options(4, 4, QUICK)),
    }[request.param]()
    one.open()
    yield one


async def say_it_everywhere(gateway: Guarded, key: Key) -> None:
    """Send the clear value by every route that keeps what clients say, or that is asked about values."""
    user = {"user": [CLEAR]}
    period = {"name": "sum", "sampling": {"value": 1, "unit": "hours"}}
    rollup = {
        "name": "task",
        "execution_interval": {"value": 1, "unit": "hours"},
        "rollups": [{"save_as": "out", "query": kairosdb_query("m.kairosdb", tags=user, aggregators=[period])}],
    }
    made = await ask_kairosdb(gateway, key, rollup, "/api/v1/rollups")
    assert made.status == 200, made
    text = CLEAR.encode()
    kept = await ask_kairosdb(gateway, key, text, f"/api/v1/metadata/service/{CLEAR}/{CLEAR}")
    assert kept.status == 204, kept
    lookup = await ask_opentsdb(gateway, key, f"/api/search/lookup?m=m.opentsdb%7Buser={CLEAR}%7D")
    tsuid = lookup.json()["results"][0]["tsuid"]
    for path, body in (
        ("/api/annotation", {"startTime": TIME_S, "tsuid": tsuid, "description": CLEAR, "custom": {CLEAR: CLEAR}}),
        ("/api/uid/uidmeta", {"uid": tsuid[-6:], "type": "tagv", "displayName": CLEAR}),
        ("/api/uid/tsmeta", {"tsuid": tsuid, "description": CLEAR}),
        ("/api/tree", {"name": CLEAR, "description": CLEAR}),
    ):
        said = await ask_opentsdb(gateway, key, path, "POST", body)
        assert said.status == 200, (path, said)
    for path in (
        f"/api/uid/assign?tagv={CLEAR}",
        f"/api/uid/rename?tagv={CLEAR}&name=x",
        "/api/suggest?type=tagv&q=ali",
    ):
        assert (await ask_opentsdb(gateway, key, path)).status in (200, 400)
    await ask_opentsdb(gateway, key, opentsdb_query("m.opentsdb", f"user=wildcard({CLEAR}*)"))
    await ask_kairosdb(gateway, key, b'{"metrics": [{"tags": {"user": "' + text + b'"')


async def test_no_table_file_journal_log_or_metric_has_a_clear_value(
    store: BlockStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
):
    recorded = Recorded(store, monkeypatch)
    async with guarded(store) as gateway:
        key, operator = gateway.add_key("shop:rw"), gateway.add_key("*:r")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))
        await write_everywhere(gateway, key)
        await say_it_everywhere(gateway, key)
        metrics = (await gateway.ask("http_port", "GET", "/metrics", None, operator.basic)).text
        assert gateway.process._gateway is not None
        live = files(tmp_path)
        await gateway.process._gateway.flush()
    logs = caplog.text + "".join(capfd.readouterr())
    assert "web1" in recorded.text
    assert "h_" in recorded.text
    for kept in (recorded.text, metrics, logs, live, files(tmp_path)):
        assert CLEAR not in kept
        assert CLEAR.encode().hex() not in kept


async def test_the_log_of_a_request_that_failed_has_no_clear_value_of_its_path(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))

        async def fail(*_given: Any) -> None:
            raise StoreError("the disk is gone")

        monkeypatch.setattr(gateway.ruled, "put_document", fail)
        said = await ask_kairosdb(gateway, key, b"x", f"/api/v1/metadata/service/{CLEAR}/{CLEAR}")
        assert said.status == 500
    logs = caplog.text + "".join(capfd.readouterr())
    assert "/api/v1/metadata/{service}" in logs
    assert CLEAR not in logs


def files(directory: Path) -> str:
    """Return everything in the files below a directory."""
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file()).decode("latin-1")


async def test_what_clients_said_is_given_back_and_a_roll_up_shows_hashes():
    async with guarded() as gateway:
        key, other = gateway.add_key("shop:rw"), gateway.add_key("shop:r")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))
        await write_everywhere(gateway, key)
        await say_it_everywhere(gateway, key)
        rollups = await gateway.ask("kairosdb_port", "GET", "/api/v1/rollups", None, other.basic)
        assert is_hash(rollups.json()[0]["rollups"][0]["query"]["metrics"][0]["tags"]["user"][0])
        path = f"/api/v1/metadata/service/{CLEAR}/{CLEAR}"
        assert (await gateway.ask("kairosdb_port", "GET", path, None, other.basic)).text == CLEAR
        listed = await gateway.ask("kairosdb_port", "GET", "/api/v1/metadata/service", None, other.basic)
        assert listed.json()["results"] == [CLEAR]
        trees = await ask_opentsdb(gateway, other, "/api/tree")
        assert [one["name"] for one in trees.json()] == [CLEAR]


async def test_no_clear_value_gets_a_uid():
    async with guarded() as gateway:
        key = gateway.add_key("shop:rw")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))
        await write_everywhere(gateway, key)
        refused = await ask_opentsdb(gateway, key, f"/api/uid/assign?tagv={CLEAR}&tagk=room")
        assert refused.status == 400
        assert "kept as hashes" in refused.json()["tagv_errors"][CLEAR]
        assert refused.json()["tagk"]["room"]
        values = (await ask_opentsdb(gateway, key, "/api/suggest?type=tagv&max=99")).json()
        digest = next(one for one in values if is_hash(one))
        renamed = await ask_opentsdb(gateway, key, f"/api/uid/rename?tagv={digest}&name={CLEAR}")
        assert renamed.status == 400
        assert "kept as hashes" in renamed.json()["error"]


# turned on later ------------------------------------------------------------------------------------------------------


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
