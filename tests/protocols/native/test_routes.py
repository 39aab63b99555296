import gzip
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from amondawa.errors import Cancelled, Corrupt, LimitExceeded, Overloaded, StorageFull, TooOld
from amondawa.model.points import WriteBatch
from amondawa.model.query import Query
from amondawa.protocols.base import Scope
from amondawa.protocols.native.routes import application
from amondawa.settings import Settings
from tests.naive import NaiveGateway

MINUTE = 60_000
SETTINGS = Settings(body_limit_bytes=100_000, text_limit_bytes=100)
Call = Callable[..., Any]


@pytest.fixture
def gateway() -> NaiveGateway:
    return NaiveGateway(lambda: 10 * MINUTE)


@pytest.fixture
async def client(gateway: NaiveGateway) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    server = TestServer(application(Scope(gateway, SETTINGS)))
    await server.start_server(auto_decompress=False)
    async with TestClient(server) as client:
        yield client


@pytest.fixture
def call(client: TestClient[web.Request, web.Application]) -> Call:
    """Send a request to domain d1; return (status, body)."""

    async def send(method: str, path: str, body: Any = None, domain: str = "d1", **options: Any) -> tuple[int, Any]:
        data = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        answer = await client.request(method, f"/api/v1/{domain}/{path}", data=data, **options)
        text = await answer.text()
        return answer.status, json.loads(text) if text.startswith("{") else text

    return send


@pytest.fixture
async def filled(call: Call) -> Call:
    """Two series of longs and one of texts are there."""
    points = [
        {"name": "m", "tags": {"host": "a", "dc": "x"}, "datapoints": [[0, 1], [MINUTE, 2], [3 * MINUTE, 4]]},
        {"name": "m", "tags": {"host": "b"}, "datapoints": [[0, 10], [2 * MINUTE, 30], [3 * MINUTE, 40]]},
        {"name": "t", "tags": {"host": "a"}, "timestamp": MINUTE, "value": "words"},
    ]
    assert await call("POST", "datapoints", points) == (204, "")
    return call


def asked(*metrics: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"start_absolute": 0, "end_absolute": 9 * MINUTE, "metrics": list(metrics)} | changes


async def results(call: Call, *metrics: dict[str, Any], **changes: Any) -> list[Any]:
    status, answer = await call("POST", "datapoints/query", asked(*metrics, **changes))
    assert status == 200, answer
    return [one["results"] for one in answer["queries"]]


async def values(call: Call, metric: dict[str, Any], **changes: Any) -> list[Any]:
    """Return the values of every stream of one query."""
    return [stream["values"] for stream in (await results(call, metric, **changes))[0]]


# writes ---------------------------------------------------------------------------------------------------------------


async def test_a_batch_with_a_fault_is_refused_whole(call: Call):
    status, answer = await call("POST", "datapoints", [{"name": "good", "timestamp": 1, "value": 1}, {"name": ""}])
    assert status == 400
    assert answer["errors"]["1"]["name"] == ['must not be empty (was "")']
    assert (await call("GET", "metricnames"))[1] == {"results": []}


async def test_packed_bodies_are_unpacked(call: Call):
    body = gzip.compress(b'[{"name": "m", "timestamp": 1, "value": 1}]')
    assert await call("POST", "datapoints", body, headers={"Content-Encoding": "gzip"}) == (204, "")
    status, answer = await call("POST", "datapoints", b"[]", headers={"Content-Encoding": "gzip"})
    assert (status, answer) == (400, {"errors": {"": ["Not in GZIP format"]}})
    status, answer = await call("POST", "datapoints", b"[]", headers={"Content-Encoding": "br"})
    assert (status, answer) == (400, {"errors": {"Content-Encoding": ['must be gzip (was "br")']}})
    assert await call("POST", "datapoints", b"[]", headers={"Content-Encoding": "identity"}) == (204, "")


async def test_a_body_past_the_limit_names_the_limit(call: Call):
    status, answer = await call("POST", "datapoints", b" " * 100_001)
    assert status == 413
    assert "100000" in answer["errors"][""][0]


async def test_a_large_body_is_written_like_a_small_one(
    client: TestClient[web.Request, web.Application], gateway: NaiveGateway
):
    app = application(Scope(gateway, Settings()))
    async with TestClient(TestServer(app)) as large:
        points = [[time, time / 7] for time in range(20_000)]
        body = json.dumps([{"name": "big", "datapoints": points}])
        assert (await large.post("/api/v1/d1/datapoints", data=body)).status == 204
    answer = await client.post("/api/v1/d1/datapoints", data=json.dumps(asked({"name": "big"})))
    assert (await answer.json())["queries"][0]["results"][0]["values"] == points


async def test_the_last_point_written_at_a_time_is_the_point(call: Call):
    for value in (1, 2.5, "three", 4):
        await call("POST", "datapoints", [{"name": "m", "timestamp": 5, "value": value}])
    assert await values(call, {"name": "m"}) == [[[5, 4]]]


@pytest.mark.parametrize(("error", "status"), [(Overloaded("busy", 2), 503), (StorageFull("full", 7), 503)])
async def test_a_gateway_that_cannot_take_points_says_when_to_come_back(
    client: TestClient[web.Request, web.Application], gateway: NaiveGateway, monkeypatch, error: Any, status: int
):
    async def refuse(batch: WriteBatch) -> None:
        raise error

    monkeypatch.setattr(gateway, "write", refuse)
    answer = await client.post("/api/v1/d1/datapoints", data='[{"name": "m", "timestamp": 1, "value": 1}]')
    assert answer.status == status
    assert answer.headers["Retry-After"] == str(error.retry_after_s)
    assert await answer.json() == {"errors": {"": [str(error)]}}


async def test_a_point_too_old_is_told_by_its_address(call: Call, gateway: NaiveGateway, monkeypatch):
    async def refuse(batch: WriteBatch) -> None:
        raise TooOld("too old", field="timestamp", index=2, value=7)

    monkeypatch.setattr(gateway, "write", refuse)
    points = [{"name": "m", "timestamp": 1, "value": 1}, {"name": "n", "datapoints": [[9, 1], [7, 2]]}]
    status, answer = await call("POST", "datapoints", points)
    assert (status, answer) == (400, {"errors": {"1": {"datapoints/1": ["too old"]}}})


# queries --------------------------------------------------------------------------------------------------------------


async def test_a_query_may_be_posted_where_points_are(filled: Call):
    query = asked({"name": "t", "tags": {}})
    direct = await filled("POST", "datapoints", query)
    assert direct == await filled("POST", "datapoints/query", query)
    assert direct[1] == {
        "queries": [
            {"sample_size": 1, "results": [{"name": "t", "tags": {"host": "a"}, "values": [[MINUTE, "words"]]}]}
        ]
    }


async def test_every_query_has_its_answer_in_order(filled: Call):
    found = await results(filled, {"name": "t"}, {"name": "nonesuch"}, {"name": "m", "tags": {"host": "b"}})
    assert [len(one) for one in found] == [1, 0, 1]


@pytest.mark.parametrize(
    ("tags", "hosts"),
    [
        ({}, ["a", "b"]),
        ({"host": "a"}, ["a"]),
        ({"host": ["a", "b", "c"]}, ["a", "b"]),
        ({"host": []}, ["a", "b"]),
        ({"host": "a", "dc": "y"}, []),
        ({"dc": "x"}, ["a"]),
        ({"none": "x"}, []),
    ],
)
async def test_tags_narrow_by_any_of_their_values(filled: Call, tags: Any, hosts: list[str]):
    assert [one["tags"]["host"] for one in (await results(filled, {"name": "m", "tags": tags}))[0]] == hosts


async def test_the_range_includes_both_of_its_ends(filled: Call):
    found = await values(filled, {"name": "m", "tags": {"host": "a"}}, start_absolute=MINUTE, end_absolute=3 * MINUTE)
    assert found == [[[MINUTE, 2], [3 * MINUTE, 4]]]


async def test_relative_times_count_back_from_now(filled: Call):
    query = {"metrics": [{"name": "m", "tags": {"host": "a"}}]}
    relative = {"start_relative": {"value": 9, "unit": "minutes"}, "end_relative": {"value": 8, "unit": "Minutes"}}
    _, answer = await filled("POST", "datapoints/query", query | relative)
    assert answer["queries"][0]["results"][0]["values"] == [[MINUTE, 2]]


async def test_a_downsample_reduces_each_series_by_itself(filled: Call):
    downsample = {"name": "avg", "sampling": {"value": 2, "unit": "minutes"}}
    found = await values(filled, {"name": "m", "downsample": downsample})
    assert found == [[[0, 1.5], [2 * MINUTE, 4.0]], [[0, 10.0], [2 * MINUTE, 35.0]]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sum", 3.0),
        ("min", 1.0),
        ("max", 2.0),
        ("count", 2),
        ("first", 1),
        ("last", 2),
        ("dev", pytest.approx(0.5**0.5)),
    ],
)
async def test_the_downsamples(filled: Call, name: str, expected: Any):
    downsample = {"name": name, "sampling": {"value": "2", "unit": "minutes"}}
    found = await values(filled, {"name": "m", "tags": {"host": "a"}, "downsample": downsample})
    assert found[0][0] == [0, expected]


async def test_a_bucket_is_stamped_with_its_start_in_the_zone(filled: Call):
    downsample = {"name": "sum", "sampling": {"value": 1, "unit": "days"}}
    query = {"name": "m", "tags": {"host": "a"}, "downsample": downsample}
    assert await values(filled, query, time_zone="Europe/Berlin") == [[[-60 * MINUTE, 7.0]]]


async def test_an_aggregate_interpolates_between_a_series_first_and_last_point(filled: Call):
    found = (await results(filled, {"name": "m", "aggregate": "sum"}))[0]
    assert found == [
        {
            "name": "m",
            "tags": {"dc": ["x"], "host": ["a", "b"]},
            "values": [[0, 11.0], [MINUTE, 22.0], [2 * MINUTE, 33.0], [3 * MINUTE, 44.0]],
        }
    ]


async def test_one_series_alone_is_not_counted_twice(filled: Call):
    found = await values(filled, {"name": "m", "tags": {"host": "a"}, "aggregate": "sum"})
    assert found == [[[0, 1], [MINUTE, 2], [3 * MINUTE, 4]]]


async def test_series_end_where_their_points_end(call: Call):
    points = [
        {"name": "m", "tags": {"h": "a"}, "datapoints": [[0, 1], [10, 1]]},
        {"name": "m", "tags": {"h": "b"}, "datapoints": [[5, 1], [20, 1]]},
    ]
    await call("POST", "datapoints", points)
    assert await values(call, {"name": "m", "aggregate": "count"}) == [[[0, 1], [5, 2], [10, 2], [20, 1]]]


async def test_an_average_of_longs_is_a_double_and_their_sum_a_long(call: Call):
    points = [{"name": "m", "tags": {"h": h}, "timestamp": 1, "value": v} for h, v in (("a", 1), ("b", 2**60))]
    await call("POST", "datapoints", points)
    assert await values(call, {"name": "m", "aggregate": "sum"}) == [[[1, 2**60 + 1]]]
    points = [{"name": "n", "tags": {"h": h}, "timestamp": 1, "value": v} for h, v in (("a", 1), ("b", 2))]
    await call("POST", "datapoints", points)
    assert await values(call, {"name": "n", "aggregate": "avg"}) == [[[1, 1.5]]]


async def test_texts_take_no_part_in_an_aggregate(filled: Call):
    assert await results(filled, {"name": "t", "aggregate": "sum"}) == [[]]


async def test_downsample_comes_before_aggregate(filled: Call):
    downsample = {"name": "max", "sampling": {"value": 2, "unit": "minutes"}}
    found = await values(filled, {"name": "m", "downsample": downsample, "aggregate": "sum"})
    assert found == [[[0, 12.0], [2 * MINUTE, 44.0]]]


async def test_order_and_limit_hold_for_what_is_answered(filled: Call):
    newest = {"order": "desc", "limit": 2}
    assert await values(filled, {"name": "m", "tags": {"host": "a"}} | newest) == [[[3 * MINUTE, 4], [MINUTE, 2]]]
    assert await values(filled, {"name": "m", "aggregate": "sum"} | newest) == [
        [[3 * MINUTE, 44.0], [2 * MINUTE, 33.0]]
    ]


@pytest.mark.parametrize(
    ("metric", "address"),
    [
        ({}, ["name"]),
        (
            {"name": "m", "downsample": {"name": "avgg", "sampling": {"value": 1, "unit": "days"}}},
            ["downsample", "name"],
        ),
        ({"name": "m", "downsample": {"name": "avg"}}, ["downsample", "sampling"]),
        (
            {"name": "m", "downsample": {"name": "avg", "sampling": {"value": 0, "unit": "days"}}},
            ["downsample", "sampling", "value"],
        ),
        (
            {"name": "m", "downsample": {"name": "avg", "sampling": {"value": 1, "unit": "day"}}},
            ["downsample", "sampling", "unit"],
        ),
        ({"name": "m", "aggregate": "summ"}, ["aggregate"]),
        ({"name": "m", "agregate": "sum"}, ["agregate"]),
        ({"name": "m", "tags": {"host": 1}}, ["tags", "host"]),
        ({"name": "m", "limit": -1}, ["limit"]),
        ({"name": "m", "order": "up"}, ["order"]),
    ],
)
async def test_a_wrong_query_is_told_by_its_address(call: Call, metric: Any, address: list[str]):
    status, answer = await call("POST", "datapoints/query", asked({"name": "fine"}, metric))
    assert status == 400
    inner = answer["errors"]["metrics"]["1"]
    for step in address:
        inner = inner[step]
    assert isinstance(inner, list)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"start_absolute": "0"}, "start_absolute"),
        ({"metrics": []}, "metrics"),
        ({"metrics": {}}, "metrics"),
        ({"start_relative": {"value": 1, "unit": "days"}}, "start_relative"),
        ({"end_absolute": -1}, "end_absolute"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"extra": 1}, "extra"),
    ],
)
async def test_a_wrong_request_names_its_field(call: Call, changes: Any, field: str):
    status, answer = await call("POST", "datapoints/query", asked({"name": "m"}, **changes))
    assert (status, list(answer["errors"])) == (400, [field])


async def test_a_request_without_a_start_is_refused(call: Call):
    status, answer = await call("POST", "datapoints/query", {"metrics": [{"name": "m"}]})
    assert (status, list(answer["errors"])) == (400, ["start_absolute"])


@pytest.mark.parametrize("body", ["", "{", "[]", "5", "\xff", "[" * 50_000])
async def test_a_query_that_is_no_object_is_refused(call: Call, body: str):
    status, answer = await call("POST", "datapoints/query", body.encode("latin1"))
    assert (status, list(answer["errors"])) == (400, [""])


@pytest.mark.parametrize(
    ("error", "status"),
    [(LimitExceeded("too many points"), 422), (Cancelled("ended"), 409), (Corrupt("bad chunk"), 500)],
)
async def test_a_query_that_fails_has_a_status(call: Call, gateway: NaiveGateway, monkeypatch, error: Any, status: int):
    async def fail(queries: Sequence[Query], finish: Any, label: str = "") -> bytes:
        raise error

    monkeypatch.setattr(gateway, "query", fail)
    found, answer = await call("POST", "datapoints/query", asked({"name": "m"}))
    assert found == status
    assert (str(error) in answer["errors"][""]) is (status != 500)


# names, tags, deletes -------------------------------------------------------------------------------------------------


async def test_names_can_be_listed(filled: Call):
    assert (await filled("GET", "metricnames"))[1] == {"results": ["m", "t"]}
    assert (await filled("GET", "metricnames?prefix=t"))[1] == {"results": ["t"]}
    assert (await filled("GET", "tagnames"))[1] == {"results": ["dc", "host"]}
    assert (await filled("GET", "tagvalues"))[1] == {"results": ["a", "b", "x"]}
    assert (await filled("GET", "tagvalues?tag=host"))[1] == {"results": ["a", "b"]}


async def test_tags_of_what_a_query_would_read(filled: Call):
    _, answer = await filled(
        "POST", "datapoints/query/tags", asked({"name": "m", "tags": {"host": "a"}}, {"name": "x"})
    )
    assert answer == {"results": [{"name": "m", "tags": {"dc": ["x"], "host": ["a"]}}, {"name": "x", "tags": {}}]}


async def test_a_delete_takes_what_the_query_would_read(filled: Call):
    query = asked({"name": "m", "tags": {"host": "a"}}, end_absolute=MINUTE)
    assert await filled("POST", "datapoints/delete", query) == (204, "")
    assert await values(filled, {"name": "m"}) == [[[3 * MINUTE, 4]], [[0, 10], [2 * MINUTE, 30], [3 * MINUTE, 40]]]


async def test_a_metric_can_be_deleted_and_is_gone_once_and_for_all(filled: Call):
    for _ in range(2):
        assert await filled("DELETE", "metric/m") == (204, "")
        assert (await filled("GET", "metricnames"))[1] == {"results": ["t"]}


async def test_names_in_a_path_may_be_escaped(call: Call):
    name = "a/b c%é"
    await call("POST", "datapoints", [{"name": name, "timestamp": 1, "value": 1}])
    assert await call("DELETE", "metric/a%2Fb%20c%25%C3%A9") == (204, "")
    assert (await call("GET", "metricnames"))[1] == {"results": []}


async def test_a_domain_is_a_wall(filled: Call):
    assert (await filled("GET", "metricnames", domain="d2"))[1] == {"results": []}
    _, answer = await filled("POST", "datapoints/query", asked({"name": "m"}), domain="d2")
    assert answer == {"queries": [{"sample_size": 0, "results": []}]}
    assert await filled("DELETE", "metric/m", domain="d2") == (204, "")
    assert (await filled("GET", "metricnames"))[1] == {"results": ["m", "t"]}


@pytest.mark.parametrize("word", ["datapoints", "metadata", "metric", "rollups", "health", "features"])
async def test_no_domain_is_called_as_another_dialects_path(call: Call, word: str):
    assert (await call("GET", "metricnames", domain=word))[0] == 404


# operations -----------------------------------------------------------------------------------------------------------


async def test_running_queries_can_be_seen_and_ended_within_a_domain(call: Call, gateway: NaiveGateway, monkeypatch):
    running = [{"id": 1, "domain": "d1", "label": "kairosdb/d1\0m\0{}"}, {"id": 2, "domain": "d2", "label": "y"}]
    ended: list[int] = []
    monkeypatch.setattr(gateway, "running_queries", lambda: running)
    monkeypatch.setattr(gateway, "end_query", lambda number: ended.append(number) is None)
    assert (await call("GET", "queries"))[1] == {"queries": [{**running[0], "label": "kairosdb/d1 m {}"}]}
    assert await call("DELETE", "queries/1") == (204, "")
    for stranger in ("2", "3", "x"):
        status, answer = await call("DELETE", f"queries/{stranger}")
        assert (status, answer) == (404, {"errors": {"": [f"no query {stranger} is running"]}})
    assert ended == [1]


async def test_the_version_is_told(client: TestClient[web.Request, web.Application]):
    assert (await (await client.get("/api/v1/version")).json())["version"].startswith("Amondawa ")
